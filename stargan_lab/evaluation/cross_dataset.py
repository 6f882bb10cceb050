"""Translations of one dataset's images to another's domains: what training on several datasets at once is for.

An image has no labels of its own under another dataset's names. What that dataset's classifier sees in it stands for
them. Shapes: n images, A labels of the dataset that is asked for, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab.data.protocols import ImageSource
from stargan_lab.evaluation import ground_truth_scores as counterfactual
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.ground_truth import drawn
from stargan_lab.evaluation.setting import Setting, Translate, translated
from stargan_lab.labels import LabelSpec, target_labels


@dataclass
class CrossScores:
    """Metric -> ``<images' dataset>.as.<labels' dataset>.<domain>`` -> value."""

    values: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, metric: str, domain: str, per_image: Tensor) -> None:
        """Keep the mean of what applies; NaN does not."""
        if not per_image.isnan().all():
            self.values.setdefault(metric, {})[domain] = float(per_image.nanmean())

    def metrics(self) -> dict[str, float]:
        """Means over domains, then every domain's own value."""
        means = {metric: sum(values.values()) / len(values) for metric, values in self.values.items()}
        each = {
            f"{metric}/{domain}": value for metric, values in self.values.items() for domain, value in values.items()
        }
        return means | each


def labels_seen(attribute_classifier: AttributeClassifier, images: Tensor, spec: LabelSpec, batch_size: int) -> Tensor:
    """(n, A) labels under ``spec`` that its classifier sees in (n, 3, H, W) uint8 images."""
    return torch.cat([attribute_classifier.own_labels(part, spec) for part in images.split(batch_size)])


def score_across(
    translate: Translate,
    sources: Sequence[ImageSource],
    attribute_classifiers: Sequence[AttributeClassifier],
    setting: Setting,
) -> CrossScores:
    """Every dataset's test images under every other dataset's domains.

    - ``eval/cross_accuracy``: share of outputs in which the other dataset's classifier sees the target's value of the
      label, among images in which it saw another one before.
    - ``eval/cross_edit``: as ``eval/edit``, where both datasets are drawn: the ground truth is the image drawn with the
      labels that were asked for, all else as it is.
    """
    scores = CrossScores()
    for index, source in enumerate(sources):
        for asked, other in enumerate(sources):
            if index != asked:
                _score_pair(scores, translate, source, (asked, other), attribute_classifiers[asked], setting)
    return scores


def _score_pair(
    scores: CrossScores,
    translate: Translate,
    source: ImageSource,
    asked: tuple[int, ImageSource],
    attribute_classifier: AttributeClassifier,
    setting: Setting,
) -> None:
    index, other = asked
    test, names = source.split("test"), other.spec.names
    images = test.images(range(setting.count(source)))
    own = labels_seen(attribute_classifier, images, other.spec, setting.batch_size)
    targets = torch.stack([target_labels(own, other.spec, domain) for domain in range(len(names))])  # (A, n, A)
    ground_truth_images = None
    if source.ground_truth is not None and other.ground_truth is not None:
        folder = setting.outputs / "cache" / "truth"
        ground_truth_images = drawn(source, "test", names, targets, folder, setting.progress, other.fingerprint)
    bar = tqdm(names, f"scoring {source.name} as {other.name}", leave=False, disable=None if setting.progress else True)
    for domain, name in enumerate(bar):
        agrees, edits = [], []
        for start in range(0, len(images), setting.batch_size):
            part = slice(start, start + setting.batch_size)
            x, target = images[part], targets[domain, part]
            y = translated(translate, x, target, index, source.name, setting.device)
            seen = (attribute_classifier.predict(y)[:, domain] == target[:, domain]).double()
            agrees.append(seen.masked_fill(own[part, domain] == target[:, domain], torch.nan))
            if ground_truth_images is not None:
                right = torch.from_numpy(ground_truth_images[domain, part].copy())
                edits.append(counterfactual.edit(*(pixels.double() / 255 for pixels in (x, y, right))))
        title = f"{source.name}.as.{other.name}.{name}"
        scores.add("eval/cross_accuracy", title, torch.cat(agrees))
        if edits:
            scores.add("eval/cross_edit", title, torch.cat(edits))

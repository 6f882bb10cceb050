"""Translations of one dataset's images to another's domains: what training on several datasets at once is for.

An image has no labels of its own under another dataset's names. What that dataset's classifier sees in it stands for
them. Shapes: n images, A labels of the dataset that is asked for, H W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab.batch import ImageSource, LabelSpec, target_labels, to_float, to_uint8
from stargan_lab.evaluation import counterfactual
from stargan_lab.evaluation.classifier import DomainClassifier
from stargan_lab.evaluation.setting import Setting, Translate
from stargan_lab.evaluation.truth import drawn


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


def labels_seen(judge: DomainClassifier, images: Tensor, spec: LabelSpec, batch_size: int) -> Tensor:
    """(n, A) labels under ``spec`` that its classifier sees in (n, 3, H, W) uint8 images."""
    return torch.cat([judge.own_labels(part, spec) for part in images.split(batch_size)])


def score_across(
    translate: Translate,
    sources: Sequence[ImageSource],
    judges: Sequence[DomainClassifier],
    setting: Setting,
) -> CrossScores:
    """Every dataset's test images under every other dataset's domains.

    - ``eval/cross_accuracy``: share of outputs in which the other dataset's classifier sees the target's value of the
      label, among images in which it saw another one before.
    - ``eval/cross_edit``: as ``eval/edit``, where both datasets are drawn: the right answer is the image drawn with the
      labels that were asked for, all else as it is.
    """
    scores = CrossScores()
    for index, source in enumerate(sources):
        for asked, other in enumerate(sources):
            if index != asked:
                _score_pair(scores, translate, source, (asked, other), judges[asked], setting)
    return scores


def _score_pair(
    scores: CrossScores,
    translate: Translate,
    source: ImageSource,
    asked: tuple[int, ImageSource],
    judge: DomainClassifier,
    setting: Setting,
) -> None:
    index, other = asked
    test, names = source.split("test"), other.spec.names
    images = test.images(range(setting.count(source)))
    own = labels_seen(judge, images, other.spec, setting.batch_size)
    targets = torch.stack([target_labels(own, other.spec, domain) for domain in range(len(names))])  # (A, n, A)
    answers = None
    if source.truth is not None and other.truth is not None:
        folder = setting.outputs / "cache" / "truth"
        answers = drawn(source, "test", names, targets, folder, setting.progress, other.fingerprint)
    bar = tqdm(names, f"scoring {source.name} as {other.name}", leave=False, disable=None if setting.progress else True)
    for domain, name in enumerate(bar):
        outputs = _translated(lambda x, y: translate(x, y, index), images, targets[domain], setting)
        found = torch.cat([judge.predict(part)[:, domain] for part in outputs.split(setting.batch_size)])
        agrees = (found == targets[domain, :, domain]).double()
        title = f"{source.name}.as.{other.name}.{name}"
        held = own[:, domain] == targets[domain, :, domain]
        scores.add("eval/cross_accuracy", title, agrees.masked_fill(held, torch.nan))
        if answers is not None:
            right = torch.from_numpy(answers[domain].copy())
            x, y, t = (pixels.double() / 255 for pixels in (images, outputs, right))
            scores.add("eval/cross_edit", title, counterfactual.edit(x, y, t))


@torch.no_grad()
def _translated(
    translate: Callable[[Tensor, Tensor], Tensor], images: Tensor, labels: Tensor, setting: Setting
) -> Tensor:
    """(n, 3, H, W) uint8."""
    parts = zip(images.split(setting.batch_size), labels.split(setting.batch_size), strict=True)
    return torch.cat(
        [to_uint8(translate(to_float(x.to(setting.device)), y.to(setting.device))).cpu() for x, y in parts]
    )

"""Scores of one dataset's images translated to the domains of another, the purpose of training on several datasets.

An image has no labels from another dataset; those predicted by the other dataset's classifier are used instead.
Shapes: n images, A labels of the dataset that the target domain belongs to.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations

import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.context import Context, Translate
from stargan_lab.evaluation.ground_truth_images import cross_ground_truth
from stargan_lab.evaluation.image_scores import ImageScores, ImageValues, image_values
from stargan_lab.evaluation.metrics.inputs import ImageBatch
from stargan_lab.evaluation.metrics.selection import SelectedMetric
from stargan_lab.labels import LabelSpec, target_labels
from stargan_lab.tracking.metrics import cross_name


def predicted_labels(
    attribute_classifier: AttributeClassifier, images: Tensor, spec: LabelSpec, batch_size: int
) -> Tensor:
    """(n, A) labels of ``spec`` that its classifier predicts for (n, 3, H, W) uint8 images."""
    return torch.cat([attribute_classifier.predict_exclusive(part, spec) for part in images.split(batch_size)])


@torch.no_grad()
def score_across(
    translate: Translate,
    sources: Sequence[ImageSource],
    attribute_classifiers: Sequence[AttributeClassifier],
    metrics: Sequence[SelectedMetric],
    context: Context,
) -> dict[str, float]:
    """The given image metrics of every dataset's test images, translated to every other dataset's domains.

    Returns:
        ``eval/cross_<metric>``, the mean over domains, and each ``eval/cross_<metric>/<images>.as.<labels>.<domain>``;
        nothing in processes other than the first.
    """
    values: dict[str, dict[str, float]] = {cross_name(metric.name): {} for metric in metrics}
    for (_, source), (index, other) in permutations(enumerate(sources), 2) if metrics else ():
        bar = context.bar(f"scoring {source.name} as {other.name}", len(other.spec.names))
        for name, scores in _domains(translate, source, index, other, attribute_classifiers[index], metrics, context):
            title = f"{source.name}.as.{other.name}.{name}"
            for metric, mean in scores.means().items():
                if mean is not None:
                    values[cross_name(metric)][title] = mean
            bar.update()
        bar.close()
    values = {metric: domains for metric, domains in values.items() if domains}
    means = {metric: sum(domains.values()) / len(domains) for metric, domains in values.items()}
    return means | {
        f"{metric}/{title}": value for metric, domains in values.items() for title, value in domains.items()
    }


def _domains(
    translate: Translate,
    source: ImageSource,
    index: int,
    other: ImageSource,
    attribute_classifier: AttributeClassifier,
    metrics: Sequence[SelectedMetric],
    context: Context,
) -> Iterator[tuple[str, ImageScores]]:
    """Scores of the images of ``source`` translated to each domain of ``other``, dataset ``index``."""
    images, spec = source.split("test").images(range(context.count(source))), other.spec
    labels = predicted_labels(attribute_classifier, images, spec, context.batch_size)
    targets = torch.stack([target_labels(labels, spec, domain) for domain in range(len(spec.names))])  # (A, n, A)
    with context.world.in_turn():  # so that the first process fills the cache
        ground_truth = cross_ground_truth(source, other, targets, context)

    def measure(domain: int, indices: range) -> ImageValues:
        part = slice(indices.start, indices.stop)
        x, target, source_labels = images[part], targets[domain, part], labels[part]
        y = context.translate(translate, x, target, index, source.name)
        reconstruct = partial(context.translate, translate, y, source_labels, index, source.name)
        labeled = (x, y, source_labels, target, domain, spec)
        return image_values(metrics, ImageBatch(*labeled, attribute_classifier, indices, ground_truth, reconstruct))

    for domain, batches in context.by_domain(len(spec.names), len(images), measure):
        scores = ImageScores()
        for values in batches:
            scores.add(values)
        yield spec.names[domain], scores

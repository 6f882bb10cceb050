"""Scores of one dataset's test images, translated to each of its labels in turn.

Shapes: N batch, A labels, n test images. The generator is passed as a callable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.context import Context, Translate
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.features import FeatureFile, batch_size, compute_features
from stargan_lab.evaluation.frechet_distance import Moments
from stargan_lab.evaluation.ground_truth_images import GroundTruthImages, ground_truth_images
from stargan_lab.evaluation.image_scores import ImageScores, ImageValues, image_values
from stargan_lab.evaluation.metrics.inputs import FeaturePair, ImageBatch
from stargan_lab.evaluation.metrics.selection import SelectedMetric
from stargan_lab.evaluation.real_images import ReferenceFeatures, reference_features
from stargan_lab.evaluation.warnings import CheckedBatch, EvaluationWarning, FailureChecks, below_input, few_images
from stargan_lab.labels import target_labels
from stargan_lab.tracking.metrics import metric_name


@dataclass(frozen=True)
class Dataset:
    """A dataset, and the instruments that score its translations.

    Attributes:
        index: position among the generator's datasets.
    """

    index: int
    source: ImageSource
    attribute_classifier: AttributeClassifier
    extractors: Sequence[Extractor]


@dataclass
class DatasetScores:
    """Metric → domain → value; a domain that cannot be measured is absent, and ``notes`` says why.

    Attributes:
        overall: metrics of the entire dataset, which have no domains.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    overall: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[EvaluationWarning] = field(default_factory=list)


class _FeatureScores:
    """Feature metrics of one extractor, domain by domain."""

    def __init__(
        self, extractor: Extractor, references: ReferenceFeatures, metrics: Sequence[SelectedMetric], seed: int
    ) -> None:
        self.extractor, self._references, self._seed = extractor, references, seed
        self._pooled = [metric for metric in metrics if metric.has("pooled")]
        self._metrics = [metric for metric in metrics if not metric.has("pooled")]
        self._moments: list[tuple[Moments, Moments]] = []
        self._fewest: list[tuple[int, int, str]] = []

    def name(self, metric: SelectedMetric) -> str:
        return metric_name(metric.name, self.extractor.label)

    def add(self, scores: DatasetScores, dataset: str, domain: int, name: str, features: FeatureFile) -> None:
        """Compare the images that gained a label with the real images that have it; at least 2 on each side."""
        real = self._references.moments[domain].n
        if min(len(features), real) < 2:
            scores.notes.append(
                f"{dataset}.{name}: no distances in {self.extractor.name} features: they need at least 2 images on each"
                f" side, got {len(features)} translated and {real} real"
            )
            return
        pair = FeaturePair(features.sample(), self._references.sample(domain), self._seed)
        for metric in self._metrics:
            if (value := metric.value(pair)) is not None:
                scores.values.setdefault(self.name(metric), {})[name] = value
        self._moments.append((pair.translated.moments, pair.real.moments))
        self._fewest.append((pair.smaller, len(pair.real.moments.mean), name))

    def finish(self, scores: DatasetScores, dataset: str) -> None:
        """Pooled metrics, and a warning if a domain has no more images than feature dimensions."""
        for metric in self._pooled if self._moments else ():
            if (value := metric.value(self._moments)) is not None:
                scores.overall[self.name(metric)] = value
        biased = tuple(self.name(m) for m in (*self._metrics, *self._pooled) if m.has("needs_many_images"))
        scores.warnings += few_images(dataset, self._fewest, biased)


@dataclass(frozen=True)
class _Measured:
    """What the scores need of one batch; ``features`` has the parts of each extractor."""

    images: int
    checked: CheckedBatch
    values: ImageValues
    features: list[list[Tensor]]


@torch.no_grad()
def score_dataset(
    translate: Translate, dataset: Dataset, metrics: Sequence[SelectedMetric], context: Context
) -> DatasetScores:
    """Every metric of one dataset, for each of its domains; none in processes other than the first."""
    source, count = dataset.source, context.count(dataset.source)
    images = [metric for metric in metrics if metric.family == "image_metric"]
    kinds = [metric for metric in metrics if metric.family == "feature_metric"]
    with context.world.in_turn():  # so that the first process fills the caches
        in_features = [
            _FeatureScores(e, reference_features(source, e, context), kinds, context.seed) for e in dataset.extractors
        ]
        ground_truth = ground_truth_images(source, context)
    checks, scores, of_images = FailureChecks(source.name, source.spec), DatasetScores(), {}
    measure = partial(_measure, translate, dataset, images, ground_truth, context)
    with context.bar(f"scoring {source.name}", count * len(source.spec.names)) as bar:
        for domain, batches in context.by_domain(len(source.spec.names), count, measure):
            name = source.spec.names[domain]
            collected = [FeatureFile(context.outputs / "cache" / "features") for _ in in_features]
            of_images[name] = ImageScores()
            for batch in batches:
                checks.add(batch.checked)
                of_images[name].add(batch.values)
                for features, parts in zip(collected, batch.features, strict=True):
                    for part in parts:
                        features.add(part)
                bar.update(batch.images)
            bar.set_postfix_str(f"features of {name}")
            for each, features in zip(in_features, collected, strict=True):
                each.add(scores, source.name, domain, name, features)
            bar.set_postfix_str("")
    if context.world.rank:  # the first process has all measurements
        return scores
    _add_image_scores(scores, source.name, images, of_images, count)
    scores.warnings += checks.warnings()
    for name in (f"eval/{metric.name}" for metric in images if metric.has("zero_for_inputs")):
        scores.warnings += below_input(source.name, name, scores.values.get(name, {}))
    for each in in_features:
        each.finish(scores, source.name)
    return scores


def _measure(
    translate: Translate,
    dataset: Dataset,
    metrics: Sequence[SelectedMetric],
    ground_truth: GroundTruthImages | None,
    context: Context,
    domain: int,
    indices: range,
) -> _Measured:
    """Translate test images to one domain and measure them; a reconstruction starts from the 8-bit translation."""
    source, index = dataset.source, dataset.index
    test = source.split("test")
    x, labels = test.images(indices), test.labels[indices.start : indices.stop]
    target = target_labels(labels, source.spec, domain)
    y = context.translate(translate, x, target, index, source.name)
    reconstruct = partial(context.translate, translate, y, labels, index, source.name)
    labeled = (x, y, labels, target, domain, source.spec)
    batch = ImageBatch(*labeled, dataset.attribute_classifier, indices, ground_truth, reconstruct)
    checked, values = CheckedBatch.of(batch), image_values(metrics, batch)
    return _Measured(len(indices), checked, values, [_features(e, batch, context) for e in dataset.extractors])


def _features(extractor: Extractor, batch: ImageBatch, context: Context) -> list[Tensor]:
    """Features of the images that did not already have the label, in parts of the extractor's batch size."""
    gained = batch.y[batch.source_labels[:, batch.domain] == 0]
    parts = gained.split(batch_size(extractor, context.device))
    return [compute_features(extractor, part) for part in parts if len(part)]  # an empty tensor has one empty part


def _add_image_scores(
    scores: DatasetScores,
    dataset: str,
    metrics: Sequence[SelectedMetric],
    of_images: dict[str, ImageScores],
    count: int,
) -> None:
    """Add means per domain, with notes on everything that could not be measured."""
    means = {name: domain.means() for name, domain in of_images.items()}
    for metric in metrics:
        for name in means:
            value = means[name].get(metric.name)
            if value is not None:
                scores.values.setdefault(f"eval/{metric.name}", {})[name] = value
            elif metric.name in means[name]:
                scores.notes.append(f"{dataset}.{name}: eval/{metric.name} applies to no test image")
        excluded = sum(domain.excluded(metric.name) for domain in of_images.values())
        if excluded and (what := metric.fact("excludes", "")):
            total = count * len(of_images)
            scores.notes.append(f"{dataset}: eval/{metric.name} excludes {excluded} of {total} {what}")
        absent = all(metric.name not in domain for domain in means.values())
        if absent and (needed := metric.fact("needs", "")):
            scores.notes.append(f"{dataset}: eval/{metric.name} is not measured; it needs {needed}")

"""Score a generator on every dataset: the entry point of evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier, trained_classifier
from stargan_lab.evaluation.build_protocol import build_protocol
from stargan_lab.evaluation.context import Context, Translate
from stargan_lab.evaluation.cross_dataset import score_across
from stargan_lab.evaluation.dataset_scores import Dataset, DatasetScores, score_dataset
from stargan_lab.evaluation.extractors import ClassifierExtractor, Extractor, build_extractor
from stargan_lab.evaluation.features import LARGEST_DIMS, compute_features, total_memory
from stargan_lab.evaluation.inception_weights import WeightsMissing
from stargan_lab.evaluation.metrics.selection import Configured, SelectedMetric, select, try_metrics
from stargan_lab.evaluation.real_images import reference_labels, reference_split
from stargan_lab.evaluation.reordered import reordered
from stargan_lab.evaluation.warnings import EvaluationWarning, one_class, weak_classifier
from stargan_lab.registry import family
from stargan_lab.tracking.metrics import metric_name
from stargan_lab.training.distributed import ALONE, World


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    Attributes:
        extractor: name of an extractor used besides the attribute classifier's features; None: no other.
        weights: weights of the extractor: a path, ``download``, or None for the cached file.
        dims: dimensions of Inception's features; None: the default.
        checkpoint: the rule by which the weights were picked, for the protocol.
        max_images: maximum number of test images, and of reference images per domain; None: all.
        batch_size: images translated together.
        extractor_options: further options of the extractor, by name.
        metrics: options of metrics by name, False to leave one out; None: the shipped metrics.
        seed: of the attribute classifier's training, of metrics that draw at random, and of the selection of images if
            ``max_images`` leaves some out; 0 selects the first.
    """

    extractor: str | None
    weights: str | None
    dims: int | None
    checkpoint: str
    max_images: int | None
    batch_size: int
    extractor_options: Mapping[str, Any] | None = None
    metrics: Configured | None = None
    seed: int = 0


@dataclass(frozen=True)
class Scores:
    """The result of one evaluation.

    Attributes:
        metrics: ``eval/<metric>`` the mean over domains (then over datasets), ``eval/<metric>/<domain>`` each; with
            several datasets a domain is called ``<dataset>.<domain>``, and ``eval/<metric>/<dataset>`` is its mean.
        protocol: how they were computed, see ``Protocol.as_dict``.
        notes: one line for everything that was left out.
        warnings: failures that the scores do not reveal, see ``EvaluationWarning.as_dict``.
    """

    metrics: dict[str, float]
    protocol: dict[str, Any]
    notes: list[str]
    warnings: list[dict[str, Any]]


@dataclass(frozen=True)
class Evaluator:
    """Everything an evaluation needs, ready to score any number of generators in the same way.

    Attributes:
        warnings: those that do not depend on the translations.
    """

    datasets: Sequence[Dataset]
    metrics: Sequence[SelectedMetric]
    context: Context
    protocol: dict[str, Any]
    warnings: Sequence[EvaluationWarning]

    def score(self, translate: Translate) -> Scores:
        """Translate the test images of every dataset to each of its labels and score the 8-bit results.

        Every image metric is computed over all test images, and every feature metric between the translations of images
        without the label and real images of another split that have it. With several datasets, image metrics with the
        trait ``cross`` are also computed on the images of the other datasets. Calling it twice gives the same numbers;
        torch's global random state is neither used nor changed. With several processes, all must call it: they share
        the batches, and the first has the scores, the others none.

        Args:
            translate: see ``context.Translate``; it normalizes each image by its own statistics (train mode).
        Raises:
            LabError: the generator's outputs are not finite, or a metric fails.
        """
        scored = {
            dataset.source.name: score_dataset(translate, dataset, self.metrics, self.context)
            for dataset in self.datasets
        }
        crossing = [metric for metric in self.metrics if metric.has("cross")] if len(scored) > 1 else []
        sources = [dataset.source for dataset in self.datasets]
        classifiers = [dataset.attribute_classifier for dataset in self.datasets]
        across = score_across(translate, sources, classifiers, crossing, self.context)
        values = _named(scored) | across
        return Scores(
            {name: values[name] for name in self.protocol["metrics"] if name in values} | values,
            self.protocol,
            [note for scores in scored.values() for note in scores.notes],
            [w.as_dict() for w in (*self.warnings, *(w for scores in scored.values() for w in scores.warnings))],
        )


def assemble(
    sources: Sequence[ImageSource],
    options: Options,
    outputs: Path,
    device: torch.device | str,
    progress: bool = True,
    need_weights: bool = False,
    world: World = ALONE,
) -> Evaluator:
    """Build attribute classifiers, extractors and the protocol, before anything is translated.

    Args:
        sources: prepared datasets.
        outputs: its cache contains attribute classifiers and features; missing ones are computed.
        need_weights: refuse an extractor without weights instead of leaving out its scores with a warning.
        world: the processes that share the work; the caches must be filled by the first one.
    Raises:
        LabError: no test split, unusable weights, or a user's metric or extractor that fails on one image.
    """
    images, at_once = options.max_images, options.batch_size
    context = Context(images, at_once, outputs, torch.device(device), progress, options.seed, world)
    for source in sources:
        reference_split(source)  # refuses a dataset without test images before a classifier is trained
    classifiers = [trained_classifier(source, outputs, context.device, progress, context.seed) for source in sources]
    metrics = select(options.metrics)
    try:
        extractors, missing = _extractors(options, classifiers, context), None
    except WeightsMissing as error:
        if need_weights:
            raise
        extractors, missing = [[ClassifierExtractor(classifier)] for classifier in classifiers], error
    ordered = [reordered(source, context.seed, context.max_images) for source in sources]
    datasets = [Dataset(i, *parts) for i, parts in enumerate(zip(ordered, classifiers, extractors, strict=True))]
    for dataset in datasets:
        _try_extractors(dataset)
        try_metrics(metrics, dataset.source, dataset.attribute_classifier)
    fingerprints = {source.name: source.fingerprint for source in sources}
    protocol = build_protocol(datasets, fingerprints, metrics, options.checkpoint, context)
    warnings = _warnings(datasets, context, protocol.metrics)
    if missing is not None:
        absent = tuple(metric_name(m.name, missing.label) for m in metrics if m.family == "feature_metric")
        warnings.insert(0, EvaluationWarning("no-weights", absent, str(missing)))
    return Evaluator(datasets, metrics, context, protocol.as_dict(), warnings)


def _extractors(
    options: Options, classifiers: Sequence[AttributeClassifier], context: Context
) -> list[list[Extractor]]:
    """For each dataset, the classifier's features and the configured ones; a shared extractor is built once."""
    base: list[list[Extractor]] = [[ClassifierExtractor(classifier)] for classifier in classifiers]
    name = options.extractor
    if name is None or name == ClassifierExtractor.name:
        return base

    def build(classifier: AttributeClassifier | None) -> Extractor:
        extra = options.extractor_options or {}
        return build_extractor(
            name, context.outputs, context.device, classifier, weights=options.weights, dims=options.dims, **extra
        )

    if family("extractor").has(name, "shared"):
        built = build(None)
        return [[*each, built] for each in base]
    return [[*each, build(classifier)] for each, classifier in zip(base, classifiers, strict=True)]


def _try_extractors(dataset: Dataset) -> None:
    """Compute the features of one image, so that it fails before the training, not after it.

    Raises:
        LabError: an extractor fails, or the moments of its features do not fit in memory.
    """
    source = dataset.source
    for extractor in dataset.extractors:
        dims = compute_features(extractor, source.split("test").images([0])).shape[1]
        needed = (3 * len(source.spec.names) + 4) * dims**2 * 8
        if dims > LARGEST_DIMS or needed > total_memory() / 2:
            raise LabError(
                f"evaluation.extractor: {extractor.name!r} has {dims:,} features per image of {source.name};"
                f" their covariances take {needed / 2**30:.1f} GiB; use smaller images or another extractor"
            )


def _warnings(
    datasets: Sequence[Dataset], context: Context, metrics: Mapping[str, Mapping[str, Any]]
) -> list[EvaluationWarning]:
    """Warnings that do not depend on the translations."""
    classified = tuple(name for name, entry in metrics.items() if "attribute_classifier" in entry["uses"])
    warnings: list[EvaluationWarning] = []
    for dataset in datasets:
        source = dataset.source
        warnings += weak_classifier(source.name, dataset.attribute_classifier.accuracy, classified)
        labels = source.split("test").labels[: context.count(source)]
        warnings += one_class(source.name, source.spec, labels, reference_labels(source, context.max_images))
    return warnings


def _named(scored: Mapping[str, DatasetScores]) -> dict[str, float]:
    """The mean of every metric, and its values for every dataset and domain."""
    several = len(scored) > 1
    means: dict[str, float] = {}
    parts: dict[str, float] = {}
    for metric in dict.fromkeys(m for scores in scored.values() for m in (*scores.values, *scores.overall)):
        of_datasets: dict[str, float] = {}
        for name, scores in scored.items():
            domains = scores.values.get(metric, {})
            if domains or metric in scores.overall:
                of_datasets[name] = fmean(domains.values()) if domains else scores.overall[metric]
            prefix = f"{metric}/{name}." if several else f"{metric}/"
            parts |= {f"{prefix}{domain}": value for domain, value in domains.items()}
        means[metric] = fmean(of_datasets.values())
        parts |= {f"{metric}/{name}": value for name, value in of_datasets.items()} if several else {}
    return means | parts

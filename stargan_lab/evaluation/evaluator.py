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
from stargan_lab.evaluation.context import Context, EvaluationWarning, Translate
from stargan_lab.evaluation.cross_dataset import score_across
from stargan_lab.evaluation.dataset_scores import Dataset, DatasetScores, image_counts, score_dataset
from stargan_lab.evaluation.extractors import ClassifierExtractor, Extractor, build_extractor, compute_features
from stargan_lab.evaluation.failure_checks import one_class
from stargan_lab.evaluation.features import LARGEST_DIMS, total_memory
from stargan_lab.evaluation.ground_truth import GALLERY
from stargan_lab.evaluation.inception_weights import WeightsMissing
from stargan_lab.evaluation.metrics.selection import Configured, SelectedMetric, select, try_metrics
from stargan_lab.evaluation.protocol import Protocol
from stargan_lab.evaluation.real_images import reference_labels, reference_split
from stargan_lab.registry import family
from stargan_lab.tracking.metrics import cross_name, metric_name


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    Attributes:
        extractor: features beside the attribute classifier's own, by name; None for the classifier's only.
        weights: of the extractor: a path, ``download``, or None for the cached file.
        dims: of Inception's features; None for the default.
        checkpoint: the rule by which the weights were picked, for the protocol.
        max_images: only the first so many test images, and reference images of each domain; None for all.
        batch_size: images translated together.
        extractor_options: further options of the extractor, by name.
        metrics: options of metrics by name, False to leave one out; None for the shipped metrics.
    """

    extractor: str | None
    weights: str | None
    dims: int | None
    checkpoint: str
    max_images: int | None
    batch_size: int
    extractor_options: Mapping[str, Any] | None = None
    metrics: Configured | None = None


@dataclass(frozen=True)
class Scores:
    """The result of one evaluation.

    Attributes:
        metrics: ``eval/<metric>`` the mean over domains (then over datasets), ``eval/<metric>/<domain>`` each; with
            several datasets a domain is called ``<dataset>.<domain>``, and ``eval/<metric>/<dataset>`` is its mean.
        protocol: how they were computed, see ``Protocol.as_dict``.
        notes: one line each on what was left out.
        warnings: failures that the scores do not show, see ``EvaluationWarning.as_dict``.
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
        torch's global random state is neither used nor changed.

        Args:
            translate: see ``context.Translate``; it normalises each image by its own statistics (train mode).
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
) -> Evaluator:
    """Build attribute classifiers, extractors and the protocol, before anything is translated.

    Args:
        sources: prepared datasets.
        outputs: its cache holds attribute classifiers and features; what is missing is computed.
    Raises:
        LabError: no test split, unusable weights, or a user's metric or extractor that fails on one image.
    """
    context = Context(options.max_images, options.batch_size, outputs, torch.device(device), progress)
    references = {source.name: reference_split(source) for source in sources}
    classifiers = [trained_classifier(source, outputs, context.device, progress) for source in sources]
    metrics = select(options.metrics)
    try:
        extractors, missing = _extractors(options, classifiers, context), None
    except WeightsMissing as error:
        extractors, missing = [[_classifier_features(classifier)] for classifier in classifiers], error
    datasets = [Dataset(i, *parts) for i, parts in enumerate(zip(sources, classifiers, extractors, strict=True))]
    for dataset in datasets:
        _try_extractors(dataset)
        try_metrics(metrics, dataset.source, dataset.attribute_classifier)
    instruments = _instruments(datasets, references)
    provenance = _metrics_provenance(metrics, extractors[0], several=len(sources) > 1)
    protocol = Protocol(
        data={source.name: source.fingerprint[:16] for source in sources},
        images={source.name: image_counts(source, context) for source in sources},
        groups={source.name: [list(group) for group in source.spec.groups] for source in sources},
        checkpoint=options.checkpoint,
        max_images=options.max_images,
        batch_size=options.batch_size,
        instruments=instruments,
        metrics=provenance,
    )
    warnings = _warnings(datasets, context, provenance)
    if missing is not None:
        absent = tuple(metric_name(m.name, missing.label) for m in metrics if m.family == "feature_metric")
        warnings.insert(0, EvaluationWarning("no-weights", absent, str(missing)))
    return Evaluator(datasets, metrics, context, protocol.as_dict(), warnings)


def evaluate(
    translate: Translate,
    sources: Sequence[ImageSource],
    options: Options,
    outputs: Path,
    device: torch.device | str,
    progress: bool = True,
) -> Scores:
    """Score one generator: ``assemble``, then ``Evaluator.score``."""
    return assemble(sources, options, outputs, device, progress).score(translate)


def _extractors(
    options: Options, classifiers: Sequence[AttributeClassifier], context: Context
) -> list[list[Extractor]]:
    """Per dataset the classifier's features and the configured ones; a shared extractor is built once."""
    own = [[_classifier_features(classifier)] for classifier in classifiers]
    name = options.extractor
    if name is None or name == ClassifierExtractor.name:
        return own

    def build(classifier: AttributeClassifier | None) -> Extractor:
        extra = options.extractor_options or {}
        return build_extractor(
            name, context.outputs, context.device, classifier, weights=options.weights, dims=options.dims, **extra
        )

    if family("extractor").has(name, "shared"):
        built = build(None)
        return [[*each, built] for each in own]
    return [[*each, build(classifier)] for each, classifier in zip(own, classifiers, strict=True)]


def _classifier_features(classifier: AttributeClassifier) -> Extractor:
    return ClassifierExtractor(classifier)


def _try_extractors(dataset: Dataset) -> None:
    """Compute the features of one image, so that a failure comes before a training and not after it.

    Raises:
        LabError: an extractor fails, or moments of its features do not fit in memory.
    """
    source = dataset.source
    for extractor in dataset.extractors:
        dims = compute_features(extractor, source.split("test").images([0])).shape[1]
        needed = (3 * len(source.spec.names) + 4) * dims**2 * 8
        if dims > LARGEST_DIMS or needed > total_memory() / 2:
            raise LabError(
                f"evaluation.extractor: {extractor.name!r} has {dims:,} features per image of {source.name}, whose"
                f" covariances take {needed / 2**30:.1f} GiB; use smaller images or another extractor"
            )


def _instruments(datasets: Sequence[Dataset], references: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Attribute classifier, ground truth and extractors, each with what its output depends on."""
    classifiers = {dataset.source.name: dataset.attribute_classifier.sha256[:16] for dataset in datasets}
    instruments: dict[str, dict[str, Any]] = {
        "attribute_classifier": {"sha256": classifiers},
        "ground_truth": {"gallery": GALLERY},
    }
    for position, first in enumerate(datasets[0].extractors):
        if first.name in instruments:
            raise LabError(f"extractor {first.name!r}: the name is taken; give it another one")
        instruments[first.name] = {
            "identity": {dataset.source.name: dataset.extractors[position].identity for dataset in datasets},
            "dims": first.dims or "as the image",
            "preprocessing": first.preprocessing,
            "references": dict(references),
            "options": dict(first.options),
        }
    return instruments


def _metrics_provenance(
    metrics: Sequence[SelectedMetric], extractors: Sequence[Extractor], several: bool
) -> dict[str, dict[str, Any]]:
    """What each metric's values depend on, by name in the order of tables. Raises LabError for a name used twice."""
    entries = []
    for metric in (each for each in metrics if each.family == "image_metric"):
        uses = metric.fact("uses", ())
        entries.append((f"eval/{metric.name}", metric.provenance(*uses)))
        if several and metric.has("cross"):  # there the classifier predicts the source labels
            entries.append((cross_name(metric.name), metric.provenance("attribute_classifier", *uses)))
    for extractor in extractors:
        for metric in (each for each in metrics if each.family == "feature_metric"):
            entries.append((metric_name(metric.name, extractor.label), metric.provenance(extractor.name)))
    provenance = dict(entries)
    if len(provenance) < len(entries):
        names = [name for name, _ in entries]
        twice = next(name for name in names if names.count(name) > 1)
        raise LabError(
            f"{twice}: two metrics have this name; give the extractor another label or the metric another name"
        )
    return provenance


def _warnings(
    datasets: Sequence[Dataset], context: Context, provenance: Mapping[str, Mapping[str, Any]]
) -> list[EvaluationWarning]:
    """Warnings that do not depend on the translations."""
    classified = tuple(name for name, entry in provenance.items() if "attribute_classifier" in entry["uses"])
    warnings = []
    for dataset in datasets:
        source = dataset.source
        if text := dataset.attribute_classifier.warning(source.name):
            warnings.append(EvaluationWarning("weak-classifier", classified, text))
        labels = source.split("test").labels[: context.count(source)]
        warnings += one_class(source.name, source.spec, labels, reference_labels(source, context.max_images))
    return warnings


def _named(scored: Mapping[str, DatasetScores]) -> dict[str, float]:
    """The mean of every metric, and the values of every dataset and every domain."""
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

"""Score a generator on every dataset: the one entry point of this room."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation import ground_truth as ground_truth
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier, trained_classifier
from stargan_lab.evaluation.cross_dataset import score_across
from stargan_lab.evaluation.dataset_scores import SourceScores, image_counts, score_source
from stargan_lab.evaluation.extractors import ClassifierExtractor, Extractor, build_extractor, metric_name, take
from stargan_lab.evaluation.feature_distances import SETTINGS
from stargan_lab.evaluation.features import LARGEST_DIMS, whole_memory
from stargan_lab.evaluation.inception import WHOLE
from stargan_lab.evaluation.inception_weights import WeightsMissing
from stargan_lab.evaluation.protocol import Protocol
from stargan_lab.evaluation.real_images import reference_split
from stargan_lab.evaluation.reconstruction import BEST_PSNR
from stargan_lab.evaluation.setting import EvaluationWarning, Setting, Translate

KINDS = ("frechet", "frechet_infinity", "frechet_pooled", "kid", "kid_spread", "precision", "recall")


@dataclass(frozen=True)
class Options:
    """How to score.

    Attributes:
        extractor: features beside the classifier's own, by name; None for the classifier's only.
        weights: of the extractor: a path, ``download``, or None for what is in a cache.
        dims: of Inception's features; None for its own default.
        checkpoint: the rule by which the weights were picked, for the protocol.
        max_images: only the first so many test images, and reference images of each domain; None for all.
        batch_size: images translated together.
    """

    extractor: str | None
    weights: str | None
    dims: int | None
    checkpoint: str
    max_images: int | None
    batch_size: int


@dataclass(frozen=True)
class Scores:
    """What one scoring found.

    Attributes:
        metrics: ``eval/<metric>`` the mean over domains (then over datasets), ``eval/<metric>/<domain>`` each; with
            several datasets a domain is called ``<dataset>.<domain>``, and ``eval/<metric>/<dataset>`` is its mean.
        protocol: how they were made, as ``Protocol.as_dict`` has it.
        notes: one line each on what was left out.
        warnings: what the numbers do not show by themselves, as ``EvaluationWarning.as_dict`` has it.
    """

    metrics: dict[str, float]
    protocol: dict[str, Any]
    notes: list[str]
    warnings: list[dict[str, Any]]


@dataclass(frozen=True)
class Evaluator:
    """Everything a scoring needs, ready to score any number of generators alike.

    Attributes:
        extractors: per dataset the classifier's features, and those asked for.
        cautions: what is known before anything is translated.
    """

    sources: Sequence[ImageSource]
    attribute_classifiers: Sequence[AttributeClassifier]
    extractors: Sequence[list[Extractor]]
    setting: Setting
    protocol: dict[str, Any]
    warnings: Sequence[EvaluationWarning]

    def score(self, translate: Translate) -> Scores:
        """Translate the test images of every dataset to each of its labels and score the outcome as 8-bit images.

        - ``accuracy``: share of outputs in which a classifier trained on real images sees the target's value of the
          label; images whose target equals their own label are left out. ``accuracy_ceiling`` is what it reaches on
          real test images.
        - ``frechet_classifier``, ``kid_classifier`` … and with official Inception weights ``fid``, ``kid`` …: between
          translations of images without the label and real images, of another split, that have it.
        - ``edit``, ``leak``, ``identity`` against the exact ground truth, where the dataset can draw it.
        - ``reconstruction``, ``psnr``, ``ssim``: G(G(x, target), own) against x.
        - with several datasets, ``cross_accuracy`` and ``cross_edit``: see ``across.score_across``.

        Calling it twice gives the same numbers; torch's global random state is neither read nor moved.

        Args:
            translate: see ``setting.Translate``; it normalises each image by its own statistics (train mode).
        Raises:
            LabError: the generator's outputs are not finite.
        """
        notes: list[str] = []
        warnings = list(self.warnings)
        scored = []
        for index, (source, attribute_classifier) in enumerate(
            zip(self.sources, self.attribute_classifiers, strict=True)
        ):
            scores = score_source(translate, index, source, attribute_classifier, self.extractors[index], self.setting)
            notes += scores.notes
            warnings += scores.warnings
            scored.append((source.name, scores))
        several = len(self.sources) > 1
        across = (
            score_across(translate, self.sources, self.attribute_classifiers, self.setting).metrics() if several else {}
        )
        return Scores(_named(scored) | across, self.protocol, notes, [warning.as_dict() for warning in warnings])


def assemble(
    sources: Sequence[ImageSource],
    options: Options,
    outputs: Path,
    device: torch.device | str,
    progress: bool = True,
) -> Evaluator:
    """Judges, extractors and the protocol of a scoring, before anything is translated.

    Args:
        sources: prepared datasets.
        outputs: whose cache holds attribute classifiers and statistics; what is missing is made.
    Raises:
        LabError: no test split, or unusable weights.
    """
    setting = Setting(options.max_images, options.batch_size, outputs, torch.device(device), progress)
    references = {source.name: reference_split(source) for source in sources}
    attribute_classifiers = [trained_classifier(source, outputs, setting.device, progress) for source in sources]
    extractors, warnings = _extractors(options, attribute_classifiers, setting)
    for source, built in zip(sources, extractors, strict=True):
        for extractor in built:
            _try(extractor, source)
    instruments, metrics = _instruments(sources, attribute_classifiers, extractors, references)
    protocol = Protocol(
        data={source.name: source.fingerprint[:16] for source in sources},
        images={source.name: image_counts(source, setting) for source in sources},
        groups={source.name: [list(group) for group in source.spec.groups] for source in sources},
        checkpoint=options.checkpoint,
        max_images=options.max_images,
        batch_size=options.batch_size,
        instruments=instruments,
        metrics=metrics,
    )
    return Evaluator(sources, attribute_classifiers, extractors, setting, protocol.as_dict(), warnings)


def evaluate(
    translate: Translate,
    sources: Sequence[ImageSource],
    options: Options,
    outputs: Path,
    device: torch.device | str,
    progress: bool = True,
) -> Scores:
    """Score one generator: ``assemble`` and ``Evaluator.score`` in one."""
    return assemble(sources, options, outputs, device, progress).score(translate)


def _extractors(
    options: Options, attribute_classifiers: list[AttributeClassifier], setting: Setting
) -> tuple[list[list[Extractor]], list[EvaluationWarning]]:
    """Per dataset the classifier's features and those asked for; a caution when the weights of these are missing."""
    name = options.extractor
    own: list[list[Extractor]] = [
        [ClassifierExtractor(attribute_classifier)] for attribute_classifier in attribute_classifiers
    ]
    if name is None or name == ClassifierExtractor.name:
        return own, []
    try:
        for built, attribute_classifier in zip(own, attribute_classifiers, strict=True):
            built.append(
                build_extractor(
                    name,
                    setting.outputs,
                    setting.device,
                    attribute_classifier,
                    weights=options.weights,
                    dims=options.dims,
                )
            )
    except WeightsMissing as missing:
        label = "" if options.dims in (None, WHOLE) else f"inception_{options.dims}"
        absent = tuple(metric_name(kind, label) for kind in KINDS)
        return [built[:1] for built in own], [EvaluationWarning("no-weights", absent, str(missing))]
    return own, []


def _try(extractor: Extractor, source: ImageSource) -> None:
    """See before a training, not after it, that one image has features, and that statistics of them fit the memory.

    Raises:
        LabError: they have not, or do not.
    """
    dims = take(extractor, source.split("test").images([0])).shape[1]
    needed = (3 * len(source.spec.names) + 4) * dims**2 * 8
    if dims > LARGEST_DIMS or needed > whole_memory() / 2:
        raise LabError(
            f"evaluation.extractor: {extractor.name!r} has {dims:,} features of an image of {source.name}, whose"
            f" statistics take {needed / 2**30:.1f} GiB; use smaller images or another extractor"
        )


def _instruments(
    sources: Sequence[ImageSource],
    attribute_classifiers: Sequence[AttributeClassifier],
    extractors: Sequence[Sequence[Extractor]],
    references: dict[str, str],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Each instrument with what its numbers depend on, and which metric is read off which."""
    names = [source.name for source in sources]
    classifiers = {
        name: attribute_classifier.sha256[:16]
        for name, attribute_classifier in zip(names, attribute_classifiers, strict=True)
    }
    instruments: dict[str, dict[str, Any]] = {
        "attribute_classifier": {"classifiers": classifiers},
        "ground_truth": {"gallery": ground_truth.GALLERY, "seen by": classifiers if len(sources) > 1 else None},
        "reconstruction": {"between": "uint8", "best psnr": round(BEST_PSNR, 3)},
    }
    metrics = {f"eval/{short}": "attribute_classifier" for short in ("accuracy", "accuracy_ceiling", "cross_accuracy")}
    metrics |= {f"eval/{short}": "ground_truth" for short in ("edit", "leak", "identity", "cross_edit")}
    metrics |= {f"eval/{short}": "reconstruction" for short in ("reconstruction", "psnr", "ssim")}
    for position, first in enumerate(extractors[0]):
        if first.name in instruments or metric_name("frechet", first.label) in metrics:
            raise LabError(f"extractor {first.name!r}: its name or label {first.label!r} is another instrument's")
        instruments[first.name] = {
            "identity": {name: built[position].identity for name, built in zip(names, extractors, strict=True)},
            "dims": first.dims or "as the image",
            "preprocessing": first.preprocessing,
            "references": references,
            **SETTINGS,
        }
        metrics |= {metric_name(kind, first.label): first.name for kind in KINDS}
    return instruments, metrics


def _named(scored: list[tuple[str, SourceScores]]) -> dict[str, float]:
    """Means first, then every dataset's and every domain's own value."""
    several = len(scored) > 1
    metrics = dict.fromkeys(metric for _, scores in scored for metric in (*scores.values, *scores.whole))
    means: dict[str, float] = {}
    parts: dict[str, float] = {}
    for metric in metrics:
        of_datasets: dict[str, float] = {}
        for name, scores in scored:
            domains = scores.values.get(metric, {})
            if domains or metric in scores.whole:
                of_datasets[name] = fmean(domains.values()) if domains else scores.whole[metric]
            prefix = f"{metric}/{name}." if several else f"{metric}/"
            parts |= {f"{prefix}{domain}": value for domain, value in domains.items()}
        means[metric] = fmean(of_datasets.values())
        parts |= {f"{metric}/{name}": value for name, value in of_datasets.items()} if several else {}
    return means | parts

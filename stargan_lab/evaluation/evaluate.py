"""Score a generator on every dataset: the one entry point of this room."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from stargan_lab.batch import ImageSource
from stargan_lab.evaluation.across import score_across
from stargan_lab.evaluation.classifier import DomainClassifier, trained_classifier
from stargan_lab.evaluation.extractors import ClassifierExtractor, Extractor, build_extractor
from stargan_lab.evaluation.protocol import Protocol
from stargan_lab.evaluation.reference import reference_split
from stargan_lab.evaluation.scoring import Setting, SourceScores, Translate, score_source
from stargan_lab.evaluation.weights import WeightsMissing


@dataclass(frozen=True)
class Scores:
    """What one scoring found.

    Attributes:
        metrics: ``eval/<metric>`` the mean over domains (then over datasets), ``eval/<metric>/<domain>`` each; with
            several datasets a domain is called ``<dataset>.<domain>``, and ``eval/<metric>/<dataset>`` is its mean.
        protocol, protocol_hash: the identity of this scoring.
        notes: one line each on what could not be measured or is measured badly.
    """

    metrics: dict[str, float]
    protocol: dict[str, Any]
    protocol_hash: str
    notes: list[str]


def evaluate(
    translate: Translate,
    sources: Sequence[ImageSource],
    *,
    extractor: str | None,
    weights: str | None,
    max_images: int | None,
    batch_size: int,
    outputs: Path,
    checkpoint_rule: str,
    device: torch.device | str,
    progress: bool = True,
) -> Scores:
    """Translate the test images of every dataset to each of its labels and score the outcome as 8-bit images.

    - ``accuracy``: share of outputs in which a classifier trained on real images sees the target's value of the label;
      images whose target equals their own label are left out.
    - ``frechet_classifier``, and ``fid`` where the official Inception weights are at hand: distance between
      translations of images without the label and real images, of another split, that have it.
    - ``edit``, ``leak``, ``identity`` against the exact answer, where the dataset can draw it.
    - ``reconstruction``: mean |x - G(G(x, target), own)| on the [0, 1] scale.
    - with several datasets, ``cross_accuracy`` and ``cross_edit``: see ``across.score_across``.

    Calling it twice gives the same numbers; torch's global random state is neither read nor moved.

    Args:
        translate: see ``scoring.Translate``; it normalises each image by its own statistics (train mode).
        sources: prepared datasets.
        extractor: features of a further Fréchet distance, by name; None for the classifier's only.
        weights: a path to Inception weights, ``download``, or None for what is in a cache.
        max_images: only the first so many test images, and reference images of each domain.
        checkpoint_rule: ``ema`` or ``last``, for the protocol.
    Raises:
        LabError: no test split, unusable weights, or a generator whose outputs are not finite.
    """
    setting = Setting(max_images, batch_size, outputs, torch.device(device), progress)
    references = {source.name: reference_split(source) for source in sources}
    judges = [trained_classifier(source, outputs, setting.device, progress) for source in sources]
    extractors, notes = _extractors(extractor, weights, judges, setting)
    scored = []
    for index, (source, judge) in enumerate(zip(sources, judges, strict=True)):
        scores = score_source(translate, index, source, judge, extractors[index], setting)
        warning = judge.warning(source.name)
        notes += ([warning] if warning else []) + scores.notes
        scored.append((source.name, scores))
    across = score_across(translate, sources, judges, setting).metrics() if len(sources) > 1 else {}
    further = [e for e in extractors[0] if e.name == extractor]
    protocol = Protocol(
        extractor=extractor if further else None,
        extractor_sha256=further[0].identity if further else None,
        classifiers={source.name: judge.sha256[:16] for source, judge in zip(sources, judges, strict=True)},
        references=references,
        groups={source.name: [list(group) for group in source.spec.groups] for source in sources},
        max_images=max_images,
        batch_size=batch_size,
        weights=checkpoint_rule,
    )
    return Scores(_named(scored) | across, protocol.as_dict(), protocol.hash, notes)


def _extractors(
    name: str | None, weights: str | None, judges: list[DomainClassifier], setting: Setting
) -> tuple[list[list[Extractor]], list[str]]:
    """Per dataset the classifier's features and those asked for; notes when their weights are missing."""
    notes: list[str] = []
    built: list[list[Extractor]] = []
    for judge in judges:
        own: list[Extractor] = [ClassifierExtractor(judge)]
        if name is not None and name != own[0].name:
            try:
                own.append(build_extractor(name, setting.outputs, setting.device, judge, weights=weights))
            except WeightsMissing as missing:
                notes = [str(missing)]
        built.append(own)
    return built, notes


def _named(scored: list[tuple[str, SourceScores]]) -> dict[str, float]:
    """Means first, then every domain's own value."""
    several = len(scored) > 1
    metrics = list(dict.fromkeys(metric for _, scores in scored for metric in scores.values))
    means: dict[str, float] = {}
    domains: dict[str, float] = {}
    for metric in metrics:
        present = [(name, scores.values[metric]) for name, scores in scored if metric in scores.values]
        means[metric] = fmean(fmean(values.values()) for _, values in present)
        for name, values in present:
            prefix = f"{metric}/{name}." if several else f"{metric}/"
            domains |= {f"{metric}/{name}": fmean(values.values())} if several else {}
            domains |= {f"{prefix}{domain}": value for domain, value in values.items()}
    return means | domains

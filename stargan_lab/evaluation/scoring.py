"""Scores of one dataset's test images, translated to each of its labels in turn.

Shapes: N batch, A labels, n test images. The generator comes as a callable.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab.batch import ImageSet, ImageSource, target_labels, to_float, to_uint8
from stargan_lab.errors import LabError
from stargan_lab.evaluation.classifier import DomainClassifier
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.frechet import Moments
from stargan_lab.evaluation.reference import reference_moments
from stargan_lab.evaluation.truth import Answers, answers

Translate = Callable[[Tensor, Tensor, int], Tensor]
"""(images (N, 3, H, W) in [-1, 1], target labels (N, A), index of the dataset) → images in [-1, 1]."""


@dataclass(frozen=True)
class Setting:
    """What all datasets of one scoring share."""

    max_images: int | None
    batch_size: int
    outputs: Path
    device: torch.device
    progress: bool


@dataclass
class SourceScores:
    """Metric -> domain -> value; a domain that cannot be measured is absent, and ``notes`` says why."""

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fewest: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Metric -> images on the smaller side and feature dimensions of the domain that has fewest, where too few."""

    def add(self, metric: str, domain: str, value: float) -> None:
        self.values.setdefault(metric, {})[domain] = value


@dataclass(frozen=True)
class _Subject:
    """One dataset under test with everything its outputs are held against."""

    index: int
    source: ImageSource
    test: ImageSet
    judge: DomainClassifier
    extractors: list[Extractor]
    references: list[list[Moments]]
    exact: Answers | None
    count: int


def score_source(
    translate: Translate,
    index: int,
    source: ImageSource,
    judge: DomainClassifier,
    extractors: list[Extractor],
    setting: Setting,
) -> SourceScores:
    """Every metric of dataset ``index`` for each of its domains."""
    test = source.split("test")
    count = len(test) if setting.max_images is None else min(len(test), setting.max_images)
    references = [
        reference_moments(source, e, setting.max_images, setting.batch_size, setting.outputs, setting.progress)
        for e in extractors
    ]
    exact = answers(source, "test", count, setting.outputs, setting.progress)
    subject = _Subject(index, source, test, judge, extractors, references, exact, count)
    scores = SourceScores()
    skipped = 0
    names = source.spec.names
    with tqdm(
        total=count * len(names), desc=f"scoring {source.name}", leave=False, disable=None if setting.progress else True
    ) as bar:
        for domain in range(len(names)):
            per_image, moments = _translate_domain(translate, subject, domain, setting, bar)
            skipped += int(per_image["edit"].isnan().sum()) if "edit" in per_image else 0
            _summarise(scores, subject, domain, per_image)
            _distances(scores, subject, domain, moments)
    if skipped:
        scores.notes.append(
            f"{source.name}: edit leaves out {skipped} of {count * len(names)} outputs whose target changes no pixel"
        )
    for metric, (images, dims, name) in scores.fewest.items():
        scores.notes.append(
            f"{source.name}: {metric} has fewer images than its {dims} features ({images} for {name}): "
            "biased upwards, compare only with equal numbers"
        )
    return scores


@torch.no_grad()
def _translate_domain(
    translate: Translate, subject: _Subject, domain: int, setting: Setting, bar: "tqdm[Any]"
) -> tuple[dict[str, Tensor], list[Moments]]:
    """Translate the test images to one domain: a value per metric and image (NaN: does not apply), and features."""
    test, spec = subject.test, subject.source.spec
    collected: dict[str, list[Tensor]] = {}
    moments = [Moments.empty(extractor.dims) for extractor in subject.extractors]
    for start in range(0, subject.count, setting.batch_size):
        indices = range(start, min(start + setting.batch_size, subject.count))
        images, own = test.images(indices), test.labels[start : indices.stop]
        target = target_labels(own, spec, domain)
        outputs, back = _round_trip(translate, subject, images, own, target, setting.device)
        agrees = (subject.judge.predict(outputs)[:, domain] == target[:, domain]).double()
        batch = {"accuracy": agrees.masked_fill(own[:, domain] == target[:, domain], torch.nan), "reconstruction": back}
        if subject.exact is not None:
            batch |= subject.exact.scores(images, outputs, domain, indices)
        for metric, values in batch.items():
            collected.setdefault(metric, []).append(values)
        gained = outputs[own[:, domain] == 0]
        if len(gained):
            for extractor, accumulated in zip(subject.extractors, moments, strict=True):
                accumulated.update(extractor.features(gained).numpy())
        bar.update(len(indices))
    return {metric: torch.cat(parts) for metric, parts in collected.items()}, moments


def _round_trip(
    translate: Translate, subject: _Subject, images: Tensor, own: Tensor, target: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Outputs as (N, 3, H, W) uint8, and per image mean |x - G(G(x, target), own)| on the [0, 1] scale, unquantised."""
    x = to_float(images.to(device))
    y = translate(x, target.to(device), subject.index).float()
    if not torch.isfinite(y).all():
        raise LabError(f"{subject.source.name}: a translated test image is not finite; the generator has diverged")
    back = translate(y, own.to(device), subject.index).float()
    return to_uint8(y).cpu(), ((x - back).abs() / 2).flatten(1).mean(1).double().cpu()


def _summarise(scores: SourceScores, subject: _Subject, domain: int, per_image: dict[str, Tensor]) -> None:
    name = subject.source.spec.names[domain]
    for metric, values in per_image.items():
        if values.isnan().all():
            scores.notes.append(f"{subject.source.name}.{name}: no test image to measure eval/{metric} on")
        else:
            scores.add(f"eval/{metric}", name, float(values.nanmean()))


def _distances(scores: SourceScores, subject: _Subject, domain: int, moments: list[Moments]) -> None:
    """Fréchet distances of one domain: images that gained the label against real images that have it."""
    name = subject.source.spec.names[domain]
    for extractor, outputs, references in zip(subject.extractors, moments, subject.references, strict=True):
        real = references[domain]
        if min(outputs.n, real.n) < 2:
            scores.notes.append(
                f"{subject.source.name}.{name}: {extractor.metric} left out, "
                f"it needs 2 images a side and has {outputs.n} translated and {real.n} real ones"
            )
            continue
        scores.add(extractor.metric, name, outputs.distance(real))
        fewest = (min(outputs.n, real.n), extractor.dims, name)
        if fewest[0] <= extractor.dims:
            scores.fewest[extractor.metric] = min(fewest, scores.fewest.get(extractor.metric, fewest))

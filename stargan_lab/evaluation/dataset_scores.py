"""Scores of one dataset's test images, translated to each of its labels in turn.

Shapes: N batch, A labels, n test images. The generator comes as a callable.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from stargan_lab.data.protocols import ImageSet, ImageSource
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.extractors import Extractor, metric_name, take
from stargan_lab.evaluation.failure_checks import FailureChecks, one_class
from stargan_lab.evaluation.feature_distances import Sample, distances
from stargan_lab.evaluation.features import Collected, batch_size
from stargan_lab.evaluation.frechet import Moments, pooled_distance
from stargan_lab.evaluation.ground_truth import GroundTruthImages, ground_truth_images
from stargan_lab.evaluation.real_images import Reference, reference, reference_images
from stargan_lab.evaluation.reconstruction import SMALLEST_SSIM, reconstruction
from stargan_lab.evaluation.setting import EvaluationWarning, Setting, Translate, translated
from stargan_lab.labels import target_labels


@dataclass
class SourceScores:
    """Metric -> domain -> value; a domain that cannot be measured is absent, and ``notes`` says why.

    Attributes:
        whole: metrics of the dataset as a whole, which have no domains.
        fewest: metric -> images on the smaller side, feature dimensions and domain, where images are too few.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    whole: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[EvaluationWarning] = field(default_factory=list)
    fewest: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def add(self, metric: str, domain: str, value: float) -> None:
        self.values.setdefault(metric, {})[domain] = value


@dataclass(frozen=True)
class _Subject:
    """One dataset under test with everything its outputs are held against."""

    index: int
    source: ImageSource
    test: ImageSet
    attribute_classifier: AttributeClassifier
    extractors: list[Extractor]
    references: list[Reference]
    exact: GroundTruthImages | None
    count: int
    checks: FailureChecks

    @property
    def name(self) -> str:
        return self.source.name


def score_source(
    translate: Translate,
    index: int,
    source: ImageSource,
    attribute_classifier: AttributeClassifier,
    extractors: list[Extractor],
    setting: Setting,
) -> SourceScores:
    """Every metric of dataset ``index`` for each of its domains."""
    test, count, names = source.split("test"), setting.count(source), source.spec.names
    references = [reference(source, extractor, setting) for extractor in extractors]
    exact = ground_truth_images(source, "test", count, setting.outputs, setting.progress)
    checks = FailureChecks(source.name, source.spec)
    subject = _Subject(index, source, test, attribute_classifier, extractors, references, exact, count, checks)
    scores = SourceScores()
    pools: list[list[tuple[Moments, Moments]]] = [[] for _ in extractors]
    skipped = 0
    hidden = None if setting.progress else True
    with tqdm(total=count * len(names), desc=f"scoring {source.name}", leave=False, disable=hidden) as bar:
        for domain in range(len(names)):
            per_image, collected = _translate_domain(translate, subject, domain, setting, bar)
            skipped += int(per_image["edit"].isnan().sum()) if "edit" in per_image else 0
            _summarise(scores, subject, domain, per_image)
            bar.set_postfix_str(f"distances of {names[domain]}")
            for extractor_index, pool in enumerate(pools):
                pool += _distances(scores, subject, domain, extractor_index, collected[extractor_index])
            bar.set_postfix_str("")
    for extractor, pool in zip(extractors, pools, strict=True):
        if pool:
            scores.whole[metric_name("frechet_pooled", extractor.label)] = pooled_distance(pool)
    if skipped:
        total = count * len(names)
        scores.notes.append(
            f"{source.name}: edit leaves out {skipped} of {total} outputs whose target changes no pixel"
        )
    _add_warnings(scores, subject, setting)
    return scores


@torch.no_grad()
def _translate_domain(
    translate: Translate, subject: _Subject, domain: int, setting: Setting, bar: "tqdm[Any]"
) -> tuple[dict[str, Tensor], list[Collected]]:
    """Translate the test images to one domain: a value per metric and image (NaN: does not apply), and features."""
    test, spec = subject.test, subject.source.spec
    values: dict[str, list[Tensor]] = {}
    collected = [Collected(setting.outputs / "cache" / "features") for _ in subject.extractors]
    for start in range(0, subject.count, setting.batch_size):
        indices = range(start, min(start + setting.batch_size, subject.count))
        images, own = test.images(indices), test.labels[start : indices.stop]
        target = target_labels(own, spec, domain)
        outputs, back = _round_trip(translate, subject, images, own, target, setting.device)
        subject.checks.see(domain, images, outputs)
        agrees = (subject.attribute_classifier.predict(outputs)[:, domain] == target[:, domain]).double()
        batch = {"accuracy": agrees.masked_fill(own[:, domain] == target[:, domain], torch.nan)}
        batch |= reconstruction(images, back)
        if subject.exact is not None:
            batch |= subject.exact.scores(images, outputs, domain, indices)
        for metric, found in batch.items():
            values.setdefault(metric, []).append(found)
        for extractor, kept in zip(subject.extractors, collected, strict=True):
            for part in outputs[own[:, domain] == 0].split(batch_size(extractor, setting.device)):
                if len(part):  # of nothing, split makes one empty part
                    kept.add(take(extractor, part))
        bar.update(len(indices))
    return {metric: torch.cat(parts) for metric, parts in values.items()}, collected


def _round_trip(
    translate: Translate, subject: _Subject, images: Tensor, own: Tensor, target: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """y = G(x, target) and G(y, own) as (N, 3, H, W) uint8 on the CPU; the way back starts from the 8-bit y."""
    y = translated(translate, images, target, subject.index, subject.name, device)
    return y, translated(translate, y, own, subject.index, subject.name, device)


def _summarise(scores: SourceScores, subject: _Subject, domain: int, per_image: Mapping[str, Tensor]) -> None:
    name = subject.source.spec.names[domain]
    scores.add("eval/accuracy_ceiling", name, subject.attribute_classifier.accuracy[name])
    for metric, values in per_image.items():
        if values.isnan().all():
            scores.notes.append(f"{subject.name}.{name}: no test image to measure eval/{metric} on")
        else:
            scores.add(f"eval/{metric}", name, float(values.nanmean()))


def _distances(
    scores: SourceScores, subject: _Subject, domain: int, which: int, outputs: Collected
) -> list[tuple[Moments, Moments]]:
    """Distances of one domain in the features of extractor ``which``: images that gained the label against real images
    that have it. Returns the two sides' moments; nothing where there are too few images."""
    name, extractor, known = subject.source.spec.names[domain], subject.extractors[which], subject.references[which]
    real = known.moments[domain]
    if min(len(outputs), real.n) < 2:
        scores.notes.append(
            f"{subject.name}.{name}: {metric_name('frechet', extractor.label)} left out, "
            f"it needs 2 images a side and has {len(outputs)} translated and {real.n} real ones"
        )
        return []
    translated = Sample(outputs.rows, outputs.moments)
    for kind, value in distances(translated, known.sample(domain)).items():
        scores.add(metric_name(kind, extractor.label), name, value)
    fewest = (min(len(outputs), real.n), len(real.mean), name)
    if fewest[0] <= fewest[1]:
        metric = metric_name("frechet", extractor.label)
        scores.fewest[metric] = min(fewest, scores.fewest.get(metric, fewest))
    return [(translated.moments, real)]


def _add_warnings(scores: SourceScores, subject: _Subject, setting: Setting) -> None:
    """Put down what would not be seen in the numbers."""
    source, attribute_classifier = subject.source, subject.attribute_classifier
    if warning := attribute_classifier.warning(source.name):
        scores.warnings.append(EvaluationWarning("weak-classifier", ("eval/accuracy", "eval/cross_accuracy"), warning))
    held = reference_images(source, setting.max_images)
    scores.warnings += one_class(source.name, source.spec, subject.test.labels[: subject.count], held)
    scores.warnings += subject.checks.warnings(scores.values.get("eval/accuracy", {}))
    for metric, (images, dims, name) in scores.fewest.items():
        text = (
            f"{source.name}: {metric.removeprefix('eval/')} has fewer images than its {dims} features "
            f"({images} for {name}): biased upwards, compare only with equal numbers"
        )
        scores.warnings.append(
            EvaluationWarning("few-images", (metric, f"{metric}_infinity", f"{metric}_pooled"), text)
        )
    if min(subject.test.images([0]).shape[2:]) < SMALLEST_SSIM:
        scores.notes.append(f"{source.name}: eval/ssim left out, it needs images of {SMALLEST_SSIM} pixels a side")


def image_counts(source: ImageSource, setting: Setting) -> dict[str, dict[str, int]]:
    """Domain -> how many translated and how many real images a distance is taken of; for the protocol."""
    own = source.split("test").labels[: setting.count(source)]
    held = reference_images(source, setting.max_images)
    return {
        name: {"translated": int((own[:, index] == 0).sum()), "real": int(held[:, index].sum())}
        for index, name in enumerate(source.spec.names)
    }

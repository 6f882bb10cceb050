"""Warnings of an evaluation: failures that the scores alone do not reveal, and their limits.

Shapes: n images, A labels, H W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from stargan_lab.evaluation.metrics.accuracy import accuracy
from stargan_lab.evaluation.metrics.inputs import ImageBatch
from stargan_lab.labels import LabelSpec

UNCHANGED = 0.5
"""Mean difference in gray levels (of 255) below which images count as equal."""

COLLAPSED = 0.1
"""Spread of the outputs, as a fraction of the spread of the inputs, below which they count as one image."""

WEAK = 0.9
"""Accuracy of the attribute classifier on real test images below which its scores are doubtful."""

COMPARED = 64
"""Number of images whose outputs are compared across targets."""


@dataclass(frozen=True)
class EvaluationWarning:
    """A failure that the scores alone do not reveal.

    Attributes:
        code: label-ignored, returns-input, collapse, below-input, few-images, one-class, weak-classifier or no-weights.
        metrics: the metrics it affects, without domains; empty for all of them.
        text: one line.
    """

    code: str
    metrics: tuple[str, ...]
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "metrics": list(self.metrics), "text": self.text}


@dataclass(frozen=True)
class CheckedBatch:
    """What ``FailureChecks`` needs of one batch.

    Attributes:
        change: (n,) mean difference of outputs and inputs in gray levels.
        correct: (n,) see ``accuracy``.
        first: (k, 3, H, W) uint8, those outputs that belong to the first ``COMPARED`` images.
        spreads: of inputs and outputs.
    """

    domain: int
    change: Tensor
    correct: Tensor
    first: Tensor
    spreads: "tuple[_Spread, _Spread]"

    @classmethod
    def of(cls, batch: ImageBatch) -> "CheckedBatch":
        change = (batch.y.double() - batch.x.double()).abs().flatten(1).mean(1)
        first = batch.y[: max(0, COMPARED - batch.indices.start)].clone()  # a view would be sent with all its batch
        return cls(batch.domain, change, accuracy(batch), first, (_Spread.of(batch.x), _Spread.of(batch.y)))


class FailureChecks:
    """Statistics of all translations of one dataset's test images."""

    def __init__(self, dataset: str, spec: LabelSpec) -> None:
        self._dataset, self._names = dataset, spec.names
        self._change: dict[int, list[float]] = {}
        self._correct: dict[int, list[Tensor]] = {}
        self._first: dict[int, list[Tensor]] = {}
        self._spread: dict[int, tuple[_Spread, _Spread]] = {}

    def add(self, batch: CheckedBatch) -> None:
        """Add a batch; the batches of a domain must be in the order of the images."""
        self._change.setdefault(batch.domain, []).extend(batch.change.tolist())
        self._correct.setdefault(batch.domain, []).append(batch.correct)
        self._first.setdefault(batch.domain, []).append(batch.first)
        inputs, outputs = batch.spreads
        if batch.domain in self._spread:
            before = self._spread[batch.domain]
            inputs, outputs = before[0] + inputs, before[1] + outputs
        self._spread[batch.domain] = inputs, outputs

    def warnings(self) -> list[EvaluationWarning]:
        """The failures detected so far."""
        warnings = []
        if len(self._first) > 1 and (largest := self._largest_difference()) < UNCHANGED:
            text = f"outputs for different targets differ by at most {largest:.2f} gray levels: the label is ignored"
            warnings.append(EvaluationWarning("label-ignored", (), f"{self._dataset}: {text}"))
        if unchanged := self._unchanged():
            text = f"outputs match inputs (mean difference below {UNCHANGED} gray levels) for {', '.join(unchanged)}"
            warnings.append(EvaluationWarning("returns-input", (), f"{self._dataset}: {text}"))
        if collapsed := self._collapsed():
            shares = ", ".join(f"{name} {share:.3f}" for name, share in collapsed.items())
            text = f"different inputs give nearly the same output; spread as a fraction of the inputs': {shares}"
            warnings.append(EvaluationWarning("collapse", (), f"{self._dataset}: {text}"))
        return warnings

    def _largest_difference(self) -> float:
        """Largest mean difference between the outputs for two targets, in gray levels."""
        outputs = [torch.cat(parts).double() for parts in self._first.values()]
        return max(float((a - b).abs().mean()) for a, b in combinations(outputs, 2))

    def _unchanged(self) -> list[str]:
        """Domains whose outputs match the inputs, unless the classifier predicts the target in half of them."""
        return [
            self._names[domain]
            for domain, change in self._change.items()
            if sum(change) / len(change) < UNCHANGED and not float(torch.cat(self._correct[domain]).nanmean()) >= 0.5
        ]

    def _collapsed(self) -> dict[str, float]:
        """Domain → spread of the outputs as a fraction of the inputs', where it is too small; needs two images."""
        shares = {}
        for domain, (inputs, outputs) in self._spread.items():
            if inputs.n > 1 and inputs.deviation() > 0:
                shares[self._names[domain]] = outputs.deviation() / inputs.deviation()
        return {name: share for name, share in shares.items() if share < COLLAPSED}


@dataclass(frozen=True)
class _Spread:
    """Root of the summed squared deviations of n images from their mean image, in gray levels.

    Attributes:
        sum: (3, H, W) float64, of the images.
        squares: sum of their squares.
    """

    n: int
    sum: Tensor
    squares: float

    @classmethod
    def of(cls, images: Tensor) -> "_Spread":
        pixels = images.double()
        return cls(len(images), pixels.sum(0), float((pixels**2).sum()))

    def __add__(self, other: "_Spread") -> "_Spread":
        return _Spread(self.n + other.n, self.sum + other.sum, self.squares + other.squares)

    def deviation(self) -> float:
        # float64 on gray levels: cancellation is far below one gray level
        return max(0.0, self.squares - float((self.sum**2).sum()) / self.n) ** 0.5


def one_class(dataset: str, spec: LabelSpec, inputs: Tensor, references: Tensor) -> list[EvaluationWarning]:
    """A warning about labels that all images or no images have.

    Args:
        inputs: (n, A) labels of the translated images.
        references: (m, A) labels of the real images.
    """
    lines = []
    for index, name in enumerate(spec.names):
        labels = inputs[:, index]
        if len(labels) and bool((labels == labels[0]).all()):
            lines.append(f"{'every' if labels[0] else 'no'} test image has {name}")
        if not bool((references[:, index] == 1).any()):
            lines.append(f"no real image has {name}")
    return [EvaluationWarning("one-class", (), f"{dataset}: {'; '.join(lines)}")] if lines else []


def weak_classifier(dataset: str, accuracy: Mapping[str, float], metrics: tuple[str, ...]) -> list[EvaluationWarning]:
    """A warning about labels that the attribute classifier reads badly.

    Args:
        accuracy: share of real test images classified correctly, per label.
        metrics: the metrics that use the classifier.
    """
    low = {name: value for name, value in accuracy.items() if value < WEAK}
    if not low:
        return []
    worst = ", ".join(f"{name} {value:.3f}" for name, value in sorted(low.items(), key=lambda item: item[1]))
    text = f"{dataset}: attribute classifier accuracy is below {WEAK} on real test images: {worst}"
    return [EvaluationWarning("weak-classifier", metrics, text)]


def below_input(dataset: str, metric: str, of_domains: Mapping[str, float]) -> list[EvaluationWarning]:
    """A warning if the mean of a score that is 0 for unchanged inputs is at most 0.

    Args:
        of_domains: domain → score; empty if it was not measured.
    """
    if not of_domains or (mean := sum(of_domains.values()) / len(of_domains)) > 0:
        return []
    text = (
        f"{dataset}: mean {metric.removeprefix('eval/')} is {mean:.3f}, not above the 0 of unchanged inputs: the"
        " translations are no closer to the ground truth than the inputs"
    )
    return [EvaluationWarning("below-input", (metric,), text)]


def few_images(
    dataset: str, counts: Sequence[tuple[int, int, str]], metrics: tuple[str, ...]
) -> list[EvaluationWarning]:
    """A warning if a domain has no more images than feature dimensions.

    Args:
        counts: images, feature dimensions and name of each domain.
        metrics: those that are biased upward by few images.
    """
    few = [(images, dims, name) for images, dims, name in counts if images <= dims]
    if not few or not metrics:
        return []
    images, dims, name = min(few)
    text = (
        f"{dataset}: {metrics[0].removeprefix('eval/')} has too few images ({images} for {name},"
        f" {dims:,} features): biased upward; compare only with equal numbers of images"
    )
    return [EvaluationWarning("few-images", metrics, text)]

"""Failures that a plain number hides: seen in the translations themselves and said beside the scores.

Shapes: n images, A labels, H W pixels.
"""

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from stargan_lab.evaluation.setting import EvaluationWarning
from stargan_lab.labels import LabelSpec

UNMOVED = 0.5
"""Grey levels of 255 by which images differ on average, below which they count as the same."""

COLLAPSED = 0.1
"""Spread of the outputs over different images, as a share of the inputs', below which they count as one image."""

COMPARED = 64
"""Images whose outputs are held against each other under all targets."""


class FailureChecks:
    """Looks at every translation of one dataset's test images."""

    def __init__(self, dataset: str, spec: LabelSpec) -> None:
        self._dataset, self._names = dataset, spec.names
        self._change: dict[int, list[float]] = {}
        self._first: dict[int, list[Tensor]] = {}
        self._spread: dict[int, tuple[_Spread, _Spread]] = {}

    def see(self, domain: int, x: Tensor, y: Tensor) -> None:
        """Outputs ``y`` of ``x`` under target ``domain``, both (n, 3, H, W) uint8, in the order of the images."""
        change = (y.double() - x.double()).abs().flatten(1).mean(1)
        self._change.setdefault(domain, []).extend(change.tolist())
        kept = self._first.setdefault(domain, [])
        missing = COMPARED - sum(map(len, kept))
        if missing > 0:
            kept.append(y[:missing])
        for spread, images in zip(self._spread.setdefault(domain, (_Spread(), _Spread())), (x, y), strict=True):
            spread.add(images)

    def warnings(self, accuracy: Mapping[str, float]) -> list[EvaluationWarning]:
        """What was seen.

        Args:
            accuracy: domain -> share of outputs judged to be of the target, where it could be measured.
        """
        found = []
        if len(self._first) > 1 and (largest := self._largest_difference()) < UNMOVED:
            text = f"outputs under different targets differ by {largest:.2f} grey levels at most: the label is ignored"
            found.append(EvaluationWarning("label-ignored", (), f"{self._dataset}: {text}"))
        if unmoved := [name for name in self._unmoved() if not accuracy.get(name, 0) >= 0.5]:
            text = f"images come back as they went in (less than {UNMOVED} grey levels) for {', '.join(unmoved)}"
            found.append(EvaluationWarning("returns-input", (), f"{self._dataset}: {text}"))
        if collapsed := self._collapsed():
            shares = ", ".join(f"{name} {share:.3f}" for name, share in collapsed.items())
            text = f"different images become nearly the same; their spread, as a share of the inputs': {shares}"
            found.append(EvaluationWarning("collapse", (), f"{self._dataset}: {text}"))
        return found

    def _largest_difference(self) -> float:
        """Over all pairs of targets, in grey levels."""
        outputs = [torch.cat(parts).double() for parts in self._first.values()]
        return max(float((a - b).abs().mean()) for a, b in combinations(outputs, 2))

    def _unmoved(self) -> list[str]:
        return [self._names[d] for d, change in self._change.items() if sum(change) / len(change) < UNMOVED]

    def _collapsed(self) -> dict[str, float]:
        """Domain -> spread of the outputs as a share of the inputs', where it is too little; for 2 images or more."""
        shares = {}
        for domain, (inputs, outputs) in self._spread.items():
            if inputs.n > 1 and inputs.deviation() > 0:
                shares[self._names[domain]] = outputs.deviation() / inputs.deviation()
        return {name: share for name, share in shares.items() if share < COLLAPSED}


class _Spread:
    """Root mean square deviation of images from their mean image, in grey levels."""

    def __init__(self) -> None:
        self.n = 0
        self._sum: Tensor | float = 0.0
        self._squares = 0.0

    def add(self, images: Tensor) -> None:
        pixels = images.double()
        self.n += len(images)
        self._sum = self._sum + pixels.sum(0)
        self._squares += float((pixels**2).sum())

    def deviation(self) -> float:
        assert isinstance(self._sum, Tensor)
        # float64 on grey levels: what is lost in the difference is far below a grey level
        return max(0.0, self._squares - float((self._sum**2).sum()) / self.n) ** 0.5


def one_class(dataset: str, spec: LabelSpec, inputs: Tensor, references: Tensor) -> list[EvaluationWarning]:
    """Labels that all images or none have, so that scores of them stand on one side only.

    Args:
        inputs: (n, A) labels of the translated images; references: (m, A) of the real ones.
    """
    lines = []
    for index, name in enumerate(spec.names):
        own = inputs[:, index]
        if len(own) and bool((own == own[0]).all()):
            lines.append(f"{'every' if own[0] else 'no'} test image has {name}")
        if not bool((references[:, index] == 1).any()):
            lines.append(f"no real image has {name}")
    return [EvaluationWarning("one-class", (), f"{dataset}: {'; '.join(lines)}")] if lines else []

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from stargan_lab.evaluation.warnings import CheckedBatch, FailureChecks, below_input, one_class
from stargan_lab.labels import LabelSpec

SPEC = LabelSpec("faces", ("Male", "Young"))
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randint(30, 220, (20, 3, 8, 8), generator=GENERATOR, dtype=torch.uint8)


def codes(outputs: dict[int, Tensor], accuracy: dict[str, float] | None = None) -> dict[str, str]:
    checks = FailureChecks("faces", SPEC)
    for domain, y in outputs.items():
        share = (accuracy or {}).get(SPEC.names[domain], 0.9)
        correct = torch.arange(20) < share * 20
        source, target = torch.zeros(20, 2), torch.ones(20, 2)
        if math.isnan(share):
            source = target
        for part in (slice(0, 7), slice(7, 20)):
            predicted = correct[part, None].expand(-1, 2).float()
            batch: Any = SimpleNamespace(
                x=X[part],
                indices=range(20)[part],
                y=y[part],
                domain=domain,
                predicted=predicted,
                source_labels=source[part],
                target_labels=target[part],
            )
            checks.add(CheckedBatch.of(batch))
    return {warning.code: warning.text for warning in checks.warnings()}


def test_a_working_generator_has_no_warnings() -> None:
    assert codes({0: X + 20, 1: X - 20}) == {}


def test_label_ignored() -> None:
    found = codes({0: X + 20, 1: X + 20})
    assert list(found) == ["label-ignored"] and "0.00 gray levels" in found["label-ignored"]
    one_pixel = (X + 20).clone()
    one_pixel[:, 0, 0, 0] += 30  # 30 / 192 of a gray level on average
    assert list(codes({0: X + 20, 1: one_pixel})) == ["label-ignored"]


def test_one_target_is_not_enough_for_label_ignored() -> None:
    assert codes({0: X + 20}) == {}


def test_outputs_match_inputs() -> None:
    found = codes({0: X, 1: X + 20}, {"Male": 0.1, "Young": 0.9})
    assert (
        list(found) == ["returns-input"] and "Male" in found["returns-input"] and "Young" not in found["returns-input"]
    )
    assert codes({0: X, 1: X + 20}, {"Male": 0.9, "Young": 0.9}) == {}  # a small change is enough
    assert list(codes({0: X, 1: X + 20}, {"Male": math.nan})) == ["returns-input"]  # accuracy not measured


def test_collapse() -> None:
    one = X[:1].expand(20, -1, -1, -1)
    found = codes({0: one, 1: X + 20})
    assert list(found) == ["collapse"] and "Male 0.000" in found["collapse"] and "Young" not in found["collapse"]
    nearly = (one.float() + (X.float() - X.float().mean(0)) * 0.05).round().to(torch.uint8)
    assert list(codes({0: nearly, 1: X + 20})) == ["collapse"]
    half = (one.float() + (X.float() - X.float().mean(0)) * 0.4).clamp(0, 255).round().to(torch.uint8)
    assert codes({0: half, 1: X + 20}) == {}


def test_below_input() -> None:
    assert below_input("faces", "eval/edit", {}) == []
    assert below_input("faces", "eval/edit", {"Male": -0.2, "Young": 0.21}) == []
    (found,) = below_input("faces", "eval/edit", {"Male": -0.5, "Young": 0.25})
    assert (found.code, found.metrics) == ("below-input", ("eval/edit",))
    assert found.text.startswith("faces: mean edit is -0.125, not above the 0 of unchanged inputs")
    (found,) = below_input("faces", "eval/edit", {"Male": 0.0})
    assert "mean edit is 0.000" in found.text


def test_one_class() -> None:
    both = torch.tensor([[1.0, 0], [0, 1]])
    assert one_class("faces", SPEC, both, both) == []
    (found,) = one_class("faces", SPEC, torch.tensor([[1.0, 0], [1, 1]]), both)
    assert found.code == "one-class" and found.text == "faces: every test image has Male"
    (found,) = one_class("faces", SPEC, torch.tensor([[1.0, 0], [0, 0]]), torch.tensor([[1.0, 0]]))
    assert found.text == "faces: no test image has Young; no real image has Young"

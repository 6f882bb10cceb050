"""Labels asked for, against the reference's own; images to bytes and back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stargan_lab.data.celeba import HAIR
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.labels import Batch, LabelSpec, target_labels

REFERENCE = Path(__file__).parent / "reference"
CASES: list[dict[str, Any]] = json.loads((REFERENCE / "golden_small.json").read_text())["create_labels"]


def celeba_spec(names: list[str]) -> LabelSpec:
    groups = tuple(tuple(n for n in group if n in names) for group in HAIR)
    return LabelSpec("celeba", tuple(names), "binary", tuple(group for group in groups if group))


@pytest.mark.parametrize("case", [c for c in CASES if c["dataset"] == "CelebA"], ids=lambda c: ",".join(c["attrs"]))
def test_binary_targets_are_the_references(case: dict[str, Any]) -> None:
    labels = torch.tensor(case["c_org"], dtype=torch.float32)
    spec = celeba_spec(case["attrs"])
    found = [target_labels(labels, spec, index).tolist() for index in range(len(case["attrs"]))]
    assert found == case["targets"]
    assert labels.tolist() == case["c_org"]  # its own labels are left alone


@pytest.mark.parametrize("case", [c for c in CASES if c["dataset"] == "RaFD"])
def test_categorical_targets_are_the_references(case: dict[str, Any]) -> None:
    spec = LabelSpec("rafd", tuple(f"class {i}" for i in range(case["classes"])), "categorical")
    for own in range(case["classes"]):
        labels = torch.zeros(case["batch"], case["classes"])
        labels[:, own] = 1
        assert [target_labels(labels, spec, i).tolist() for i in range(case["classes"])] == case["targets"]


def test_the_kit_has_cases_of_both_kinds() -> None:
    assert [case["dataset"] for case in CASES] == ["CelebA"] * 3 + ["RaFD"]
    assert celeba_spec(["Male", "Gray_Hair", "Bald", "Black_Hair"]).groups == (("Black_Hair", "Gray_Hair"),)


def test_groups_do_not_touch_each_other() -> None:
    spec = LabelSpec("x", ("a", "b", "c", "d", "e"), groups=(("a", "c"), ("b", "d")))
    own = torch.tensor([[1.0, 1.0, 0.0, 0.0, 1.0]])
    found = [target_labels(own, spec, index).int().flatten().tolist() for index in range(5)]
    assert found == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [0, 1, 1, 0, 1], [1, 0, 0, 1, 1], [1, 1, 0, 0, 0]]


def test_every_byte_survives() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert torch.equal(to_uint8(to_float(values).double()), values)
    floats = to_float(values)
    assert (floats[0], floats[255]) == (-1, 1)
    assert (floats.diff() > 0).all()


def test_what_lies_between_or_outside_is_rounded_and_clamped() -> None:
    values = torch.tensor([-7.0, -1.0, -0.998, -0.997, 0.0, 0.5, 1.0, 1.001, 9.0])
    assert to_uint8(values).tolist() == [0, 0, 0, 0, 128, 191, 255, 255, 255]
    steps = torch.arange(256) / 127.5 - 1
    for shift in (-0.49, 0.49):
        assert torch.equal(to_uint8(steps + shift / 127.5), torch.arange(256, dtype=torch.uint8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_moves_whole(dtype: torch.dtype) -> None:
    batch = Batch(torch.ones(2, 3, 4, 4), torch.ones(2, 5, dtype=torch.int64), 1)
    moved = batch.to(torch.device("cpu"), dtype)
    assert (moved.images.dtype, moved.labels.dtype, moved.source) == (dtype, dtype, 1)
    assert moved.labels.tolist() == batch.labels.tolist()

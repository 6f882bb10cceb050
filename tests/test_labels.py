"""Target labels compared with the reference's; moving batches between devices and types."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stargan_lab.data.celeba import HAIR
from stargan_lab.labels import Batch, LabelSpec, target_labels

REFERENCE = Path(__file__).parent / "reference"
CASES: list[dict[str, Any]] = json.loads((REFERENCE / "golden_small.json").read_text())["create_labels"]


def celeba_spec(names: list[str]) -> LabelSpec:
    groups = tuple(tuple(n for n in group if n in names) for group in HAIR)
    return LabelSpec("celeba", tuple(names), "binary", tuple(group for group in groups if group))


def test_binary_targets_match_the_reference() -> None:
    cases = [case for case in CASES if case["dataset"] == "CelebA"]
    assert len(cases) == 3
    for case in cases:
        labels = torch.tensor(case["c_org"], dtype=torch.float32)
        spec = celeba_spec(case["attrs"])
        assert [target_labels(labels, spec, i).tolist() for i in range(len(case["attrs"]))] == case["targets"]
        assert labels.tolist() == case["c_org"]  # the input is not modified


def test_categorical_targets_match_the_reference() -> None:
    (case,) = [case for case in CASES if case["dataset"] == "RaFD"]
    spec = LabelSpec("rafd", tuple(f"class {i}" for i in range(case["classes"])), "categorical")
    for source_class in range(case["classes"]):
        labels = torch.zeros(case["batch"], case["classes"])
        labels[:, source_class] = 1
        assert [target_labels(labels, spec, i).tolist() for i in range(case["classes"])] == case["targets"]


def test_a_target_clears_only_its_exclusive_group() -> None:
    spec = LabelSpec("x", ("a", "b", "c", "d", "e"), groups=(("a", "c"), ("b", "d")))
    labels = torch.tensor([[1.0, 1.0, 0.0, 0.0, 1.0]])
    targets = [target_labels(labels, spec, index).int().flatten().tolist() for index in range(5)]
    assert targets == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [0, 1, 1, 0, 1], [1, 0, 0, 1, 1], [1, 1, 0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_to_converts_images_and_labels(dtype: torch.dtype) -> None:
    batch = Batch(torch.ones(2, 3, 4, 4), torch.ones(2, 5, dtype=torch.int64), 1)
    moved = batch.to(torch.device("cpu"), dtype)
    assert (moved.images.dtype, moved.labels.dtype, moved.source) == (dtype, dtype, 1)
    assert moved.labels.tolist() == batch.labels.tolist()

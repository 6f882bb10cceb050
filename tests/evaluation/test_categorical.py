"""Class labels such as RaFD's expressions: the hair color of synthetic faces as one of four classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from translators import perfect_translator

from stargan_lab.data.protocols import GroundTruth, ImageSet, ImageSource
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.evaluation.evaluator import Options, assemble
from stargan_lab.labels import LabelSpec


@dataclass
class HairSet:
    base: ImageSet

    @property
    def labels(self) -> Tensor:
        hair = self.base.labels[:, :3]
        return torch.cat([hair, 1 - hair.sum(1, keepdim=True)], dim=1)

    @property
    def names(self) -> Sequence[str]:
        return self.base.names

    def __len__(self) -> int:
        return len(self.base)

    def images(self, indices: Sequence[int]) -> Tensor:
        return self.base.images(indices)


@dataclass
class HairGroundTruth:
    faces: ImageSource

    def redraw(self, split: str, indices: Sequence[int], names: Sequence[str], labels: Tensor) -> Tensor:
        assert tuple(names) == Hair.spec.names
        ground_truth = self.faces.ground_truth
        assert ground_truth is not None
        others = self.faces.split(split).labels[list(indices), 3:]
        return ground_truth.redraw(split, indices, self.faces.spec.names, torch.cat([labels[:, :3], others], dim=1))


class Hair:
    name = "hair"
    flip = True
    spec = LabelSpec("hair", ("black", "blond", "brown", "other"), "categorical")

    def __init__(self, faces: ImageSource) -> None:
        self.faces = faces
        self.fingerprint = f"hair of {faces.fingerprint}"
        self.ground_truth: GroundTruth | None = HairGroundTruth(faces)

    def prepare(self) -> None:
        self.faces.prepare()

    def splits(self) -> Sequence[str]:
        return self.faces.splits()

    def split(self, which: str) -> HairSet:
        return HairSet(self.faces.split(which))


@pytest.fixture(scope="module")
def hair(faces: ImageSource) -> Hair:
    return Hair(faces)


def test_scores_of_classes(hair: Hair, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=150, max_steps=150))
    options = Options(extractor=None, weights=None, dims=None, checkpoint="last", max_images=None, batch_size=64)
    evaluator = assemble([hair], options, outputs, "cpu", progress=False)
    m = evaluator.score(perfect_translator([hair])).metrics
    assert m["eval/edit"] == 1 and m["eval/leak"] == 0 and m["eval/identity"] == 1 and m["eval/reconstruction"] == 0
    assert m["eval/accuracy"] >= 0.97
    assert {f"eval/accuracy/{name}" for name in hair.spec.names} <= set(m)
    unchanged = evaluator.score(lambda images, labels, index: images).metrics
    assert unchanged["eval/edit"] == 0
    assert unchanged["eval/accuracy"] <= 0.03  # images that already have the class are left out
    assert unchanged["eval/frechet_classifier"] > 10 * m["eval/frechet_classifier"]

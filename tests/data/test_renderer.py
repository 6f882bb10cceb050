"""Rendered pixels: golden values per version, independent of other faces, with every factor and label visible."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from stargan_lab.data.synthfaces import canvas
from stargan_lab.data.synthfaces.identity import (
    ATTRIBUTES,
    CORE,
    EXCLUSIVE,
    EXPRESSIONS,
    FACTORS,
    FREE,
    LABELS,
    OPTIONAL,
    Faces,
    relabel,
    sample,
)
from stargan_lab.data.synthfaces.renderer import FEATURE_VERSIONS, RENDERER_VERSION, render
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.evaluation.attribute_classifier import trained_classifier
from stargan_lab.labels import LabelSpec

GOLDEN = {1: "696b4c3e804b20c8dcce542f5beb822f17049627582a146073c3509b7eff0c43"}
GOLDEN_FEATURES: dict[tuple[str, int], str] = {
    ("Bangs", 1): "8d37d5d69d40f5e65cabfb7b79ff7bea2c0ad24e49b1bf2f92bd2a67a3aa9a3f",
    ("Big_Nose", 1): "31243b0da1825b88cfeac60fb1f184c311eb1f7f54100dc825de43c5cd1fa2c2",
    ("Bushy_Eyebrows", 1): "11661411bbb3856531aea5633ac17c3c976acde962d09495ad7c9d0c1406a509",
    ("Eyeglasses", 1): "48f336802b9042f20bf3270aa9be1705af14f8ff65f9c38a4027c0b97baea4d3",
    ("Pale_Skin", 1): "f30fc96d9fb725e00ebe166370d3d53f44ec0068ff26dcab06cdc39d2950b9aa",
    ("Rosy_Cheeks", 1): "ff8a49d88df5bf9b04fb8af8e075cd852d62b785274ff829bfefa731ab219847",
    ("Smiling", 1): "8e4e863bc82ee35df4cd5fd3753019cbdb0328b0b225914a78f82a009f15fddd",
    ("Wearing_Lipstick", 1): "c6a0074324a496391b7534b2bd045cecb8cdad08bdb394bd1deb90083ae9b71d",
    ("expressions", 1): "13a6d5ba69f34bd34c86c80e0881be85e05660805874c8bf8aa40312417b15de",
}
"""(optional attribute or "expressions", version) -> SHA-256 of pixels."""


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def with_factor(faces: Faces, name: str, value: float) -> Faces:
    return replace(faces, factors=faces.factors | {name: np.full(len(faces), value, dtype=np.float32)})


def with_labels(faces: Faces, **labels: float) -> Faces:
    rows = np.tile(np.asarray(list(labels.values()), dtype=np.float32), (len(faces), 1))
    return relabel(faces, list(labels), rows)


def all_kinds(seed: int, n: int, difficulty: float) -> list[Faces]:
    """Faces with random attributes, with all optional ones at once, and with expressions."""
    mixed = sample(seed, range(n), difficulty, vary=OPTIONAL)
    posed = sample(seed, range(n), difficulty, form="rafd", vary=[name for name in OPTIONAL if name != "Smiling"])
    return [mixed, with_labels(mixed, **dict.fromkeys(OPTIONAL, 1.0)), posed]


def all_settings(faces: Faces) -> list[Faces]:
    """The faces with all combinations of core attributes, and with each optional attribute and expression."""
    hair = [np.eye(3, dtype=np.float32)[i] if i < 3 else np.zeros(3, dtype=np.float32) for i in range(4)]
    rows = [(*h, *bits) for h in hair for bits in np.ndindex(2, 2, 2)]
    names = (*EXCLUSIVE[0], *FREE)
    core = [with_labels(faces, **dict(zip(names, row, strict=True))) for row in rows]
    bases = [with_labels(faces, Male=value, Oval_Face=value) for value in (0.0, 1.0)]
    labels = [{name: 1.0} for name in (*OPTIONAL, *EXPRESSIONS)] + [dict.fromkeys(OPTIONAL, 1.0)]
    return [*core, *(with_labels(base, **each) for base in bases for each in labels)]


def test_golden_pixels() -> None:
    parts = [render(sample(7, range(6), d), s) for s, d in ((32, 0.0), (64, 0.5), (48, 1.0), (128, 1.0))]
    assert digest(np.concatenate([p.ravel() for p in parts])) == GOLDEN[RENDERER_VERSION], (
        "the pixels changed: increase RENDERER_VERSION and add the new digest, or cached results become wrong"
    )


def test_golden_pixels_of_optional_features() -> None:
    digests = {}
    for feature, version in FEATURE_VERSIONS.items():
        parts = [
            render(with_labels(sample(7, range(4), d), **{name: 1.0}), s)
            for name in (EXPRESSIONS if feature == "expressions" else (feature,))
            for s, d in ((32, 0.0), (64, 0.5), (97, 1.0))
        ]
        digests[feature, version] = digest(np.concatenate([p.ravel() for p in parts]))
    assert digests == GOLDEN_FEATURES, "the pixels changed: increase FEATURE_VERSIONS and add the new digest"


@pytest.mark.parametrize("size", [16, 64])
def test_absent_features_change_no_pixel(size: int) -> None:
    plain = sample(3, range(40), 1.0)
    for faces in all_kinds(3, 40, 1.0):
        assert all(np.array_equal(faces.labels[name], plain.labels[name]) for name in CORE)
        bare = with_labels(faces, **dict.fromkeys(OPTIONAL, 0.0) | {"neutral": 1.0})
        assert np.array_equal(render(bare, size), render(plain, size))
        half = np.arange(40) % 2 == 0  # also next to faces that have the features
        labels = {name: np.where(half, bare.labels[name], faces.labels[name]) for name in LABELS}
        pixels = render(replace(bare, labels=labels), size)
        assert np.array_equal(pixels[half], render(plain, size)[half])
        assert np.array_equal(pixels[~half], render(faces, size)[~half])


def test_faces_do_not_depend_on_each_other() -> None:
    for faces in all_kinds(3, 40, 1.0):
        pixels = render(faces, 48)
        for number in (0, 13, 39):
            assert np.array_equal(pixels[number], render(faces.part(slice(number, number + 1)), 48)[0])
    posed, reordered = (sample(3, numbers, 1.0, form="rafd") for numbers in (range(40), [17, 4]))
    assert np.array_equal(render(posed, 32)[[17, 4]], render(reordered, 32))
    assert all(np.array_equal(posed.labels[name][[17, 4]], reordered.labels[name]) for name in LABELS)
    assert not np.array_equal(render(posed, 32)[0], render(sample(4, [0], 1.0, form="rafd"), 32)[0])


@pytest.mark.parametrize("size", [8, 97])
def test_windows_do_not_clip_shapes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [sample(5, range(32), 1.0), *all_kinds(5, 32, 1.0)]
    kinds += [replace(faces, factors={k: np.round(v) for k, v in faces.factors.items()}) for faces in kinds]
    windowed = [render(faces, size) for faces in kinds]
    monkeypatch.setattr(canvas.Canvas, "pixels_of", lambda self, window: (slice(None), slice(None)))
    for faces, pixels in zip(kinds, windowed, strict=True):
        assert np.array_equal(render(faces, size), pixels)


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_is_visible_under_every_label(factor: str) -> None:
    """The rule that makes the ground truth inferable: no identity factor is visible only with a target label."""
    changes = []
    for faces in all_settings(sample(11, range(2), 1.0)):
        low, high = (render(with_factor(faces, factor, v), 64).astype(int) for v in (0.05, 0.95))
        changes.append(np.abs(low - high).max((1, 2, 3)))
    assert np.min(changes) >= 8, f"hidden in some setting: {np.min(changes, axis=1)}"
    assert np.min(changes) * 40 >= np.max(changes)


def test_every_attribute_is_visible_on_every_face() -> None:
    faces = sample(2, range(64), 0.0)
    for attribute in ATTRIBUTES:
        off, on = (render(with_labels(faces, **{attribute: value}), 32) for value in (0.0, 1.0))
        changed = (np.abs(on.astype(int) - off).max(1) > 20).mean((1, 2)).min()
        assert changed > (0.02 if attribute in CORE else 0.004), attribute


def test_expressions_differ_on_every_face() -> None:
    faces = sample(2, range(64), 0.0)
    pixels = [render(with_labels(faces, **{name: 1.0}), 32).astype(int) for name in EXPRESSIONS]
    for one, other in combinations(pixels, 2):
        assert (np.abs(one - other).max(1) > 20).mean((1, 2)).min() > 0.006


REGIONS: dict[str, canvas.Window] = {
    "Bangs": (-0.66, 0.66, -0.70, -0.10),
    "Big_Nose": (-0.18, 0.18, 0.08, 0.37),
    "Bushy_Eyebrows": (-0.42, 0.42, -0.30, 0.02),
    "Eyeglasses": (-0.55, 0.55, -0.10, 0.21),
    "Rosy_Cheeks": (-0.45, 0.45, 0.14, 0.40),
    "Smiling": (-0.30, 0.30, 0.20, 0.66),
    "Wearing_Lipstick": (-0.28, 0.28, 0.22, 0.64),
}
"""left, right, top, bottom of the region an attribute may change, in canvas coordinates."""


def test_attributes_change_only_their_region() -> None:
    faces = with_factor(with_factor(sample(4, range(64), 1.0, vary=OPTIONAL), "shift_x", 0.5), "shift_y", 0.5)
    for attribute, region in REGIONS.items():
        off, on = (render(with_labels(faces, **{attribute: value}), 128) for value in (0.0, 1.0))
        rows, columns = np.nonzero((on != off).any((0, 1)))
        left, right, top, bottom = ((edge + 1) * 64 for edge in region)
        assert left - 1 <= columns.min() and columns.max() <= right, attribute
        assert top - 1 <= rows.min() and rows.max() <= bottom, attribute


def test_pale_skin_changes_only_the_skin() -> None:
    faces = sample(4, range(32), 1.0)
    off, on = (render(with_labels(faces, Pale_Skin=value), 64) for value in (0.0, 1.0))
    changed = (on != off).any(1)
    assert not changed[:, :, :2].any() and not changed[:, :4].any()  # background, top of the hair
    assert changed[:, 20:44, 24:40].mean() > 0.5


class ExpressionSet:
    """Rendered expressions in memory (an ``ImageSet``)."""

    names = ()

    def __init__(self, spec: SynthSpec, numbers: range) -> None:
        faces = spec.sample(numbers)
        self.labels = torch.from_numpy(np.stack([faces.labels[name] for name in EXPRESSIONS], axis=1))
        self.pixels = torch.from_numpy(render(faces, spec.size))

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: Sequence[int]) -> torch.Tensor:
        return self.pixels[list(indices)]


class ExpressionSource:
    """Rendered expressions in memory (an ``ImageSource``)."""

    name, flip, fingerprint, ground_truth = "posed", True, "in memory", None
    spec = LabelSpec("posed", EXPRESSIONS, "categorical")

    def __init__(self, spec: SynthSpec) -> None:
        numbers = {"train": range(spec.train), "test": range(spec.train, spec.total)}
        self.sets = {which: ExpressionSet(spec, rows) for which, rows in numbers.items()}

    def prepare(self) -> None:
        pass

    def splits(self) -> list[str]:
        return list(self.sets)

    def split(self, which: str) -> ExpressionSet:
        return self.sets[which]


@pytest.mark.slow
@pytest.mark.parametrize("vary", [(), ("Eyeglasses", "Bangs", "Big_Nose")], ids=["plain", "varied"])
def test_attribute_classifier_recognizes_expressions(vary: tuple[str, ...], tmp_path: Path) -> None:
    spec = SynthSpec(size=32, train=2000, valid=0, test=800, difficulty=0.0, form="rafd", vary=vary)
    classifier = trained_classifier(ExpressionSource(spec), tmp_path, torch.device("cpu"), progress=False)
    assert min(classifier.accuracy.values()) >= 0.95, classifier.accuracy

"""Sampling SynthFaces: balanced, independent labels, relabeling, and random streams that do not interfere."""

import numpy as np
import pytest

from stargan_lab.data.synthfaces import identity
from stargan_lab.data.synthfaces.identity import (
    ATTRIBUTES,
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
from stargan_lab.data.synthfaces.renderer import render
from stargan_lab.errors import ConfigError, DataError


def with_labels(faces: Faces, **labels: float) -> Faces:
    rows = np.tile(np.asarray(list(labels.values()), dtype=np.float32), (len(faces), 1))
    return relabel(faces, list(labels), rows)


def test_labels_and_factors_are_balanced_and_independent() -> None:
    n = 20_000
    faces = sample(0, range(n), 0.5, vary=OPTIONAL)
    posed = sample(0, range(n), 0.5, form="rafd")
    hair = np.stack([faces.labels[name] for name in EXCLUSIVE[0]])
    assert set(np.unique(hair.sum(0))) == {0.0, 1.0}
    assert np.abs(hair.mean(1) - 0.25).max() < 0.015
    free = np.stack([faces.labels[name] for name in (*FREE, *OPTIONAL)])
    assert np.abs(free.mean(1) - 0.5).max() < 0.015
    factors = [faces.factors[name] for name in FACTORS]
    expressions = [posed.labels[EXPRESSIONS[i]] for i in (0, 5)]
    columns = np.concatenate([free, hair[:1], expressions, factors])
    correlation = np.abs(np.corrcoef(columns) - np.eye(len(columns)))
    pair = (len(free) + 1, len(free) + 2)  # two expressions exclude each other
    correlation[pair] = correlation[pair[::-1]] = 0
    assert correlation.max() < 0.035
    for values in factors:
        assert np.abs(np.histogram(values, 10, (0, 1))[0] / n - 0.1).max() < 0.012


def test_every_block_of_eight_has_each_expression_once_in_random_order() -> None:
    posed = np.stack([sample(3, range(800), 0.5, form="rafd").labels[name] for name in EXPRESSIONS])
    blocks = posed.reshape(8, 100, 8)
    assert (blocks.sum(2) == 1).all() and (blocks.sum(0) == 1).all()
    assert len({tuple(blocks[:, i].argmax(0)) for i in range(100)}) > 95
    first = blocks[:, :, 0].sum(1)
    assert first.min() >= 3 and first.max() <= 25  # 12.5 expected
    assert set(sample(3, range(800), 0.5).expressions) == {"neutral"}


def test_relabel_changes_only_the_requested_labels() -> None:
    faces = sample(1, range(200), 0.0, vary=OPTIONAL)
    black, brown = faces.labels["Black_Hair"] > 0, faces.labels["Brown_Hair"] > 0
    cleared = with_labels(faces, Black_Hair=0.0)
    assert (cleared.labels["Brown_Hair"] > 0)[brown].all()
    assert not any((cleared.labels[name] > 0)[black].any() for name in EXCLUSIVE[0])  # no listed color
    target = with_labels(faces, Black_Hair=1.0)
    assert (target.labels["Black_Hair"] == 1).all()
    assert (target.labels["Brown_Hair"] == 0).all()
    others = [name for name in LABELS if name not in EXCLUSIVE[0]]
    assert all(np.array_equal(target.labels[name], faces.labels[name]) for name in others)
    angry = with_labels(faces, angry=1.0)
    assert set(angry.expressions) == {"angry"}
    others = [name for name in ATTRIBUTES if name != "Smiling"]
    assert all(np.array_equal(angry.labels[name], faces.labels[name]) for name in others)
    assert set(with_labels(angry, angry=0.0, happy=0.0).expressions) == {"angry"}  # no expression requested


def test_expressions_determine_the_mouth_and_smiling_has_the_happy_one() -> None:
    faces = with_labels(sample(1, range(8), 0.0), Smiling=0.0)
    smiling, happy = with_labels(faces, Smiling=1.0), with_labels(faces, happy=1.0)
    plain, smiling_pixels, happy_pixels = (render(each, 64) for each in (faces, smiling, happy))
    lower = (slice(None), slice(None), slice(42, 64))
    assert np.array_equal(smiling_pixels[lower], happy_pixels[lower])
    assert np.array_equal(smiling_pixels[:, :, :38], plain[:, :, :38])  # brows and eyes do not change
    assert np.array_equal(render(with_labels(happy, Smiling=0.0), 64)[lower], plain[lower])
    assert np.array_equal(render(with_labels(smiling, neutral=1.0), 64), plain)
    sad = render(with_labels(faces, sad=1.0), 64)
    assert np.array_equal(render(with_labels(smiling, sad=1.0), 64), sad)
    assert np.array_equal(render(with_labels(faces, sad=1.0, Smiling=1.0), 64), sad)
    assert np.array_equal(render(with_labels(faces, neutral=1.0, Smiling=1.0), 64), smiling_pixels)
    assert np.array_equal(render(with_labels(with_labels(faces, sad=1.0), Smiling=1.0), 64)[lower], happy_pixels[lower])


def test_impossible_labels_are_refused() -> None:
    faces = sample(1, range(2), 0.0)
    with pytest.raises(DataError, match="at most one of Black_Hair, Blond_Hair"):
        with_labels(faces, Black_Hair=1.0, Blond_Hair=1.0)
    with pytest.raises(DataError, match="at most one of happy, sad"):
        with_labels(faces, happy=1.0, sad=1.0)
    with pytest.raises(ConfigError, match="unknown label 'Eyeglases'; did you mean 'Eyeglasses'"):
        with_labels(faces, Eyeglases=1.0)
    with pytest.raises(ConfigError, match="duplicate label in Male, Male"):
        relabel(faces, ["Male", "Male"], np.ones((2, 2), np.float32))
    with pytest.raises(DataError, match="of 0 and 1"):
        with_labels(faces, Male=0.5)
    with pytest.raises(DataError, match=r"shape \(2, 1\), got \(3, 1\)"):
        relabel(faces, ["Male"], np.ones((3, 1), np.float32))


def test_adding_a_factor_does_not_change_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sample(9, range(5), 0.5)
    monkeypatch.setattr(identity, "FACTORS", ("glasses", *FACTORS))
    after = identity.sample(9, range(5), 0.5)
    assert all(np.array_equal(after.factors[name], before.factors[name]) for name in FACTORS)

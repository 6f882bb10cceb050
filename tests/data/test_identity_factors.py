"""What is drawn: labels balanced and independent, other labels of the same face, streams that never move."""

import numpy as np
import pytest

from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.synthfaces.identity import (
    ATTRIBUTES,
    CORE,
    EXCLUSIVE,
    EXPRESSIONS,
    FACTORS,
    FREE,
    KIND,
    LABELS,
    OPTIONAL,
    Faces,
    relabel,
    sample,
)
from stargan_lab.data.synthfaces.renderer import render
from stargan_lab.errors import ConfigError, DataError


def under(drawn: Faces, **labels: float) -> Faces:
    rows = np.tile(np.asarray(list(labels.values()), dtype=np.float32), (len(drawn), 1))
    return relabel(drawn, list(labels), rows)


def test_names() -> None:
    assert EXPRESSIONS == ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
    assert CORE == ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Oval_Face", "Young")
    assert set(ATTRIBUTES) == {*CORE, *OPTIONAL} == set(KIND) and not set(ATTRIBUTES) & set(EXPRESSIONS)
    assert {"shape", "texture"} == {KIND[name] for name in OPTIONAL}


def test_labels_are_drawn_independently_and_hair_excludes() -> None:
    n = 20_000
    drawn = sample(0, range(n), 0.5, vary=OPTIONAL)
    posed = sample(0, range(n), 0.5, form="rafd")
    hair = np.stack([drawn.labels[name] for name in EXCLUSIVE[0]])
    assert set(np.unique(hair.sum(0))) == {0.0, 1.0}
    assert np.abs(hair.mean(1) - 0.25).max() < 0.015
    free = np.stack([drawn.labels[name] for name in (*FREE, *OPTIONAL)])
    assert np.abs(free.mean(1) - 0.5).max() < 0.015
    faces_shown = np.stack([posed.labels[name] for name in EXPRESSIONS])
    factors = [drawn.factors[name] for name in FACTORS]
    columns = np.concatenate([free, hair[:1], faces_shown[:1], faces_shown[5:6], factors])
    correlation = np.abs(np.corrcoef(columns) - np.eye(len(columns)))
    among_expressions = (len(free) + 1, len(free) + 2)
    correlation[among_expressions] = correlation[among_expressions[::-1]] = 0
    assert correlation.max() < 0.035
    for name in FACTORS:
        assert np.abs(np.histogram(drawn.factors[name], 10, (0, 1))[0] / n - 0.1).max() < 0.012


def test_expressions_are_balanced_to_one_and_shuffled() -> None:
    posed = np.stack([sample(3, range(800), 0.5, form="rafd").labels[name] for name in EXPRESSIONS])
    blocks = posed.reshape(8, 100, 8)
    assert (blocks.sum(2) == 1).all() and (blocks.sum(0) == 1).all()
    assert len({tuple(blocks[:, i].argmax(0)) for i in range(100)}) > 95
    first = blocks[:, :, 0].sum(1)
    assert first.min() >= 3 and first.max() <= 25  # 12.5 expected
    neutral = sample(3, range(800), 0.5).labels
    assert (neutral["neutral"] == 1).all() and not any(neutral[n].any() for n in EXPRESSIONS if n != "neutral")


def test_relabel_keeps_what_is_not_asked_for() -> None:
    drawn = sample(1, range(200), 0.0, vary=OPTIONAL)
    black = drawn.labels["Black_Hair"] > 0
    brown = drawn.labels["Brown_Hair"] > 0
    cleared = relabel(drawn, ["Black_Hair"], np.zeros((200, 1), np.float32))
    assert (cleared.labels["Brown_Hair"] > 0)[brown].all()  # not spoken of: stays
    assert not any((cleared.labels[name] > 0)[black].any() for name in EXCLUSIVE[0])  # none of these
    asked = relabel(drawn, ["Black_Hair"], np.ones((200, 1), np.float32))
    assert (asked.labels["Black_Hair"] == 1).all()
    assert (asked.labels["Brown_Hair"] == 0).all()
    others = [name for name in LABELS if name not in EXCLUSIVE[0]]
    assert all(np.array_equal(asked.labels[name], drawn.labels[name]) for name in others)
    shown = under(drawn, angry=1.0)
    assert (shown.labels["angry"] == 1).all() and not shown.labels["neutral"].any()
    kept = [name for name in ATTRIBUTES if name != "Smiling"]
    assert all(np.array_equal(shown.labels[name], drawn.labels[name]) for name in kept)
    unset = relabel(shown, ["angry", "happy"], np.zeros((200, 2), np.float32))  # no expression asked for
    assert (unset.labels["angry"] == 1).all()


def test_smiling_has_the_happy_mouth_and_an_expression_says_all_of_it() -> None:
    drawn = under(sample(1, range(8), 0.0), Smiling=0.0)
    smiling, happy = under(drawn, Smiling=1.0), under(drawn, happy=1.0)
    pictures = {"plain": drawn, "smiling": smiling, "happy": happy}
    plain, smiling_pixels, happy_pixels = (render(face, 64) for face in pictures.values())
    lower = (slice(None), slice(None), slice(42, 64))
    assert np.array_equal(smiling_pixels[lower], happy_pixels[lower])
    assert np.array_equal(smiling_pixels[:, :, :38], plain[:, :, :38])  # brows and eyes stay
    assert np.array_equal(render(under(happy, Smiling=0.0), 64)[lower], plain[lower])
    assert np.array_equal(render(under(smiling, neutral=1.0), 64), plain)
    sad = render(under(drawn, sad=1.0), 64)
    assert np.array_equal(render(under(smiling, sad=1.0), 64), sad)
    assert np.array_equal(render(under(drawn, sad=1.0, Smiling=1.0), 64), sad)
    assert np.array_equal(render(under(drawn, neutral=1.0, Smiling=1.0), 64), smiling_pixels)
    assert np.array_equal(render(under(under(drawn, sad=1.0), Smiling=1.0), 64)[lower], happy_pixels[lower])


def test_labels_that_cannot_be_drawn_are_refused() -> None:
    drawn = sample(1, range(2), 0.0)
    with pytest.raises(DataError, match="two of Black_Hair, Blond_Hair at once"):
        under(drawn, Black_Hair=1.0, Blond_Hair=1.0)
    with pytest.raises(DataError, match="two of happy, sad at once"):
        under(drawn, happy=1.0, sad=1.0)
    with pytest.raises(ConfigError, match="unknown label 'Eyeglases'; did you mean 'Eyeglasses'"):
        under(drawn, Eyeglases=1.0)
    with pytest.raises(ConfigError, match="different labels, got Male, Male"):
        relabel(drawn, ["Male", "Male"], np.ones((2, 2), np.float32))
    with pytest.raises(DataError, match="of 0 and 1"):
        under(drawn, Male=0.5)
    with pytest.raises(DataError, match="1 names and 2 faces"):
        relabel(drawn, ["Male"], np.ones((3, 1), np.float32))


def test_streams_do_not_move_when_a_factor_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sample(9, range(5), 0.5)
    monkeypatch.setattr(faces, "FACTORS", ("glasses", *FACTORS))
    after = faces.sample(9, range(5), 0.5)
    assert all(np.array_equal(after.factors[name], before.factors[name]) for name in FACTORS)

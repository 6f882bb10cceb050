"""Image grids: tiles are exactly where the sheet says."""

import numpy as np
import pytest
from PIL import Image

from stargan_lab.figures.image_grid import GridRow, draw_sheet, load_font, wrap


def noise(width: int, height: int, seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("size", "scale"), [(30, 3), (64, 1)])
def test_tiles_are_enlarged_by_an_integer_factor(size: int, scale: int) -> None:
    rows = [GridRow([noise(size, size, 10 * r + c) for c in range(3)], f"row {r}\nmore") for r in range(2)]
    sheet = draw_sheet(rows, ["input", "Blond_Hair", "Extraordinarily_Long_Name"], minimum=64)
    assert sheet.scale == (scale, scale)
    shown = np.asarray(sheet.image)
    side = size * scale
    for row, y, left in zip(rows, sheet.top, sheet.left, strict=True):
        for tile, x in zip(row.tiles, left, strict=True):
            expected = np.asarray(tile).repeat(scale, 0).repeat(scale, 1)
            assert (shown[y : y + side, x : x + side] == expected).all()


def test_titles_and_labels_are_outside_the_tiles() -> None:
    row = GridRow([noise(64, 64, c) for c in range(2)])
    plain, labeled = (draw_sheet([r], ["input", "Male"]) for r in (row, GridRow(row.tiles, "a name")))
    assert labeled.left[0][0] > plain.left[0][0]
    shown = np.asarray(labeled.image.convert("L"))
    x, y = labeled.left[0][0], labeled.top[0]
    assert (shown[:y, x : x + 64] < 128).any(), "a title on top"
    assert (shown[y:, :x] < 128).any(), "a label at the left"


def test_shared_title_prefix_is_shown_once() -> None:
    row = GridRow([noise(64, 64, c) for c in range(4)])
    plain = draw_sheet([row], ["input", "a", "b", "c"])
    grouped = draw_sheet([row], ["input", "faces: a", "faces: b", "moods: c"])
    further = grouped.top[0] - plain.top[0]
    assert further > 0 and grouped.left == plain.left
    above = np.asarray(grouped.image.convert("L"))[: grouped.top[0] - 18] < 200
    inked = np.flatnonzero(above.any(axis=0))
    first, second, third = grouped.left[0][1:]
    middle = (first + second + 64) // 2
    assert abs((inked[inked < third].min() + inked[inked < third].max()) / 2 - middle) <= 2, "faces, over both columns"
    assert inked.max() > third and not (inked < first).any()
    assert (np.asarray(grouped.image)[further:][18:] == np.asarray(plain.image)[18:]).all()


def test_rows_of_different_sizes_are_centered_in_their_column() -> None:
    sheet = draw_sheet([GridRow([noise(64, 64, 0)]), GridRow([noise(100, 80, 1)])], ["input"])
    (first,), (second,) = sheet.left
    assert first - second == (100 - 64) // 2
    assert sheet.top[1] >= sheet.top[0] + 64
    shown = np.asarray(sheet.image)
    assert (shown[sheet.top[1] : sheet.top[1] + 80, second : second + 100] == np.asarray(noise(100, 80, 1))).all()


def test_title_lines_fit_their_column() -> None:
    for text in ("Blond Hair", "Extraordinarily", "a Wearing Necktie of an unheard-of Length", "x"):
        lines = wrap(text, 62, load_font(12)).split("\n")
        assert all(load_font(12).getlength(line) <= 62 for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap("Blond Hair", 300, load_font(12)) == "Blond Hair"


@pytest.mark.parametrize("rows", [[], [GridRow([noise(8, 8, 0)])], [GridRow([noise(8, 8, 0), noise(9, 8, 0)])]])
def test_invalid_rows(rows: list[GridRow]) -> None:
    with pytest.raises(ValueError, match="rows of 2 tiles of one size"):
        draw_sheet(rows, ["a", "b"])

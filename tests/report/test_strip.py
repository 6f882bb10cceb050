"""The strip finds its tiles in titled grids and in older ones of tiles alone, or says what does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stargan_lab.errors import LabError
from stargan_lab.files import read_json, write_json
from stargan_lab.pictures import Row, draw_sheet
from stargan_lab.report.rows import RunRow
from stargan_lab.report.strip import newest_samples, strip

Change = Callable[[dict[str, Any]], dict[str, Any]]


def tile(size: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))


def titled(folder: Path, size: int, step: int = 10) -> list[list[Image.Image]]:
    """A run's folder with a grid of two pictures and two targets, as samples are written."""
    tiles = [[tile(size, 3 * row + column) for column in range(3)] for row in range(2)]
    columns = ["input", "Male", "Young"]
    sheet = draw_sheet([Row(row, "faces") for row in tiles], columns)
    (folder / "samples").mkdir(parents=True)
    sheet.image.save(folder / "samples" / f"{step:08d}.png")
    about = {"columns": columns, "image_size": size, "scale": sheet.scale[0]}
    write_json(
        folder / "samples" / "targets.json",
        about | {"left": list(sheet.left[0]), "top": list(sheet.top), "rows": ["faces"] * 2},
    )
    return tiles


@pytest.mark.parametrize("size", [16, 32, 100])
def test_tiles_come_back_to_the_pixel(size: int, tmp_path: Path) -> None:
    tiles = titled(tmp_path, size)
    found = newest_samples(tmp_path)
    assert found is not None and found.size == size
    for row, expected in zip(found.rows, tiles, strict=True):
        assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(row, expected, strict=True))


MISFITS: dict[str, Change] = {
    "wider": lambda about: about | {"left": [*about["left"][:-1], about["left"][-1] + 500]},
    "lower": lambda about: about | {"top": [*about["top"], about["top"][-1] + 64]},
    "other columns": lambda about: about | {"columns": ["input", "Male"]},
    "no rows": lambda about: about | {"top": []},
    "no scale": lambda about: about | {"scale": 0},
    "larger": lambda about: about | {"image_size": 64},
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_grid_that_its_description_does_not_fit_is_named(name: str, tmp_path: Path) -> None:
    titled(tmp_path, 32)
    path = tmp_path / "samples" / "targets.json"
    write_json(path, MISFITS[name](read_json(path)))
    with pytest.raises(LabError, match=r"00000010\.png: \d+×\d+ pixels are not rows of \d images") as caught:
        newest_samples(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "about", [[], {"columns": ["a"]}, {"columns": 3, "image_size": 8}, {"columns": ["a"], "image_size": "x"}]
)
def test_a_damaged_description_is_named(about: Any, tmp_path: Path) -> None:
    titled(tmp_path, 32)
    write_json(tmp_path / "samples" / "targets.json", about)
    with pytest.raises(LabError, match=r"targets\.json: expected a mapping with columns and image_size"):
        newest_samples(tmp_path)


def test_variants_of_different_sizes_stand_in_one_strip(tmp_path: Path) -> None:
    small, large = titled(tmp_path / "a", 32), titled(tmp_path / "b", 100)
    rows = [
        RunRow(name, 0, name, "finished", metrics={"eval/edit": 1.0}, folder=tmp_path / name) for name in ("a", "b")
    ]
    assert strip(rows, tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as file:
        shown = np.asarray(file.convert("RGB"))
    for tiles, factor in ((small, 3), (large, 1)):
        expected = np.asarray(tiles[0][1]).repeat(factor, 0).repeat(factor, 1)
        windows = np.lib.stride_tricks.sliding_window_view(shown, expected.shape)[:, :, 0]
        corners = np.argwhere((windows[:, :, 0, 0] == expected[0, 0]).all(-1))
        assert any((shown[y : y + len(expected), x : x + len(expected)] == expected).all() for y, x in corners)

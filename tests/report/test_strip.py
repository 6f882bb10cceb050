"""The strip finds its tiles in titled grids and in older ones of tiles alone, or says what does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stargan_lab.errors import LabError
from stargan_lab.files import read_json, write_json
from stargan_lab.image_grid import GridRow, draw_sheet
from stargan_lab.report.rows import RunRow
from stargan_lab.report.strip import newest_samples, strip

Change = Callable[[dict[str, Any]], dict[str, Any]]


def tile(size: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))


def titled(folder: Path, size: int, step: int = 10) -> list[list[Image.Image]]:
    """A run's folder with a grid of two pictures and two targets, as samples are written."""
    tiles = [[tile(size, 3 * row + column) for column in range(3)] for row in range(2)]
    columns = ["input", "Male", "Young"]
    sheet = draw_sheet([GridRow(row, "faces") for row in tiles], columns)
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


def several(folder: Path, rows: list[tuple[str, str]], first: int, **also: Any) -> list[list[Image.Image]]:
    """A run's grid of pictures (dataset, file); tiles are numbered from ``first``."""
    tiles = [[tile(100, first + 3 * row + column) for column in range(3)] for row in range(len(rows))]
    sheet = draw_sheet([GridRow(row, "x") for row in tiles], ["input", "Male", "Young"])
    (folder / "samples").mkdir(parents=True)
    sheet.image.save(folder / "samples" / "00000010.png")
    about = {"columns": ["input", "Male", "Young"], "image_size": 100, "scale": 1, "top": list(sheet.top)}
    about |= {"left": list(sheet.left[0]), "rows": [owner for owner, _ in rows], "names": [name for _, name in rows]}
    write_json(folder / "samples" / "targets.json", about | also)
    return tiles


def finished(*folders: Path) -> list[RunRow]:
    return [RunRow(f.name, 0, f"run-{f.name}", "finished", metrics={"eval/edit": 1.0}, folder=f) for f in folders]


def shows(path: Path, wanted: Image.Image) -> bool:
    with Image.open(path) as file:
        shown = np.asarray(file.convert("RGB"))
    expected = np.asarray(wanted)
    corners = np.argwhere((shown[: -len(expected), : -expected.shape[1]] == expected[0, 0]).all(-1))
    return any((shown[y : y + len(expected), x : x + expected.shape[1]] == expected).all() for y, x in corners)


BOTH = [("faces", "a.png"), ("faces", "b.png"), ("moods", "c.png"), ("moods", "d.png")]


def test_each_dataset_has_its_first_picture_in_the_strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[str] = []

    def drawn(rows: list[GridRow], *args: Any, **options: Any) -> Any:
        labels.extend(row.label for row in rows)
        return draw_sheet(rows, *args, **options)

    monkeypatch.setattr("stargan_lab.report.strip.draw_sheet", drawn)
    grids = [several(tmp_path / "a", BOTH, 0), several(tmp_path / "b", BOTH, 100)]
    assert strip(finished(tmp_path / "a", tmp_path / "b"), tmp_path / "strip.png")
    for grid in grids:
        assert [shows(tmp_path / "strip.png", row[1]) for row in grid] == [True, False, True, False]
    assert labels == [f"{run}\n{dataset}\nseed 0, step 10" for run in "ab" for dataset in ("faces", "moods")]


def test_different_pictures_are_not_compared(tmp_path: Path) -> None:
    several(tmp_path / "a", BOTH, 0)
    several(tmp_path / "b", [*BOTH[:2], ("moods", "z.png")], 100)
    with pytest.raises(LabError, match=r"runs run-a and run-b show different pictures \(c\.png and z\.png\)") as caught:
        strip(finished(tmp_path / "a", tmp_path / "b"), tmp_path / "strip.png")
    assert "\n" not in str(caught.value) and not (tmp_path / "strip.png").exists()
    several(tmp_path / "fewer", BOTH[:2], 200)
    with pytest.raises(LabError, match="run-a and run-fewer show different pictures"):
        strip(finished(tmp_path / "a", tmp_path / "fewer"), tmp_path / "strip.png")
    several(tmp_path / "same", [BOTH[0], BOTH[2]], 300)  # fewer rows, but those that are shown are the same
    several(tmp_path / "old", [("faces", ""), ("moods", "")], 400, names=[])
    assert strip(finished(tmp_path / "a", tmp_path / "same", tmp_path / "old"), tmp_path / "strip.png")


def test_a_description_of_other_rows_is_named(tmp_path: Path) -> None:
    several(tmp_path / "a", BOTH, 0, names=["a.png"])
    with pytest.raises(LabError, match=r"targets\.json: expected rows and names of 4 pictures, got 1"):
        strip(finished(tmp_path / "a"), tmp_path / "strip.png")

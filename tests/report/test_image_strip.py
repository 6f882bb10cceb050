"""The strip finds its tiles in grids with titles and in older ones without, or reports what does not match."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame
from PIL import Image
from scored import row

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.figures.image_grid import GridRow, draw_sheet
from stargan_lab.files import read_json, write_json
from stargan_lab.report.collect_runs import as_frame, collect
from stargan_lab.report.image_strip import draw_strip, newest_samples
from stargan_lab.tracking.run_folder import RunFolder

COLUMNS = ["input", "Male", "Young"]
BOTH = [("faces", "a.png"), ("faces", "b.png"), ("moods", "c.png"), ("moods", "d.png")]


def tile(size: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8))


def grid(
    folder: Path, images: list[tuple[str, str]] = BOTH, first: int = 0, size: int = 100, **changes: Any
) -> list[list[Image.Image]]:
    """Write a sample grid of images (dataset, file); tiles are numbered from ``first``."""
    tiles = [[tile(size, first + 3 * y + x) for x in range(3)] for y in range(len(images))]
    sheet = draw_sheet([GridRow(tiles_of_row, "faces") for tiles_of_row in tiles], COLUMNS)
    (folder / "samples").mkdir(parents=True)
    sheet.image.save(folder / "samples" / "00000010.png")
    about = {"columns": COLUMNS, "image_size": size, "scale": sheet.scale[0], "left": list(sheet.left[0])}
    about |= {"top": list(sheet.top), "rows": [dataset for dataset, _ in images], "names": [file for _, file in images]}
    write_json(folder / "samples" / "targets.json", about | changes)
    return tiles


def runs_in(*folders: Path) -> DataFrame:
    return as_frame([row(folder.name, 0, run_id=f"run-{folder.name}", folder=folder) for folder in folders])


def shows(path: Path, expected: Image.Image, scale: int = 1) -> bool:
    with Image.open(path) as file:
        strip = np.asarray(file.convert("RGB"))
    pixels = np.asarray(expected).repeat(scale, 0).repeat(scale, 1)
    height, width = pixels.shape[:2]
    corners = np.argwhere((strip[: 1 - height, : 1 - width] == pixels[0, 0]).all(-1))
    return any((strip[y : y + height, x : x + width] == pixels).all() for y, x in corners)


def test_tiles_are_recovered_exactly(tmp_path: Path) -> None:
    tiles = grid(tmp_path, size=32)  # the grid shows them enlarged
    samples = newest_samples(tmp_path)
    assert samples is not None and samples.size == 32
    for recovered, original in zip(samples.rows, tiles, strict=True):
        assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(recovered, original, strict=True))


def test_an_old_grid_without_titles_and_the_first_seed_at_the_last_step(
    ablation: Ablation, runs_on_disk: Callable[..., RunFolder], tmp_path: Path
) -> None:
    cells = [("none", 1, "n1"), ("none", 2, "n2"), ("instance", 2, "i2")]
    for variant, seed, run_id in cells:
        runs_on_disk(variant, seed, run_id, 0.5)
    runs = collect(ablation, cells, tmp_path)
    assert draw_strip(runs, tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    colors = {tuple(map(int, color)) for color in np.unique(pixels.reshape(-1, 3), axis=0)}
    for column in (0, 1, 2):
        assert (80 * column, 20, 100) in colors  # none, seed 1, step 1000
        assert (80 * column, 40, 100) in colors  # instance, seed 2
    assert not any(color[2] == 90 and color[1] in (20, 40) for color in colors)  # step 900
    assert (0, 120, 100) not in colors  # the second image
    assert (pixels == (80, 20, 100)).all(axis=2).any(axis=1).sum() == 96
    assert not draw_strip(runs.assign(folder=None), tmp_path / "none.png")


def test_a_grid_that_does_not_match_its_description_is_refused(tmp_path: Path) -> None:
    grid(tmp_path)
    path = tmp_path / "samples" / "targets.json"
    about = read_json(path)
    for change, message in [
        ({"left": [*about["left"][:-1], 999]}, r"00000010\.png: expected rows of 3 images of 100 px, got \d+×\d+ px"),
        ({"top": [*about["top"], 999]}, r"00000010\.png: expected rows of 3 images"),
        ({"columns": ["input", "Male"]}, r"00000010\.png: expected rows of 2 images"),
        ({"scale": 0}, r"00000010\.png: expected rows of 3 images of 0 px"),
        ({"image_size": "x"}, r"targets\.json: expected a mapping with columns and image_size"),
        ({"names": ["a.png"]}, r"targets\.json: expected rows and names of 4 images, got 1"),
    ]:
        write_json(path, about | change)
        with pytest.raises(LabError, match=message) as caught:
            newest_samples(tmp_path)
        assert "\n" not in str(caught.value)


def test_the_strip_has_the_first_image_of_each_dataset_at_an_integer_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []

    def draw(rows: list[GridRow], *args: Any, **options: Any) -> Any:
        labels.extend(row.label for row in rows)
        return draw_sheet(rows, *args, **options)

    monkeypatch.setattr("stargan_lab.report.image_strip.draw_sheet", draw)
    small, large = grid(tmp_path / "a", size=32), grid(tmp_path / "b", first=100)
    strip = tmp_path / "strip.png"
    assert draw_strip(runs_in(tmp_path / "a", tmp_path / "b"), strip)
    for tiles, scale in ((small, 3), (large, 1)):
        assert [shows(strip, row[1], scale) for row in tiles] == [True, False, True, False]
    assert labels == [f"{run}\n{dataset}\nseed 0, step 10" for run in "ab" for dataset in ("faces", "moods")]


def test_targets_that_a_run_lacks_are_left_out(tmp_path: Path) -> None:
    tiles = grid(tmp_path / "a")
    grid(tmp_path / "b", first=100, columns=["input", "Old", COLUMNS[1]])
    strip = tmp_path / "strip.png"
    assert draw_strip(runs_in(tmp_path / "a", tmp_path / "b"), strip)
    assert [shows(strip, each) for each in tiles[0]] == [True, True, False]
    assert shows(strip, tile(100, 102)) and not shows(strip, tile(100, 101))


def test_runs_with_different_images_or_targets_are_refused(tmp_path: Path) -> None:
    grid(tmp_path / "a")
    grid(tmp_path / "b", [*BOTH[:2], ("moods", "z.png")], 100)
    strip = tmp_path / "strip.png"
    message = r"runs run-a and run-b show different images \(c\.png and z\.png\); train all variants with the same"
    with pytest.raises(LabError, match=message) as caught:
        draw_strip(runs_in(tmp_path / "a", tmp_path / "b"), strip)
    assert "\n" not in str(caught.value) and not strip.exists()
    grid(tmp_path / "fewer", BOTH[:2], 200)
    with pytest.raises(LabError, match="run-a and run-fewer show different images;"):
        draw_strip(runs_in(tmp_path / "a", tmp_path / "fewer"), strip)
    grid(tmp_path / "targets", first=300, columns=["input", "Angry", "Old"])
    with pytest.raises(LabError, match="run-a and run-targets show different targets"):
        draw_strip(runs_in(tmp_path / "a", tmp_path / "targets"), strip)
    grid(tmp_path / "same", [BOTH[0], BOTH[2]], 400)  # the strip shows the same images
    grid(tmp_path / "unnamed", [("faces", ""), ("moods", "")], 500, names=[])
    assert draw_strip(runs_in(tmp_path / "a", tmp_path / "same", tmp_path / "unnamed"), strip)

"""The image strip: what each variant makes of the same pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stargan_lab.errors import LabError
from stargan_lab.files import read_json, write_atomically
from stargan_lab.report.rows import RunRow

TILE = 96
MARGIN = 12
GAP = 10


@dataclass(frozen=True)
class Samples:
    """The newest grid of one run: a row per picture, the source and then each target, tiles of ``size`` pixels."""

    image: Image.Image
    step: int
    columns: tuple[str, ...]
    size: int


def newest_samples(folder: Path) -> Samples | None:
    """``samples/<step>.png`` of the largest step with its ``targets.json``; None where there is no grid.

    Raises:
        LabError: the grid and its description do not fit.
    """
    grids = {int(path.stem): path for path in (folder / "samples").glob("*.png") if path.stem.isdigit()}
    if not grids:
        return None
    step = max(grids)
    described = folder / "samples" / "targets.json"
    about = read_json(described)
    try:
        columns, size = tuple(str(name) for name in about["columns"]), int(about["image_size"])
    except (KeyError, TypeError, ValueError):
        raise LabError(f"{described}: expected a mapping with columns and image_size") from None
    with Image.open(grids[step]) as file:
        image = file.convert("RGB")
    if image.width != size * len(columns) or image.height < size or image.height % size:
        shape = f"{image.width}×{image.height}"
        raise LabError(f"{grids[step]}: {shape} pixels are not rows of {len(columns)} images of {size} pixels")
    return Samples(image, step, columns, size)


def strip(rows: Sequence[RunRow], path: Path, target_names: Sequence[str] | None = None, pictures: int = 1) -> bool:
    """Save a row per variant, from its first finished run with samples, as a PNG.

    Args:
        target_names: column titles; those of the samples if None.
        pictures: how many rows of each grid are taken.
    Returns:
        False, and no file, when no run has samples.
    Raises:
        LabError: the runs show different targets or a different number of them.
    """
    found: dict[str, tuple[RunRow, Samples]] = {}
    for row in rows:
        if row.variant not in found and row.usable and row.folder is not None:
            samples = newest_samples(row.folder)
            if samples is not None:
                found[row.variant] = (row, samples)
    if not found:
        return False
    (first_row, first), *others = found.values()
    for row, samples in others:
        if samples.columns != first.columns:
            raise LabError(f"the samples of runs {first_row.run_id} and {row.run_id} show different targets")
    titles = list(first.columns if target_names is None else target_names)
    if len(titles) != len(first.columns):
        raise LabError(f"run {first_row.run_id} shows {len(first.columns)} columns, {len(titles)} names are given")
    labels = [f"{variant}\nseed {row.seed}, step {samples.step:,}" for variant, (row, samples) in found.items()]
    image = _draw(labels, titles, [_tiles(samples, pictures) for _, samples in found.values()])
    write_atomically(path, lambda file: image.save(file, format="PNG"))
    return True


def _tiles(samples: Samples, pictures: int) -> Image.Image:
    """The first rows of the grid, enlarged by a whole factor to at least TILE pixels a tile."""
    count = min(pictures, samples.image.height // samples.size)
    rows = samples.image.crop((0, 0, samples.image.width, count * samples.size))
    factor = max(1, -(-TILE // samples.size))
    return rows.resize((rows.width * factor, rows.height * factor), Image.Resampling.NEAREST)


def _draw(labels: Sequence[str], titles: Sequence[str], strips: Sequence[Image.Image]) -> Image.Image:
    """Names at the left, titles on top; strips of another scale are brought to the width of the widest."""
    width = max(strip.width for strip in strips)
    strips = [s if s.width == width else s.resize((width, s.height * width // s.width)) for s in strips]
    large, small = _font(15), _font(12)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    tile = width // len(titles)
    shown = [_wrapped(title.replace("_", " "), tile - 6, small, ruler) for title in titles]
    top = 2 * MARGIN + 16 * max(title.count("\n") + 1 for title in shown)
    left = 2 * MARGIN + round(max(ruler.textlength(line, large) for label in labels for line in label.split("\n")))
    height = top + sum(strip.height + GAP for strip in strips) - GAP + MARGIN
    image = Image.new("RGB", (left + width + MARGIN, height), "white")
    pen = ImageDraw.Draw(image)
    for i, title in enumerate(shown):
        at = (left + i * tile + tile / 2, top - MARGIN / 2)
        pen.multiline_text(at, title, "black", small, anchor="md", align="center")
    y = top
    for label, strip in zip(labels, strips, strict=True):
        name, _, run = label.partition("\n")
        pen.text((left - MARGIN, y + strip.height / 2 - 2), name, "black", large, anchor="rd")
        pen.text((left - MARGIN, y + strip.height / 2 + 2), run, "#666666", small, anchor="ra")
        image.paste(strip, (left, y))
        pen.line([(left + tile + 1, y), (left + tile + 1, y + strip.height)], "white", 4)  # parts source from answers
        y += strip.height + GAP
    return image


def _wrapped(
    text: str, width: float, font: "ImageFont.ImageFont | ImageFont.FreeTypeFont", ruler: ImageDraw.ImageDraw
) -> str:
    """``text`` broken between words so that each line fits ``width`` pixels where it can."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and ruler.textlength(joined, font) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return "\n".join(lines)


def _font(size: int) -> "ImageFont.ImageFont | ImageFont.FreeTypeFont":
    """The font matplotlib ships: it has all of Latin and Greek, whatever the system has."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)

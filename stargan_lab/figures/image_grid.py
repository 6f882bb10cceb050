"""Image grids: rows of tiles with titles and labels. Tiles are pasted as they are or enlarged by an integer factor.

Used for a run's samples, a report's strip and the overview of translated images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from torch import Tensor

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
MARGIN = 10
LINE = 15
"""Line height of titles in px."""
INPUT_GAP = 8
"""Extra space in px between the input column and the translations."""


@dataclass(frozen=True)
class GridRow:
    """Tiles of equal size, one per title. ``label`` is shown on the left; lines after the first are smaller."""

    tiles: Sequence[Image.Image]
    label: str = ""


@dataclass(frozen=True)
class Sheet:
    """A grid as an image, and the positions of its tiles.

    Attributes:
        left: x in px of each tile, per row; top: y in px of each row.
        scale: enlargement factor of each row.
    """

    image: Image.Image
    left: tuple[tuple[int, ...], ...]
    top: tuple[int, ...]
    scale: tuple[int, ...]


def draw_sheet(rows: Sequence[GridRow], titles: Sequence[str], minimum: int = 64, gap: int = 2) -> Sheet:
    """Draw rows of tiles with titles on top and labels on the left.

    Args:
        titles: one per column, wrapped to fit, with underscores shown as spaces. The prefix of titles like
            ``faces: Male`` is shown once above adjacent columns that share it.
        minimum: px; smaller tiles are enlarged by the smallest integer factor that makes their shorter side this long.
        gap: px between tiles.
    Raises:
        ValueError: no rows, or a row whose tiles do not match the titles in number or differ in size.
    """
    if not rows or any(len(row.tiles) != len(titles) or len({t.size for t in row.tiles}) != 1 for row in rows):
        raise ValueError(f"expected rows of {len(titles)} tiles of one size")
    scales = [max(1, -(-minimum // min(row.tiles[0].size))) for row in rows]
    sizes = [(row.tiles[0].width * k, row.tiles[0].height * k) for row, k in zip(rows, scales, strict=True)]
    cell = max(width for width, _ in sizes)
    large, small = load_font(14), load_font(12)
    shown = [wrap(title.rpartition(": ")[2].replace("_", " "), cell - 2, small) for title in titles]
    groups = _groups(titles)
    top = MARGIN + LINE * (max(title.count("\n") + 1 for title in shown) + bool(groups)) + 4
    labels = max((_length(line, large) for row in rows for line in row.label.split("\n")), default=0)
    start = MARGIN + (labels + MARGIN if labels else 0)
    columns = [start + index * (cell + gap) + (INPUT_GAP if index else 0) for index in range(len(titles))]
    tops = [top + sum(height + gap for _, height in sizes[:index]) for index in range(len(rows))]
    image = Image.new("RGB", (columns[-1] + cell + MARGIN, tops[-1] + sizes[-1][1] + MARGIN), "white")
    pen = ImageDraw.Draw(image)
    for x, title in zip(columns, shown, strict=True):
        pen.multiline_text((x + cell / 2, top - 4), title, "black", small, anchor="md", align="center")
    for name, first, last in groups:
        pen.text(((columns[first] + columns[last] + cell) / 2, MARGIN), name, "#666666", small, anchor="ma")
    left = []
    for row, (width, height), y in zip(rows, sizes, tops, strict=True):
        _label(pen, row.label, columns[0] - MARGIN, y + height / 2, large, small)
        left.append(tuple(x + (cell - width) // 2 for x in columns))
        for x, tile in zip(left[-1], row.tiles, strict=True):
            image.paste(tile.convert("RGB").resize((width, height), Image.Resampling.NEAREST), (x, y))
    return Sheet(image, tuple(left), tuple(tops), tuple(scales))


def _groups(titles: Sequence[str]) -> list[tuple[str, int, int]]:
    """(prefix, first column, last column) for adjacent titles with the same prefix."""
    by_prefix = groupby(range(len(titles)), lambda column: titles[column].rpartition(": ")[0])
    groups = [(prefix, list(columns)) for prefix, columns in by_prefix]
    return [(prefix, columns[0], columns[-1]) for prefix, columns in groups if prefix]


def _label(pen: ImageDraw.ImageDraw, label: str, right: float, middle: float, large: Font, small: Font) -> None:
    """Draw the first line above the middle of the row and the others below it; a single line is centered."""
    name, _, more = label.partition("\n")
    if not more:
        pen.text((right, middle), name, "black", large, anchor="rm")
        return
    pen.text((right, middle - 2), name, "black", large, anchor="rd")
    pen.multiline_text((right, middle + 2), more, "#666666", small, anchor="ra", align="right")


def wrap(text: str, width: float, font: Font) -> str:
    """``text`` in lines of at most ``width`` px, broken between words, or within words that are too long."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and _length(joined, font) <= width:
            lines[-1] = joined
            continue
        while _length(word, font) > width and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if _length(word[:n], font) <= width), 1)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return "\n".join(lines)


def _length(text: str, font: Font) -> int:
    return round(font.getlength(text) + 0.5)


@cache
def load_font(size: int) -> Font:
    """DejaVu Sans from matplotlib, which covers Latin and Greek on every system."""
    matplotlib = find_spec("matplotlib")  # importing it would delay the first step of a run
    assert matplotlib is not None and matplotlib.origin is not None
    path = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def as_image(pixels: "Tensor") -> Image.Image:
    """(3, H, W) uint8 as a PIL image."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())

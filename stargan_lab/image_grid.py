"""Sheets of pictures: rows of tiles under titles. Pixels are shown as they are or enlarged by a whole factor.

Samples of a run, the strip of a report and the overview of a translation are all drawn here.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
MARGIN = 10
LINE = 15
"""Height of a line of a title."""
APART = 8
"""Further space after the first column, which parts the pictures from what was made of them."""


@dataclass(frozen=True)
class GridRow:
    """Tiles of one size, as many as there are titles; ``label`` stands at the left, its further lines small."""

    tiles: Sequence[Image.Image]
    label: str = ""


@dataclass(frozen=True)
class Sheet:
    """A drawn sheet and where its tiles are.

    Attributes:
        left: per row, x in px of the left side of each tile; top: y of each row.
        scale: per row, how many px a side a picture's pixel takes.
    """

    image: Image.Image
    left: tuple[tuple[int, ...], ...]
    top: tuple[int, ...]
    scale: tuple[int, ...]

    def png(self) -> bytes:
        return as_png(self.image)


def draw_sheet(rows: Sequence[GridRow], titles: Sequence[str], minimum: int = 64, gap: int = 2) -> Sheet:
    """Draw rows of tiles, titles on top and labels at the left.

    Args:
        titles: one per column; underscores are shown as spaces, and lines are broken to fit. Of titles like
            ``faces: Male``, the first part stands once above the columns that share it.
        minimum: px; smaller tiles are enlarged by the smallest whole factor that makes their shorter side as large.
        gap: px between tiles.
    Raises:
        ValueError: no row, or one that has not as many tiles as there are titles, all of one size.
    """
    if not rows or any(len(row.tiles) != len(titles) or len({t.size for t in row.tiles}) != 1 for row in rows):
        raise ValueError(f"expected rows of {len(titles)} tiles of one size")
    scales = [max(1, -(-minimum // min(row.tiles[0].size))) for row in rows]
    sizes = [(row.tiles[0].width * k, row.tiles[0].height * k) for row, k in zip(rows, scales, strict=True)]
    cell = max(width for width, _ in sizes)
    large, small = font(14), font(12)
    shown = [wrapped(title.rpartition(": ")[2].replace("_", " "), cell - 2, small) for title in titles]
    groups = _groups(titles)
    top = MARGIN + LINE * (max(title.count("\n") + 1 for title in shown) + bool(groups)) + 4
    labels = max((_length(line, large) for row in rows for line in row.label.split("\n")), default=0)
    columns = _columns(MARGIN + (labels + MARGIN if labels else 0), len(titles), cell, gap)
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
    """First parts of the titles with the first and the last of the columns that share each."""
    found: list[tuple[str, int, int]] = []
    for index, title in enumerate(titles):
        name = title.rpartition(": ")[0]
        if name and found and found[-1][0] == name and found[-1][2] == index - 1:
            found[-1] = (name, found[-1][1], index)
        elif name:
            found.append((name, index, index))
    return found


def _columns(start: int, count: int, cell: int, gap: int) -> list[int]:
    return [start + index * (cell + gap) + (APART if index else 0) for index in range(count)]


def _label(pen: ImageDraw.ImageDraw, label: str, right: float, middle: float, large: Font, small: Font) -> None:
    """The first line above the middle of the row, the others below it; a single one in the middle."""
    name, _, more = label.partition("\n")
    if not more:
        pen.text((right, middle), name, "black", large, anchor="rm")
        return
    pen.text((right, middle - 2), name, "black", large, anchor="rd")
    pen.multiline_text((right, middle + 2), more, "#666666", small, anchor="ra", align="right")


def wrapped(text: str, width: float, used: Font) -> str:
    """``text`` broken between words, or within one that is too long, so that each line fits ``width`` px."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and _length(joined, used) <= width:
            lines[-1] = joined
            continue
        while _length(word, used) > width and len(word) > 1:
            fits = next((n for n in range(len(word) - 1, 1, -1) if _length(word[:n], used) <= width), 1)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return "\n".join(lines)


def _length(text: str, used: Font) -> int:
    return round(used.getlength(text) + 0.5)


@cache
def font(size: int) -> Font:
    """The font matplotlib ships: it has all of Latin and Greek, whatever the system has."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def as_png(image: Image.Image) -> bytes:
    """Lossless."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()

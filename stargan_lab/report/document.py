"""A report as a list of blocks, and the same blocks as Markdown, HTML, LaTeX or text for a terminal."""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from unicodedata import east_asian_width


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Cells are plain text; the first column is aligned left, the others right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Image:
    path: Path
    caption: str


Block = Heading | Paragraph | Bullets | Table | Image

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;display:block;overflow-x:auto;font-variant-numeric:tabular-nums}
caption,figcaption{text-align:left;color:#555;font-size:.9rem;padding:.3rem 0}
th,td{padding:.25rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid #ddd}
th{border-bottom:2px solid #444}th:first-child,td:first-child{text-align:left}
figure{margin:1.2rem 0}img{max-width:100%;height:auto}
"""


def to_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """Markdown; images are linked relative to ``folder``."""

    def one(block: Block) -> str:
        match block:
            case Heading():
                return f"{'#' * block.level} {block.text}"
            case Paragraph():
                return block.text
            case Bullets():
                return "\n".join(f"- {item}" for item in block.items)
            case Table():
                cells = [[cell.replace("|", "\\|") for cell in row] for row in (block.header, *block.rows)]
                lines = [f"| {' | '.join(row)} |" for row in cells]
                lines.insert(1, f"|{'|'.join([' :-- ', *[' --: '] * (len(block.header) - 1)])}|")
                return "\n".join(lines) + (f"\n\n{block.caption}" if block.caption else "")
            case Image():
                return f"![{block.caption}]({block.path.relative_to(folder).as_posix()})"

    return "\n\n".join(one(block) for block in blocks) + "\n"


def to_html(blocks: Sequence[Block], title: str) -> str:
    """One self-contained page, images inside."""

    def one(block: Block) -> str:
        match block:
            case Heading():
                return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
            case Paragraph():
                return f"<p>{escape(block.text)}</p>"
            case Bullets():
                return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"
            case Table():
                return _html_table(block)
            case Image():
                data = base64.b64encode(block.path.read_bytes()).decode()
                caption = escape(block.caption)
                source = f"data:image/png;base64,{data}"
                return f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'

    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(one(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def to_text(blocks: Sequence[Block]) -> str:
    """For a terminal: aligned columns, no images."""

    def one(block: Block) -> str:
        match block:
            case Heading():
                return f"{block.text}\n{('=' if block.level == 1 else '-') * _width(block.text)}"
            case Paragraph():
                return block.text
            case Bullets():
                return "\n".join(f"- {item}" for item in block.items)
            case Table():
                return _text_table(block)
            case Image():
                return f"{block.caption}: {block.path}"

    return "\n\n".join(one(block) for block in blocks) + "\n"


def to_tex(blocks: Sequence[Block], folder: Path) -> str:
    """A fragment to ``\\input``; needs the packages booktabs and graphicx."""

    def one(block: Block) -> str:
        match block:
            case Heading():
                return f"\\{'section' if block.level == 1 else 'subsection'}*{{{tex(block.text)}}}"
            case Paragraph():
                return tex(block.text)
            case Bullets():
                items = "\n".join(f"  \\item {tex(item)}" for item in block.items)
                return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
            case Table():
                return _tex_table(block)
            case Image():
                name = block.path.relative_to(folder).as_posix()
                picture = f"\\includegraphics[width=\\linewidth]{{{name}}}"
                return f"\\begin{{center}}{picture}\\\\ {tex(block.caption)}\\end{{center}}"

    return "\n\n".join(one(block) for block in blocks) + "\n"


def tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    special |= {"[": "{[}", "]": "{]}"}  # after \item or the end of a row it would be an argument
    special |= {"^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "Δ": r"$\Delta$"}
    special |= {"−": "$-$", "·": r"\textperiodcentered{}", "–": "--", "<": "$<$", ">": "$>$", "|": "$|$", "²": "$^2$"}
    return "".join(special.get(character, character) for character in text)


def _html_table(table: Table) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    body = "".join(line(row, "td") for row in table.rows)
    return f"<table>{caption}<thead>{line(table.header, 'th')}</thead><tbody>{body}</tbody></table>"


def _text_table(table: Table) -> str:
    columns = [_marks_apart(column) for column in zip(*table.rows, strict=True)]
    lines = [table.header, *zip(*columns, strict=True)]
    widths = [max(_width(row[i]) for row in lines) for i in range(len(table.header))]
    pad: list[Callable[[str, int], str]] = [lambda cell, width: cell + " " * (width - _width(cell))]
    pad += [lambda cell, width: " " * (width - _width(cell)) + cell] * (len(widths) - 1)
    shown = ["  ".join(p(c, w) for p, c, w in zip(pad, row, widths, strict=True)).rstrip() for row in lines]
    shown.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(shown) + (f"\n{table.caption}" if table.caption else "")


def _marks_apart(cells: Sequence[str]) -> list[str]:
    """Cells of one column with equal room for a mark such as `` [a, b]`` at their end, so that numbers align."""
    marks = [found.group() if (found := re.search(r" \[[a-z0-9, ]+\]$", cell)) else "" for cell in cells]
    room = max(map(len, marks), default=0)
    return [cell + " " * (room - len(mark)) for cell, mark in zip(cells, marks, strict=True)]


def _tex_table(table: Table) -> str:
    lines = [" & ".join(tex(cell) for cell in row) + r" \\" for row in (table.header, *table.rows)]
    columns = "l" + "r" * (len(table.header) - 1)
    caption = f"\n\n{tex(table.caption)}" if table.caption else ""
    return (
        "\n".join(
            [
                f"\\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                lines[0],
                r"\midrule",
                *lines[1:],
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )
        + caption
    )


def _width(text: str) -> int:
    """Columns ``text`` takes in a terminal."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)

"""The report of an ablation: pages in several formats, figures, and a CSV file of its runs."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from pandas import DataFrame

from stargan_lab.console import say
from stargan_lab.errors import ConfigError, LabError, unknown
from stargan_lab.files import locked, write_json, write_text
from stargan_lab.files.partial import remove_abandoned
from stargan_lab.report.comparable import check_comparable
from stargan_lab.report.content import Content
from stargan_lab.report.curves import draw_curves
from stargan_lab.report.effects import INTERVAL
from stargan_lab.report.figures import NARROW, band_note, draw_effects
from stargan_lab.report.image_strip import draw_strip
from stargan_lab.report.report_json import report_json
from stargan_lab.report.runs_csv import write_csv
from stargan_lab.tracking.reports import SUMMARY, lock_path

FORMATS = ("md", "csv", "html", "tex")
FIGURES = ("effects.svg", "effects.pdf", f"effects{NARROW}.svg", "curves.svg", "curves.pdf", "strip.png")
_BREAK = "\u200b"  # zero-width space
# fmt: off
_TEX = str.maketrans({
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "·": r"\textperiodcentered{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", "←": r"$\gets$", "±": r"$\pm$", "×": r"$\times$",
    "∞": r"$\infty$", "≤": r"$\leq$", "≥": r"$\geq$", "Δ": r"$\Delta$", "∇": r"$\nabla$", "Σ": r"$\Sigma$",
    "γ": r"$\gamma$", "σ": r"$\sigma$", "ᵀ": r"$^\top$", "²": "$^2$", "³": "$^3$", "₀": "$_0$", "−": "$-$", "–": "--",
    "<": "$<$", ">": "$>$", "|": "$|$",
    _BREAK: r"\allowbreak{}",
    "[": "{[}", "]": "{]}",  # after \item or the end of a row they would start an argument
})
# fmt: on


def write_report(
    content: Content,
    out: Path,
    formats: Sequence[str] = ("md", "csv", "html"),
    allow_mixed: bool = False,
    *,
    strip_seeds: int = 1,
) -> list[Path]:
    """Write ``out/report.<format>`` and its figures, each atomically. Pages of other formats stay; figures do not.

    Waits while another process writes there.

    Args:
        allow_mixed: accept runs that were scored in different ways or trained with different code; the page says so.
        strip_seeds: runs per variant in the image strip.
    Returns:
        The files written, the pages first.
    Raises:
        LabError: the runs are not comparable, or samples cannot be read.
        ConfigError: unknown format.
    """
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(unknown("format", name, FORMATS))
    if not allow_mixed:
        check_comparable(content.ablation, content.runs)
    with locked(lock_path(out)) as alone:  # two sweeps may end together; pages embed the figures in out
        for name in (*(f"report.{name}" for name in FORMATS), *FIGURES, SUMMARY):
            remove_abandoned(out / name, alone)  # of a report that was killed
        return _write(content, out, formats, strip_seeds)


def _write(content: Content, out: Path, formats: Sequence[str], strip_seeds: int) -> list[Path]:
    strip = out / "strip.png"
    vector = ("svg", "pdf") if "tex" in formats else ("svg",)  # LaTeX needs PDF
    drawn = draw_effects(content.ablation, content.runs, content.effects, out / "effects", vector)
    drawn += draw_curves(content.ablation, content.runs, out / "curves", vector)
    try:
        drawn += [strip] if draw_strip(content.runs, strip, strip_seeds) else []
    except LabError as error:  # the verdicts are worth more than the images
        say(f"warning: no image strip: {error}")
    pages = [out / f"report.{name}" for name in dict.fromkeys(formats)]
    for path in {out / name for name in FIGURES} - set(drawn):
        path.unlink(missing_ok=True)  # from an earlier report
    figures = {path.stem: path for path in drawn if path.suffix != ".pdf"}
    note = band_note(content.ablation, content.runs, content.effects)
    for path in pages:
        if path.suffix == ".csv":
            write_csv(content.runs, path)
        else:
            write_text(path, _render(path.suffix[1:], content, figures, note))
    write_json(out / SUMMARY, report_json(content, [path.name for path in (*pages, *drawn)]))
    return [*pages, out / SUMMARY, *drawn]


def report_text(content: Content) -> str:
    """The report for a terminal, without figures."""
    return _render("txt", content, {})


def _render(format_name: str, content: Content, figures: Mapping[str, Path], band: str = "") -> str:
    """``band``: a sentence for the caption of the effect plot."""
    environment = Environment(
        loader=PackageLoader("stargan_lab.report"),
        autoescape=format_name == "html",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(tex=tex, aligned=aligned, embedded=embedded)
    page = environment.get_template("report.j2").render(
        vars(content),
        markup=f"{format_name}.j2",
        figures=figures,
        narrow=figures.get(f"effects{NARROW}"),
        interval_name=INTERVAL,
        band=band,
    )
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def embedded(path: Path) -> str:
    """A data URL of an image."""
    kind = {".svg": "svg+xml", ".png": "png"}[path.suffix]
    return f"data:image/{kind};base64,{b64encode(path.read_bytes()).decode()}"


def tex(text: str) -> str:
    """Escape LaTeX's special characters, and allow line breaks within long words such as paths and overrides."""
    marked = re.sub(r"\S{20,}", lambda word: re.sub(r"([/_=.,:-])(?=\w)", rf"\1{_BREAK}", word[0]), text)
    return marked.translate(_TEX)


def aligned(table: DataFrame) -> str:
    """Columns aligned for a terminal: numbers line up even if only some have a mark such as `` [a, b]``."""
    marks = table.map(lambda cell: len(cell) - len(re.sub(r" \[[A-Za-z, ]+\]$", "", cell)))
    padded = table + (marks.max() - marks).map(lambda width: " " * width)
    padded = padded.rename_axis(columns=table.index.name, index=None)  # one line of titles instead of two
    with pd.option_context("display.unicode.east_asian_width", True):
        return re.sub(r" +$", "", padded.to_string(), flags=re.MULTILINE)

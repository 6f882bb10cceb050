"""The report of an ablation: pages in several formats, figures, and a CSV file of its runs."""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import ConfigError, preview, unknown
from stargan_lab.files import locked, write_json, write_text
from stargan_lab.report import audit, effects, looks, tables, variance_tables
from stargan_lab.report.comparable import check_comparable, mixed
from stargan_lab.report.curves import draw_curves
from stargan_lab.report.figures import draw_effects
from stargan_lab.report.image_strip import draw_strip
from stargan_lab.report.runs import finished
from stargan_lab.report.runs_csv import write_csv
from stargan_lab.report.summary import summary
from stargan_lab.report.warning_marks import WarningMarks
from stargan_lab.tracking.reports import SUMMARY

FORMATS = ("md", "csv", "html", "tex")
FIGURES = ("effects.svg", "effects.pdf", "curves.svg", "curves.pdf", "strip.png")
# fmt: off
_TEX = str.maketrans({
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "·": r"\textperiodcentered{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "Δ": r"$\Delta$", "²": "$^2$", "−": "$-$", "–": "--",
    "<": "$<$", ">": "$>$", "|": "$|$",
    "[": "{[}", "]": "{]}",  # after \item or the end of a row they would start an argument
})
# fmt: on


def write_report(
    ablation: Ablation,
    runs: DataFrame,
    out: Path,
    formats: Sequence[str] = ("md", "csv", "html"),
    allow_mixed: bool = False,
    command: str = "",
    notes: Sequence[str] = (),
    *,
    strip_seeds: int = 1,
) -> list[Path]:
    """Write ``out/report.<format>`` and its figures, each atomically; waits while another process writes there.

    Args:
        runs: as ``report.runs.collect`` returns them.
        allow_mixed: accept runs that were scored in different ways or trained with different code; the page says so.
        command: repeats the runs; shown with the provenance.
        notes: lines under the title.
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
        check_comparable(ablation, runs)
    with locked(out.parent / f".{out.name}.lock"):  # another sweep of it may end now; pages embed the figures in out
        return _write(ablation, runs, out, formats, command, notes, strip_seeds)


def _write(
    ablation: Ablation,
    runs: DataFrame,
    out: Path,
    formats: Sequence[str],
    command: str,
    notes: Sequence[str],
    strip_seeds: int,
) -> list[Path]:
    strip = out / "strip.png"
    vector = ("svg", "pdf") if "tex" in formats else ("svg",)  # LaTeX needs PDF
    drawn = draw_effects(ablation, runs, out / "effects", vector)
    drawn += draw_curves(ablation, runs, out / "curves", vector)
    drawn += [strip] if draw_strip(runs, strip, strip_seeds) else []
    for path in {out / name for name in FIGURES} - set(drawn):
        path.unlink(missing_ok=True)  # from an earlier report
    pages = [out / f"report.{name}" for name in dict.fromkeys(formats)]
    write_json(out / SUMMARY, summary(ablation, runs, command))
    figures = {path.stem: path for path in drawn if path.suffix != ".pdf"}
    for path in pages:
        if path.suffix == ".csv":
            write_csv(runs, path)
        else:
            write_text(path, _render(path.suffix[1:], ablation, runs, figures, command, notes))
    return [*pages, out / SUMMARY, *drawn]


def report_text(ablation: Ablation, runs: DataFrame, command: str = "", notes: Sequence[str] = ()) -> str:
    """The report for a terminal, without figures."""
    return _render("txt", ablation, runs, {}, command, notes)


def _render(
    format_name: str,
    ablation: Ablation,
    runs: DataFrame,
    figures: Mapping[str, Path],
    command: str,
    notes: Sequence[str],
) -> str:
    environment = Environment(
        loader=PackageLoader("stargan_lab.report"),
        autoescape=format_name == "html",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(tex=tex, aligned=aligned, embedded=embedded)
    page = environment.get_template("report.j2").render(
        markup=f"{format_name}.j2",
        ablation=ablation,
        tables=tables,
        effects=effects,
        audit=audit,
        looks=looks,
        variance_tables=variance_tables,
        runs=runs,
        warnings=WarningMarks(runs).lines(),
        figures=figures,
        notes=notes,
        provenance=_provenance(ablation, runs, command),
    )
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def embedded(path: Path) -> str:
    """A data URL of an image."""
    kind = {".svg": "svg+xml", ".png": "png"}[path.suffix]
    return f"data:image/{kind};base64,{b64encode(path.read_bytes()).decode()}"


def tex(text: str) -> str:
    """Escape LaTeX's special characters."""
    return text.translate(_TEX)


def aligned(table: DataFrame) -> str:
    """Columns aligned for a terminal: numbers line up even if only some have a mark such as `` [a, b]``."""
    marks = table.map(lambda cell: len(cell) - len(re.sub(r" \[[A-Za-z, ]+\]$", "", cell)))
    padded = table + (marks.max() - marks).map(lambda width: " " * width)
    padded = padded.rename_axis(columns=table.index.name, index=None)  # one line of titles instead of two
    with pd.option_context("display.unicode.east_asian_width", True):
        return re.sub(r" +$", "", padded.to_string(), flags=re.MULTILINE)


def _provenance(ablation: Ablation, runs: DataFrame, command: str) -> list[str]:
    done = finished(runs).drop_duplicates("run_id")  # cells with the same configuration share a run
    planned = runs["run_id"].nunique() or len(ablation.variants) * len(ablation.seeds)
    lines = [
        *([f"command: {command}"] if command else []),
        f"runs: {len(done)} of {planned} finished",
        f"seeds: {', '.join(map(str, sorted(set(done['seed'])))) or 'none'}",
        f"protocol: {_protocols(done)}",
        f"code: {_distinct(done['code'])}",
        f"machine: {_distinct(done['machine'])}",
    ]
    if dates := sorted(filter(None, done["finished"])):
        lines.append(f"finished: {' to '.join(dict.fromkeys((dates[0], dates[-1])))} UTC")
    if done["seconds"].notna().any():
        lines.append(f"time: {done['seconds'].sum() / 60:.1f} minutes of training and evaluation in total")
    variants = [f"{name}: {' '.join(overrides) or 'no overrides'}" for name, overrides in ablation.variants.items()]
    return [*lines, *variants, f"all variants: {' '.join(ablation.base) or 'no overrides'}"]


def _protocols(runs: DataFrame) -> str:
    """The hashes, and which scores were computed in different ways; different hashes alone do not imply it."""
    hashes = ", ".join(sorted({protocol or "unknown" for protocol in runs["protocol"]})) or "unknown"
    if scores := mixed(runs):
        return f"{hashes} (mixed, compare with care: {preview(list(scores))})"
    return f"{hashes} (each score was computed the same way in all runs)" if ", " in hashes else hashes


def _distinct(values: Iterable[str]) -> str:
    distinct = sorted({value or "unknown" for value in values})
    return (", ".join(distinct) or "unknown") + (" (mixed, compare with care)" if len(distinct) > 1 else "")

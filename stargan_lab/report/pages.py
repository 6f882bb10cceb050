"""The report of an ablation: pages in several formats, figures, and a CSV file of its runs."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import ConfigError, preview, unknown
from stargan_lab.files import write_text
from stargan_lab.report import tables
from stargan_lab.report.comparable import check_comparable, mixed
from stargan_lab.report.figures import draw_plot
from stargan_lab.report.image_strip import draw_strip
from stargan_lab.report.runs import finished, write_csv
from stargan_lab.report.warning_marks import WarningMarks

FORMATS = ("md", "csv", "html", "tex")
EXPECTED = {
    "better": "the variants score better than the baseline",
    "worse": "the variants score worse than the baseline",
    "same": "no difference from the baseline",
    "unknown": "not stated",
}
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
) -> list[Path]:
    """Write ``out/report.<format>``, ``metrics.png`` and ``strip.png``, each atomically.

    Args:
        runs: as ``report.runs.collect`` returns them.
        allow_mixed: accept runs that were scored in different ways or trained with different code; the page says so.
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
    plot, strip = out / "metrics.png", out / "strip.png"
    drawn = {plot: draw_plot(ablation, runs, plot), strip: draw_strip(runs, strip)}
    for path in drawn:
        if not drawn[path]:
            path.unlink(missing_ok=True)  # from an earlier report
    figures = [path for path in drawn if drawn[path]]
    pages = [out / f"report.{name}" for name in dict.fromkeys(formats)]
    for path in pages:
        if path.suffix == ".csv":
            write_csv(runs, path)
        else:
            write_text(path, _render(path.suffix[1:], ablation, runs, figures))
    return [*pages, *figures]


def report_text(ablation: Ablation, runs: DataFrame) -> str:
    """The report for a terminal, without figures."""
    return _render("txt", ablation, runs, [])


def _render(format_name: str, ablation: Ablation, runs: DataFrame, figures: Sequence[Path]) -> str:
    environment = Environment(
        loader=PackageLoader("stargan_lab.report"),
        autoescape=format_name == "html",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(tex=tex, aligned=aligned, base64=lambda path: b64encode(path.read_bytes()).decode())
    page = environment.get_template("report.j2").render(
        markup=f"{format_name}.j2",
        ablation=ablation,
        expected=_expected(ablation),
        tables=tables,
        runs=runs,
        warnings=WarningMarks(runs).lines(),
        figures={path.name: path for path in figures},
        provenance=_provenance(ablation, runs),
    )
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"


def _expected(ablation: Ablation) -> str:
    """What the claim predicts, in one sentence if it predicts the same for every variant."""
    outcomes = set(ablation.expected.values())
    if len(outcomes) == 1:
        return EXPECTED[outcomes.pop()]
    return "; ".join(f"{variant}: {outcome}" for variant, outcome in ablation.expected.items())


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


def _provenance(ablation: Ablation, runs: DataFrame) -> list[str]:
    done = finished(runs)
    lines = [
        f"runs: {len(done)} of {len(ablation.variants) * len(ablation.seeds)} finished",
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

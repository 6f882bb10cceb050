"""Write the report of one ablation: a page in several formats, its figures and its CSV."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import ConfigError, unknown
from stargan_lab.files import write_text
from stargan_lab.report.comparable import check_comparable, listed, mixed
from stargan_lab.report.document import (
    Block,
    Bullets,
    Heading,
    Image,
    Paragraph,
    to_html,
    to_markdown,
    to_tex,
    to_text,
)
from stargan_lab.report.figures import plot
from stargan_lab.report.marks import Marks
from stargan_lab.report.rows import RunRow
from stargan_lab.report.spreadsheet import write_csv
from stargan_lab.report.strip import strip
from stargan_lab.report.table import (
    absent,
    domain_table,
    further_metrics,
    further_table,
    legend,
    main_metrics,
    main_table,
)

FORMATS = ("md", "csv", "html", "tex")
EXPECTED = {
    "better": "the variants do better than the baseline",
    "worse": "the variants do worse than the baseline",
    "same": "no difference",
    "unknown": "nothing in particular",
}


def build(
    ablation: Ablation,
    rows: Sequence[RunRow],
    out: Path,
    formats: Sequence[str] = ("md", "csv", "html"),
    allow_mixed: bool = False,
    findings: Sequence[Block] = (),
) -> list[Path]:
    """Write ``out/report.<format>``, ``metrics.png`` and ``strip.png``, each atomically.

    Args:
        out: the folder, e.g. ``outputs/reports/NAME``.
        allow_mixed: take rows that were scored in several ways or made by several sources of code, and say so.
        findings: further blocks, put after the claim: verdicts, what else differs between variants.
    Returns:
        The files written, the pages first.
    Raises:
        LabError: the rows are not comparable, or samples cannot be read.
        ConfigError: a format there is not.
    """
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(unknown("format", name, FORMATS))
    if not allow_mixed:
        check_comparable(ablation, rows)
    figures = []
    for file, drawn in (
        ("metrics.png", plot(ablation, rows, out / "metrics.png")),
        ("strip.png", strip(rows, out / "strip.png")),
    ):
        if drawn:
            figures.append(out / file)
        else:
            (out / file).unlink(missing_ok=True)  # of an earlier report, which had runs that are gone
    blocks = page(ablation, rows, figures, findings)
    pages = {
        "md": lambda: to_markdown(blocks, out),
        "html": lambda: to_html(blocks, ablation.title),
        "tex": lambda: to_tex(blocks, out),
    }
    written = []
    for name in dict.fromkeys(formats):
        path = out / f"report.{name}"
        if name == "csv":
            write_csv(rows, path)
        else:
            write_text(path, pages[name]())
        written.append(path)
    return [*written, *figures]


def terminal(ablation: Ablation, rows: Sequence[RunRow], findings: Sequence[Block] = ()) -> str:
    """The report as text for a terminal, without images."""
    return to_text(page(ablation, rows, (), findings))


def page(
    ablation: Ablation, rows: Sequence[RunRow], figures: Sequence[Path], findings: Sequence[Block] = ()
) -> list[Block]:
    """The report's content."""
    blocks: list[Block] = [Heading(ablation.title, 1), *_claim(ablation), *findings]
    blocks += [Heading("Results"), main_table(ablation, rows)]
    if warnings := Marks(rows).lines():
        blocks += [Paragraph("Warnings; a letter stands at each score that one concerns:"), Bullets(tuple(warnings))]
    if missing := absent(ablation, rows):
        blocks += [Paragraph("Not in the table:"), Bullets(tuple(missing))]
    captions = {
        "metrics.png": "Each dot is a run, the runs of one seed are joined, the bar is the mean.",
        "strip.png": "The same picture of each dataset, by the first finished run of each variant at its last step.",
    }
    blocks += [Image(path, captions[path.name]) for path in figures]
    if (further := further_table(ablation, rows)) is not None:
        blocks += [Heading("Further scores"), further]
    if (domains := domain_table(ablation, rows, ablation.primary)) is not None:
        blocks += [Heading("By domain"), domains]
    metrics = [*main_metrics(ablation, rows), *further_metrics(ablation, rows)]
    blocks += [Heading("Metrics"), Bullets(tuple(legend(metrics)))]
    blocks += [Heading("How it was made"), Bullets(tuple(_circumstances(ablation, rows)))]
    return blocks


def _claim(ablation: Ablation) -> list[Block]:
    source = f" ({ablation.source})" if ablation.source else ""
    return [
        Paragraph(f"Claim: {ablation.claim}{source}"),
        Paragraph(
            f"Expected on {ablation.primary}, the primary metric: {EXPECTED[ablation.expected]} ({ablation.baseline})."
        ),
    ]


def _circumstances(ablation: Ablation, rows: Sequence[RunRow]) -> list[str]:
    usable = [row for row in rows if row.usable]
    planned = len(ablation.variants) * len(ablation.seeds)
    lines = [
        f"runs: {len(usable)} finished of {planned} planned",
        f"seeds: {', '.join(map(str, sorted({row.seed for row in usable}))) or 'none'}",
        f"protocol: {_protocols(usable)}",
        f"code: {_all(row.code for row in usable)}",
        f"machine: {_all(row.machine for row in usable)}",
    ]
    if dates := sorted(row.finished for row in usable if row.finished):
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        lines.append(f"finished: {span} UTC")
    if times := [row.seconds for row in usable if row.seconds is not None]:
        lines.append(f"time: {sum(times) / 60:.1f} minutes of training and scoring in all")
    lines += [f"{variant}: {' '.join(overrides) or 'the base'}" for variant, overrides in ablation.variants.items()]
    return [*lines, f"base: {' '.join(ablation.base) or 'the defaults'}"]


def _protocols(rows: Sequence[RunRow]) -> str:
    """The hashes, and which scores were made in different ways; several hashes alone need not mean that."""
    kinds = ", ".join(sorted({row.protocol or "unknown" for row in rows})) or "unknown"
    if found := mixed(rows):
        return f"{kinds} (mixed: compare with care: {listed(list(found))})"
    return f"{kinds} (every score in the tables was made alike)" if ", " in kinds else kinds


def _all(values: Iterable[str]) -> str:
    kinds = sorted({value or "unknown" for value in values})
    mixed = " (mixed: compare with care)" if len(kinds) > 1 else ""
    return ", ".join(kinds) + mixed if kinds else "unknown"

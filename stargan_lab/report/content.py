"""What a report says: its tables and sentences, computed once for all formats and figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import preview
from stargan_lab.report import audit_table, looks, tables, variance_tables
from stargan_lab.report.collect_runs import finished
from stargan_lab.report.comparable import mixed, protocol_of
from stargan_lab.report.effects import effect_table, effects, grid_tables, sentences
from stargan_lab.report.evaluations import evaluated_runs
from stargan_lab.report.warning_marks import WarningMarks


@dataclass(frozen=True)
class Content:
    """The parts of a page, in the order in which it shows them.

    Attributes:
        runs: as ``report.runs.collect`` returns them.
        effects: metric of the main table -> its effects and verdicts, as numbers.
        command: the command that repeats the runs.
        selection: arguments of ``evaluate`` that name the runs.
        notes: lines under the title, among them one for each secondary metric that no run has.
        look: which look of a sweep until decided this is; empty for other sweeps.
        answers: the verdicts on the primary metric in words; empty if it has no direction.
        effect, secondary: effects and verdicts as text, on the primary metric and on each secondary one.
        main, warnings, missing: scores of each variant, warnings that affect them, and runs without a score.
        grid: title -> main effects and interactions of a grid.
        variance: table of effects -> its variance: by metric, ``primary`` and ``secondary``, and by title of ``grid``.
        sources: ``main``, ``domains`` and ``further`` -> the sources of variance of its scores.
        differing, equal: the audit's quantities that differ between variants, and those that are equal in all.
        domains, further: the primary metric per domain, and the scores that are not in the main table.
        protocols: metric of the main table -> hashes of what its values depend on.
        legend, provenance: lines that describe the metrics, and where the runs come from.
    """

    ablation: Ablation
    runs: DataFrame
    effects: Mapping[str, DataFrame]
    command: str
    selection: str
    notes: Sequence[str]
    look: str
    answers: Sequence[str]
    effect: DataFrame
    main: DataFrame
    warnings: Sequence[str]
    missing: Sequence[str]
    secondary: Mapping[str, DataFrame]
    grid: Mapping[str, DataFrame]
    variance: Mapping[str, DataFrame]
    sources: Mapping[str, DataFrame]
    differing: DataFrame
    equal: Sequence[str]
    domains: DataFrame
    further: DataFrame
    protocols: Mapping[str, str]
    legend: Sequence[str]
    provenance: Sequence[str]


def content_of(
    ablation: Ablation, runs: DataFrame, command: str = "", notes: Sequence[str] = (), selection: str = ""
) -> Content:
    """Everything that the pages of a report show.

    Args:
        runs: as ``report.runs.collect`` returns them.
        command: the command that repeats the runs; shown with the provenance.
        notes: lines under the title.
        selection: arguments of ``evaluate`` that name the runs; by default those of an ablation.
    Raises:
        LabError: an evaluation of a run cannot be read.
    """
    primary = ablation.primary
    by_metric = {name: effects(ablation, runs, name) for name in tables.main_metrics(ablation, runs)}
    text = {
        name: effect_table(ablation, runs, name, by_metric[name])
        for name in (primary, *ablation.secondary)
        if name in by_metric
    }
    shown = [name for name, table in text.items() if table.size]
    answers = sentences(ablation, runs, by_metric[primary])
    return Content(
        ablation=ablation,
        runs=runs,
        effects=by_metric,
        command=command,
        selection=selection or f"--of {ablation.name}",
        notes=[*notes, *tables.missing_metrics(ablation, runs)],
        look=looks.note(ablation, runs),
        answers=answers,
        effect=text.pop(primary),
        main=tables.main_table(ablation, runs),
        warnings=WarningMarks(runs).lines(),
        missing=tables.missing_runs(ablation, runs),
        secondary={name: table for name, table in text.items() if table.size},
        grid=grid_tables(ablation, runs, primary),
        variance={name: variance_tables.variance_table(ablation, runs, name) for name in shown}
        | variance_tables.grid_variance(ablation, runs, primary),
        sources=_sources(ablation, runs),
        differing=audit_table.audit_table(ablation, runs),
        equal=audit_table.equal_in_all(ablation, runs),
        domains=tables.domain_table(ablation, runs),
        further=tables.further_table(ablation, runs),
        protocols={name: protocol_of(runs, name) for name in by_metric},
        legend=tables.legend(ablation, runs),
        provenance=_provenance(ablation, runs, command),
    )


def _sources(ablation: Ablation, runs: DataFrame) -> dict[str, DataFrame]:
    """The sources of variance for each table of scores."""
    titles = {
        "main": tables.labels(runs, tables.main_metrics(ablation, runs)),
        "domains": tables.domains(ablation, runs),
        "further": tables.labels(runs, tables.further_metrics(ablation, runs)),
    }
    evaluated = evaluated_runs(ablation, runs, [name for each in titles.values() for name in each])
    return {
        table: variance_tables.sources_table(ablation, runs, evaluated, of_table) for table, of_table in titles.items()
    }


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
    """The hashes, and the scores that were computed in different ways, which different hashes alone do not imply."""
    hashes = ", ".join(sorted({protocol or "unknown" for protocol in runs["protocol"]})) or "unknown"
    if scores := mixed(runs):
        return f"{hashes} (mixed; compare with caution: {preview(list(scores))})"
    return f"{hashes} (each score was computed the same way in all runs)" if ", " in hashes else hashes


def _distinct(values: Iterable[str]) -> str:
    distinct = sorted({value or "unknown" for value in values})
    return (", ".join(distinct) or "unknown") + (" (mixed; compare with caution)" if len(distinct) > 1 else "")

"""Means, deviations and differences paired by seed; as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.document import Table
from stargan_lab.report.marks import Marks
from stargan_lab.report.rows import NETWORKS, NOT_SCORED, RunRow, scores
from stargan_lab.tracking.metrics import Metric, lookup


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (divided by n - 1; None where n < 2) of n values."""

    mean: float
    sd: float | None
    n: int

    def show(self, metric: Metric, signed: bool = False) -> str:
        """``0.431 ± 0.012 (3)``."""
        sd = "" if self.sd is None else f" ± {metric.show(self.sd)}"
        return f"{metric.show(self.mean, signed)}{sd} ({self.n})"


def summarise(values: Sequence[float]) -> Summary | None:
    """None for no values."""
    if not values:
        return None
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def by_seed(rows: Sequence[RunRow], variant: str, metric: str) -> dict[int, float]:
    """The metric of each seed's finished run of a variant."""
    usable = [row for row in rows if row.variant == variant and row.usable]
    return {row.seed: row.metrics[metric] for row in usable if metric in row.metrics}


def paired_differences(rows: Sequence[RunRow], variant: str, baseline: str, metric: str) -> dict[int, float]:
    """Variant minus baseline for each seed both have."""
    ours, theirs = by_seed(rows, variant, metric), by_seed(rows, baseline, metric)
    return {seed: ours[seed] - theirs[seed] for seed in sorted(ours) if seed in theirs}


def main_metrics(ablation: Ablation, rows: Sequence[RunRow]) -> list[str]:
    """The scores of the main table: the primary one first, then all other main ones that a finished run has."""
    return [ablation.primary, *(s for s in scores(rows) if lookup(s).main and s != ablation.primary)]


def further_metrics(ablation: Ablation, rows: Sequence[RunRow]) -> list[str]:
    """The scores that a finished run has and the main table has not."""
    return [s for s in scores(rows) if not lookup(s).main and s != ablation.primary]


def main_table(ablation: Ablation, rows: Sequence[RunRow]) -> Table:
    """A line per variant: mean ± sd (n) of each score, the paired difference of the primary one, sizes and speed."""
    metrics = main_metrics(ablation, rows)
    lookup_of = {name: lookup(name) for name in metrics}
    short = lookup_of[ablation.primary].name.split("/", 1)[1]
    header = ["variant", lookup_of[metrics[0]].label, f"Δ {short}", *(lookup_of[name].label for name in metrics[1:])]
    header += ["G params", "D params", "s/step"]
    marks, lines = Marks(rows), []
    for variant in ablation.variants:
        cells = [_cell(rows, variant, name, marks) for name in metrics]
        cells.insert(1, _difference(ablation, rows, variant, lookup_of[metrics[0]]))
        lines.append((_named(ablation, variant), *cells, *_costs(rows, variant)))
    caption = (
        f"Mean ± standard deviation over seeds (number of runs). Δ {short}: difference to {ablation.baseline}, "
        "paired by seed. ↑ higher is better, ↓ lower is better."
    )
    return Table(tuple(header), tuple(lines), caption)


def further_table(ablation: Ablation, rows: Sequence[RunRow]) -> Table | None:
    """A line per score that the main table leaves out, a column per variant; None where there is none."""
    metrics = further_metrics(ablation, rows)
    if not metrics:
        return None
    marks = Marks(rows)
    lines = [(lookup(m).label, *(_cell(rows, variant, m, marks) for variant in ablation.variants)) for m in metrics]
    header = ("score", *(_named(ablation, variant) for variant in ablation.variants))
    return Table(header, tuple(lines), "Mean ± standard deviation over seeds (number of runs).")


def domain_table(ablation: Ablation, rows: Sequence[RunRow], metric: str) -> Table | None:
    """The metric per domain; None where there are no domains."""
    found = [name for row in rows if row.usable for name in row.metrics if name.startswith(f"{metric}/")]
    if not found:
        return None
    domains, marks, lines = list(dict.fromkeys(found)), Marks(rows), []
    for variant in ablation.variants:
        lines.append((_named(ablation, variant), *(_cell(rows, variant, name, marks) for name in domains)))
    header = ("variant", *(name.removeprefix(f"{metric}/") for name in domains))
    caption = f"{lookup(metric).label} per domain, mean ± standard deviation over seeds (number of runs)."
    return Table(header, tuple(lines), caption)


def absent(ablation: Ablation, rows: Sequence[RunRow]) -> list[str]:
    """One line for each cell of the ablation that is not in the table: which, and why."""
    found = {(row.variant, row.seed): row for row in rows}
    lines = []
    for variant in ablation.variants:
        seeds = [*ablation.seeds, *(s for v, s in found if v == variant and s not in ablation.seeds)]
        for seed in seeds:
            row = found.get((variant, seed))
            if row is None:
                lines.append(f"{variant}, seed {seed}: no run")
            elif row.status == NOT_SCORED:
                lines.append(f"{variant}, seed {seed}: {row.error}")
            elif not row.usable:
                lines.append(
                    f"{variant}, seed {seed}: {row.status} (run {row.run_id}){f': {row.error}' if row.error else ''}"
                )
            elif ablation.primary not in row.metrics:
                lines.append(f"{variant}, seed {seed}: has no {ablation.primary} (run {row.run_id})")
    return lines


def legend(metrics: Sequence[str]) -> list[str]:
    """What each metric means."""
    found: Mapping[str, Metric] = {lookup(name).name: lookup(name) for name in metrics}
    return [f"{metric.label}: {metric.meaning}" for metric in found.values()]


def _named(ablation: Ablation, variant: str) -> str:
    return f"{variant} (baseline)" if variant == ablation.baseline else variant


def _cell(rows: Sequence[RunRow], variant: str, metric: str, marks: Marks) -> str:
    """``0.431 ± 0.012 (3) [a]``; a dash where no run has it."""
    summary = summarise(list(by_seed(rows, variant, metric).values()))
    return ("–" if summary is None else summary.show(lookup(metric))) + marks.of(variant, metric)


def _difference(ablation: Ablation, rows: Sequence[RunRow], variant: str, metric: Metric) -> str:
    if variant == ablation.baseline:
        return "–"
    differences = paired_differences(rows, variant, ablation.baseline, ablation.primary)
    summary = summarise(list(differences.values()))
    return "–" if summary is None else summary.show(metric, signed=True)


def _costs(rows: Sequence[RunRow], variant: str) -> list[str]:
    usable = [row for row in rows if row.variant == variant and row.usable]
    cells = []
    for network in NETWORKS:
        counts = sorted({row.parameters[network] for row in usable if network in row.parameters})
        cells.append(" / ".join(f"{count:,}" for count in counts) or "–")
    seconds = [row.seconds_per_step for row in usable if row.seconds_per_step is not None]
    return [*cells, f"{fmean(seconds):.3g}" if seconds else "–"]

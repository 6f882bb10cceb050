"""Means, deviations and differences paired by seed; as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from stargan_lab.errors import LabError
from stargan_lab.hypothesis import Hypothesis
from stargan_lab.report.document import Table
from stargan_lab.report.rows import NETWORKS, RunRow
from stargan_lab.tracking.metrics import Metric, lookup, names


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


def main_metrics(hypothesis: Hypothesis, rows: Sequence[RunRow]) -> list[str]:
    """The scores a table shows: the primary one first, then all others that a finished run has; none per domain."""
    present = {name for row in rows if row.usable for name in row.metrics}
    scores = [name for name in names() if name.startswith("eval/") and name in present]
    return [hypothesis.primary, *(name for name in scores if name != hypothesis.primary)]


def check_comparable(rows: Sequence[RunRow]) -> None:
    """Refuse rows that were not scored alike or not made by the same code.

    Raises:
        LabError: names the first two that differ.
    """
    usable = [row for row in rows if row.usable]
    again = "delete the folders of the older runs and sweep again"
    advice = {"protocol": again, "code": again}
    for what, mend in advice.items():
        kinds: dict[str, RunRow] = {}
        for row in usable:
            kinds.setdefault(getattr(row, what), row)
        if len(kinds) > 1:
            one, other = list(kinds.items())[:2]
            pair = f"{one[0] or 'none'} of run {one[1].run_id} and {other[0] or 'none'} of run {other[1].run_id}"
            raise LabError(f"the rows mix {len(kinds)} values of {what} ({pair}): {mend}, or --allow-mixed")


def main_table(hypothesis: Hypothesis, rows: Sequence[RunRow]) -> Table:
    """A line per variant: mean ± sd (n) of each score, the paired difference of the primary one, sizes and speed."""
    metrics = main_metrics(hypothesis, rows)
    lookup_of = {name: lookup(name) for name in metrics}
    short = lookup_of[hypothesis.primary].name.split("/", 1)[1]
    header = ["variant", lookup_of[metrics[0]].label, f"Δ {short}", *(lookup_of[name].label for name in metrics[1:])]
    header += ["G params", "D params", "s/step"]
    lines = []
    for variant in hypothesis.variants:
        cells = [_cell(summarise(list(by_seed(rows, variant, name).values())), lookup_of[name]) for name in metrics]
        cells.insert(1, _difference(hypothesis, rows, variant, lookup_of[metrics[0]]))
        lines.append((_named(hypothesis, variant), *cells, *_costs(rows, variant)))
    caption = (
        f"Mean ± standard deviation over seeds (number of runs). Δ {short}: difference to {hypothesis.baseline}, "
        "paired by seed. ↑ higher is better, ↓ lower is better."
    )
    return Table(tuple(header), tuple(lines), caption)


def domain_table(hypothesis: Hypothesis, rows: Sequence[RunRow], metric: str) -> Table | None:
    """The metric per domain; None where there are no domains."""
    found = [name for row in rows if row.usable for name in row.metrics if name.startswith(f"{metric}/")]
    if not found:
        return None
    domains = list(dict.fromkeys(found))
    kind = lookup(metric)
    lines = []
    for variant in hypothesis.variants:
        cells = [_cell(summarise(list(by_seed(rows, variant, name).values())), kind) for name in domains]
        lines.append((_named(hypothesis, variant), *cells))
    header = ("variant", *(name.removeprefix(f"{metric}/") for name in domains))
    return Table(
        header, tuple(lines), f"{kind.label} per domain, mean ± standard deviation over seeds (number of runs)."
    )


def absent(hypothesis: Hypothesis, rows: Sequence[RunRow]) -> list[str]:
    """One line for each cell of the hypothesis that is not in the table: which, and why."""
    found = {(row.variant, row.seed): row for row in rows}
    lines = []
    for variant in hypothesis.variants:
        seeds = [*hypothesis.seeds, *(s for v, s in found if v == variant and s not in hypothesis.seeds)]
        for seed in seeds:
            row = found.get((variant, seed))
            if row is None:
                lines.append(f"{variant}, seed {seed}: no run")
            elif not row.usable:
                lines.append(
                    f"{variant}, seed {seed}: {row.status} (run {row.run_id}){f': {row.error}' if row.error else ''}"
                )
            elif hypothesis.primary not in row.metrics:
                lines.append(f"{variant}, seed {seed}: has no {hypothesis.primary} (run {row.run_id})")
    return lines


def legend(metrics: Sequence[str]) -> list[str]:
    """What each metric means."""
    found: Mapping[str, Metric] = {lookup(name).name: lookup(name) for name in metrics}
    return [f"{metric.label}: {metric.meaning}" for metric in found.values()]


def _named(hypothesis: Hypothesis, variant: str) -> str:
    return f"{variant} (baseline)" if variant == hypothesis.baseline else variant


def _cell(summary: Summary | None, metric: Metric) -> str:
    return "–" if summary is None else summary.show(metric)


def _difference(hypothesis: Hypothesis, rows: Sequence[RunRow], variant: str, metric: Metric) -> str:
    if variant == hypothesis.baseline:
        return "–"
    differences = paired_differences(rows, variant, hypothesis.baseline, hypothesis.primary)
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

"""One look of a sweep until decided: which variants need another seed, and the text about it (docs/statistics.md)."""

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import counted
from stargan_lab.report.collect_runs import finished
from stargan_lab.report.effects import values_of
from stargan_lab.tracking.run_folder import FAILED

DECIDED = ("better", "worse", "equivalent", "failed")


def to_train(ablation: Ablation, runs: DataFrame, table: DataFrame) -> list[str]:
    """The variants to train with another seed: the undecided ones and those they are compared with.

    A decided variant gets no more seeds: more pairs could only revoke its verdict, and the levels allow a variant to
    stop at any look. A variant with a failed run stops too, since it can no longer be better or equivalent; so does one
    whose baseline failed in at least half of its runs, because its number of pairs hardly grows.

    Args:
        table: the primary metric's ``effects``.
    """
    values = values_of(ablation, runs, ablation.primary)
    failed = values["value"].isna().groupby(values["variant"]).mean()
    left = table[(table["verdict"] == "undecided") & (table["failures"] == 0) & (table["baseline"].map(failed) < 0.5)]
    needed = {*left["variant"], *left["baseline"]}
    return [variant for variant in ablation.variants if variant in needed]


def obstacle(ablation: Ablation, runs: DataFrame) -> str:
    """Why there can be no further look yet: unfinished runs, or a finished one without a value; empty if it can."""
    unfinished = runs[~runs["status"].isin(["finished", *FAILED])]
    if len(unfinished):
        return f"{counted(len(unfinished), 'run')} not finished; repeat the command to continue"
    values = finished(runs).reindex(columns=["run_id", ablation.primary]).set_index("run_id")[ablation.primary]
    without = list(values.index[values.isna()])
    return f"run {without[0]} finished without {ablation.primary}" if without else ""


def look_title(ablation: Ablation, runs: DataFrame) -> str:
    """``look 3 of 18``, from the number of seeds in ``runs``."""
    first, last = ablation.looks or (0, 0)
    return f"look {runs['seed'].nunique() - first + 1} of {last - first + 1}"


def count(table: DataFrame) -> str:
    """``3 of 4 verdicts`` in the primary metric's ``effects``."""
    verdicts = table["verdict"]
    return f"{verdicts.isin(DECIDED).sum()} of {counted(len(verdicts), 'verdict')}"


def note(ablation: Ablation, runs: DataFrame) -> str:
    """The line of a report about the looks; empty for a single one."""
    if not ablation.looks:
        return ""
    first, last = ablation.looks
    return (
        f"sequential: {look_title(ablation, runs)} (one look per number of seeds from {first} to {last});"
        " intervals and p-values are corrected for all looks"
    )

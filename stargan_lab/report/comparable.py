"""Whether runs may stand in one table: each score made alike, by the same code."""

from collections.abc import Sequence

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.evaluation.protocol import differences, metric_protocol
from stargan_lab.report.rows import RunRow, scores

SHOWN = 3
"""How many differences one line names."""


def mixed(rows: Sequence[RunRow]) -> dict[str, tuple[RunRow, RunRow]]:
    """Each score whose values were not all made alike, with the first two runs that differ."""
    found = {}
    for score in scores(rows):
        having = [row for row in rows if row.usable and score in row.metrics]
        others = [row for row in having if row.identity(score) != having[0].identity(score)]
        if others:
            found[score] = (having[0], others[0])
    return found


def check_comparable(ablation: Ablation, rows: Sequence[RunRow]) -> None:
    """Refuse rows that have a score made in different ways, or that were not made by the same code.

    Whole protocols may differ: a score that some rows have not, for want of weights, does not keep the others apart.

    Raises:
        LabError: names the score, the first two runs that differ, what differs, and what mends it.
    """
    if found := mixed(rows):
        score, (one, other) = next(iter(found.items()))
        more = f" and {len(found) - 1} further score{'s' if len(found) > 2 else ''}" if len(found) > 1 else ""
        raise LabError(
            f"{score}{more}: runs {one.run_id} and {other.run_id} were scored differently ({_why(score, one, other)}): "
            f"`stargan-lab evaluate --of {ablation.name} …` scores all alike; "
            "or take one scoring by --protocol HASH, or --allow-mixed"
        )
    kinds: dict[str, RunRow] = {}
    for row in (row for row in rows if row.usable):
        kinds.setdefault(row.code, row)
    if len(kinds) > 1:
        (code, one), (other_code, other) = list(kinds.items())[:2]
        pair = f"{code or 'none'} of run {one.run_id} and {other_code or 'none'} of run {other.run_id}"
        mend = "delete the folders of the older runs and sweep again"
        raise LabError(f"the rows mix {len(kinds)} values of code ({pair}): {mend}, or --allow-mixed")


def listed(words: Sequence[str], separator: str = ", ") -> str:
    """The first few, and how many more there are."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return separator.join(words[:SHOWN]) + more


def _why(score: str, one: RunRow, other: RunRow) -> str:
    """What differs; where only the identities are known, those."""
    if one.facts and other.facts:
        found = differences(metric_protocol(one.facts, score), metric_protocol(other.facts, score))
        if found:
            return listed(found, "; ")
    return f"protocol {one.identity(score) or 'unknown'}, {other.identity(score) or 'unknown'}"

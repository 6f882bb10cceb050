"""Which cells of an ablation are left to train, and the status of each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from stargan_lab.ablation.plan import Cell
from stargan_lab.console import rounded_duration, say
from stargan_lab.errors import LabError, counted, printable
from stargan_lab.runs.finished import tag_finished
from stargan_lab.tracking.run_folder import DAMAGED, FAILED, RunFolder


def folder_of(cell: Cell) -> RunFolder:
    return RunFolder(Path(cell.config.paths.outputs) / "runs" / cell.run_id)


_LONGEST_REASON = 120


class State(NamedTuple):
    """What a cell's run has recorded.

    Attributes:
        status: as in ``RunFolder``, or DAMAGED if its records cannot be read.
        reason: why it failed, diverged or is damaged; one line, else empty.
        result: the content of result.json; empty if there is none.
    """

    status: str
    reason: str
    result: dict[str, Any]


def state(cell: Cell) -> State:
    folder = folder_of(cell)
    try:
        result = folder.result()
        folder.tags(), folder.descriptions()  # which the report needs too
        status = folder.status_with(result)
    except LabError as error:  # it keeps no other run from being trained
        return State(DAMAGED, str(error), {})
    return State(status, (result or {}).get("error") or "" if status in FAILED else "", result or {})


def status(cell: Cell) -> str:
    return state(cell).status


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """The first cell of each run."""
    by_id: dict[str, Cell] = {}
    for cell in cells:
        by_id.setdefault(cell.run_id, cell)
    return list(by_id.values())


def unfinished(cells: Sequence[Cell], retry_failed: bool) -> list[Cell]:
    """The cells left to train: neither finished, nor running in another process, nor failed unless ``retry_failed``,
    nor damaged.

    Of cells that share a run, the first. Tags the runs of finished cells with the ablation.
    """
    left = []
    for cell in distinct(cells):
        now, reason, _ = state(cell)
        if _is_left(now, retry_failed):
            left.append(cell)
        elif now == DAMAGED:
            say(f"{cell.title}: {DAMAGED}: {reason}; delete {folder_of(cell).path} to train it again")
        elif now == "finished":
            tag_finished(cell.config, folder_of(cell))
        elif now == "running":
            say(f"{cell.title}: running in another process")
        else:
            say(f"{cell.title}: {now} earlier; use --retry-failed to train it again")
    return left


def count_unfinished(cells: Sequence[Cell], retry_failed: bool) -> int:
    """How many cells ``unfinished`` returns; tags and prints nothing."""
    return sum(_is_left(status(cell), retry_failed) for cell in distinct(cells))


def _is_left(now: str, retry_failed: bool) -> bool:
    return now not in ("finished", "running", DAMAGED) and (retry_failed or now not in FAILED)


def status_table(cells: Sequence[Cell]) -> str:
    """One line per cell with variant, seed, run id, status and its reason, then the number of runs per status."""
    width = max(len(cell.variant) for cell in cells)
    states = [(cell, state(cell)) for cell in cells]
    lines = [f"{c.variant:<{width}}  seed {c.seed}  {c.run_id}  {now.status}{_shown(now.reason)}" for c, now in states]
    counts = Counter({cell.run_id: now.status for cell, now in states}.values())
    return "\n".join([*lines, ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))])


def _shown(reason: str) -> str:
    text = printable(reason)
    return f": {text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + '…'}" if text else ""


def dry_run(cells: Sequence[Cell], at_a_time: int = 1) -> str:
    """One line per cell with run id, status, name and the equivalent ``train`` command, then the time left."""
    lines = []
    for cell in cells:
        shown = " ".join(o for o in cell.overrides if not o.lstrip("+").startswith("tracking."))
        lines.append(f"{cell.run_id}  {status(cell):<11}  {cell.title:<24}  stargan-lab train {shown}")
    return "\n".join([*lines, time_left(distinct(cells), at_a_time)])


def time_left(cells: Sequence[Cell], at_a_time: int = 1) -> str:
    """``9 runs left, about 2 h 10 min, 2 runs at a time``, from the seconds per step of finished runs: those of the
    cell's variant if there are any, else of all. Failed and damaged runs do not count, since a sweep leaves them out.
    """
    states = [(cell, state(cell)) for cell in cells]
    finished = [(cell, now.result) for cell, now in states if now.status == "finished" and now.result.get("seconds")]
    left = [(cell, now.result) for cell, now in states if now.status not in ("finished", DAMAGED, *FAILED)]
    if not left:
        return "0 runs left"
    runs = f"{counted(len(left), 'run')} left"
    if not finished:
        return f"{runs}; the time is estimated once a run is finished"
    rates = [(cell.variant, result["seconds"] / cell.config.total_steps) for cell, result in finished]
    of_all, seconds = fmean(rate for _, rate in rates), 0.0
    for cell, result in left:
        own = [rate for variant, rate in rates if variant == cell.variant]
        steps = cell.config.total_steps - int(result.get("step") or 0)
        seconds += max(steps, 0) * (fmean(own) if own else of_all)
    parallel = min(at_a_time, len(left))
    many = "one run" if parallel == 1 else f"{parallel} runs"
    return f"{runs}, about {rounded_duration(seconds / parallel)}, {many} at a time"

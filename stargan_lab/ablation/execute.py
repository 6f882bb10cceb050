"""Which cells of an ablation are left to train, and the status of each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from stargan_lab.ablation.plan import Cell
from stargan_lab.console import rounded_duration, say
from stargan_lab.errors import counted
from stargan_lab.runs.finished import tag_finished
from stargan_lab.tracking.run_folder import FAILED, RunFolder


def folder_of(cell: Cell) -> RunFolder:
    return RunFolder(Path(cell.config.paths.outputs) / "runs" / cell.run_id)


def status(cell: Cell) -> str:
    return folder_of(cell).status()


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """The first cell of each run."""
    by_id: dict[str, Cell] = {}
    for cell in cells:
        by_id.setdefault(cell.run_id, cell)
    return list(by_id.values())


def unfinished(cells: Sequence[Cell], retry_failed: bool) -> list[Cell]:
    """The cells left to train: neither finished, nor running in another process, nor failed unless ``retry_failed``.

    Of cells that share a run, the first. Tags the runs of finished cells with the ablation.
    """
    left = []
    for cell in distinct(cells):
        now = status(cell)
        if _is_left(now, retry_failed):
            left.append(cell)
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
    return now not in ("finished", "running") and (retry_failed or now not in FAILED)


def status_table(cells: Sequence[Cell]) -> str:
    """One line per cell with variant, seed, run id and status, then the number of runs per status."""
    width = max(len(cell.variant) for cell in cells)
    statuses = [status(cell) for cell in cells]
    lines = [f"{c.variant:<{width}}  seed {c.seed}  {c.run_id}  {now}" for c, now in zip(cells, statuses, strict=True)]
    counts = Counter({cell.run_id: now for cell, now in zip(cells, statuses, strict=True)}.values())
    return "\n".join([*lines, ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))])


def dry_run(cells: Sequence[Cell], at_a_time: int = 1) -> str:
    """One line per cell with run id, status, name and the equivalent ``train`` command, then the time left."""
    lines = []
    for cell in cells:
        shown = " ".join(o for o in cell.overrides if not o.lstrip("+").startswith("tracking."))
        lines.append(f"{cell.run_id}  {status(cell):<11}  {cell.title:<24}  stargan-lab train {shown}")
    return "\n".join([*lines, time_left(distinct(cells), at_a_time)])


def time_left(cells: Sequence[Cell], at_a_time: int = 1) -> str:
    """``9 runs left, about 2 h 10 min, 2 runs at a time``, from the seconds per step of finished runs: those of the
    cell's variant if there are any, else of all. Failed runs do not count, since a sweep leaves them out.
    """
    results = [(cell, status(cell), folder_of(cell).result() or {}) for cell in cells]
    finished = [(cell, result) for cell, now, result in results if now == "finished" and result.get("seconds")]
    left = [(cell, result) for cell, now, result in results if now not in ("finished", *FAILED)]
    if not left:
        return "0 runs left"
    runs = f"{counted(len(left), 'run')} left"
    if not finished:
        return f"{runs}; the time is estimated once a run is finished"
    rates = [(cell.variant, result["seconds"] / cell.config.total_steps) for cell, result in finished]
    of_all, seconds = fmean(rate for _, rate in rates), 0.0
    for cell, result in left:
        own = [rate for variant, rate in rates if variant == cell.variant]
        steps = cell.config.total_steps - int(result.get("step", 0))
        seconds += max(steps, 0) * (fmean(own) if own else of_all)
    parallel = min(at_a_time, len(left))
    many = "one run" if parallel == 1 else f"{parallel} runs"
    return f"{runs}, about {rounded_duration(seconds / parallel)}, {many} at a time"

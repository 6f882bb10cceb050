"""Which cells of a sweep are left, and what became of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stargan_lab.ablation.plan import Cell
from stargan_lab.console import say
from stargan_lab.runs.finished import tag_finished
from stargan_lab.tracking.run_folder import RunFolder


def status(cell: Cell) -> str:
    return RunFolder(Path(cell.config.paths.outputs) / "runs" / cell.run_id).status()


def unfinished(cells: Sequence[Cell], retry_failed: bool) -> list[Cell]:
    """The cells a sweep has to hand to a launcher.

    A finished cell only gets its tag; one that another process trains now, or that failed, is left alone.
    """
    left = []
    for cell in cells:
        now = status(cell)
        if now == "finished":
            tag_finished(cell.config, cell.run_id)
        elif now == "failed" and not retry_failed:
            say(f"{cell.title} failed before; --retry-failed tries again")
        elif now == "running":
            say(f"{cell.title} is being trained by another process")
        else:
            left.append(cell)
    return left


def status_table(cells: Sequence[Cell]) -> str:
    """A line per cell: variant, seed, run id, status."""
    width = max(len(cell.variant) for cell in cells)
    found = [status(cell) for cell in cells]
    lines = [f"{c.variant:<{width}}  seed {c.seed}  {c.run_id}  {now}" for c, now in zip(cells, found, strict=True)]
    counts = Counter(found)
    return "\n".join([*lines, ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))])


def dry_run(cells: Sequence[Cell]) -> str:
    """The plan, with each cell's overrides as one could give them to ``train``."""
    lines = []
    for cell in cells:
        shown = " ".join(o for o in cell.overrides if not o.lstrip("+").startswith("tracking."))
        lines.append(f"{cell.run_id}  {status(cell):<11}  {cell.title:<24}  stargan-lab train {shown}")
    return "\n".join(lines)

"""One row per run, from the plain files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.report.scorings import RunWarning, Scoring, find_protocol, first_scoring, scoring_under
from stargan_lab.tracking.metrics import lookup, order
from stargan_lab.tracking.run_folder import RunFolder

NETWORKS = ("generator", "discriminator")
NOT_SCORED = "not scored"
CellKey = tuple[str, int, str]


@dataclass(frozen=True)
class RunRow:
    """One run of one variant.

    Attributes:
        status: as in the ledger, or ``not scored`` under the protocol asked for; only ``finished`` rows enter a table.
        metrics: registered names, per domain too.
        parameters: trainable parameters of generator and discriminator.
        seconds_per_step, seconds: of the training; None where unknown.
        protocol, code: identities of the scoring and of the sources; empty where unknown.
        protocols: score -> identity of what its value depends on, none per domain; empty where unknown.
        facts: the whole protocol, as it is stored; empty where unknown.
        warnings: what is wrong with the scores.
        folder: where the run's files are, None where there are none.
        machine, finished, error: for the reader; ``finished`` is a UTC date and time.
    """

    variant: str
    seed: int
    run_id: str
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    seconds_per_step: float | None = None
    seconds: float | None = None
    protocol: str = ""
    protocols: dict[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[RunWarning, ...] = ()
    code: str = ""
    folder: Path | None = None
    machine: str = ""
    finished: str = ""
    error: str = ""

    @property
    def usable(self) -> bool:
        return self.status == "finished"

    def identity(self, score: str) -> str:
        """Equal for two rows where their values of ``score`` were made alike; the whole protocol's where unknown."""
        return self.protocols.get(score, self.protocol)


def scores(rows: Sequence[RunRow]) -> list[str]:
    """The scores that finished runs have, in the order of tables; none per domain."""
    present = {name for row in rows if row.usable for name in row.metrics if name.startswith("eval/")}
    return sorted({lookup(name).name for name in present} & present, key=order)


def collect(ablation: Ablation, cells: Sequence[CellKey], outputs: Path, protocol: str | None = None) -> list[RunRow]:
    """The rows of ``cells`` (variant, seed, run id) from the files under ``outputs/runs``, in the ablation's order.

    A cell that never began is a row too, with status ``planned``.

    Args:
        protocol: hash, or its beginning, of the scoring to take; None takes that of the run itself.
    Raises:
        LabError: a cell names a variant the ablation has not, a record is damaged, or no run has such a scoring.
    """
    variants = list(ablation.variants)
    for variant, _, run_id in cells:
        if variant not in variants:
            raise LabError(f"run {run_id}: {ablation.name} has no variant {variant!r}")
    ordered = sorted(cells, key=lambda cell: (variants.index(cell[0]), cell[1]))
    folders = [RunFolder(outputs / "runs" / run_id) for _, _, run_id in ordered]
    if protocol is not None:
        protocol = find_protocol(protocol, folders)
    return [_row(cell, folder, protocol) for cell, folder in zip(ordered, folders, strict=True)]


def _row(cell: CellKey, folder: RunFolder, protocol: str | None) -> RunRow:
    result, tags = folder.result() or {}, folder.tags()
    end = result.get("finished_at")
    row = RunRow(
        variant=cell[0],
        seed=cell[1],
        run_id=folder.run_id,
        status=folder.status(),
        parameters={str(name): int(count) for name, count in (result.get("parameters") or {}).items()},
        seconds_per_step=result.get("seconds_per_step"),
        seconds=result.get("seconds"),
        code=str(tags.get("code", "")),
        folder=folder.path if folder.path.is_dir() else None,
        machine=str(result.get("machine") or tags.get("machine", "")),
        finished=datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M") if end else "",
        error=str(result.get("error") or ""),
    )
    if protocol is None or not row.usable:
        return _scored(row, first_scoring(folder))
    if (scoring := scoring_under(folder, protocol)) is None:
        reason = f"not scored under protocol {protocol}; stargan-lab evaluate {folder.run_id} …"
        return replace(row, status=NOT_SCORED, error=reason)
    return _scored(row, scoring)


def _scored(row: RunRow, scoring: Scoring) -> RunRow:
    return replace(
        row,
        metrics=scoring.metrics,
        protocol=scoring.hash,
        protocols=scoring.identities(),
        facts=scoring.facts,
        warnings=scoring.warnings,
    )

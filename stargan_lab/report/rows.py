"""One row per run: from the plain files, or from a report's own CSV."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stargan_lab.errors import LabError
from stargan_lab.files import canonical_hash, write_text
from stargan_lab.hypothesis import Hypothesis
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.records import RunFolder

NETWORKS = ("generator", "discriminator")
_TEXT = ("variant", "seed", "run_id", "status", "protocol", "code", "machine", "finished", "error")
_NUMBERS = ("seconds", "seconds_per_step", *(f"parameters.{network}" for network in NETWORKS))
Cell = tuple[str, int, str]


@dataclass(frozen=True)
class RunRow:
    """One run of one variant.

    Attributes:
        status: as in the ledger; only ``finished`` rows enter a table.
        metrics: registered names, per domain too.
        parameters: trainable parameters of generator and discriminator.
        seconds_per_step, seconds: of the training; None where unknown.
        protocol, code: identities of the scoring and of the sources; empty where unknown.
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
    code: str = ""
    folder: Path | None = None
    machine: str = ""
    finished: str = ""
    error: str = ""

    @property
    def usable(self) -> bool:
        return self.status == "finished"


def collect(hypothesis: Hypothesis, cells: Sequence[Cell], outputs: Path) -> list[RunRow]:
    """The rows of ``cells`` (variant, seed, run id) from the files under ``outputs/runs``, in the hypothesis's order.

    A cell that never began is a row too, with status ``planned``.

    Raises:
        LabError: a cell names a variant the hypothesis has not, or a record is damaged.
    """
    order = list(hypothesis.variants)
    for variant, _, run_id in cells:
        if variant not in order:
            raise LabError(f"run {run_id}: {hypothesis.name} has no variant {variant!r}")
    ordered = sorted(cells, key=lambda cell: (order.index(cell[0]), cell[1]))
    return [_row(variant, seed, RunFolder(outputs / "runs" / run_id)) for variant, seed, run_id in ordered]


def write_csv(rows: Sequence[RunRow], path: Path) -> None:
    """A row per run; numbers in full, folders relative to the file."""
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*_TEXT, *_NUMBERS, "folder", *metrics])
    for row in rows:
        numbers = [row.seconds, row.seconds_per_step, *(row.parameters.get(network) for network in NETWORKS)]
        folder = "" if row.folder is None else os.path.relpath(row.folder, path.parent)
        values = [*numbers, folder, *(row.metrics.get(name) for name in metrics)]
        writer.writerow([*(getattr(row, key) for key in _TEXT), *("" if v is None else v for v in values)])
    write_text(path, buffer.getvalue())


def read_csv(path: Path) -> list[RunRow]:
    """The rows a report wrote; a run's folder is None where it is not beside the file any more.

    Raises:
        LabError: names the file, and the line or the column that is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            header, records = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabError(f"{path}: cannot be read as CSV ({error})") from None
    fixed = (*_TEXT, *_NUMBERS, "folder")
    if missing := [key for key in fixed if key not in header]:
        raise LabError(f"{path}: column {missing[0]!r} is missing; it is not a CSV of a report")
    metrics = [key for key in header if key not in fixed]
    try:
        for name in metrics:
            lookup(name)
    except LabError as error:
        raise LabError(f"{path}: {error}") from None
    rows = []
    for number, record in enumerate(records, 2):
        try:
            rows.append(_from_record(record, metrics, path.parent))
        except (TypeError, ValueError) as error:
            raise LabError(f"{path}: line {number}: {error}") from None
    return rows


def _from_record(record: Mapping[str, str], metrics: Sequence[str], base: Path) -> RunRow:
    texts: dict[str, Any] = {key: record[key] for key in _TEXT}
    texts["seed"] = int(record["seed"])
    folder = base / record["folder"] if record["folder"] else None
    return RunRow(
        **texts,
        metrics={name: float(record[name]) for name in metrics if record[name]},
        parameters={n: int(record[f"parameters.{n}"]) for n in NETWORKS if record[f"parameters.{n}"]},
        seconds_per_step=float(record["seconds_per_step"]) if record["seconds_per_step"] else None,
        seconds=float(record["seconds"]) if record["seconds"] else None,
        folder=folder.resolve() if folder is not None and folder.is_dir() else None,
    )


def _row(variant: str, seed: int, folder: RunFolder) -> RunRow:
    result, tags = folder.result() or {}, folder.tags()
    end = result.get("finished_at")
    return RunRow(
        variant=variant,
        seed=seed,
        run_id=folder.run_id,
        status=folder.status(),
        metrics={str(name): float(value) for name, value in result.get("metrics", {}).items()},
        parameters={str(name): int(count) for name, count in (result.get("parameters") or {}).items()},
        seconds_per_step=result.get("seconds_per_step"),
        seconds=result.get("seconds"),
        protocol=_identity(result.get("protocol") or tags.get("protocol", "")),
        code=str(tags.get("code", "")),
        folder=folder.path if folder.path.is_dir() else None,
        machine=str(result.get("machine") or tags.get("machine", "")),
        finished=datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M") if end else "",
        error=str(result.get("error") or ""),
    )


def _identity(protocol: Any) -> str:
    """A protocol written out in full is named by its hash."""
    return protocol if isinstance(protocol, str) else protocol.get("hash") or canonical_hash(protocol)[:12]

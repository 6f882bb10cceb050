"""A report's CSV: a row per run, written and read back."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stargan_lab.errors import LabError
from stargan_lab.files import write_text
from stargan_lab.report.rows import NETWORKS, RunRow
from stargan_lab.report.scorings import RunWarning, parse_warnings
from stargan_lab.tracking.metrics import lookup

_TEXT = ("variant", "seed", "run_id", "status", "protocol", "code", "machine", "finished", "error")
_NUMBERS = ("seconds", "seconds_per_step", *(f"parameters.{network}" for network in NETWORKS))
_LATER = ("protocols", "warnings", "warning_details")
"""Columns that the CSV of an older report has not."""


def write_csv(rows: Sequence[RunRow], path: Path) -> None:
    """A row per run; numbers in full, folders relative to the file.

    ``protocols`` is ``eval/edit=1a2b3c4d eval/leak=…``, ``warnings`` the codes; ``warning_details`` is JSON.
    """
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*_TEXT, *_NUMBERS, *_LATER, "folder", *metrics])
    for row in rows:
        numbers = [row.seconds, row.seconds_per_step, *(row.parameters.get(network) for network in NETWORKS)]
        folder = "" if row.folder is None else os.path.relpath(row.folder, path.parent)
        values = [*numbers, *_later(row), folder, *(row.metrics.get(name) for name in metrics)]
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
    metrics = [key for key in header if key not in (*fixed, *_LATER)]
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


def _later(row: RunRow) -> list[str]:
    codes = dict.fromkeys(warning.code for warning in row.warnings)
    details = [warning.as_dict() for warning in row.warnings]
    return [
        " ".join(f"{score}={identity}" for score, identity in row.protocols.items()),
        " ".join(codes),
        json.dumps(details, ensure_ascii=False) if details else "",
    ]


def _from_record(record: Mapping[str, str], metrics: Sequence[str], base: Path) -> RunRow:
    texts: dict[str, Any] = {key: record[key] for key in _TEXT}
    texts["seed"] = int(record["seed"])
    folder = base / record["folder"] if record["folder"] else None
    return RunRow(
        **texts,
        protocols=_protocols(record.get("protocols") or ""),
        warnings=_warnings(record),
        metrics={name: float(record[name]) for name in metrics if record[name]},
        parameters={n: int(record[f"parameters.{n}"]) for n in NETWORKS if record[f"parameters.{n}"]},
        seconds_per_step=float(record["seconds_per_step"]) if record["seconds_per_step"] else None,
        seconds=float(record["seconds"]) if record["seconds"] else None,
        folder=folder.resolve() if folder is not None and folder.is_dir() else None,
    )


def _protocols(text: str) -> dict[str, str]:
    """Raises ValueError for what is not ``metric=identity metric=identity``."""
    found = {}
    for word in text.split():
        score, _, identity = word.partition("=")
        if not score or not identity:
            raise ValueError(f"protocols: expected metric=identity, got {word!r}")
        found[score] = identity
    return found


def _warnings(record: Mapping[str, str]) -> tuple[RunWarning, ...]:
    """The details, or without them the codes, for all scores. Raises ValueError."""
    if details := record.get("warning_details"):
        return parse_warnings(json.loads(details))
    return tuple(RunWarning(code, (), "") for code in (record.get("warnings") or "").split())

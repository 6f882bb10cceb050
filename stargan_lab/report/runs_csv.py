"""The runs of an ablation as a CSV file, one line per run, and back."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from stargan_lab.errors import LabError, one_line
from stargan_lab.files import write_text
from stargan_lab.report.collect_runs import COST, PARAMETERS, TEXT, as_frame, descriptions, parse_warnings
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder

_CSV = ("variant", "seed", *TEXT[1:], *COST[:2], *PARAMETERS, "protocols", "warnings", "warning_details", "folder")
_NEW_CSV = ("peak_memory_mib", "audit")
"""Columns that reports of older versions lack."""


def write_csv(runs: DataFrame, path: Path) -> None:
    """Write one line per run; folders are relative to the file, and numbers have full precision.

    ``protocols`` is ``eval/edit=1a2b3c4d eval/leak=…``, ``warnings`` lists codes, ``warning_details`` and ``audit``
    are JSON.
    """
    metrics = [name for name in runs if name not in (*_CSV, *_NEW_CSV, "facts", "descriptions")]
    table = runs.assign(
        protocols=[" ".join(f"{score}={identity}" for score, identity in each.items()) for each in runs["protocols"]],
        warnings=[" ".join(dict.fromkeys(warning["code"] for warning in each)) for each in runs["warnings"]],
        warning_details=[json.dumps(each, ensure_ascii=False) if each else "" for each in runs["warnings"]],
        audit=[json.dumps(each) if each else "" for each in runs["audit"]],
        folder=["" if folder is None else os.path.relpath(folder, path.parent) for folder in runs["folder"]],
    )
    write_text(path, table[[*_CSV, *_NEW_CSV, *metrics]].to_csv(index=False, lineterminator="\n"))


def read_csv(path: Path) -> DataFrame:
    """The runs that ``write_csv`` wrote, without ``facts``; the folder of a run that was moved is None.

    Raises:
        LabError: names the file, and the column that is missing or has an invalid value.
    """
    try:
        table = pd.read_csv(path, dtype=object, na_filter=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: cannot be read as CSV ({one_line(error)})") from None
    if missing := [name for name in _CSV if name not in table]:
        raise LabError(f"{path}: column {missing[0]!r} is missing; expected the CSV file of a report")
    convert: dict[str, Callable[[str], Any]] = dict.fromkeys((*TEXT, "warnings"), str) | {
        "seed": int,
        "protocols": _parse_identities,
        "warning_details": lambda text: parse_warnings(json.loads(text or "[]")),
        "audit": lambda text: dict(json.loads(text or "{}")),
        "folder": lambda text: (path.parent / text).resolve() if text and (path.parent / text).is_dir() else None,
    }
    columns: dict[str, list[Any]] = {}
    for name in table:
        try:
            columns[name] = [convert.get(name, lambda text: float(text or "nan"))(text) for text in table[name]]
        except (TypeError, ValueError) as error:
            raise LabError(f"{path}: column {name!r}: {error}") from None
    columns |= {"warnings": columns.pop("warning_details"), "facts": [{} for _ in table.index]}
    columns.setdefault("audit", [{} for _ in table.index])
    columns["descriptions"] = [RunFolder(f).descriptions() if f else {} for f in columns["folder"]]
    runs = as_frame(columns)
    for name in table:
        if name not in (*_CSV, *_NEW_CSV):
            try:
                lookup(name, descriptions(runs))
            except LabError as error:
                raise LabError(f"{path}: column {name!r}: {error}") from None
    for run in runs[runs.duplicated(["variant", "seed"])].itertuples():
        raise LabError(f"{path}: variant {run.variant} has more than one run with seed {run.seed}")
    return runs


def _parse_identities(text: str) -> dict[str, str]:
    """Parse ``metric=hash metric=hash``. Raises ValueError."""
    pairs = [word.partition("=") for word in text.split()]
    for score, _, identity in pairs:
        if not score or not identity:
            raise ValueError(f"expected metric=hash, got {score!r}")
    return {score: identity for score, _, identity in pairs}

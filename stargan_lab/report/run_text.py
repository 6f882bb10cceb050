"""Runs as text for a terminal: a list, one run, and the difference of two."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unicodedata import combining, east_asian_width

import pandas as pd
from pandas import DataFrame

from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.recorded import NO_DEFAULT, changed_keys
from stargan_lab.errors import ConfigError, nearest
from stargan_lab.evaluation.protocol import differences, metric_identity
from stargan_lab.report.collect_runs import overall
from stargan_lab.report.query import PROVENANCE, ablations, differing, read_runs, scores, spelled
from stargan_lab.tracking.metrics import Descriptions, lookup, order
from stargan_lab.tracking.publish import State
from stargan_lab.tracking.run_folder import RunFolder

MISSING = "–"
_LISTED = ("run_id", "name", "status", "age")
_PROVENANCE = ("protocol", "code", "git_commit", "data", "machine", "cores", "python", "torch")
_NUMBER = re.compile(rf"[-+]?\d[\d.,]*( MiB)?|{MISSING}")


def described(runs: DataFrame) -> Descriptions:
    """The metrics of the runs by name, as the runs describe them."""
    return {name: metric for folder in runs["folder"] for name, metric in RunFolder(folder).descriptions().items()}


def overall_scores(runs: DataFrame, descriptions: Descriptions, main: bool = False) -> list[str]:
    """The scores that some run has, in the order of the tables; with ``main`` only those of the main table."""
    present = [name for name in scores(runs) if overall(name) == name and runs[name].notna().any()]
    chosen = [name for name in present if lookup(name, descriptions).main or not main]
    return sorted(chosen, key=lambda name: order(name, descriptions))


def sort_runs(runs: DataFrame, key: str | None, descriptions: Descriptions) -> DataFrame:
    """Newest first for None; the best score first for a metric with a direction; otherwise ascending; missing last."""
    if key is None:
        newest = runs["finished"].where(runs["finished"] != "", runs["started"])
        return runs.loc[newest.sort_values(ascending=False, kind="stable").index]
    _check_columns([key], (name for name in runs if name != "folder"))
    descending = "/" in key and lookup(key, descriptions).direction == "higher"
    ranks = runs[key].map(lambda value: (isinstance(spelled(value), str), spelled(value)))
    present = runs.index[runs[key].notna()]
    ordered = sorted(present, key=lambda index: ranks[index], reverse=descending)
    return runs.loc[[*ordered, *runs.index.difference(present)]]


def list_text(
    runs: DataFrame, columns: Sequence[str] | None, descriptions: Descriptions, width: int | None
) -> tuple[str, list[str]]:
    """A line per run, and the columns left out to fit ``width`` characters (None: no limit).

    Args:
        columns: None shows id, name, status, age, the keys that differ between the runs, and the main scores.
    Raises:
        ConfigError: no run has one of the columns.
    """
    if columns is None:
        keys = [key for key in differing(runs) if key != "seed"]  # part of the name
        columns = [*_LISTED, *keys, *overall_scores(runs, descriptions, main=True)]
    _check_columns(columns, [*runs, "age"])
    cells = [[_title(name, descriptions), *_cells(runs, name, descriptions)] for name in columns]
    widths = [max(map(_width, column)) for column in cells]
    shown = len(cells)
    while width is not None and shown > 1 and sum(widths[:shown]) + 2 * (shown - 1) > width:
        shown -= 1
    return aligned(list(zip(*cells[:shown], strict=True))), list(columns[shown:])


def as_records(runs: DataFrame, columns: Sequence[str] | None, json_format: bool) -> str:
    """The runs as CSV, or as a JSON list with null for missing values; ``columns`` None: all."""
    columns = list(runs) if columns is None else columns
    _check_columns(columns, runs)
    table = runs.assign(folder=runs["folder"].map(str))[list(columns)]
    if not json_format:
        return table.to_csv(index=False, lineterminator="\n")
    table = table.astype(object).where(table.notna(), None)
    return json.dumps(table.to_dict("records"), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def show_text(folder: RunFolder) -> str:
    """One run: changed settings, scores, warnings, provenance. Raises LabError if its files are damaged."""
    runs = read_runs([folder])
    (run,), result, descriptions = runs.to_dict("records"), folder.result() or {}, folder.descriptions()
    facts = [("started", run["started"]), ("finished", run["finished"]), ("error", run["error"])]
    facts += [("training", f"{run['seconds']:.1f} s")] if pd.notna(run["seconds"]) else []
    facts += [(name, run[name]) for name in ablations(runs)]
    facts += [("directory", str(folder.path)), *(("MLflow run", sent) for sent in State(folder).sent)]
    names = overall_scores(runs, descriptions)
    recorded = {**result, **folder.tags()}
    provenance = [(key, str(recorded[key])) for key in _PROVENANCE if recorded.get(key)]
    return "\n\n".join(
        section
        for section in (
            f"run {folder.run_id}  {run['name']}  {run['status']}\n" + _block([fact for fact in facts if fact[1]]),
            _titled("settings that differ from the defaults", _changes(folder)),
            _titled("scores", [(_title(n, descriptions), _show(run[n], n, descriptions)) for n in names]),
            _titled("warnings", [(w["code"], w["text"]) for w in result.get("warnings") or ()]),
            _titled("provenance", provenance),
        )
        if section
    )


def diff_text(one: RunFolder, other: RunFolder) -> str:
    """How two runs differ: settings, provenance, protocol and scores. Raises LabError if their files are damaged."""
    runs = read_runs([one, other])
    descriptions = described(runs)
    a, b = runs.to_dict("records")
    keys = [("", one.run_id, other.run_id), ("name", a["name"], b["name"]), ("status", a["status"], b["status"])]
    keys += [(key, _text(a[key]), _text(b[key])) for key in differing(runs)]
    origin = [key for key in (*ablations(runs), *PROVENANCE[:-1]) if _text(a[key]) != _text(b[key])]
    keys += [(key, _text(a[key]), _text(b[key])) for key in origin]
    protocols = [_protocol(folder) for folder in (one, other)]
    lines = [line for line in differences(protocols[0], protocols[1]) if not line.startswith("hash:")]
    protocol = "\n".join(["evaluation protocol:", *(f"  {line}" for line in lines)]) if lines else ""
    rows = []
    for name in overall_scores(runs, descriptions):
        difference = b[name] - a[name]
        same = len({metric_identity(each, name) for each in protocols}) == 1
        row = [_title(name, descriptions), *(_show(run[name], name, descriptions) for run in (a, b))]
        row += [MISSING if pd.isna(difference) else lookup(name, descriptions).show(difference, signed=True)]
        rows.append([*row, "" if same or pd.isna(difference) else "scored differently"])
    header = ["score", one.run_id, other.run_id, "difference", ""]
    return "\n\n".join(filter(None, [aligned(keys), protocol, aligned([header, *rows]) if rows else ""]))


def _protocol(folder: RunFolder) -> dict[str, Any]:
    """The protocol of the first evaluation; empty without one, and only a hash in very old records."""
    protocol = (folder.result() or {}).get("protocol") or {}
    return {"hash": protocol} if isinstance(protocol, str) else protocol


def _changes(folder: RunFolder) -> list[tuple[str, str]]:
    """Settings that differ from the defaults, and all options of components that are not available."""
    if not folder.config_path.exists():
        return []
    changed = changed_keys(folder.config_path.read_text())
    return [(key, _text(value) + _default(default)) for key, (value, default) in changed.items()]


def _default(value: Any) -> str:
    return "" if value is NO_DEFAULT else f"  (default: {_text(value)})"


def _check_columns(columns: Sequence[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in columns:
        if name not in known:
            raise ConfigError(f"{name}: no run has this key{nearest(name, known)}")


def _cells(runs: DataFrame, name: str, descriptions: Descriptions) -> list[str]:
    if name == "age":
        return [_age(run["finished"] or run["started"]) for _, run in runs[["finished", "started"]].iterrows()]
    return [_show(value, name, descriptions) for value in runs[name]]


def _age(text: str) -> str:
    """``5 min``, ``3 h`` or ``12 d`` since a time as in ``finished``; empty if that is unknown."""
    if not text:
        return ""
    minutes = int((datetime.now(UTC) - datetime.fromisoformat(f"{text}+00:00")).total_seconds() / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


def _title(name: str, descriptions: Descriptions) -> str:
    return lookup(name, descriptions).label if name.startswith("eval/") and overall(name) == name else name


def _show(value: Any, name: str, descriptions: Descriptions) -> str:
    if "/" in name:
        return MISSING if pd.isna(value) else lookup(name, descriptions).show(value)
    return _text(value) if not isinstance(value, Path) else str(value)


def _text(value: Any) -> str:
    """A setting in YAML spelling."""
    return value if isinstance(value, str) else "null" if pd.isna(value) else as_yaml(value)


def _titled(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return f"{title}:\n{_block(rows)}" if rows else ""


def _block(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"  {line}" for line in aligned(rows).splitlines())


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns separated by two spaces; a column of numbers below its title is aligned to the right."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    for index, column in enumerate(columns):
        width, right = max(map(_width, column)), all(_NUMBER.fullmatch(cell) for cell in column[1:])
        padding = [" " * (width - _width(cell)) for cell in column]
        columns[index] = [p + c if right else c + p for c, p in zip(column, padding, strict=True)]
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _width(text: str) -> int:
    """Columns of a terminal."""
    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)

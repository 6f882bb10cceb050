"""All runs of an outputs directory as one table, with filters by configuration, status, ablation and scores.

load_runs("outputs", "discriminator.norm=none,layer", "status=finished")["eval/edit"].mean()
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pandas import DataFrame

from stargan_lab.config.factors import factor
from stargan_lab.errors import ConfigError, LabError, nearest
from stargan_lab.report.runs import overall
from stargan_lab.tracking.metrics import order
from stargan_lab.tracking.run_folder import RunFolder, run_folders

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where libyaml is available
NOT_SHOWN = ("paths", "tracking", "imports", "initial")
ABLATION = "ablation."


def load_runs(outputs: str | Path = "outputs", *filters: str) -> DataFrame:
    """One row per run, in the order in which they finished; unfinished ones last.

    Args:
        outputs: the outputs directory.
        filters: ``key=value`` or ``key=value,value``, all of which must hold. A key is a column, the name of a group
            (``generator=unet``), or ``ablation`` (``ablation=quickstart``: runs of any variant).
    Returns:
        Columns: ``run_id``; ``status`` as in ``RunFolder``, or ``damaged``; ``finished``, date and time in UTC;
        ``seconds``; every configuration key, e.g. ``seed``, ``discriminator.name`` and ``discriminator.norm``;
        ``ablation.NAME``, the variant; every score, e.g. ``eval/edit`` and ``eval/edit/Male``; ``folder``.
    Raises:
        ConfigError: a filter is invalid, or its key is unknown.
    """
    table = DataFrame([_row(folder) for folder in run_folders(Path(outputs))])
    if table.empty:
        return DataFrame(columns=["run_id", "status", "seed", "finished", "seconds", "folder"])
    table = table.sort_values("end", kind="stable", na_position="last", ignore_index=True).drop(columns="end")
    for text in filters:
        table = table[_matches(table, text)]
    return (table if table.empty else table.dropna(axis="columns", how="all")).reset_index(drop=True)


def main_score(runs: DataFrame) -> str:
    """The first of the runs' scores in the order of tables. Raises LabError if no run has one."""
    known = {name: metric for folder in runs["folder"] for name, metric in RunFolder(folder).descriptions().items()}
    names = [name for name in runs if name.startswith("eval/") and overall(name) == name and runs[name].notna().any()]
    if not names:
        raise LabError("no run has been evaluated yet")
    return min(names, key=lambda name: order(name, known))


def _row(folder: RunFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"run_id": folder.run_id, "folder": folder.path, "end": None}
    try:
        result, tags = folder.result() or {}, folder.tags()
        config = yaml.load(folder.config_path.read_bytes(), LOADER) if folder.config_path.exists() else {}
        end = result.get("finished_at")
        return {
            **row,
            "end": end,
            "status": folder.status(),
            "finished": datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M") if end else None,
            "seconds": result.get("seconds"),
            **dict(_flat({key: value for key, value in config.items() if key not in NOT_SHOWN})),
            **{key: value for key, value in tags.items() if key.startswith(ABLATION)},
            **{name: float(value) for name, value in result.get("metrics", {}).items()},
        }
    except (LabError, OSError, yaml.YAMLError, AttributeError, TypeError, ValueError):
        return row | {"status": "damaged"}


def _flat(raw: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in raw.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _matches(table: DataFrame, text: str) -> "pd.Series[bool]":
    key, separator, values = text.partition("=")
    if not separator:
        raise ConfigError(f"{text}: not a valid filter; expected key=value, or key=value,value")
    if key == "ablation":
        columns = [ABLATION + value for value in values.split(",")]
        return table.reindex(columns=columns).notna().any(axis="columns")
    column = key if key in table else factor(key)
    if column not in table:
        raise ConfigError(f"{key}: no run has this key{nearest(key, map(str, table))}")
    wanted = [_plain(value) for value in _values(values)]
    return table[column].map(lambda value: _plain(value) in wanted)


def _values(text: str) -> list[Any]:
    """Comma-separated YAML values; a list in brackets is one value."""
    parsed = yaml.safe_load(f"[{text}]")
    return parsed if isinstance(parsed, list) else [text]


def _plain(value: Any) -> Any:
    """A form in which equal values are equal: numbers as float, nothing as None."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return None if value != value else float(value)
    return value if value is None else str(value)

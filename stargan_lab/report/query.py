"""All runs of an outputs directory as a DataFrame, selected by the values of their columns."""

import operator
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pandas import DataFrame, Series

from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.recorded import read_keys
from stargan_lab.console import say
from stargan_lab.errors import ConfigError, LabError, nearest, one_line
from stargan_lab.files import read_json
from stargan_lab.report.collect_runs import first_scoring, outcome, overall, utc_text
from stargan_lab.tracking.metrics import order
from stargan_lab.tracking.run_folder import RunFolder, run_folders

ABLATION = "ablation."
RECORD = ("run_id", "name", "status", "started", "finished", "seconds", "seconds_per_step")
PROVENANCE = ("protocol", "code", "data", "machine", "error")
_LAST = "folder"
_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def load_runs(outputs: str | Path = "outputs", *filters: str) -> DataFrame:
    """The runs in ``outputs/runs``, sorted by id; the index counts from 0.

    Args:
        filters: conditions that all hold: ``KEY=VALUE,VALUE`` with values as in YAML (``null`` also matches runs
            without the key), ``KEY<NUMBER`` (also ``<=``, ``>``, ``>=``), or ``ablation=NAME`` for the runs of an
            ablation's variants. E.g. ``discriminator.norm=none,layer``, ``seed=0``, ``eval/edit>0.5``.
    Returns:
        One row per run. Columns:

        - run_id, name, status (see ``RunFolder``); started, finished: date and time in UTC, empty if unknown;
          seconds, seconds_per_step: of training
        - a column per recorded key that can change weights or scores, as an override spells it, e.g. ``seed``,
          ``discriminator`` and ``discriminator.norm``; None where a run lacks it; lists are text
        - ``ablation.NAME``: the run's variant in an ablation, or None
        - protocol, code, data: hashes, empty where unknown; machine; error
        - a column per metric of the first evaluation, e.g. ``eval/edit`` and ``eval/edit/Male``; NaN where missing
        - folder: Path of the run's files

        A run whose files are damaged is skipped, with a one-line warning on stderr.
    Raises:
        ConfigError: a filter is invalid, or no run has its key.
        LabError: there is no directory ``outputs/runs``.
    """
    root = Path(outputs)
    if not (root / "runs").is_dir():
        raise LabError(f"{root / 'runs'}: no such directory; runs are written to the directory paths.outputs")
    conditions = [_parse(word) for word in filters]
    rows = []
    for folder in run_folders(root):
        try:
            rows.append(_row(folder))
        except LabError as error:
            say(f"warning: skipped run {folder.run_id}: {error}")
    runs = _as_frame(rows)
    for key, condition in conditions if len(runs) else ():
        runs = runs[condition(runs, key)]
    return runs.reset_index(drop=True)


def main_score(runs: DataFrame) -> str:
    """The first of the runs' scores in the order of tables. Raises LabError if no run has one."""
    known = {name: metric for folder in runs["folder"] for name, metric in RunFolder(folder).descriptions().items()}
    names = [name for name in scores(runs) if name.startswith("eval/") and overall(name) == name and runs[name].any()]
    if not names:
        raise LabError("no run has been evaluated yet")
    return min(names, key=lambda name: order(name, known))


def config_keys(runs: DataFrame) -> list[str]:
    """The columns that are keys of the configuration."""
    columns = list(runs)
    return columns[len(RECORD) : columns.index(PROVENANCE[0]) - len(ablations(runs))]


def ablations(runs: DataFrame) -> list[str]:
    """The columns ``ablation.NAME``."""
    return [name for name in runs if name.startswith(ABLATION)]


def scores(runs: DataFrame) -> list[str]:
    """The columns of metrics, overall ones and those per domain."""
    columns = list(runs)
    return columns[columns.index(PROVENANCE[-1]) + 1 : -1]


def differing(runs: DataFrame) -> list[str]:
    """The keys of the configuration whose values differ between the runs; null and a missing key are the same."""
    return [key for key in config_keys(runs) if len({spelled(value) for value in runs[key]}) > 1]


def spelled(value: Any) -> str | float:
    """A value of a column as a filter compares it: a number as float, anything else as text in YAML spelling."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "null"
    return str(value).lower() if isinstance(value, bool) else float(value)


def read_runs(folders: Iterable[RunFolder]) -> DataFrame:
    """These runs, in this order, with the columns of ``load_runs``. Raises LabError if a run's files are damaged."""
    return _as_frame([_row(folder) for folder in folders])


def _row(folder: RunFolder) -> dict[str, Any]:
    """The parts of one row. Raises LabError that names the damaged file."""
    try:
        result, tags = folder.result(), folder.tags()
        record = outcome(folder, result, tags)
        state = read_json(folder.state_path) if folder.state_path.exists() else {}
        scoring = first_scoring(folder, result, tags)
        names = {"name": str(state.get("run_name", folder.run_id)), "started": utc_text(folder.started())}
        return {
            "record": {key: record[key] for key in RECORD if key in record} | names,
            "config": _read_config(folder.config_path),
            "tags": {key: variant for key, variant in tags.items() if key.startswith(ABLATION)},
            "provenance": {key: record.get(key, tags.get(key, "")) for key in PROVENANCE[1:]}
            | {"protocol": scoring["protocol"]},
            "metrics": {name: value for name, value in scoring.items() if "/" in name},
            "folder": folder.path,
        }
    except (OSError, TypeError, ValueError, AttributeError) as error:  # valid JSON of another shape
        raise LabError(f"{folder.path}: damaged ({one_line(error)})") from None


def _read_config(path: Path) -> dict[str, Any]:
    """Empty if the run failed before it wrote its configuration."""
    if not path.exists():
        return {}
    try:
        return read_keys(path.read_text())
    except ValueError as error:
        raise LabError(f"{path}: cannot be read as YAML ({error})") from None


def _as_frame(runs: list[dict[str, Any]]) -> DataFrame:
    """Columns in the order of ``load_runs``; those without missing values get their natural types."""

    def columns(part: str, names: Iterable[str] | None = None) -> dict[str, Series]:
        rows = [run[part] for run in runs]
        names = dict.fromkeys(name for row in rows for name in row) if names is None else names
        return {name: Series([row.get(name) for row in rows], dtype=object) for name in names}

    metrics = {name: column.astype(float) for name, column in columns("metrics").items()}
    frame = {
        **{key: _natural(column) for key, column in columns("record", RECORD).items()},
        **{key: _natural(column) for key, column in columns("config").items()},
        **dict(sorted(columns("tags").items())),
        **columns("provenance", PROVENANCE),
        **metrics,
        _LAST: Series([run["folder"] for run in runs], dtype=object),
    }
    return DataFrame(frame).astype({"seconds": float, "seconds_per_step": float})


def _natural(column: Series) -> Series:
    return column if column.isna().any() else column.infer_objects()


def _parse(word: str) -> tuple[str, Callable[[DataFrame, str], Any]]:
    """Key and condition of a filter. Raises ConfigError."""
    match = re.fullmatch(r"([^=<>]+)(<=|>=|=|<|>)(.+)", word)
    if match is None:
        raise ConfigError(f"{word}: not a valid filter, expected KEY=VALUE,VALUE or KEY<NUMBER")
    key, sign, text = match.groups()
    if sign != "=":
        try:
            limit = float(text)
        except ValueError:
            raise ConfigError(f"{word}: expected a number after {sign}, got {text!r}") from None
        return key, lambda runs, key: _compare(runs, key, _COMPARE[sign], limit)
    wanted = _wanted(word, text)
    if key == "ablation":
        return key, lambda runs, _: _in_ablation(runs, wanted)
    return key, lambda runs, key: _column(runs, key).map(lambda value: spelled(value) in wanted)


def _wanted(word: str, text: str) -> set[str | float]:
    """Everything that ``spelled`` can return for one of the values; ``3`` is a number, and the name of a variant."""
    try:
        values, texts = (yaml.load(f"[{text}]", loader) for loader in (yaml.SafeLoader, yaml.BaseLoader))
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{word}: not a valid list of values ({one_line(error)})") from None
    wanted: set[str | float] = set()
    for value, written in zip(values, texts, strict=True):
        if isinstance(written, list | dict):
            wanted.add(as_yaml(value))
        else:
            wanted |= {written, spelled(value) if value is None or isinstance(value, bool | int | float) else written}
            with suppress(ValueError):
                wanted.add(float(written))  # YAML reads 1e-4 as text
    return wanted


def _compare(runs: DataFrame, key: str, compare: Callable[[Any, float], Any], limit: float) -> Series:
    """Runs whose value is not a number do not match."""
    return compare(pd.to_numeric(_column(runs, key), errors="coerce"), limit)


def _in_ablation(runs: DataFrame, names: Iterable[str | float]) -> Series:
    columns = [f"{ABLATION}{name}" for name in names if isinstance(name, str)]
    for column in columns:
        if column not in runs:
            known = [name.removeprefix(ABLATION) for name in ablations(runs)]
            name = column.removeprefix(ABLATION)
            raise ConfigError(f"ablation={name}: no run of ablation {name!r}{nearest(name, known)}")
    return runs[columns].notna().any(axis="columns")


def _column(runs: DataFrame, key: str) -> Series:
    """Raises ConfigError with the nearest key."""
    if key not in runs or key == _LAST:
        raise ConfigError(f"{key}: no run has this key{nearest(key, [name for name in runs if name != _LAST])}")
    return runs[key]

"""The types of what a run's records contain, checked when they are read: anyone may have copied or edited them."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

from stargan_lab.errors import LabError
from stargan_lab.files import is_file_name
from stargan_lab.tracking.metrics import Direction, Metric

Status = Literal["planned", "running", "finished", "failed", "diverged", "interrupted"]

_REQUIRED = ("status", "metrics")
_NUMBERS = ("step", "seconds", "seconds_per_step", "peak_memory_mib", "finished_at")
_TEXTS = ("run_id", "name", "machine", "error")
_MAPPINGS = ("parameters", "audit")
_MOST_DECIMALS = 20
_END_OF_TIME = 253_402_300_800.0  # the year 10000, which dates cannot represent


def check_result(content: Any, path: Path) -> dict[str, Any]:
    """The content of a result.json. Raises LabError that names file and key."""
    if not isinstance(content, dict) or any(key not in content for key in _REQUIRED):
        raise LabError(f"{path}: expected a mapping with {' and '.join(_REQUIRED)}")
    if content["status"] not in get_args(Status):
        raise _error(path, "status", f"one of {', '.join(get_args(Status))}", content["status"])
    _check_numbers(path, "metrics", content["metrics"])
    for key in _MAPPINGS:
        _check_numbers(path, key, _value(content, key, {}))
    for key in _NUMBERS:
        if not _is_number(value := _value(content, key, 0)) or not isfinite(value) or not 0 <= value < _END_OF_TIME:
            raise _error(path, key, "a number >= 0", value)
    for key in _TEXTS:
        if not isinstance(value := _value(content, key, ""), str):
            raise _error(path, key, "text", value)
    _check_protocol(path, _value(content, "protocol", ""))
    return content


def check_tags(content: Any, path: Path) -> dict[str, str]:
    """The content of a tags.json. Raises LabError that names file and key."""
    if not isinstance(content, dict):
        raise LabError(f"{path}: expected a mapping")
    for key, value in content.items():
        if not isinstance(value, str):
            raise _error(path, key, "text", value)
    if (protocol := content.get("protocol")) and not is_file_name(protocol):
        raise _error(path, "protocol", "a hash", protocol)
    return content


def check_metric(metric: Metric) -> Metric:
    """One of a descriptions.json. Raises ValueError."""
    texts = (metric.name, metric.unit, metric.meaning)
    if not all(isinstance(text, str) for text in texts) or "/" not in metric.name:
        raise ValueError("expected a name such as eval/edit, a unit and a meaning")
    if metric.direction not in get_args(Direction) or metric.main not in (True, False):
        raise ValueError("expected a direction, and whether tables show it")
    if not isinstance(metric.decimals, int) or not 0 <= metric.decimals <= _MOST_DECIMALS:
        raise ValueError("expected a number of decimals")
    return metric


def _check_protocol(path: Path, protocol: Any) -> None:
    if isinstance(protocol, str):  # in very old records
        protocol = {"hash": protocol}
    if not isinstance(protocol, dict):
        raise _error(path, "protocol", "a mapping", protocol)
    if (value := _value(protocol, "hash", "")) != "" and not is_file_name(value):
        raise _error(path, "protocol.hash", "a hash", value)
    data = _value(protocol, "data", {})
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise _error(path, "protocol.data", "a mapping of datasets to hashes", data)


def _check_numbers(path: Path, key: str, values: Any) -> None:
    if not isinstance(values, dict):
        raise _error(path, key, "a mapping of names to numbers", values)
    for name, value in values.items():
        if not _is_number(value):
            raise _error(path, f"{key}.{name}", "a number", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(content: Mapping[str, Any], key: str, default: Any) -> Any:
    """The value; ``default`` if it is missing or null."""
    return default if (value := content.get(key)) is None else value


def _error(path: Path, key: str, expected: str, value: Any) -> LabError:
    return LabError(f"{path}: {key}: expected {expected}, got {repr(value)[:60]}")

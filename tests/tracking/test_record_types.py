"""Records with wrong types are named with their key when they are read, and listed as skipped."""

import json
from typing import Any

import pytest

from stargan_lab.errors import LabError
from stargan_lab.report.query import load_runs
from stargan_lab.tracking.run_folder import RunFolder

COMPLETE = {
    "status": "finished",
    "metrics": {"eval/edit": 0.5},
    "seconds": 1.5,
    "seconds_per_step": None,
    "finished_at": 1_700_000_000,
    "step": 4,
    "parameters": {"generator": 3},
    "protocol": {"hash": "0123", "data": {"faces": "4567"}},
    "audit": {"flops.run": 1e12},
    "machine": "2 cores",
}
WRONG: list[tuple[str, Any]] = [
    ("status", "done"),
    ("status", ["finished"]),
    ("metrics", [1]),
    ("metrics", None),
    ("metrics.eval/edit", "high"),
    ("seconds", "x"),
    ("seconds", -1),
    ("seconds", float("inf")),
    ("seconds_per_step", [1]),
    ("peak_memory_mib", {"a": 1}),
    ("finished_at", "yesterday"),
    ("finished_at", 1e300),
    ("step", "4"),
    ("step", True),
    ("parameters", 5),
    ("parameters.generator", "3"),
    ("audit", [1]),
    ("audit.flops.run", {}),
    ("error", 5),
    ("machine", ["a"]),
    ("protocol", 5),
    ("protocol.hash", 5),
    ("protocol.hash", "../../../elsewhere"),
    ("protocol.data", ["faces"]),
]


def changed(key: str, value: Any) -> dict[str, Any]:
    group, _, name = key.partition(".")
    record: dict[str, Any] = json.loads(json.dumps(COMPLETE))
    if name and isinstance(record[group], dict):
        record[group][name] = value
    else:
        record[key] = value
    return record


def test_a_complete_record_is_read(folder: RunFolder) -> None:
    folder.result_path.write_text(json.dumps(COMPLETE))
    assert folder.result() == COMPLETE


@pytest.mark.parametrize(("key", "value"), WRONG, ids=[f"{key}={value}" for key, value in WRONG])
def test_a_result_of_another_type_is_named(
    folder: RunFolder, capsys: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    folder.result_path.write_text(json.dumps(changed(key, value)))
    with pytest.raises(LabError) as error:
        folder.result()
    assert str(error.value).startswith(f"{folder.result_path}: {key}: expected ") and "\n" not in str(error.value)
    assert load_runs(folder.path.parents[1]).empty
    assert capsys.readouterr().err == f"warning: skipped run {folder.run_id}: {error.value}\n"


@pytest.mark.parametrize("value", [5, None, ["a"], {"a": "b"}])
def test_a_tag_of_another_type_is_named(folder: RunFolder, value: Any) -> None:
    folder.tags_path.write_text(json.dumps({"code": value}))
    with pytest.raises(LabError, match=r"tags\.json: code: expected text, got "):
        folder.tags()


@pytest.mark.parametrize(
    "changes",
    [{"name": 5}, {"name": "edit"}, {"unit": 5}, {"direction": "up"}, {"decimals": "4"}, {"decimals": 10**9}, {"a": 1}],
    ids=str,
)
def test_a_description_of_another_type_is_named(folder: RunFolder, changes: dict[str, Any]) -> None:
    folder.descriptions_path.write_text(json.dumps([{"name": "eval/edit"} | changes]))
    with pytest.raises(LabError, match=r"descriptions\.json: expected a JSON list of metrics"):
        folder.descriptions()

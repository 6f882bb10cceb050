"""The ledger against real processes that hold a run's lock, end, or are killed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stargan_lab.errors import LabError
from stargan_lab.runs.ledger import Ledger

HOLD = """
import sys
from pathlib import Path
from stargan_lab.runs.ledger import Ledger
with Ledger(Path(sys.argv[1])).claim(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(outputs: Path, run_id: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(outputs), run_id]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def record(outputs: Path, run_id: str, status: str | None = None, checkpoint: bool = False) -> None:
    ledger = Ledger(outputs)
    folder = ledger.folder(run_id)
    folder.path.mkdir(parents=True)
    folder.config_path.write_text("seed: 0\n")
    if checkpoint:
        folder.checkpoints.mkdir()
        (folder.checkpoints / "100.pt").write_bytes(b"x")
    if status is not None:
        folder.write_result({"run_id": run_id, "status": status, "metrics": {}})


@pytest.mark.parametrize(
    ("result", "checkpoint", "expected"),
    [
        (None, False, "planned"),
        (None, True, "interrupted"),
        ("finished", True, "finished"),
        ("failed", True, "failed"),
        ("interrupted", True, "interrupted"),
    ],
)
def test_status_is_read_from_the_files(tmp_path: Path, result: str | None, checkpoint: bool, expected: str) -> None:
    record(tmp_path, "a1", result, checkpoint)
    assert Ledger(tmp_path).status("a1") == expected


def test_a_run_without_a_folder_is_planned_and_asking_makes_none(tmp_path: Path) -> None:
    assert Ledger(tmp_path).status("nothing") == "planned"
    assert not (tmp_path / "runs").exists()


def test_a_half_written_checkpoint_is_none(tmp_path: Path) -> None:
    record(tmp_path, "a1")
    folder = Ledger(tmp_path).folder("a1")
    folder.checkpoints.mkdir()
    (folder.checkpoints / ".100.pt.tmp").write_bytes(b"x")
    assert Ledger(tmp_path).status("a1") == "planned"


def test_held_by_another_process_then_killed(tmp_path: Path) -> None:
    record(tmp_path, "a1", checkpoint=True)
    ledger = Ledger(tmp_path)
    with holder(tmp_path, "a1") as process:
        assert ledger.status("a1") == "running"
        with (
            pytest.raises(LabError, match=r"run a1 is being trained by another process.*\.lock") as refused,
            ledger.claim("a1"),
        ):
            pass
        assert "\n" not in str(refused.value)
        process.kill()
        process.wait()
        assert ledger.status("a1") == "interrupted"
        with ledger.claim("a1"):
            assert ledger.status("a1") == "running"
    assert ledger.status("a1") == "interrupted"


def test_a_failed_run_that_is_tried_again_is_running(tmp_path: Path) -> None:
    record(tmp_path, "a1", "failed", checkpoint=True)
    with holder(tmp_path, "a1"):
        assert Ledger(tmp_path).status("a1") == "running"


def test_a_claim_is_released_when_the_training_raises(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(RuntimeError), ledger.claim("a1"):
        raise RuntimeError("out of memory")
    with ledger.claim("a1"):
        pass


def test_two_runs_are_held_side_by_side(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with holder(tmp_path, "a1"), ledger.claim("b2"):
        assert (ledger.status("a1"), ledger.status("b2")) == ("running", "running")


def test_a_run_is_found_by_its_beginning(tmp_path: Path) -> None:
    for run_id in ("3fa0c2", "3fb111", "9c0d00"):
        record(tmp_path, run_id)
    (tmp_path / "runs" / "stray").mkdir()
    ledger = Ledger(tmp_path)
    assert ledger.runs() == ["3fa0c2", "3fb111", "9c0d00"]
    assert ledger.find("3fa") == "3fa0c2"
    assert ledger.find("9c0d00") == "9c0d00"
    with pytest.raises(LabError, match="not unique: 3fa0c2, 3fb111"):
        ledger.find("3f")
    with pytest.raises(LabError, match="did you mean '9c0d00'"):
        ledger.find("9c0dOO")
    with pytest.raises(LabError, match="no run ''"):
        ledger.find("")


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    record(tmp_path, "a1")
    path = Ledger(tmp_path).folder("a1").result_path
    path.write_text('{"status": "fin')
    with pytest.raises(LabError, match=r"a1/result\.json"):
        Ledger(tmp_path).status("a1")
    path.write_text(json.dumps([1]))
    with pytest.raises(LabError, match="expected a mapping"):
        Ledger(tmp_path).status("a1")

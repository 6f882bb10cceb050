"""Status, locking and look-up of runs, with real processes that hold a run's lock, end, or are killed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stargan_lab.errors import LabError
from stargan_lab.tracking.run_folder import RunFolder, find_run, run_folders

HOLD = """
import sys
from pathlib import Path
from stargan_lab.tracking.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).claim():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def write_run(outputs: Path, run_id: str, status: str | None = None, checkpoint: bool = False) -> RunFolder:
    folder = RunFolder(outputs / "runs" / run_id)
    folder.path.mkdir(parents=True)
    folder.config_path.write_text("seed: 0\n")
    if checkpoint:
        folder.checkpoints.mkdir()
        (folder.checkpoints / "last.pt").write_bytes(b"x")
    if status is not None:
        folder.write_result({"run_id": run_id, "status": status, "metrics": {}})
    return folder


@pytest.mark.parametrize(
    ("result", "checkpoint", "expected"),
    [
        (None, False, "planned"),
        (None, True, "interrupted"),
        ("interrupted", True, "interrupted"),
        ("finished", True, "finished"),
        ("failed", True, "failed"),
    ],
)
def test_status_from_files(tmp_path: Path, result: str | None, checkpoint: bool, expected: str) -> None:
    folder = write_run(tmp_path, "a1", result, checkpoint)
    assert folder.status() == expected
    if expected == "finished":
        folder.check_finished()
    else:
        with pytest.raises(LabError, match=rf"^run a1 is not finished \({expected}\); repeat its train command"):
            folder.check_finished()


def test_status_without_folder_creates_nothing(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "runs" / "nothing").status() == "planned"
    assert not (tmp_path / "runs").exists()


def test_incomplete_checkpoint_does_not_count(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a1")
    folder.checkpoints.mkdir()
    (folder.checkpoints / ".last.pt.tmp").write_bytes(b"x")
    assert folder.status() == "planned"


@pytest.mark.parametrize(("result", "after"), [(None, "interrupted"), ("failed", "failed")])
def test_lock_is_exclusive_and_freed_by_a_kill(tmp_path: Path, result: str | None, after: str) -> None:
    folder = write_run(tmp_path, "a1", result, checkpoint=True)
    other = RunFolder(tmp_path / "runs" / "b2")
    with held_by_another_process(folder) as process:
        assert folder.status() == "running"
        with other.claim():
            assert other.status() == "running"
        with pytest.raises(LabError, match=r"^run a1 is being trained by another process .*\.lock\)$"), folder.claim():
            pass
        with pytest.raises(LabError, match=r"^run a1 is still training"):
            folder.check_finished()
        process.kill()
        process.wait()
        assert folder.status() == after
        with folder.claim():
            assert folder.status() == "running"
    assert folder.status() == after


def test_lock_is_freed_by_an_exception(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a1")
    with pytest.raises(RuntimeError), folder.claim():
        raise RuntimeError("out of memory")
    with folder.claim():
        pass


def test_find_run_by_prefix(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=rf"^no run matches '3fa' \(0 runs in {tmp_path}/runs\)$"):
        find_run(tmp_path, "3fa")
    for run_id in ("3fa0c2", "3fb111", "9c0d00", "9c0d"):
        write_run(tmp_path, run_id)
    (tmp_path / "runs" / "stray").mkdir()
    assert [folder.run_id for folder in run_folders(tmp_path)] == ["3fa0c2", "3fb111", "9c0d", "9c0d00"]
    assert find_run(tmp_path, "3fa").path == tmp_path / "runs" / "3fa0c2"
    assert find_run(tmp_path, "9c0d").run_id == "9c0d", "an exact id is not ambiguous"
    with pytest.raises(LabError, match=r"^run id prefix '3f' is ambiguous: 3fa0c2, 3fb111; use a longer prefix$"):
        find_run(tmp_path, "3f")
    with pytest.raises(LabError, match=r"^no run matches '9c0dOO' \(4 runs in .*did you mean '9c0d'"):
        find_run(tmp_path, "9c0dOO")
    with pytest.raises(LabError, match=r"^no run matches ''"):
        find_run(tmp_path, "")


def test_damaged_result_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path, "a1")
    folder.result_path.write_text('{"status": "fin')
    with pytest.raises(LabError, match=r"a1/result\.json"):
        folder.status()
    folder.result_path.write_text(json.dumps([1]))
    with pytest.raises(LabError, match="expected a mapping"):
        folder.status()

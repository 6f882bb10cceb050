"""The plain files of a run survive a kill, a resume and concurrent writers."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stargan_lab.errors import LabError
from stargan_lab.tracking.run_folder import RunFolder


def folder_with(tmp_path: Path, steps: list[int]) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "a1")
    for step in steps:
        folder.append(step, {"loss/g_rec": step / 8})
    folder.flush()
    return folder


def test_rows_are_read_back_with_their_times(tmp_path: Path) -> None:
    before = time.time()
    folder = folder_with(tmp_path, [1, 2])
    lines = [json.loads(line) for line in folder.metrics_path.read_text().splitlines()]
    assert [set(line) for line in lines] == [{"step", "time", "metrics"}] * 2
    assert lines[1]["metrics"] == {"loss/g_rec": 0.25}
    assert before - 0.001 <= lines[0]["time"] <= time.time()
    assert lines[0]["time"] == round(lines[0]["time"], 3)
    assert [(r.step, r.metrics) for r in RunFolder(folder.path).rows()] == [
        (1, {"loss/g_rec": 0.125}),
        (2, {"loss/g_rec": 0.25}),
    ]


def test_flush_calls_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
    folder = folder_with(tmp_path, [1])
    folder.append(2, {"loss/g_rec": 1.0})
    synced.clear()
    folder.flush()
    assert len(synced) == 1


def test_incomplete_last_line_is_dropped_but_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [1, 2, 3])
    whole = folder.metrics_path.read_bytes()
    folder.metrics_path.write_bytes(whole[:-9])
    assert [row.step for row in folder.rows()] == [1, 2]
    assert folder.truncate_after(3) == 2
    assert folder.metrics_path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])
    folder.metrics_path.write_bytes(b"{half\n" + whole)
    with pytest.raises(LabError, match=r"metrics\.jsonl: line 1 is damaged"):
        folder.rows()


def test_truncation_preserves_remaining_rows(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [1, 2, 2, 3, 4])
    lines = folder.metrics_path.read_bytes().splitlines(keepends=True)
    assert folder.truncate_after(2) == 3
    assert folder.metrics_path.read_bytes() == b"".join(lines[:3])
    assert folder.truncate_after(0) == 0
    assert folder.rows() == []


def test_kill_during_truncation_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_with(tmp_path, [1, 2, 3])
    old = folder.metrics_path.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.truncate_after(1)
    assert folder.metrics_path.read_bytes() == old


def test_tags_of_concurrent_processes_are_merged(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from stargan_lab.tracking.run_folder import RunFolder\n"
        "for i in range(25): RunFolder(Path(sys.argv[1])).update_tags({f'ablation.{sys.argv[2]}{i}': 'v'})"
    )
    path = tmp_path / "a1"
    workers = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "abc"]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert set(RunFolder(path).tags()) == {f"ablation.{name}{i}" for name in "abc" for i in range(25)}


def test_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        RunFolder(tmp_path / "a1").append(1, {"loss/g_rec": float("nan")})

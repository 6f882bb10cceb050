"""How many runs of a sweep are finished, failed, running and left, and how long the rest takes."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from stargan_lab.cli.jobs import Job, Jobs
from stargan_lab.cli.sweep_progress import Counts, SweepProgress
from stargan_lab.config import compose
from stargan_lab.tracking.run_folder import RunFolder


def folders(outputs: Path, number: int) -> list[RunFolder]:
    created = [RunFolder(outputs / "runs" / f"{index:012x}") for index in range(number)]
    for folder in created:
        folder.path.mkdir(parents=True)
    return created


def end(folder: RunFolder, status: str) -> None:
    folder.write_result({"status": status, "metrics": {}})


def counted(progress: SweepProgress) -> tuple[int, int, int, int]:
    counts = progress.counts()
    return counts.finished, counts.failed, counts.running, counts.left


def test_every_run_is_counted_once(tmp_path: Path) -> None:
    done, broken, first, second, third = runs = folders(tmp_path, 5)
    end(done, "finished")
    end(broken, "failed")
    end(third, "failed")  # in an earlier sweep; to be trained again
    progress = SweepProgress(runs, 3, tmp_path / "jobs.txt")
    assert [progress.position(job) for job in range(3)] == ["[3/5]", "[4/5]", "[5/5]"]
    assert counted(progress) == (1, 1, 0, 3)
    with progress.job(0), SweepProgress(runs, 3, tmp_path / "jobs.txt").job(1):  # as two processes do
        assert counted(progress) == (1, 1, 2, 1)
        with first.claim():
            assert counted(progress) == (1, 1, 2, 1)
        end(second, "finished")
        end(first, "interrupted")
    assert counted(progress) == (2, 1, 0, 2)
    with pytest.raises(OSError), progress.job(2):  # fails before it can record anything in its folder
        raise OSError
    assert counted(progress) == (2, 2, 0, 1)
    progress.restart()
    assert counted(progress) == (2, 1, 0, 2)


def test_a_run_that_is_stopped_before_it_trains_has_not_failed(tmp_path: Path) -> None:
    progress = SweepProgress(folders(tmp_path, 2), 2, tmp_path / "jobs.txt")
    with pytest.raises(KeyboardInterrupt), progress.job(0):
        raise KeyboardInterrupt
    assert counted(progress) == (0, 0, 0, 2)


def test_only_runs_that_this_sweep_trained_are_timed(tmp_path: Path) -> None:
    trained, already, broken, _ = runs = folders(tmp_path, 4)
    journal = tmp_path / "jobs.txt"
    progress = SweepProgress(runs, 4, journal)
    assert progress.counts().seconds_per_run is None
    end(already, "finished")
    with progress.job(1):
        pass
    assert progress.counts().seconds_per_run is None
    with progress.job(0):
        end(trained, "finished")
    with progress.job(2):
        end(broken, "failed")
    seconds = [float(line.split()[2]) for line in journal.read_text().splitlines() if line.startswith("end 0")]
    assert [progress.counts().seconds_per_run] == seconds


@pytest.mark.parametrize(
    ("seconds", "left", "text"),
    [
        (None, 9, "3 finished, 0 failed, 9 left"),
        (40.0, 6, "3 finished, 0 failed, 6 left, about 4 min left"),
        (1.0, 6, "3 finished, 0 failed, 6 left, about 10 s left"),
        (11.2, 8, "3 finished, 0 failed, 8 left, about 90 s left"),
        (3000.0, 5, "3 finished, 0 failed, 5 left, about 4 h 10 min left"),
    ],
)
def test_time_left_is_an_estimate(seconds: float | None, left: int, text: str) -> None:
    assert Counts(3, 0, 0, left, seconds).text() == text


@pytest.mark.parametrize(
    ("running", "left", "text"),
    [
        (2, 6, "3 finished, 0 failed, 2 running, 6 left, about 7 min left"),  # 120 s · (6 + 1) / 2
        (1, 0, "3 finished, 0 failed, 1 running, 0 left, about 60 s left"),  # nothing runs beside it
        (0, 0, "3 finished, 0 failed, 0 left"),
    ],
)
def test_runs_in_parallel_divide_the_time_left(running: int, left: int, text: str) -> None:
    assert Counts(3, 0, running, left, 120.0, parallel=2).text() == text


def test_the_journal_shows_how_many_runs_are_trained_in_parallel(tmp_path: Path) -> None:
    runs = folders(tmp_path, 4)
    progress = SweepProgress(runs, 4, tmp_path / "jobs.txt")
    assert progress.counts().parallel == 1
    with progress.job(0):
        assert progress.counts().parallel == 1
        with progress.job(1):
            end(runs[1], "finished")
        with progress.job(2):
            assert progress.counts().parallel == 2
    with progress.job(3):
        assert progress.counts().parallel == 2


def test_a_job_that_starts_again_is_counted_once(tmp_path: Path) -> None:
    (run,) = runs = folders(tmp_path, 1)
    progress = SweepProgress(runs, 1, tmp_path / "jobs.txt")
    with progress.job(0):  # preempted
        end(run, "interrupted")
    with progress.job(0), SweepProgress(runs, 1, tmp_path / "jobs.txt").job(0):  # killed without a trace, and restarted
        counts = progress.counts()
        assert (counts.running, counts.left, counts.parallel) == (1, 0, 1)
        end(run, "finished")
    assert counted(progress) == (1, 0, 0, 0)


def test_a_damaged_result_is_a_failure(tmp_path: Path) -> None:
    (run,) = runs = folders(tmp_path, 1)
    progress = SweepProgress(runs, 1, tmp_path / "jobs.txt")
    with progress.job(0):
        run.result_path.write_text("{")
    assert counted(progress) == (0, 1, 0, 0)


@pytest.mark.parametrize("torn", [b"start", b"end 1 ", b"end 1 0.5 fin", b"end 1 x finished", b"\xff\0", b"end"])
def test_torn_lines_of_the_journal_are_skipped(tmp_path: Path, torn: bytes) -> None:
    runs, journal = folders(tmp_path, 3), tmp_path / "jobs.txt"
    progress = SweepProgress(runs, 3, journal)
    with progress.job(0):
        end(runs[0], "finished")
        with journal.open("ab") as file:
            file.write(torn)
    with progress.job(1):
        assert counted(progress) == (1, 0, 1, 1)
        end(runs[1], "finished")
    assert counted(progress) == (2, 0, 0, 1)


def test_a_journal_that_cannot_be_read_or_written_ends_no_run(tmp_path: Path) -> None:
    runs, journal = folders(tmp_path, 1), tmp_path / "jobs.txt"
    journal.mkdir()
    progress = SweepProgress(runs, 1, journal)
    with progress.job(0):
        end(runs[0], "finished")
    assert progress.counts().left == 1


def test_a_job_reads_no_folder_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sweep of 10,000 runs, reading all folders at every start and end would take hours."""
    runs = folders(tmp_path, 20)
    for folder in runs[:10]:
        end(folder, "finished")
    progress = SweepProgress(runs, 10, tmp_path / "jobs.txt")
    read, status = [], RunFolder.status
    monkeypatch.setattr(RunFolder, "status", lambda folder: (read.append(folder.run_id), status(folder))[1])
    with progress.only(4).job(4):
        assert counted(progress.only(4)) == (10, 0, 1, 9)
        end(runs[14], "finished")
    assert counted(progress) == (11, 0, 0, 9)
    assert set(read) == {runs[14].run_id}


def test_sweeps_in_one_directory_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}, "launcher": {"_target_": "a.Launcher"}}})
    monkeypatch.setattr(os, "getpid", lambda: 1)
    other = Jobs(base, [Job([], compose(["preset=tiny", f"paths.outputs={tmp_path}"]), "a1b2")])
    monkeypatch.setattr(os, "getpid", lambda: 2)
    jobs = Jobs(base)
    other.job_lost(0)
    assert other.progress.counts().failed == 1
    assert jobs.progress.counts() == Counts(0, 0, 0, 0, None)
    assert jobs.stop_file != other.stop_file

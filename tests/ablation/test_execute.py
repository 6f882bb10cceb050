"""Which cells a sweep trains, given what earlier sweeps left in the run folders."""

from pathlib import Path

import pytest

from stargan_lab.ablation.execute import count_unfinished, dry_run, status_table, unfinished
from stargan_lab.ablation.plan import Cell, plan
from stargan_lab.ablation.spec import load
from stargan_lab.tracking.run_folder import RunFolder


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return plan(load("quickstart"), ["preset=tiny", f"paths.outputs={tmp_path}", "seed=0"])


def run_folder(cell: Cell) -> RunFolder:
    folder = RunFolder(Path(cell.config.paths.outputs) / "runs" / cell.run_id)
    folder.path.mkdir(parents=True)
    return folder


def test_failed_cells_are_trained_again_only_on_request(cells: list[Cell], capsys: pytest.CaptureFixture[str]) -> None:
    failed, interrupted, planned = cells
    run_folder(failed).write_result({"status": "failed", "error": "x", "metrics": {}})
    run_folder(interrupted).write_result({"status": "interrupted", "metrics": {}})
    assert count_unfinished(cells, retry_failed=False) == 2 and count_unfinished(cells, retry_failed=True) == 3
    assert capsys.readouterr().err == ""
    assert unfinished(cells, retry_failed=False) == [interrupted, planned]
    assert f"{failed.title}: failed earlier; use --retry-failed" in capsys.readouterr().err
    assert unfinished(cells, retry_failed=True) == cells


def test_running_cells_are_left_to_their_process(cells: list[Cell], capsys: pytest.CaptureFixture[str]) -> None:
    running, *others = cells
    with run_folder(running).claim():
        assert count_unfinished(cells, retry_failed=True) == len(others)
        assert unfinished(cells, retry_failed=True) == others
    assert f"{running.title}: running in another process" in capsys.readouterr().err


def test_diverged_cells_are_trained_again_only_on_request(
    cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(cells[0]).write_result({"status": "diverged", "error": "x", "metrics": {}})
    assert unfinished(cells, retry_failed=False) == cells[1:]
    assert f"{cells[0].title}: diverged earlier; use --retry-failed" in capsys.readouterr().err
    assert unfinished(cells, retry_failed=True) == cells


def test_status_shows_why_runs_failed(cells: list[Cell]) -> None:
    recorded = [("failed", "no\nmemory"), ("diverged", "x" * 500), ("finished", None)]
    for cell, (status, error) in zip(cells, recorded, strict=True):
        run_folder(cell).write_result({"status": status, "metrics": {}, "error": error})
    failed, diverged, finished, counts = status_table(cells).splitlines()
    assert failed.endswith(f"  {cells[0].run_id}  failed: no\\nmemory")
    assert diverged.endswith(f"  {cells[1].run_id}  diverged: {'x' * 119}…")
    assert finished.endswith(f"  {cells[2].run_id}  finished")
    assert counts == "1 diverged, 1 failed, 1 finished"


def test_dry_run_estimates_the_time_left(tmp_path: Path) -> None:
    cells = plan(load("quickstart"), ["preset=tiny", f"paths.outputs={tmp_path}", "seed=0,1"])
    steps = cells[0].config.total_steps

    def left() -> str:
        return dry_run(cells).splitlines()[-1]

    assert left() == "6 runs left; the time is estimated once a run is finished"
    by_variant = {cell.variant: [each for each in cells if each.variant == cell.variant] for cell in cells}
    slow, fast, third = by_variant.values()
    run_folder(slow[0]).write_result({"status": "finished", "metrics": {}, "seconds": 3600.0})
    assert left() == "5 runs left, about 5 h 00 min, one run at a time"
    run_folder(fast[0]).write_result({"status": "finished", "metrics": {}, "seconds": 1800.0})
    assert left() == "4 runs left, about 3 h 00 min, one run at a time"  # 3600 + 1800 + 2 * 2700
    assert dry_run(cells, at_a_time=3).endswith(", about 1 h 00 min, 3 runs at a time")
    assert dry_run(cells, at_a_time=9).endswith(", about 45 min, 4 runs at a time")
    run_folder(slow[1]).write_result({"status": "interrupted", "metrics": {}, "step": steps // 2})
    assert left() == "4 runs left, about 2 h 30 min, one run at a time"
    run_folder(third[0]).write_result({"status": "failed", "metrics": {}, "error": "x"})
    assert left() == "3 runs left, about 1 h 40 min, one run at a time"  # a sweep leaves failed runs out
    for cell in (slow[1], fast[1], *third):
        RunFolder(tmp_path / "runs" / cell.run_id).write_result({"status": "finished", "metrics": {}, "seconds": 1.0})
    assert left() == "0 runs left"

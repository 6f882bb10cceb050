"""Which cells a sweep trains, given what earlier sweeps left in the run folders."""

from pathlib import Path

import pytest

from stargan_lab.ablation.execute import unfinished
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
    assert unfinished(cells, retry_failed=False) == [interrupted, planned]
    assert f"{failed.title}: failed earlier; use --retry-failed" in capsys.readouterr().err
    assert unfinished(cells, retry_failed=True) == cells


def test_running_cells_are_left_to_their_process(cells: list[Cell], capsys: pytest.CaptureFixture[str]) -> None:
    running, *others = cells
    with run_folder(running).claim():
        assert unfinished(cells, retry_failed=True) == others
    assert f"{running.title}: running in another process" in capsys.readouterr().err

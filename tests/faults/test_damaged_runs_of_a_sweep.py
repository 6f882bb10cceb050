"""Damaged records of one run keep neither the others from being trained nor the report from being written."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from scored import scoring

from stargan_lab.ablation.execute import dry_run, folder_of, status_table, unfinished
from stargan_lab.ablation.plan import Cell, plan
from stargan_lab.ablation.spec import load
from stargan_lab.cli.main import main
from stargan_lab.tracking.run_folder import RunFolder

WORDS = ("preset=tiny", "tracking.enabled=false", "seed=0")

DAMAGE = {
    "result.json": ['{"status": "finis', '{"status": "finished", "metrics": {}, "seconds": "x"}', "[1, 2]"],
    "tags.json": ["[1, 2]", '{"code": 5}'],
    "descriptions.json": ["{"],
}
CASES = [(name, content) for name, contents in DAMAGE.items() for content in contents]


@dataclass
class Sweep:
    """Two finished runs of an ablation, and the first one, whose records are to be damaged."""

    cells: list[Cell]

    @property
    def damaged(self) -> RunFolder:
        return folder_of(self.cells[0])


@pytest.fixture
def sweep(here: Path) -> Sweep:
    cells = plan(load("quickstart"), [*WORDS, "paths.outputs=outputs"])
    for number, cell in enumerate(cells):
        folder = folder_of(cell)
        folder.path.mkdir(parents=True)
        folder.write_result(scoring({"eval/edit": 0.5 + number / 10}) | {"status": "finished", "seconds": 1.0})
    return Sweep(cells)


@pytest.mark.parametrize(("name", "content"), CASES)
def test_the_others_are_reported(sweep: Sweep, capfd: pytest.CaptureFixture[str], name: str, content: str) -> None:
    (sweep.damaged.path / name).write_text(content)
    assert main(["sweep", "quickstart", *WORDS, "paths.outputs=outputs"]) == 1
    out, err = capfd.readouterr()
    title = sweep.cells[0].title
    assert "Traceback" not in err
    assert f"{title}: damaged: {sweep.damaged.path / name}: " in err
    assert f"; delete {sweep.damaged.path} to train it again" in err
    assert f"damaged: {title} (run {sweep.damaged.run_id}) {sweep.damaged.path / name}: " in err
    note = f"{sweep.cells[0].variant}, seed 0: damaged (run {sweep.damaged.run_id}): {sweep.damaged.path / name}: "
    assert note in out and "0.600 (1)" in out and "0.700 (1)" in out


@pytest.mark.parametrize(("name", "content"), CASES)
def test_the_others_are_trained(sweep: Sweep, capfd: pytest.CaptureFixture[str], name: str, content: str) -> None:
    (sweep.damaged.path / name).write_text(content)
    left = sweep.cells[1:]
    for cell in left:
        folder_of(cell).result_path.unlink()
    assert unfinished(sweep.cells, retry_failed=True) == left
    assert capfd.readouterr().err.count("\n") == 1
    assert f"{sweep.damaged.run_id}  damaged" in status_table(sweep.cells)
    assert dry_run(sweep.cells).splitlines()[-1].startswith("2 runs left")


def test_damaged_rows_are_left_out_of_the_curves(sweep: Sweep, capfd: pytest.CaptureFixture[str]) -> None:
    for cell in sweep.cells:
        for step in (1, 2):
            folder_of(cell).append(step, {"loss/g_rec": 0.5})
    sweep.damaged.metrics_path.write_text("{\n{}\n")
    assert main(["sweep", "quickstart", *WORDS, "paths.outputs=outputs"]) == 0
    warning = f"warning: left out of the curves: {sweep.damaged.metrics_path}: line 1 is damaged"
    assert warning in capfd.readouterr().err
    assert Path("outputs/reports/quickstart/curves.svg").exists()

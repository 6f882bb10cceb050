"""A run that was scored several times, and the scoring a report takes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from scored import scoring

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.evaluation.protocol import metric_identity
from stargan_lab.files import write_json
from stargan_lab.report.rows import RunRow, collect
from stargan_lab.report.scorings import RunWarning
from stargan_lab.report.table import absent, main_table
from stargan_lab.tracking.run_folder import RunFolder

ScoredRun = Callable[..., RunFolder]
CELLS = [("none", 1, "n1"), ("instance", 1, "i1"), ("layer", 1, "l1")]
COLLAPSE = {"code": "collapse", "metrics": ["eval/edit"], "text": "faces: all alike"}
OWN = scoring({"eval/edit": 0.5}, [COLLAPSE])
AGAIN = scoring({"eval/edit": 0.6, "eval/edit/Male": 0.7}, batch_size=8)
HASH, OTHER = AGAIN["protocol"]["hash"], OWN["protocol"]["hash"]


@pytest.fixture
def outputs(scored_run: ScoredRun, tmp_path: Path) -> Path:
    scored_run("n1", OWN, AGAIN)
    scored_run("i1", OWN)
    RunFolder(tmp_path / "runs" / "l1").write_result({"status": "failed", "metrics": {}, "error": "no memory"})
    return tmp_path


def test_without_a_protocol_each_run_has_its_own(ablation: Ablation, outputs: Path) -> None:
    rows = collect(ablation, CELLS, outputs)
    assert [row.status for row in rows] == ["finished", "finished", "failed"]
    assert [row.protocol for row in rows] == [OTHER, OTHER, ""]
    assert rows[0].metrics == {"eval/edit": 0.5}
    assert rows[0].warnings == rows[1].warnings == (RunWarning("collapse", ("eval/edit",), "faces: all alike"),)
    assert rows[0].protocols == {"eval/edit": metric_identity(OWN["protocol"], "eval/edit")}


@pytest.mark.parametrize("asked", [HASH, HASH[:4]])
def test_the_scoring_asked_for(ablation: Ablation, outputs: Path, asked: str) -> None:
    rows = collect(ablation, CELLS, outputs, asked)
    assert rows[0].metrics == {"eval/edit": 0.6, "eval/edit/Male": 0.7}
    assert (rows[0].protocol, rows[0].warnings) == (HASH, ())
    assert rows[0].protocols == {"eval/edit": metric_identity(AGAIN["protocol"], "eval/edit")}
    assert [row.usable for row in rows] == [True, False, False]
    lines = absent(ablation, rows)
    assert f"instance, seed 1: not scored under protocol {HASH}; stargan-lab evaluate i1 …" in lines
    assert "layer, seed 1: failed (run l1): no memory" in lines
    table = main_table(ablation, rows)
    assert [row[1] for row in table.rows] == ["0.600 (1)", "–", "–"]


def test_the_first_scoring_counts_though_it_has_no_file(ablation: Ablation, outputs: Path) -> None:
    (outputs / "runs" / "n1" / "scores" / f"{OTHER}.json").unlink()
    rows = collect(ablation, CELLS, outputs, OTHER)
    assert [row.metrics for row in rows] == [{"eval/edit": 0.5}, {"eval/edit": 0.5}, {}]


def test_a_protocol_nobody_was_scored_under(ablation: Ablation, outputs: Path, scored_run: ScoredRun) -> None:
    there = ", ".join(sorted([f"{OTHER} (2 runs)", f"{HASH} (1 run)"]))
    with pytest.raises(LabError) as caught:
        collect(ablation, CELLS, outputs, "zz")
    assert str(caught.value) == f"--protocol zz: no run was scored under it; there are: {there}"
    with pytest.raises(LabError, match=r"--protocol : more than one protocol begins so; there are: "):
        collect(ablation, CELLS, outputs, "")
    with pytest.raises(LabError, match="no run was scored under it; there are: none"):
        collect(ablation, CELLS[2:], outputs, HASH)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "expected a mapping with metrics and protocol"),
        ({"metrics": {}}, "expected a mapping with metrics and protocol"),
        (AGAIN | {"metrics": {"eval/edit": "x"}}, "could not convert"),
        (AGAIN | {"warnings": [{"code": "collapse"}]}, "warnings: expected a list of code, metrics and text"),
    ],
)
def test_a_damaged_file_is_named(ablation: Ablation, outputs: Path, record: object, message: str) -> None:
    write_json(outputs / "runs" / "n1" / "scores" / f"{HASH}.json", record)
    with pytest.raises(LabError, match=rf"scores/{HASH}\.json: {message}"):
        collect(ablation, CELLS, outputs, HASH)


def test_a_report_from_rows_does_not_load_torch(rows: list[RunRow]) -> None:
    import subprocess
    import sys

    asked = "import sys, stargan_lab.report.build; print([m for m in ('torch', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

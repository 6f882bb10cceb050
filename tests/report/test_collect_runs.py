"""Runs read from their files, and from the CSV of a report."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame
from pandas import read_csv as read_table
from pandas.testing import assert_frame_equal
from scored import row, scoring

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.evaluation.protocol import metric_identity
from stargan_lab.files import write_json
from stargan_lab.report.collect_runs import as_frame, collect
from stargan_lab.report.content import content_of
from stargan_lab.report.runs_csv import read_csv, write_csv
from stargan_lab.report.tables import main_table, missing_runs
from stargan_lab.tracking.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]
CELLS = [("none", 1, "n1"), ("instance", 1, "i1"), ("layer", 1, "l1")]
COLLAPSE = {"code": "collapse", "metrics": ["eval/edit"], "text": "faces: all alike"}
FIRST = scoring({"eval/edit": 0.5}, [COLLAPSE])
SECOND = scoring({"eval/edit": 0.6, "eval/edit/Male": 0.7}, batch_size=8)
FIRST_HASH, HASH = FIRST["protocol"]["hash"], SECOND["protocol"]["hash"]


@pytest.fixture
def outputs(scored_run: MakeRun, tmp_path: Path) -> Path:
    scored_run("n1", FIRST, SECOND)
    scored_run("i1", FIRST)
    RunFolder(tmp_path / "runs" / "l1").write_result({"status": "failed", "metrics": {}, "error": "no memory"})
    return tmp_path


def test_runs_are_in_the_order_of_the_ablation(ablation: Ablation, runs_on_disk: MakeRun, tmp_path: Path) -> None:
    runs_on_disk("instance", 1, "i1", 0.7)
    runs_on_disk("none", 1, "n1", 0.5)
    RunFolder(tmp_path / "runs" / "n2").write_result({"status": "failed", "metrics": {}, "error": "no memory"})
    cells = [("instance", 1, "i1"), ("none", 2, "n2"), ("none", 1, "n1"), ("layer", 1, "l1")]
    runs = collect(ablation, cells, tmp_path)
    assert list(runs["run_id"]) == ["n1", "n2", "i1", "l1"]
    assert list(runs["status"]) == ["finished", "failed", "finished", "planned"]
    assert list(runs["audit"]) == [{"images.batch_size": 4}, {}, {"images.batch_size": 4}, {}]
    columns = ["eval/edit", "parameters.generator", "parameters.discriminator", "seconds", "seconds_per_step"]
    assert list(runs.loc[0, columns]) == [0.5, 10, 20, 12.5, 0.025]
    assert list(runs.loc[0, ["code", "machine", "finished"]]) == ["c1", "2 cores", "2025-02-19 21:20"]
    assert len(runs["protocol"][0]) == 12 and runs["protocol"][0] == runs["protocol"][2]
    assert runs["protocols"][0] == runs["protocols"][2] and list(runs["protocols"][0]) == ["eval/edit"]
    assert runs["error"][1] == "no memory"
    assert runs["folder"][3] is None
    with pytest.raises(LabError, match="run x: ablation norms has no variant 'batch'"):
        collect(ablation, [("batch", 1, "x")], tmp_path)


def test_any_logged_metric_can_be_secondary(ablation: Ablation, runs_on_disk: MakeRun, tmp_path: Path) -> None:
    """A cost of the whole run, or the last logged value; a metric of no run is noted."""
    for variant, loss in (("none", 0.5), ("instance", 0.25)):
        folder = runs_on_disk(variant, 1, variant, 0.5)
        folder.append(1, {"loss/g_rec": 9.0, "speed/seconds_per_step": 7.0})
        folder.append(2, {"loss/g_rec": loss})
        folder.append(2, {"lr/g": 0.1})
    secondary = ("speed/seconds_per_step", "loss/g_rec", "memory/peak_mib", "eval/fid", "loss/d_gp")
    ablation = replace(ablation, secondary=secondary)
    runs = collect(ablation, [("none", 1, "none"), ("instance", 1, "instance"), ("layer", 1, "planned")], tmp_path)
    assert runs["loss/g_rec"].tolist()[:2] == [0.5, 0.25] and runs["loss/g_rec"].isna()[2]
    table = main_table(ablation, runs)
    assert list(table)[:3] == ["edit ↑", "seconds_per_step (s) ↓", "g_rec"]
    assert list(table["seconds_per_step (s) ↓"]) == ["0.0250 (1)", "0.0250 (1)", "–"]
    content = content_of(ablation, runs, notes=["first"])
    assert list(content.secondary) == ["speed/seconds_per_step"]  # a loss has no direction
    assert content.notes == [
        "first",
        *(f"no finished run has the secondary metric {name}" for name in ("memory/peak_mib", "eval/fid", "loss/d_gp")),
    ]


def test_without_a_protocol_the_first_scores_are_used(ablation: Ablation, outputs: Path) -> None:
    runs = collect(ablation, CELLS, outputs)
    assert list(runs["status"]) == ["finished", "finished", "failed"]
    assert list(runs["protocol"]) == [FIRST_HASH, FIRST_HASH, ""]
    assert list(runs["eval/edit"][:2]) == [0.5, 0.5] and "eval/edit/Male" not in runs
    assert list(runs["warnings"]) == [[COLLAPSE], [COLLAPSE], []]
    assert runs["protocols"][0] == {"eval/edit": metric_identity(FIRST["protocol"], "eval/edit")}


def test_scores_under_a_protocol_given_by_a_prefix(ablation: Ablation, outputs: Path) -> None:
    runs = collect(ablation, CELLS, outputs, HASH[:4])
    assert list(runs.loc[0, ["eval/edit", "eval/edit/Male", "protocol"]]) == [0.6, 0.7, HASH]
    assert runs["warnings"][0] == []
    assert runs["protocols"][0] == {"eval/edit": metric_identity(SECOND["protocol"], "eval/edit")}
    assert list(runs["status"]) == ["finished", "not scored", "failed"]
    lines = missing_runs(ablation, runs)
    assert f"instance, seed 1: not scored under protocol {HASH}; run `stargan-lab evaluate i1 …`" in lines
    assert "layer, seed 1: failed (run l1): no memory" in lines
    assert list(main_table(ablation, runs)["edit ↑"]) == ["0.600 (1)", "–", "–"]


def test_the_first_scores_are_used_even_without_a_scores_file(ablation: Ablation, outputs: Path) -> None:
    (outputs / "runs" / "n1" / "scores" / f"{FIRST_HASH}.json").unlink()
    assert list(collect(ablation, CELLS, outputs, FIRST_HASH)["eval/edit"][:2]) == [0.5, 0.5]


def test_a_protocol_that_matches_none_or_several(ablation: Ablation, outputs: Path) -> None:
    available = ", ".join(sorted([f"{FIRST_HASH} (2 runs)", f"{HASH} (1 run)"]))
    with pytest.raises(LabError) as caught:
        collect(ablation, CELLS, outputs, "zz")
    assert str(caught.value) == f"--protocol zz: no run was scored under it; available: {available}"
    with pytest.raises(LabError, match="--protocol : more than one protocol matches; available: "):
        collect(ablation, CELLS, outputs, "")
    with pytest.raises(LabError, match="no run was scored under it; available: none"):
        collect(ablation, CELLS[2:], outputs, HASH)


def test_the_error_names_a_damaged_file(ablation: Ablation, outputs: Path) -> None:
    for record, message in [
        ({"metrics": {}}, "expected a mapping with metrics and protocol"),
        (SECOND | {"metrics": {"eval/edit": "x"}}, "could not convert"),
        (SECOND | {"warnings": [{"code": "collapse"}]}, "warnings: expected a list of code, metrics and text"),
    ]:
        write_json(outputs / "runs" / "n1" / "scores" / f"{HASH}.json", record)
        with pytest.raises(LabError, match=rf"scores/{HASH}\.json: {message}"):
            collect(ablation, CELLS, outputs, HASH)


def test_csv_round_trip(runs: DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "none1"
    folder.mkdir(parents=True)
    warnings = [
        {"code": "collapse", "metrics": [], "text": "faces: alike, 'all'"},
        {"code": "few-images", "metrics": ["eval/edit", "eval/fid"], "text": 'a "b"'},
    ]
    known = {"eval/edit": "1a2b3c4d", "eval/frechet_classifier": "00000000"}
    text = {"error": 'a, "b" ±', "protocol": "00e1", "warnings": warnings, "protocols": known}
    text |= {"audit": {"flops.run": 181_068_722_339_840_001, "penalty.slope": 1 / 3}}
    moved = row("NA", 4, folder=tmp_path / "runs" / "moved")
    complete = row("none", 1, folder=folder, **text, **{"eval/edit": 1 / 3, "parameters.generator": 7})
    runs = as_frame([complete, moved, *runs[1:].to_dict("records")])
    runs["run_id"] = [f"00{index}" for index in runs.index]  # text, although it looks like a number
    path = tmp_path / "reports" / "norms" / "report.csv"
    write_csv(runs, path)
    runs.at[1, "folder"] = None
    assert_frame_equal(read_csv(path), runs, check_exact=True)
    csv = path.read_text()
    assert ",eval/edit=1a2b3c4d eval/frechet_classifier=00000000,collapse few-images," in csv
    assert str(tmp_path) not in csv
    assert len(csv.splitlines()) == 1 + len(runs)


def test_audit_and_peak_memory_of_older_reports_are_missing(runs: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    write_csv(runs, path)
    read_table(path, dtype=object, na_filter=False).drop(columns=["audit", "peak_memory_mib"]).to_csv(path, index=False)
    assert_frame_equal(read_csv(path), runs, check_exact=True)


def test_the_error_names_the_column_of_a_wrong_csv(runs: DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    warning = {"code": "collapse", "metrics": [], "text": ""}
    write_csv(runs.assign(protocols=[{"eval/edit": "1a"}] * 9, warnings=[[warning]] * 9), path)
    csv = path.read_text()
    for old, new, message in [
        ("eval/edit=1a", "eval/edit", "column 'protocols': expected metric=hash, got 'eval/edit'"),
        ('""code""', '""cod""', "column 'warning_details': warnings: expected a list of code, metrics and text"),
        ("eval/edit,", "eval/edti,", "metric 'eval/edti' is not registered; did you mean 'eval/edit'"),
        ("run_id", "id", "column 'run_id' is missing; expected the CSV file of a report"),
        ("none,1,none1", "none,one,none1", "column 'seed': invalid literal .* 'one'"),
        ("none,1,none1", "none,2,none1", "variant none has more than one run with seed 2"),
    ]:
        assert old in csv
        path.write_text(csv.replace(old, new, 1))
        with pytest.raises(LabError, match=message) as error:
            read_csv(path)
        assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_a_report_does_not_load_torch() -> None:
    code = "import sys, stargan_lab.report.pages; print([m for m in ('torch', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Rows from plain files, and from a report's own CSV."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.report.rows import RunRow, collect
from stargan_lab.report.scorings import RunWarning
from stargan_lab.report.spreadsheet import read_csv, write_csv
from stargan_lab.tracking.run_folder import RunFolder

MakeRun = Callable[[str, int, str, float], RunFolder]


def test_rows_come_from_the_files_in_the_ablation_order(
    ablation: Ablation, runs_on_disk: MakeRun, tmp_path: Path
) -> None:
    runs_on_disk("instance", 1, "i1", 0.7)
    runs_on_disk("none", 1, "n1", 0.5)
    broken = RunFolder(tmp_path / "runs" / "n2")
    broken.write_result({"status": "failed", "metrics": {}, "error": "no memory"})
    found = collect(
        ablation, [("instance", 1, "i1"), ("none", 2, "n2"), ("none", 1, "n1"), ("layer", 1, "l1")], tmp_path
    )
    assert [(r.variant, r.seed, r.status) for r in found] == [
        ("none", 1, "finished"),
        ("none", 2, "failed"),
        ("instance", 1, "finished"),
        ("layer", 1, "planned"),
    ]
    first = found[0]
    assert first.metrics == {"eval/edit": 0.5}
    assert first.parameters == {"generator": 10, "discriminator": 20}
    assert (first.seconds, first.seconds_per_step, first.code, first.machine) == (12.5, 0.025, "c1", "2 cores")
    assert first.finished == "2025-02-19 21:20"
    assert len(first.protocol) == 12
    assert first.protocol == found[2].protocol
    assert list(first.protocols) == ["eval/edit"]  # of a record from before there were instruments
    assert first.identity("eval/edit") == found[2].identity("eval/edit") != first.protocol
    assert found[1].error == "no memory"
    assert found[3].folder is None
    with pytest.raises(LabError, match="norms has no variant 'batch'"):
        collect(ablation, [("batch", 1, "x")], tmp_path)


def test_csv_round_trip(rows: list[RunRow], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "none1"
    folder.mkdir(parents=True)
    third = {"eval/edit": 1 / 3}
    warnings = (
        RunWarning("collapse", (), "faces: alike, 'all'"),
        RunWarning("few-images", ("eval/edit", "eval/fid"), 'a "b"'),
    )
    known = {"eval/edit": "1a2b3c4d", "eval/frechet_classifier": "00000000"}
    full = replace(rows[0], folder=folder, metrics=third, error='a, "b"', warnings=warnings, protocols=known)
    rows = [full, *rows[1:]]
    path = tmp_path / "reports" / "norms" / "report.csv"
    write_csv(rows, path)
    assert read_csv(path) == rows
    text = path.read_text()
    assert str(tmp_path) not in text
    assert ",eval/edit=1a2b3c4d eval/frechet_classifier=00000000,collapse few-images," in text
    assert len(text.splitlines()) == 1 + len(rows)


def test_csv_of_runs_that_are_gone(rows: list[RunRow], tmp_path: Path) -> None:
    write_csv([replace(rows[0], folder=tmp_path / "runs" / "gone")], tmp_path / "report.csv")
    assert read_csv(tmp_path / "report.csv") == [rows[0]]


def test_the_csv_of_an_older_report(rows: list[RunRow], tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    write_csv([replace(row, protocols={"eval/edit": "1a2b3c4d"}) for row in rows], path)
    with path.open(newline="") as file:
        records = list(csv.DictReader(file))
    older = [key for key in records[0] if key not in ("protocols", "warnings", "warning_details")]
    assert len(older) == len(records[0]) - 3
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, older, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)
    found = read_csv(path)
    assert found == rows
    assert found[0].identity("eval/edit") == "p1"


def test_warnings_of_a_csv_without_their_details(rows: list[RunRow], tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    write_csv(rows[:1], path)
    header, line = path.read_text().splitlines()
    cells = dict(zip(header.split(","), line.split(","), strict=True)) | {"warnings": "collapse one-class"}
    path.write_text(f"{header}\n{','.join(cells.values())}\n")
    assert read_csv(path)[0].warnings == (RunWarning("collapse", (), ""), RunWarning("one-class", (), ""))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("eval/edit=1a", "eval/edit"), "line 2: protocols: expected metric=identity, got 'eval/edit'"),
        (('""code""', '""cod""'), "line 2: warnings: expected a list of code, metrics and text"),
        (("eval/edit,", "eval/edti,"), "'eval/edti' is not registered; did you mean 'eval/edit'"),
        (("run_id", "id"), "column 'run_id' is missing"),
        (("none,1,none1", "none,one,none1"), "line 2: invalid literal"),
    ],
)
def test_a_wrong_csv_is_named(rows: list[RunRow], tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "runs.csv"
    rows[0] = replace(rows[0], protocols={"eval/edit": "1a"}, warnings=(RunWarning("collapse", (), ""),))
    write_csv(rows, path)
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(LabError, match=message) as error:
        read_csv(path)
    assert str(path) in str(error.value)


def test_a_csv_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"runs\.csv: cannot be read"):
        read_csv(tmp_path / "runs.csv")

"""Which cells a warning marks, and how the letters are explained."""

from typing import Any

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.tables import domain_table, main_table
from stargan_lab.report.warning_marks import WarningMarks


def warning(code: str, *metrics: str, text: str = "") -> dict[str, Any]:
    return {"code": code, "metrics": list(metrics), "text": text}


ALL = warning("collapse", text="faces: all alike (0.01)")
ONE = warning("few-images", "eval/frechet_classifier", text="faces: 9 images")
ABSENT = warning("no-weights", "eval/fid", text="no Inception weights")


def warned(runs: DataFrame, **warnings: list[dict[str, Any]]) -> DataFrame:
    return runs.assign(warnings=[warnings.get(run_id, []) for run_id in runs["run_id"]])


def test_affected_cells_are_marked(ablation: Ablation, runs: DataFrame) -> None:
    runs = warned(runs, none1=[ONE], none3=[ONE, ALL], instance2=[ONE], layer3=[ALL])  # layer3 failed
    table = main_table(ablation, runs)
    assert list(table.loc["none (baseline)"][:2]) == ["0.60 ± 0.10 (3) [b]", "40 ± 10 (3) [a, b]"]
    assert list(table.loc["instance"][:2]) == ["0.77 ± 0.12 (3)", "23 ± 12 (3) [a]"]
    assert not any("[" in cell for cell in table.loc["layer"])
    assert list(domain_table(ablation, runs)["Male"][:2]) == ["0.300 ± 0.050 (3) [b]", "0.383 ± 0.058 (3)"]
    assert WarningMarks(runs).lines() == [
        "[a] few-images: none seeds 1, 3; instance seed 2: faces: 9 images",
        "[b] collapse: none seed 3: faces: all alike (0.01)",
    ]


def test_one_letter_for_all_texts_of_a_code(runs: DataFrame) -> None:
    moods, later = ALL | {"text": "moods: all\n alike (0.02)"}, ALL | {"text": "faces: all alike (0.03)"}
    marks = WarningMarks(warned(runs, none1=[ALL, moods], none2=[later]))
    assert marks.lines() == ["[a] collapse: none seeds 1, 2: faces: all alike (0.01); moods: all alike (0.02)"]
    assert WarningMarks(warned(runs, none1=[warning("collapse")])).lines() == ["[a] collapse: none seed 1"]


def test_a_missing_score_is_marked_where_other_runs_have_it(ablation: Ablation, runs: DataFrame) -> None:
    runs = warned(runs, none1=[ABSENT])
    assert WarningMarks(runs).lines() == ["no-weights: none seed 1: no Inception weights"]  # no column, no letter
    assert WarningMarks(runs).of("none", "eval/fid") == ""
    runs.loc[7, "eval/fid"] = 10.0
    assert list(main_table(ablation, runs)["fid ↓"]) == ["– [a]", "–", "10.00 (1)"]
    assert WarningMarks(runs).lines() == ["[a] no-weights: none seed 1: no Inception weights"]


def test_a_warning_of_all_runs_does_not_list_them(runs: DataFrame) -> None:
    everywhere = warned(runs, **{run_id: [ONE] for run_id in runs["run_id"]})
    assert WarningMarks(everywhere).lines() == ["[a] few-images: all runs: faces: 9 images"]
    assert WarningMarks(everywhere[:1]).lines() == ["[a] few-images: none seed 1: faces: 9 images"]

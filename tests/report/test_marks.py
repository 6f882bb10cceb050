"""Which cells a warning marks, and what stands below the table."""

from dataclasses import replace

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.marks import Marks
from stargan_lab.report.rows import RunRow
from stargan_lab.report.scorings import RunWarning
from stargan_lab.report.table import domain_table, main_table

ALL = RunWarning("collapse", (), "faces: all alike (0.01)")
ONE = RunWarning("few-images", ("eval/frechet_classifier",), "faces: 9 images")
ABSENT = RunWarning("no-weights", ("eval/fid",), "no Inception weights")


def warned(rows: list[RunRow], **warnings: tuple[RunWarning, ...]) -> list[RunRow]:
    return [replace(row, warnings=warnings.get(row.run_id, ())) for row in rows]


def test_without_warnings_nothing_is_marked(ablation: Ablation, rows: list[RunRow]) -> None:
    assert Marks(rows).lines() == []
    assert not any("[" in cell for row in main_table(ablation, rows).rows for cell in row)


def test_cells_of_the_scores_concerned_are_marked(ablation: Ablation, rows: list[RunRow]) -> None:
    rows = warned(rows, none1=(ONE,), none3=(ONE, ALL), instance2=(ONE,), layer3=(ALL,))  # layer3 failed
    cells = {row[0]: row[1:4] for row in main_table(ablation, rows).rows}
    assert cells["none (baseline)"] == ("0.600 ± 0.100 (3) [b]", "–", "40.00 ± 10.00 (3) [a, b]")
    assert cells["instance"] == ("0.767 ± 0.115 (3)", "+0.167 ± 0.058 (3)", "23.33 ± 11.55 (3) [a]")
    assert not any("[" in cell for cell in cells["layer"])
    domains = domain_table(ablation, rows, "eval/edit")
    assert domains is not None and [row[1] for row in domains.rows][:2] == [
        "0.300 ± 0.050 (3) [b]",
        "0.383 ± 0.058 (3)",
    ]
    assert Marks(rows).lines() == [
        "[a] few-images: none seeds 1, 3; instance seed 2: faces: 9 images",
        "[b] collapse: none seed 3: faces: all alike (0.01)",
    ]


def test_one_letter_for_all_texts_of_a_code(rows: list[RunRow]) -> None:
    moods = replace(ALL, text="moods: all\n alike (0.02)")
    found = Marks(warned(rows, none1=(ALL, moods), none2=(replace(ALL, text="faces: all alike (0.03)"),)))
    assert found.lines() == ["[a] collapse: none seeds 1, 2: faces: all alike (0.01); moods: all alike (0.02)"]
    assert Marks(warned(rows, none1=(replace(ALL, text=""),))).lines() == ["[a] collapse: none seed 1"]


def test_what_could_not_be_measured_is_marked_where_others_have_it(ablation: Ablation, rows: list[RunRow]) -> None:
    rows = warned(rows, none1=(ABSENT,))
    assert Marks(rows).lines() == ["no-weights: none seed 1: no Inception weights"]  # no column, no letter
    assert Marks(rows).of("none", "eval/fid") == ""
    rows[-2].metrics["eval/fid"] = 10.0
    assert main_table(ablation, rows).header[3] == "fid ↓"
    assert [row[3] for row in main_table(ablation, rows).rows] == ["– [a]", "–", "10.00 (1)"]
    assert Marks(rows).lines() == ["[a] no-weights: none seed 1: no Inception weights"]


def test_what_all_runs_have_is_said_once(rows: list[RunRow]) -> None:
    usable = [row for row in rows if row.usable]
    everywhere = warned(rows, **{row.run_id: (ONE,) for row in usable})
    assert Marks(everywhere).lines() == ["[a] few-images: all runs: faces: 9 images"]
    assert Marks(everywhere[:1]).lines() == ["[a] few-images: none seed 1: faces: 9 images"]


def test_more_codes_than_letters(rows: list[RunRow]) -> None:
    many = tuple(RunWarning(f"code{i}", (), "") for i in range(28))
    lines = Marks(warned(rows, none1=many)).lines()
    assert [line.split("]")[0] for line in lines[24:]] == ["[y", "[z", "[a1", "[b1"]

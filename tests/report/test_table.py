"""Numbers of the tables against numbers worked out by hand."""

from dataclasses import replace
from math import sqrt

import pytest

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.rows import RunRow, scores
from stargan_lab.report.table import (
    Summary,
    absent,
    domain_table,
    further_metrics,
    further_table,
    main_metrics,
    main_table,
    paired_differences,
    summarise,
)


def test_mean_and_sample_deviation_by_hand() -> None:
    found = summarise([2.0, 4.0, 9.0])  # mean 5; squares 9 + 1 + 16 = 26; 26 / 2 = 13
    assert found == Summary(5.0, pytest.approx(sqrt(13)), 3)
    assert summarise([7.0]) == Summary(7.0, None, 1)
    assert summarise([]) is None


def test_differences_are_paired_by_seed(rows: list[RunRow]) -> None:
    found = paired_differences(rows, "instance", "none", "eval/edit")
    assert found == {1: pytest.approx(0.2), 2: pytest.approx(0.1), 3: pytest.approx(0.2)}
    assert list(paired_differences(rows, "layer", "none", "eval/edit")) == [1, 2]
    reordered = list(reversed(rows))
    assert paired_differences(reordered, "instance", "none", "eval/edit") == found


def test_main_table(ablation: Ablation, rows: list[RunRow]) -> None:
    table = main_table(ablation, rows)
    assert table.header == ("variant", "edit ↑", "Δ edit", "frechet_classifier ↓", "G params", "D params", "s/step")
    # instance: mean of .7 .7 .9 = 0.7667, sd = sqrt(0.02667 / 2) = 0.1155; differences .2 .1 .2: 0.1667, sd 0.0577
    assert table.rows == (
        ("none (baseline)", "0.600 ± 0.100 (3)", "–", "40.00 ± 10.00 (3)", "131,000", "2,000,004", "0.05"),
        (
            "instance",
            "0.767 ± 0.115 (3)",
            "+0.167 ± 0.058 (3)",
            "23.33 ± 11.55 (3)",
            "131,000",
            "2,000,008",
            "0.05",
        ),
        ("layer", "0.500 ± 0.141 (2)", "-0.050 ± 0.071 (2)", "50.00 ± 14.14 (2)", "131,000", "2,000,005", "0.0375"),
    )


def test_one_run_has_no_deviation(ablation: Ablation, rows: list[RunRow]) -> None:
    table = main_table(ablation, [row for row in rows if row.seed == 1])
    assert table.rows[1][1:3] == ("0.700 (1)", "+0.200 (1)")


def test_no_runs_at_all_is_a_table_of_dashes(ablation: Ablation) -> None:
    table = main_table(ablation, [])
    assert table.rows[1] == ("instance", "–", "–", "–", "–", "–")
    assert len(absent(ablation, [])) == 9


def test_domains(ablation: Ablation, rows: list[RunRow]) -> None:
    table = domain_table(ablation, rows, "eval/edit")
    assert table is not None
    assert table.header == ("variant", "Male")
    assert table.rows[0] == ("none (baseline)", "0.300 ± 0.050 (3)")
    assert domain_table(ablation, rows, "eval/frechet_classifier") is None


def test_what_is_missing_is_named(ablation: Ablation, rows: list[RunRow]) -> None:
    assert absent(ablation, rows) == ["layer, seed 3: failed (run layer3): loss/d_gp became NaN at step 40"]
    fewer = [row for row in rows if row.run_id not in ("none2", "layer3")]
    assert absent(ablation, fewer) == ["none, seed 2: no run", "layer, seed 3: no run"]
    unscored = [replace(row, metrics={}) if row.run_id == "none1" else row for row in rows[:-1]]
    assert absent(ablation, unscored)[0] == "none, seed 1: has no eval/edit (run none1)"


def test_scores_stand_in_the_order_of_the_registry_and_each_in_one_table(
    ablation: Ablation, rows: list[RunRow]
) -> None:
    more = ["eval/ssim", "eval/reconstruction", "eval/recall_dino", "eval/frechet_dino", "eval/kid", "eval/kid_dino"]
    more += ["eval/accuracy_ceiling", "eval/kid/Male", "rescored.0123456789ab/edit", "memory/peak_mib", "eval/leak"]
    rows[0].metrics.update(dict.fromkeys(more, 1.0))
    rows[-1].metrics["eval/psnr"] = 1.0  # of a failed run
    main = ["eval/edit", "eval/leak", "eval/kid", "eval/frechet_classifier", "eval/frechet_dino", "eval/reconstruction"]
    further = ["eval/accuracy_ceiling", "eval/kid_dino", "eval/recall_dino", "eval/ssim"]
    assert main_metrics(ablation, rows) == main
    assert further_metrics(ablation, rows) == further
    assert sorted(scores(rows)) == sorted(main + further)
    other = replace(ablation, primary="eval/kid_dino")
    assert main_metrics(other, rows) == ["eval/kid_dino", *main]
    assert further_metrics(other, rows) == ["eval/accuracy_ceiling", "eval/recall_dino", "eval/ssim"]


def test_further_scores(ablation: Ablation, rows: list[RunRow]) -> None:
    assert further_table(ablation, rows) is None
    for row, value in zip(rows, (10.0, 20.0, 60.0), strict=False):  # none: mean 30, squares 400 + 100 + 900, / 2 = 700
        row.metrics["eval/psnr"] = value
    table = further_table(ablation, rows)
    assert table is not None
    assert table.header == ("score", "none (baseline)", "instance", "layer")
    assert table.rows == (("psnr (dB) ↑", f"30.00 ± {sqrt(700):.2f} (3)", "–", "–"),)

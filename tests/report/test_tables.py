"""Numbers in the tables, worked out by hand."""

from dataclasses import replace
from math import sqrt

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.collect_runs import scores
from stargan_lab.report.tables import (
    domain_table,
    further_metrics,
    further_table,
    legend,
    main_metrics,
    main_table,
    missing_runs,
)
from stargan_lab.tracking.metrics import Metric, order


def test_main_table(ablation: Ablation, runs: DataFrame) -> None:
    table = main_table(ablation, runs[::-1])
    assert [table.index.name, *table] == ["variant", "edit ↑", "frechet_classifier ↓", "G params", "D params", "s/step"]
    # instance: mean of .7 .7 .9 = 0.7667, sd = sqrt(0.02667 / 2) = 0.1155; layer's seed 3 failed
    assert list(table.itertuples(name=None)) == [
        ("none (baseline)", "0.60 ± 0.10 (3)", "40 ± 10 (3)", "131,000", "2,000,004", "0.05"),
        ("instance", "0.77 ± 0.12 (3)", "23 ± 12 (3)", "131,000", "2,000,008", "0.05"),
        ("layer", "0.50 ± 0.14 (2)", "50 ± 14 (2)", "131,000", "2,000,005", "0.0375"),
    ]


def test_without_finished_runs_the_main_table_has_only_dashes(ablation: Ablation, runs: DataFrame) -> None:
    table = main_table(ablation, runs[-1:])
    assert (table == "–").all(axis=None) and table.shape == (3, 4)
    assert len(missing_runs(ablation, runs[-1:])) == 9


def test_domain_table(ablation: Ablation, runs: DataFrame) -> None:
    table = domain_table(ablation, runs)
    assert list(table) == ["Male"] and table["Male"].iloc[0] == "0.300 ± 0.050 (3)"
    assert domain_table(replace(ablation, primary="eval/frechet_classifier"), runs).empty


def test_missing_runs_are_listed_with_the_reason(ablation: Ablation, runs: DataFrame) -> None:
    runs.loc[0, "eval/edit"] = None
    assert missing_runs(ablation, runs.drop(index=1)) == [
        "none, seed 1: no eval/edit (run none1)",
        "none, seed 2: no run",
        "layer, seed 3: failed (run layer3): loss/d_gp became NaN at step 40",
    ]


def test_each_score_is_in_one_table_in_registry_order(ablation: Ablation, runs: DataFrame) -> None:
    more = [
        "eval/ssim",
        "eval/reconstruction",
        "eval/recall_pixels",
        "eval/frechet_pixels",
        "eval/kid",
        "eval/kid_pixels",
    ]
    more += ["eval/accuracy_ceiling", "eval/kid/Male", "rescored.0123456789ab/edit", "memory/peak_mib", "eval/leak"]
    runs.loc[0, more] = 1.0
    runs.loc[8, "eval/psnr"] = 1.0  # only of the failed run
    main = ["eval/leak", "eval/kid", "eval/frechet_classifier", "eval/frechet_pixels", "eval/reconstruction"]
    main = ["eval/edit", *sorted(main, key=order)]
    further = sorted(["eval/accuracy_ceiling", "eval/kid_pixels", "eval/recall_pixels", "eval/ssim"], key=order)
    assert main_metrics(ablation, runs) == main
    assert further_metrics(ablation, runs) == further
    assert sorted(scores(runs)) == sorted(main + further)
    other = replace(ablation, primary="eval/kid_pixels")
    assert main_metrics(other, runs) == ["eval/kid_pixels", *main]
    assert further_metrics(other, runs) == [name for name in further if name != "eval/kid_pixels"]


def test_further_table(ablation: Ablation, runs: DataFrame) -> None:
    assert further_table(ablation, runs).empty
    runs.loc[:2, "eval/psnr"] = [10.0, 20.0, 60.0]  # mean 30; squared deviations 400 + 100 + 900
    table = further_table(ablation, runs)
    assert [table.index.name, *table] == ["score", "none (baseline)", "instance", "layer"]
    assert list(table.itertuples(name=None)) == [("psnr (dB) ↑", f"30 ± {sqrt(700):.0f} (3)", "–", "–")]


def test_a_metric_of_a_user_is_described_by_its_runs(ablation: Ablation, runs: DataFrame) -> None:
    glow = Metric("eval/glow", "lm", "higher", "mean brightness", 1)
    runs["descriptions"] = [{"eval/glow": glow} if name == "none1" else {} for name in runs["run_id"]]
    runs.loc[0, "eval/glow"] = 2.0
    assert list(main_table(ablation, runs)["glow (lm) ↑"]) == ["2.0 (1)", "–", "–"]
    assert "glow (lm) ↑: mean brightness (protocol p1)" in legend(ablation, runs)

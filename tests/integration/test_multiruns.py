"""A plain multirun, its report and its view in MLflow."""

import json
from argparse import Namespace

import pytest
from processes import Lab

from stargan_lab.cli.ui import view_of

pytestmark = pytest.mark.integration


def test_twelve_runs_of_a_multirun_are_reported_by_one_command(lab: Lab) -> None:
    swept = ("discriminator.norm=none,layer,instance", "seed=0,1,2,3")
    outcome = lab("train", "preset=tiny", "total_steps=1", "quiet=true", "-m", *swept)
    assert outcome.code == 0, outcome.err
    runs = lab.mlflow().runs().values()
    assert len(runs) == 12
    names = {f"norm={norm} · seed {seed}" for norm in ("none", "layer", "instance") for seed in range(4)}
    assert {run.info.run_name for run in runs} == names
    assert all({"discriminator.norm", "seed"} <= run.data.params.keys() for run in runs)

    reported = lab("report", "--multirun", "latest")
    assert reported.code == 0, reported.err
    (summary,) = lab.outputs.glob("reports/multirun-*/report.json")
    content = json.loads(summary.read_text())
    assert (content["baseline"], content["variants"]) == ("norm=none", ["norm=none", "norm=layer", "norm=instance"])
    assert [(row["variant"], row["n"]) for row in content["verdicts"]] == [("norm=layer", 4), ("norm=instance", 4)]
    assert len(content["runs"]) == 12 and summary.with_name("report.html").exists()

    view, run_ids, variants = view_of(Namespace(name=None, multirun="latest"), lab.outputs)
    assert {run.data.tags[f"ablation.{view.ablation}"] for run in runs} == {*variants}
    assert (view.scores[0], len(run_ids), view.factors) == (content["primary"], 12, ["discriminator.norm", "seed"])

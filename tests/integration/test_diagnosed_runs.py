"""``diagnostics.enabled=true`` adds metrics to a run and changes nothing else."""

import json

import pytest
from processes import Lab, Outcome

from stargan_lab.tracking.run_folder import RunFolder

pytestmark = pytest.mark.integration

TERMS = {f"diagnostics/generator_gradient/{term}" for term in ("g_fake", "g_rec", "g_cls")}
SINGLE = {"gradient_norm", "gradient_norm_q50", "gradient_norm_near_1", "critic_gap", "score_saturation"}


def test_the_same_run_with_diagnostics(first: tuple[Lab, Outcome], lab: Lab) -> None:
    plain, _ = first
    outcome = lab("train", "preset=tiny", "diagnostics.enabled=true", "diagnostics.every=1")
    assert outcome.code == 0, outcome.err
    assert lab.run_ids() == plain.run_ids()
    assert lab.result()["state_sha256"] == plain.result()["state_sha256"]
    assert lab.result()["metrics"] == plain.result()["metrics"]
    rows = [(step, metrics) for step, metrics in lab.rows() if "diagnostics/critic_gap" in metrics]
    assert [step for step, _ in rows] == [1, 2, 3, 4]
    for _, metrics in rows:
        assert set(metrics) >= TERMS | {f"diagnostics/{name}" for name in SINGLE}
        assert "diagnostics/layer_gradient/main.0" in metrics
        assert "diagnostics/share_at_bound" not in metrics  # no clipping
    others = [(step, metrics) for step, metrics in lab.rows() if "diagnostics/critic_gap" not in metrics]
    assert others == plain.rows()
    described = json.loads(RunFolder(lab.run()).descriptions_path.read_text())
    assert all(each["meaning"] for each in described if each["name"].startswith("diagnostics/"))
    (run,) = lab.mlflow().runs().values()
    assert [step for step, _ in lab.mlflow().history(run)["diagnostics/critic_gap"]] == [1, 2, 3, 4]


def test_the_share_at_the_clip_bound_is_logged(lab: Lab) -> None:
    outcome = lab(
        *("train", "preset=tiny", "lipschitz=clip", "tracking.enabled=false"),
        *("diagnostics.enabled=true", "diagnostics.every=2"),
    )
    assert outcome.code == 0, outcome.err
    shares = [m["diagnostics/share_at_bound"] for _, m in lab.rows() if "diagnostics/share_at_bound" in m]
    assert len(shares) == 2 and all(0 < share <= 1 for share in shares)


def test_in_joint_training_every_dataset_is_measured_under_its_name(lab: Lab) -> None:
    datasets = ("faces", "expressions")
    small = [f"data.sources.{name}.{size}" for name in datasets for size in ("train=32", "valid=8", "test=8")]
    outcome = lab(
        *("train", "preset=tiny", "data=joint", "data.image_size=16", "total_steps=2", "tracking.enabled=false"),
        *("diagnostics.enabled=true", "diagnostics.every=2", *small),
    )
    assert outcome.code == 0, outcome.err
    names = {name for _, metrics in lab.rows() for name in metrics if name.startswith("diagnostics/")}
    assert {name.rpartition("/")[2] for name in names} == set(datasets)
    for dataset in datasets:
        assert {f"diagnostics/{name}/{dataset}" for name in ("critic_gap", "layer_gradient/conv1")} <= names

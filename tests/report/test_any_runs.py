"""``load_runs``, and reports of runs that no ablation file declares."""

import re
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from stargan_lab.cli.main import main
from stargan_lab.cli.ui import view_of
from stargan_lab.config import compose
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.files import write_json, write_text
from stargan_lab.report.from_runs import ablation_of, also_differing
from stargan_lab.report.query import load_runs
from stargan_lab.tracking.run_folder import RunFolder


def stored(outputs: Path, run_id: str, edit: float, *overrides: str, status: str = "finished") -> None:
    folder = RunFolder(outputs / "runs" / run_id)
    folder.path.mkdir(parents=True)
    write_text(folder.config_path, yaml.safe_dump(compose(["preset=tiny", *overrides]).flat(), sort_keys=False))
    folder.update_tags({"ablation.norms": "plain", "code": "c1"} if run_id == "a0" else {"code": "c1"})
    end = 1_740_000_000.0 + len(list((outputs / "runs").iterdir()))
    folder.write_result({"status": status, "metrics": {"eval/edit": edit}, "finished_at": end, "protocol": "p1"})


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    for seed in (0, 1):
        stored(tmp_path, f"b{seed}", 0.5 + seed, f"seed={seed}", "discriminator.norm=layer")
        stored(tmp_path, f"a{seed}", 0.1 + seed, f"seed={seed}", "discriminator.norm=none")
    return tmp_path


def ids(outputs: Path, *filters: str) -> list[str]:
    return list(load_runs(outputs, *filters)["run_id"])


def test_filters(outputs: Path) -> None:
    stored(outputs, "u0", 0.0, "generator=unet", "generator.depth=2", status="failed")
    assert ids(outputs) == ["a0", "a1", "b0", "b1", "u0"]
    assert ids(outputs, "discriminator.norm=layer") == ["b0", "b1"]
    assert ids(outputs, "discriminator.norm=none,layer", "seed=1") == ["a1", "b1"]
    assert ids(outputs, "generator=unet") == ids(outputs, "status=failed") == ["u0"]
    assert ids(outputs, "weights.rec=10", "generator.affine=null", "status=finished") == ["a0", "a1", "b0", "b1"]
    assert ids(outputs, "discriminator.bias=true", "seed=0,1") == ids(outputs)
    assert ids(outputs, "discriminator.bias=false") == []
    assert ids(outputs, "ablation=norms") == ids(outputs, "ablation.norms=plain") == ["a0"]
    assert list(load_runs(outputs, "seed=1")["eval/edit"]) == [1.1, 1.5]


def test_invalid_filters(outputs: Path) -> None:
    with pytest.raises(ConfigError, match=r"discriminator.nrm: no run has this key; did you mean 'discriminator.norm'"):
        load_runs(outputs, "discriminator.nrm=layer")
    with pytest.raises(ConfigError, match="layer: not a valid filter, expected KEY=VALUE"):
        load_runs(outputs, "layer")


def test_variants_are_the_values_of_the_keys_with_the_default_as_the_baseline(outputs: Path) -> None:
    ablation, cells = ablation_of(load_runs(outputs), ["discriminator.norm"], "norms", "eval/edit")
    assert list(ablation.variants) == ["norm=none", "norm=layer"] and ablation.baseline == "norm=none"
    assert cells[2] == ("norm=layer", 0, "b0") and ablation.seeds == (0, 1)
    other, _ = ablation_of(load_runs(outputs), ["discriminator.norm"], "norms", "eval/edit", "norm=layer")
    assert other.baseline == "norm=layer"
    first, _ = ablation_of(load_runs(outputs, "discriminator.norm=layer"), ["discriminator.norm"], "norms", "eval/edit")
    assert first.baseline == "norm=layer"  # no run has the default


def test_two_runs_of_a_variant_with_one_seed_are_refused_with_the_key_that_differs(outputs: Path) -> None:
    stored(outputs, "c0", 0.2, "seed=0", "discriminator.norm=none", "weights.rec=5")
    runs = load_runs(outputs)
    assert also_differing(runs, ["discriminator.norm", "seed"]) == ["weights.rec"]
    with pytest.raises(LabError, match=r"a0 and c0 are both norm=none with seed 0; they differ in weights\.rec: add"):
        ablation_of(runs, ["discriminator.norm"], "norms", "eval/edit")


def test_report_of_a_query(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--outputs", str(outputs), "--format", "md"]
    assert main(["report", "--runs", "status=finished", "--by", "discriminator.norm", *flags]) == 0
    text = (outputs / "reports" / "by-discriminator.norm-status=finished" / "report.md").read_text()
    # differences .4 and .4
    assert "- norm=layer vs. norm=none is undecided (Δ edit +0.400" in text and "n = 2, protocol p1)" in text
    assert f"- command: stargan-lab report --runs status=finished --by discriminator.norm --outputs {outputs}\n" in text
    assert main(["report", "--runs", "--by", "discriminator.norm", "--baseline", "norm=lyer", *flags]) == 2
    assert "--baseline: unknown variant 'norm=lyer'; did you mean 'norm=layer'" in capsys.readouterr().err
    assert main(["report", "--runs", "seed=7", "--by", "discriminator.norm", *flags]) == 1
    assert "no runs match seed=7" in capsys.readouterr().err
    assert main(["report", "--runs", *flags]) == 2
    assert "--runs: requires --by" in capsys.readouterr().err


def test_equivalence_needs_a_smallest_effect(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (2, 3, 4, 5):
        for run_id, norm in (("a", "none"), ("b", "layer")):
            stored(outputs, f"{run_id}{seed}", 0.5 + seed, f"seed={seed}", f"discriminator.norm={norm}")
    command = ["report", "--runs", "seed=2,3,4,5", "--by", "discriminator.norm", "--outputs", str(outputs)]
    page = outputs / "reports" / "by-discriminator.norm-seed=2,3,4,5" / "report.md"
    assert main([*command, "--format", "md"]) == 0
    assert "- norm=layer vs. norm=none is undecided (" in page.read_text()
    assert main([*command, "--format", "md", "--smallest-effect", "0.05"]) == 0
    text = page.read_text()
    assert "- norm=layer is equivalent to norm=none (" in text and "Smallest relevant difference: 0.05." in text
    assert " --by discriminator.norm --smallest-effect 0.05 --outputs" in text
    capsys.readouterr()
    for value in ("0", "-0.1", "nan", "inf"):
        assert main([*command, "--smallest-effect", value]) == 2
        assert capsys.readouterr().err == f"error: --smallest-effect: expected a positive number, got {value}\n"
    assert main(["report", "quickstart", "--smallest-effect", "0.1", "--outputs", str(outputs)]) == 2
    assert "--smallest-effect: only with --runs or --multirun" in capsys.readouterr().err


def test_report_of_a_multirun(outputs: Path) -> None:
    command = "stargan-lab train -m preset=tiny discriminator.norm=none,layer seed=0,1"
    record = {"name": "multirun-x", "by": ["discriminator.norm"], "runs": ["a0", "b0", "a1", "b1", "b2"]}
    write_json(outputs / "hydra" / "2026-11-25" / "x-sweep" / "multirun.json", record | {"command": command})
    flags = ["--outputs", str(outputs), "--format", "md", "--secondary", "eval/leak"]
    assert main(["report", "--multirun", "latest", *flags]) == 0
    text = (outputs / "reports" / "multirun-x" / "report.md").read_text()
    assert "# multirun-x: discriminator.norm\n" in text and "| norm=none (baseline) |" in text
    directory = outputs / "hydra" / "2026-11-25" / "x-sweep"  # another multirun may be the latest one later
    report = f"stargan-lab report --multirun {directory} --secondary eval/leak --outputs {outputs}"
    assert f"- command: {command} && {report}\n" in text
    assert "- 1 run of the multirun not started, or deleted\n" in text
    assert f"evaluate --multirun {directory} evaluation.seed=1" in text  # how to separate the sources of variance
    shared = re.search(r"- all variants: (.*)\n", text)
    assert shared and "preset" not in shared[1] and "total_steps=" in shared[1] and "norm=" not in shared[1]


def test_a_multirun_without_runs(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"name": "multirun-x", "by": [], "runs": ["c0", "c1"]}
    write_json(outputs / "hydra" / "2026-11-25" / "x-sweep" / "multirun.json", record)
    assert main(["report", "--multirun", "latest", "--outputs", str(outputs)]) == 1
    assert "none of the 2 runs has started" in capsys.readouterr().err


def test_variants_of_any_runs_are_in_the_order_of_their_values(outputs: Path) -> None:
    for weight in (10, 5, 100):
        stored(outputs, f"w{weight}", 0.2, "seed=0", "discriminator.norm=none", f"weights.rec={weight}")
    runs = load_runs(outputs, "weights.rec=5,10,100", "run_id=w5,w10,w100")
    assert list(runs["run_id"]) == ["w10", "w100", "w5"]
    ablation, _ = ablation_of(runs, ["weights.rec"], "x", "eval/edit", sort=True)
    assert list(ablation.variants) == ["rec=10", "rec=5", "rec=100"]  # the default first


def test_the_seed_cannot_define_variants(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--runs", "--by", "discriminator.norm,seed", "--outputs", str(outputs)]) == 2
    assert "--by: seed pairs the runs" in capsys.readouterr().err


def test_a_run_that_failed_before_it_was_recorded_is_left_out(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(outputs / "runs" / "early")
    folder.path.mkdir()
    folder.write_result({"status": "failed", "metrics": {}, "error": "out of memory"})
    _, cells = ablation_of(load_runs(outputs), ["discriminator.norm"], "norms", "eval/edit")
    assert [run_id for _, _, run_id in cells] == ["a0", "a1", "b0", "b1"]
    assert "warning: run early is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("by", "seed_key", "message"),
    [
        ("run_id", "seed", "run_id: no run has this key"),
        ("discriminator.norm", "weights.lambda", "weights.lambda: no run has this key"),
        ("discriminator.norm", "discriminator.norm", "--seed-key discriminator.norm: pairs runs by whole numbers"),
    ],
)
def test_keys_that_cannot_group_or_pair_runs(outputs: Path, by: str, seed_key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ablation_of(load_runs(outputs), [by], "x", "eval/edit", seed_key=seed_key)


def test_view_of_a_multirun(outputs: Path) -> None:
    record = {"name": "multirun-x", "by": ["discriminator.norm"], "runs": ["a0", "b0", "a1", "b1"]}
    write_json(outputs / "hydra" / "2026-11-25" / "x-sweep" / "multirun.json", record)
    view, run_ids, _ = view_of(Namespace(name=None, multirun="latest"), outputs)
    assert (view.ablation, view.scores[0], sorted(run_ids)) == ("multirun-x", "eval/edit", ["a0", "a1", "b0", "b1"])


def test_runs_that_differ_in_other_keys_are_noted(outputs: Path) -> None:
    for seed in (0, 1):
        stored(outputs, f"c{seed}", 0.2, f"seed={seed}", "discriminator.norm=instance", "weights.rec=5")
    command = ["report", "--runs", "--by", "discriminator.norm", "--outputs", str(outputs), "--format", "md"]
    assert main(command) == 0
    text = (outputs / "reports" / "by-discriminator.norm" / "report.md").read_text()
    assert "- the runs also differ in weights.rec, which may explain a difference\n" in text

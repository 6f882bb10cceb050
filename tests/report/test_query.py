"""Runs selected by their configuration, tags and scores."""

from pathlib import Path

import pytest
from pandas import DataFrame
from scored import scoring
from stored import write_run

from stargan_lab import ConfigError, LabError, load_runs
from stargan_lab.report.query import config_keys, differing, scores
from stargan_lab.tracking.run_folder import RunFolder

LAYER = ("discriminator.norm=layer", "discriminator.depth=3")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs and a failed one; the first two belong to an ablation."""
    root = tmp_path_factory.mktemp("query")
    for overrides, edit in (((), 0.25), (LAYER, 0.75), (("generator=unet", "seed=1"), None)):
        folder = RunFolder(root / "runs" / write_run(root, *overrides))
        if edit is None:
            folder.write_result({"status": "failed", "metrics": {}, "error": "loss is nan"})
            continue
        folder.append(1, {"loss/d_cls": 0.5})
        variant = "layer" if overrides else "3"
        folder.update_tags({"ablation.norms": variant, "data": "d1", "code": "c1"})
        record = scoring({"eval/edit": edit, "eval/edit/Male": 1.0})
        folder.write_result({"status": "finished", "seconds": 12.5, "finished_at": 1_740_000_000.0, **record})
    return root


def found(outputs: Path, *filters: str) -> set[str]:
    """The runs' discriminator norm and generator."""
    runs = load_runs(outputs, *filters)
    return {f"{run['discriminator.norm']} {run['generator']}" for _, run in runs.iterrows()}


NONE, LAYERED, UNET = "none resnet", "layer resnet", "none unet"


def test_columns(outputs: Path) -> None:
    runs = load_runs(outputs).set_index("discriminator.norm", drop=False)
    run = runs.loc["layer"]
    assert (run["status"], run["finished"], run["seconds"]) == ("finished", "2025-02-19 21:20", 12.5)
    assert len(run["started"]) == len("2025-02-19 21:20")
    assert (run["discriminator"], run["discriminator.depth"], run["data.sources.faces.kind"]) == (
        "patchgan",
        3,
        "synthfaces",
    )
    assert (run["ablation.norms"], run["data"], run["code"]) == ("layer", "d1", "c1")
    assert (run["eval/edit"], run["eval/edit/Male"]) == (0.75, 1.0)
    assert run["folder"] == outputs / "runs" / run["run_id"]
    assert run["protocol"] == scoring({})["protocol"]["hash"]
    assert scores(runs) == ["eval/edit", "eval/edit/Male"]
    assert {"generator.depth", "generator.blocks"} <= set(config_keys(runs))
    assert not {"status", "ablation.norms", "code", "folder", "eval/edit"} & set(config_keys(runs))
    failed = load_runs(outputs, "status=failed").iloc[0]
    assert (failed["error"], failed["ablation.norms"], failed["started"]) == ("loss is nan", None, "")
    assert differing(load_runs(outputs, "ablation=norms")) == ["discriminator.depth", "discriminator.norm"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], {NONE, LAYERED, UNET}),
        (["discriminator.norm=layer,none"], {NONE, LAYERED, UNET}),
        (["discriminator.norm=layer,none", "seed=0"], {NONE, LAYERED}),
        (["generator.depth=null"], {NONE, LAYERED}),
        (["generator.affine=null"], {NONE, LAYERED, UNET}),
        (["weights.rec=10", "optimizer.g_lr=1e-4", "discriminator.depth=3.0"], {LAYERED}),
        (["discriminator.bias=true", "lipschitz.one_sided=false", "generator=unet,vit"], {UNET}),
        (["data.sources.faces.flip=1"], set()),
        (["data.sources.faces.exclusive=[[Black_Hair,Blond_Hair,Brown_Hair,Gray_Hair]]"], {NONE, LAYERED, UNET}),
        (["ablation=norms"], {NONE, LAYERED}),
        (["ablation.norms=3"], {NONE}),
        (["ablation.norms=null"], {UNET}),
        (["eval/edit>0.25"], {LAYERED}),
        (["eval/edit>=0.25", "eval/edit<=7e-1"], {NONE}),
        (["discriminator.norm<1"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_filters(outputs: Path, filters: list[str], expected: set[str]) -> None:
    assert found(outputs, *filters) == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("discriminator.nrm=none", "discriminator.nrm: no run has this key; did you mean 'discriminator.norm'?"),
        ("ablation=norm", "ablation=norm: no run of ablation 'norm'; did you mean 'norms'?"),
        ("seed", "seed: not a valid filter, expected KEY=VALUE,VALUE or KEY<NUMBER"),
        ("seed=[1", "seed=[1: not a valid list of values"),
        ("eval/edit<x", "eval/edit<x: expected a number after <, got 'x'"),
    ],
)
def test_invalid_filters(outputs: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_runs(outputs, word)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    for name, file, text in (
        ("a1", "result.json", "{"),
        ("b1", "result.json", '{"status": "finished", "metrics": {"eval/edit": "x"}}'),
        ("c1", "tags.json", "[1]"),
        ("d1", "config.yaml", "seed: ["),
        ("e1", "tracking.json", "3"),
        ("f1", "metrics.jsonl", '{"step"'),
    ):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.write_result({"status": "finished", "metrics": {}})
        (folder.path / file).write_text(text)
    return tmp_path


def test_damaged_runs_are_left_out_with_a_line_each(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = load_runs(damaged)
    assert list(runs["run_id"]) == ["f1"], "an incomplete last line is normal after a kill"
    lines = capsys.readouterr().err.splitlines()
    for line, name in zip(lines, ("a1", "b1", "c1", "d1", "e1"), strict=True):
        assert line.startswith(f"warning: skipped run {name}: ") and str(damaged / "runs" / name) in line


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="runs: no such directory"):
        load_runs(tmp_path)
    (tmp_path / "runs").mkdir()
    runs = load_runs(tmp_path, "seed=0")
    assert isinstance(runs, DataFrame) and runs.empty and "run_id" in runs

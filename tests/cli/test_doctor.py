"""``doctor``: what it sees of a machine, a configuration and a folder, that it writes nothing, and what it advises."""

import json
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from stargan_lab.cli import doctor, main
from stargan_lab.cli.doctor import schema_revisions, weight_places
from stargan_lab.cli.machine import cpu_bfloat16
from stargan_lab.config import compose
from stargan_lab.data.synthfaces.dataset import SynthSpec, make_synthfaces
from stargan_lab.evaluation.inception_weights import cache_paths
from stargan_lab.files import sha256_file
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store

Found = dict[str, tuple[str, str]]
"""About -> (level, text)."""

CALM = ("preset=tiny", "tracking.enabled=false")


@pytest.fixture
def ask(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Found, list[str]]]:
    """Runs ``doctor --json``: the exit code, the findings, the next steps; in a folder that must stay as it is."""

    def run(*overrides: str) -> tuple[int, Found, list[str]]:
        before = snapshot(here)
        code = main(["doctor", "--json", *overrides])
        out, err = capsys.readouterr()
        assert snapshot(here) == before, "doctor wrote something"
        assert err == ""
        told = json.loads(out)
        return code, {f["about"]: (f["level"], f["text"]) for f in told["findings"]}, told["next"]

    return run


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    paths = {str(path): path.stat() for path in folder.rglob("*") if "__pycache__" not in path.parts}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in paths.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outputs folder with a new MLflow store that holds one run; making one takes seconds."""
    outputs = tmp_path_factory.mktemp("store") / "outputs"
    Store.open(outputs).open_run("aaaaaaaaaaaa", "one", time.time())
    return outputs


def test_a_bare_folder_is_fine_and_knows_where_to_start(ask: Callable[..., tuple[int, Found, list[str]]]) -> None:
    code, found, steps = ask()
    assert code == 0
    assert {"versions", "libraries", "CPU", "precision", "threads", "Inception", "outputs", "MLflow"} <= set(found)
    assert torch.__version__.split("+")[0] in found["libraries"][1]
    assert found["data celeba"][0] == "note" and "data/celeba" in found["data celeba"][1]
    assert found["runs"] == ("note", "none finished in outputs/runs")
    assert [step.split("   #")[0] for step in steps] == [
        "stargan-lab train preset=tiny",
        "stargan-lab sweep quickstart",
    ]


def test_lines_for_a_person(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "preset=tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = lines.index("what to do next")
    assert all(line.split()[0] in ("ok", "note", "problem") for line in lines[: steps - 1])
    assert lines[steps + 1] == "  stargan-lab train preset=tiny   # this configuration can run"
    assert list(here.iterdir()) == []


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for command, word in (("doctor", "nothing is written"), ("list", "imports=[my_norms]"), ("completion", "eval")):
        with pytest.raises(SystemExit) as left:
            main([command, "--help"])
        assert left.value.code == 0
        assert word in capsys.readouterr().out


def test_a_dataset_that_was_asked_for_and_is_missing_is_a_problem(
    ask: Callable[..., tuple[int, Found, list[str]]],
) -> None:
    code, found, steps = ask("data.sources.celeba.root=nowhere")
    assert code == 1
    assert found["data celeba"][0] == "problem" and found["data celeba"][1].startswith("nowhere:")
    assert not any("this configuration can run" in step for step in steps)


def test_datasets_are_looked_at_each(ask: Callable[..., tuple[int, Found, list[str]]], here: Path) -> None:
    make_synthfaces(here / "faces", SynthSpec(16, 6, 2, 3))
    code, found, steps = ask("data.sources.celeba.root=faces", "trainer.device=cpu")
    level, text = found["data celeba"]
    assert (code, level) == (0, "ok")
    assert "train 6, valid 2, test 3 images" in text and "Black_Hair" in text
    assert steps[0].startswith("stargan-lab train data.sources.celeba.root=faces trainer.device=cpu   #")
    code, found, _ = ask("data.sources.celeba.root=faces", "data.sources.celeba.attributes=[Mal]")
    assert code == 1
    assert found["data celeba"][0] == "problem" and "'Male'" in found["data celeba"][1]
    assert ask(*CALM)[1]["data faces"] == ("ok", f"synthfaces, will be drawn into {_drawn_folder()}")


def _drawn_folder() -> str:
    from stargan_lab.runs.build import build_sources

    (source,) = build_sources(compose(list(CALM)))
    return str(source.root)  # type: ignore[attr-defined]


def test_a_gpu_that_is_not_there(ask: Callable[..., tuple[int, Found, list[str]]]) -> None:
    wanted = f"cuda:{torch.cuda.device_count()}"
    code, found, _ = ask(*CALM, f"trainer.device={wanted}")
    assert code == 1
    assert found["GPU"][0] == "problem" and wanted in found["GPU"][1]
    assert ask(*CALM)[1]["GPU"][0] == ("ok" if torch.cuda.is_available() else "note")


def test_precision_is_what_the_hardware_computes(ask: Callable[..., tuple[int, Found, list[str]]]) -> None:
    fast = bool(cpu_bfloat16())
    level, text = ask(*CALM, "trainer.device=cpu", "trainer.precision=bfloat16")[1]["precision"]
    assert level == ("ok" if fast else "note")
    assert ("computes" if fast else "emulates") in text


def test_more_threads_than_cores(ask: Callable[..., tuple[int, Found, list[str]]]) -> None:
    assert ask(*CALM, "trainer.threads=1024")[1]["threads"][0] == "note"
    assert ask(*CALM, "trainer.threads=1")[1]["threads"][0] == "ok"


def test_weights(ask: Callable[..., tuple[int, Found, list[str]]], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    inception = (*CALM, "evaluation.extractor=inception")
    assert weight_places(Path("outputs")) == cache_paths(Path("outputs"))
    assert ask(*CALM)[1]["Inception"][0] == "ok", "the tiny preset asks for no extractor"
    level, text = ask(*inception)[1]["Inception"]
    assert level == "note" and str(cache_paths(Path("outputs"))[0]) in text
    assert ask(*inception, "evaluation.weights=download")[1]["Inception"][0] == "note"
    code, found, _ = ask(*inception, "evaluation.weights=no.pth")
    assert (code, found["Inception"][0]) == (1, "problem")
    path = here / "mine.pth"
    path.write_bytes(b"weights")
    level, text = ask(*inception, "evaluation.weights=mine.pth")[1]["Inception"]
    assert level == "note" and "unverified" in text
    monkeypatch.setattr(doctor, "VERIFIED_SHA256", sha256_file(path))
    level, text = ask(*inception, "evaluation.weights=mine.pth")[1]["Inception"]
    assert level == "ok" and "eval/fid" in text


def test_weights_to_start_from(ask: Callable[..., tuple[int, Found, list[str]]], here: Path) -> None:
    (here / "1-G.ckpt").write_bytes(b"x")
    assert ask(*CALM, "initial.generator=1-G.ckpt")[1]["initial.generator"][0] == "ok"
    code, found, _ = ask(*CALM, "initial.generator=2-G.ckpt")
    assert (code, found["initial.generator"][0]) == (1, "problem")


def test_outputs_that_cannot_be_written(ask: Callable[..., tuple[int, Found, list[str]]], here: Path) -> None:
    (here / "file").write_text("")
    code, found, _ = ask(*CALM, "paths.outputs=file/outputs")
    assert (code, found["outputs"][0]) == (1, "problem")
    assert ask(*CALM, "paths.outputs=a/b/c")[1]["outputs"][0] in ("ok", "note")


def test_little_room(ask: Callable[..., tuple[int, Found, list[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    for free, level in ((2**29, "problem"), (2 * 2**30, "note"), (2**40, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        assert ask(*CALM)[1]["outputs"][0] == level


def test_a_store_is_read_and_not_changed(
    ask: Callable[..., tuple[int, Found, list[str]]], here: Path, store: Path
) -> None:
    shutil.copytree(store, here / "outputs")
    level, text = ask("preset=tiny")[1]["MLflow"]
    assert level == "ok" and "1 runs" in text and f"schema {schema_revisions()[1]}" in text
    RunFolder(here / "outputs" / "runs" / "bbbbbbbbbbbb").write_result({"status": "finished", "metrics": {}})
    code, found, steps = ask("preset=tiny")
    assert (code, found["MLflow"][0]) == (0, "note")
    assert any(step.startswith("stargan-lab track sync --outputs outputs ") for step in steps)


@pytest.mark.parametrize("damage", ["not a database", "another schema", "an older schema", "empty"])
def test_a_store_that_cannot_be_used(
    ask: Callable[..., tuple[int, Found, list[str]]], here: Path, store: Path, damage: str
) -> None:
    shutil.copytree(store, here / "outputs")
    path = here / "outputs" / "mlflow.db"
    if damage in ("another schema", "an older schema"):
        known, newest = schema_revisions()
        revision = "ffffffffffff" if damage == "another schema" else min(known - {newest})
        with closing(sqlite3.connect(path)) as database:
            database.execute("update alembic_version set version_num = ?", (revision,))
            database.commit()
    else:
        path.write_bytes(b"" if damage == "empty" else b"no database at all" * 100)
    code, found, steps = ask("preset=tiny")
    assert (code, found["MLflow"][0]) == (1, "problem")
    wanted = "mlflow db upgrade" if damage == "an older schema" else "track sync"
    assert any(wanted in step for step in steps)


def test_a_store_that_is_gone_or_elsewhere(ask: Callable[..., tuple[int, Found, list[str]]], here: Path) -> None:
    assert ask("preset=tiny")[1]["MLflow"][0] == "ok"
    assert ask("preset=tiny", "tracking.uri=http://127.0.0.1:1")[1]["MLflow"][0] == "note"
    RunFolder(here / "outputs" / "runs" / "bbbbbbbbbbbb").write_result({"status": "finished", "metrics": {}})
    _, found, steps = ask("preset=tiny")
    assert found["MLflow"][0] == "note"
    assert steps[0].startswith("stargan-lab track sync")


def test_leftovers_and_what_to_do_with_them(ask: Callable[..., tuple[int, Found, list[str]]], here: Path) -> None:
    runs = here / "outputs" / "runs"
    RunFolder(runs / "done").write_result({"status": "finished", "metrics": {}})
    RunFolder(runs / "failed").write_result({"status": "failed", "metrics": {}, "error": "loss/d_gp is not finite"})
    RunFolder(runs / "failed").update_tags({"ablation.norms": "layer"})
    for name in ("stopped", "alone", "held"):
        (runs / name / "checkpoints").mkdir(parents=True)
        (runs / name / "checkpoints" / "last.pt").write_bytes(b"x")
        (runs / name / "config.yaml").write_text("seed: 0\n")
    RunFolder(runs / "stopped").update_tags({"ablation.quickstart": "none"})
    (runs / "damaged").mkdir()
    (runs / "damaged" / "result.json").write_text("{")
    with RunFolder(here / "outputs" / "runs" / "held").claim():
        code, found, steps = ask(*CALM)
    assert code == 1
    assert found["run failed"] == ("note", "failed: loss/d_gp is not finite")
    assert found["run stopped"] == ("note", "interrupted")
    assert found["run alone"][0] == "note" and "alone/config.yaml" in found["run alone"][1]
    assert found["run held"][0] == "ok"
    assert found["run damaged"][0] == "problem"
    assert found["runs"] == ("ok", "1 finished in outputs/runs")
    commands = [step.split("   #")[0] for step in steps]
    assert {"stargan-lab sweep norms --retry-failed", "stargan-lab sweep quickstart"} <= set(commands)
    assert commands[0] == "rm -r outputs/runs/damaged", "problems come first"


def test_a_bad_configuration_is_refused_as_by_train(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "preset=tiny", "discriminator.norm=laier"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "'layer'" in err


Ask = Callable[..., tuple[int, Found, list[str]]]


def test_the_command_it_advises_is_one_that_works(ask: Ask, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "my conf" / "preset").mkdir(parents=True)
    (here / "my conf" / "preset" / "mine.yaml").write_text("# @package _global_\ndefaults: [tiny]\nseed: 7\n")
    make_synthfaces(here / "my faces", SynthSpec(16, 8, 2, 4))
    chosen = [
        "preset=mine",
        "data=celeba",
        "data.sources.celeba.attributes=[Male, Young]",
        "data.sources.celeba.root='my faces'",
    ]
    chosen += ["data.image_size=16", "discriminator.depth=2", "tracking.enabled=false"]
    code, found, steps = ask(*chosen, "--config-dir", "my conf")
    assert code == 0, found
    command, _, comment = steps[0].partition("   # ")
    assert comment == "this configuration can run"
    assert shlex.split(command) == ["stargan-lab", "train", *chosen, "--config-dir", "my conf"]
    assert main(["doctor", *shlex.split(command)[2:]]) == 0
    capsys.readouterr()


def test_the_first_step_is_about_the_problem(ask: Ask, here: Path) -> None:
    chosen = ("data=rafd", "data.sources.rafd.root=my faces", "seed=3")
    steps = ask(*chosen)[2]
    assert steps[0] == (
        "stargan-lab data check data=rafd seed=3 data.sources.rafd.root=FOLDER"
        "   # with the folder that rafd is in for FOLDER"
    )
    (here / "my faces").mkdir()
    steps = ask(*chosen)[2]
    assert steps[0] == (
        "stargan-lab data check data=rafd 'data.sources.rafd.root=my faces' seed=3"
        "   # lists all that is wrong in my faces"
    )
    code, found, steps = ask(*CALM, "evaluation.extractor=inception", "evaluation.weights=no.pth")
    assert code == 1
    assert steps[0] == (
        "stargan-lab doctor preset=tiny tracking.enabled=false evaluation.extractor=inception evaluation.weights=no.pth"
        f"   # when this is mended: Inception: {found['Inception'][1]}"
    )


def test_leftovers_elsewhere_are_finished_there(ask: Ask, here: Path) -> None:
    runs = here / "my outputs" / "runs"
    RunFolder(runs / "failed").write_result({"status": "failed", "metrics": {}, "error": "x"})
    RunFolder(runs / "failed").update_tags({"ablation.norms": "layer"})
    (runs / "damaged").mkdir()
    (runs / "damaged" / "result.json").write_text("{")
    steps = [step.split("   #")[0] for step in ask(*CALM, "paths.outputs=my outputs")[2]]
    assert steps[0] == "rm -r 'my outputs/runs/damaged'"
    assert "stargan-lab sweep norms --retry-failed 'paths.outputs=my outputs'" in steps


def test_flawed_rows_that_are_left_out_are_no_problem(ask: Ask, here: Path) -> None:
    make_synthfaces(here / "faces", SynthSpec(16, 6, 2, 3))
    with (here / "faces" / "list_attr_celeba.txt").open("a") as file:
        file.write("x.png 1\n")
    assert ask("data.sources.celeba.root=faces")[1]["data celeba"][0] == "problem"
    level, text = ask("data.sources.celeba.root=faces", "data.sources.celeba.unreadable=skip")[1]["data celeba"]
    assert level == "ok" and "train 6, valid 2, test 3 images" in text

"""``doctor``: findings about the machine, the configuration and the directory, next steps, and no files written."""

import json
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stargan_lab.cli.main import main
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.data.synthfaces.writer import make_synthfaces
from stargan_lab.evaluation import inception_weights
from stargan_lab.files import sha256_file
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store

Findings = dict[str, tuple[str, str]]
"""Subject -> (level, text)."""
Doctor = Callable[..., tuple[int, Findings, list[str]]]

TINY = ("preset=tiny", "tracking.enabled=false")


@pytest.fixture
def doctor(here: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs ``doctor --json`` and returns exit code, findings and next steps; fails if a file changed."""

    def run(*overrides: str) -> tuple[int, Findings, list[str]]:
        before = snapshot(here)
        code = main(["doctor", "--json", *overrides])
        out, err = capsys.readouterr()
        assert snapshot(here) == before, "doctor wrote a file"
        assert err == ""
        result = json.loads(out)
        return code, {f["about"]: (f["level"], f["text"]) for f in result["findings"]}, result["next"]

    return run


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    paths = {str(path): path.stat() for path in folder.rglob("*") if "__pycache__" not in path.parts}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in paths.items()}


def commands(steps: list[str]) -> list[str]:
    return [step.split("   #")[0] for step in steps]


def test_an_empty_directory_has_no_problems(doctor: Doctor) -> None:
    code, findings, steps = doctor()
    assert code == 0
    assert {"versions", "libraries", "CPU", "Inception", "outputs", "MLflow"} <= set(findings)
    assert torch.__version__.split("+")[0] in findings["libraries"][1]
    assert findings["data celeba"][0] == "note" and "data/celeba" in findings["data celeba"][1]
    assert findings["runs"] == ("note", "0 finished runs in outputs/runs")
    assert commands(steps) == ["stargan-lab train preset=tiny", "stargan-lab sweep quickstart"]


def test_the_cores_are_those_of_a_containers_quota(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """``LOKY_MAX_CPU_COUNT`` stands for the quota, which joblib takes the minimum with."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert ": 1 core, " in doctor(*TINY)[1]["CPU"][1]


def test_text_output(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "preset=tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = lines.index("next steps")
    assert all(line.split()[0] in ("ok", "note", "problem") for line in lines[: steps - 1])
    assert lines[steps + 1] == "  stargan-lab train preset=tiny   # this configuration is ready to run"


def test_datasets(doctor: Doctor, here: Path) -> None:
    make_synthfaces(here / "faces", SynthSpec(16, 6, 2, 3))
    code, findings, steps = doctor("data.sources.celeba.root=faces", "trainer.device=cpu")
    level, text = findings["data celeba"]
    assert (code, level) == (0, "ok")
    assert "train 6, valid 2, test 3 images" in text and "Black_Hair" in text
    assert steps[0].startswith("stargan-lab train data.sources.celeba.root=faces trainer.device=cpu   #")
    code, findings, _ = doctor("data.sources.celeba.root=faces", "data.sources.celeba.attributes=[Mal]")
    assert (code, findings["data celeba"][0]) == (1, "problem") and "'Male'" in findings["data celeba"][1]
    level, text = doctor(*TINY)[1]["data faces"]
    assert level == "ok" and text.startswith("synthfaces, will be generated in outputs/data/synthfaces-")
    with (here / "faces" / "list_attr_celeba.txt").open("a") as file:
        file.write("x.png 1\n")
    assert doctor("data.sources.celeba.root=faces")[1]["data celeba"][0] == "problem"
    level, text = doctor("data.sources.celeba.root=faces", "data.sources.celeba.unreadable=skip")[1]["data celeba"]
    assert level == "ok" and "train 6, valid 2, test 3 images" in text


def test_an_unavailable_gpu(doctor: Doctor) -> None:
    device = f"cuda:{torch.cuda.device_count()}"
    code, findings, _ = doctor(*TINY, f"trainer.device={device}")
    assert (code, findings["GPU"][0]) == (1, "problem") and device in findings["GPU"][1]
    assert doctor(*TINY)[1]["GPU"][0] == ("ok" if torch.cuda.is_available() else "note")


FASTEST = ("ok", "the fastest settings for this machine")
HALF_ON_CPU = "trainer.precision=bfloat16 trainer.discriminator_precision=float32"
ON_GPU = "trainer.precision=bfloat16 trainer.cuda_graphs=true trainer.autotune=true"


@pytest.mark.parametrize(
    ("half", "overrides", "faster"),
    [
        (True, "trainer.device=cpu", HALF_ON_CPU),
        (True, "trainer=fast trainer.device=cpu", ""),
        (True, "trainer=fast trainer.device=cpu trainer.joint_pass=false", "trainer.joint_pass=true"),
        (True, "trainer.device=cpu trainer.precision=bfloat16", "trainer.discriminator_precision=float32"),
        (False, "trainer.device=cpu", ""),
        (False, "trainer.device=cpu trainer.cuda_graphs=true", ""),
        (False, "trainer.device=cpu trainer.precision=bfloat16", "trainer.precision=float32"),
        (False, "trainer.device=cpu trainer.channels_last=true", "trainer.channels_last=false"),
        (False, "trainer.device=cpu trainer.joint_pass=false", "trainer.joint_pass=true"),
        (False, "trainer.device=cpu trainer.joint_pass=false discriminator.norm=batch lipschitz=none", ""),
        (False, "trainer.device=cuda", ON_GPU),
        (False, "trainer=fast trainer.device=cuda", ""),
        (
            *(False, "trainer.device=cuda trainer.precision=bfloat16"),
            "trainer.cuda_graphs=true trainer.autotune=true",
        ),
        (
            *(False, "trainer=fast trainer.device=cuda trainer.autotune=false trainer.joint_pass=false"),
            "trainer.joint_pass=true trainer.autotune=true",
        ),
    ],
)
def test_settings_are_recommended_if_they_differ_in_effect(
    half: bool, overrides: str, faster: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: half)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    text = f"faster on this machine, as with trainer=fast: {faster}; results differ slightly"
    assert doctor(*TINY, "adversarial=hinge", *overrides.split())[1]["speed"] == (("note", text) if faster else FASTEST)


def test_disk(doctor: Doctor, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").write_text("")
    code, findings, _ = doctor(*TINY, "paths.outputs=file/outputs")
    assert (code, findings["outputs"][0]) == (1, "problem")
    usage = shutil.disk_usage("/")
    for free, level in ((2**29, "problem"), (2 * 2**30, "note"), (2**40, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        assert doctor(*TINY)[1]["outputs"][0] == level


def test_inception_weights(doctor: Doctor, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(here / "torch"))
    inception = (*TINY, "evaluation.extractor=inception")
    assert doctor(*TINY)[1]["Inception"][0] == "ok", "the tiny preset has no extractor"
    level, text = doctor(*inception)[1]["Inception"]
    assert level == "note" and "outputs/cache/weights/" in text
    assert doctor(*inception, "evaluation.weights=download")[1]["Inception"][0] == "note"
    code, findings, _ = doctor(*inception, "evaluation.weights=no.pth")
    assert (code, findings["Inception"][0]) == (1, "problem")
    path = here / "mine.pth"
    path.write_bytes(b"weights")
    level, text = doctor(*inception, "evaluation.weights=mine.pth")[1]["Inception"]
    assert level == "note" and "unverified" in text
    monkeypatch.setattr(inception_weights, "VERIFIED_SHA256", sha256_file(path))
    level, text = doctor(*inception, "evaluation.weights=mine.pth")[1]["Inception"]
    assert level == "ok" and "eval/fid" in text


def test_initial_weights(doctor: Doctor, here: Path) -> None:
    (here / "1-G.ckpt").write_bytes(b"x")
    assert doctor(*TINY, "initial.generator=1-G.ckpt")[1]["initial.generator"][0] == "ok"
    code, findings, _ = doctor(*TINY, "initial.generator=2-G.ckpt")
    assert (code, findings["initial.generator"][0]) == (1, "problem")


def test_the_mlflow_store(doctor: Doctor, here: Path) -> None:
    assert doctor("preset=tiny")[1]["MLflow"][0] == "ok"
    assert doctor("preset=tiny", "tracking.uri=http://127.0.0.1:1")[1]["MLflow"][0] == "note"
    RunFolder(here / "outputs" / "runs" / "bbbbbbbbbbbb").write_result({"status": "finished", "metrics": {}})
    _, findings, steps = doctor("preset=tiny")
    assert findings["MLflow"][0] == "note"
    assert steps[0].startswith("stargan-lab track sync")
    Store.open(here / "outputs").open_run("aaaaaaaaaaaa", "one", time.time())
    level, text = doctor("preset=tiny")[1]["MLflow"]
    assert level == "note" and "1 run; 1 of those in outputs/runs missing" in text
    path = here / "outputs" / "mlflow.db"
    for content in (b"", b"not a database" * 100):
        path.write_bytes(content)
        code, findings, steps = doctor("preset=tiny")
        assert (code, findings["MLflow"][0]) == (1, "problem")
        assert "mv outputs/mlflow.db outputs/mlflow.db.old && stargan-lab track sync" in steps[0].replace(
            f"{here}/", ""
        )


def test_unfinished_runs_and_how_to_continue_them(doctor: Doctor, here: Path) -> None:
    runs = here / "my outputs" / "runs"
    RunFolder(runs / "done").write_result({"status": "finished", "metrics": {}})
    RunFolder(runs / "failed").write_result({"status": "failed", "metrics": {}, "error": "loss/d_gp is not finite"})
    RunFolder(runs / "failed").update_tags({"ablation.norms": "layer"})
    for name in ("stopped", "alone", "active"):
        (runs / name / "checkpoints").mkdir(parents=True)
        (runs / name / "checkpoints" / "last.pt").write_bytes(b"x")
        (runs / name / "config.yaml").write_text("seed: 0\n")
    RunFolder(runs / "stopped").update_tags({"ablation.quickstart": "none"})
    (runs / "damaged").mkdir()
    (runs / "damaged" / "result.json").write_text("{")
    with RunFolder(runs / "active").claim():
        code, findings, steps = doctor(*TINY, "paths.outputs=my outputs")
    assert code == 1
    assert findings["run failed"] == ("note", "failed: loss/d_gp is not finite")
    assert findings["run stopped"] == ("note", "interrupted")
    assert findings["run alone"][0] == "note" and "alone/config.yaml" in findings["run alone"][1]
    assert findings["run active"][0] == "ok"
    assert findings["run damaged"][0] == "problem"
    assert findings["runs"] == ("ok", "1 finished run in my outputs/runs")
    assert commands(steps)[0] == "rm -r 'my outputs/runs/damaged'", "problems come first"
    assert {
        "stargan-lab sweep norms --retry-failed 'paths.outputs=my outputs'",
        "stargan-lab sweep quickstart 'paths.outputs=my outputs'",
    } <= set(commands(steps))


def test_an_invalid_configuration_is_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "preset=tiny", "discriminator.norm=laier"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "'layer'" in err


def test_the_suggested_command_repeats_the_configuration(doctor: Doctor, here: Path) -> None:
    (here / "my conf" / "preset").mkdir(parents=True)
    (here / "my conf" / "preset" / "mine.yaml").write_text("# @package _global_\ndefaults: [tiny]\nseed: 7\n")
    make_synthfaces(here / "my faces", SynthSpec(16, 8, 2, 4))
    overrides = [
        *("preset=mine", "data=celeba", "data.sources.celeba.attributes=[Male, Young]"),
        *("data.sources.celeba.root='my faces'", "data.image_size=16", "discriminator.depth=2"),
        "tracking.enabled=false",
    ]
    code, findings, steps = doctor(*overrides, "--config-dir", "my conf")
    assert code == 0, findings
    command, _, comment = steps[0].partition("   # ")
    assert comment == "this configuration is ready to run"
    assert shlex.split(command) == ["stargan-lab", "train", *overrides, "--config-dir", "my conf"]
    assert main(["doctor", *shlex.split(command)[2:]]) == 0


def test_the_first_step_fixes_the_problem(doctor: Doctor, here: Path) -> None:
    overrides = ("data=rafd", "data.sources.rafd.root=my faces", "seed=3")
    assert commands(doctor(*overrides)[2])[0] == ("stargan-lab data check data=rafd seed=3 data.sources.rafd.root=DIR")
    (here / "my faces").mkdir()
    assert commands(doctor(*overrides)[2])[0] == (
        "stargan-lab data check data=rafd 'data.sources.rafd.root=my faces' seed=3"
    )
    weights = ("evaluation.extractor=inception", "evaluation.weights=no.pth")
    assert commands(doctor(*TINY, *weights)[2])[0] == f"stargan-lab doctor {' '.join([*TINY, *weights])}"

"""``stargan-lab runs`` on run folders as training writes them."""

import json
import shutil
import sys
from io import StringIO
from pathlib import Path

import pytest
from scored import scoring
from stored import write_run

from stargan_lab.cli.main import main
from stargan_lab.tracking.run_folder import RunFolder, run_folders
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.sync import sync

COLLAPSE = {"code": "collapse", "metrics": ["eval/edit"], "text": "faces: all alike"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs that were scored differently, and a failed one."""
    root = tmp_path_factory.mktemp("written")
    for overrides, edit, day, changes in (
        ((), 0.25, 1, {}),
        (("discriminator.norm=layer", "weights.rec=1e-3"), 0.75, 2, {"batch_size": 8}),
        (("generator=unet",), None, 3, {}),
    ):
        folder = RunFolder(root / "runs" / write_run(root, *overrides))
        result = {"status": "failed", "metrics": {}, "error": "loss is nan", "finished_at": day * 86400.0}
        if edit is not None:
            scores = scoring({"eval/edit": edit, "eval/edit/Male": 1.0}, [COLLAPSE], **changes)
            result = {"status": "finished", "seconds": 12.5, "finished_at": day * 86400.0, "torch": "2.9", **scores}
            folder.append(1, {"loss/d_cls": 0.5, "eval/edit": edit})
            folder.update_tags({"ablation.norms": f"v{day}", "code": f"c{day}", "data": "d1"})
        folder.write_result(result)
    return root


@pytest.fixture
def outputs(tmp_path: Path, written: Path) -> Path:
    shutil.copytree(written / "runs", tmp_path / "runs")
    return tmp_path


def ids(outputs: Path) -> dict[str, str]:
    """``none``, ``layer`` or ``unet`` -> run id."""
    texts = {folder.run_id: folder.config_path.read_text() for folder in run_folders(outputs)}
    kinds = {"unet": "name: unet", "layer": "norm: layer", "none": ""}
    return {next(k for k, part in kinds.items() if part in text): run_id for run_id, text in texts.items()}


@pytest.fixture
def runs(outputs: Path, capsys: pytest.CaptureFixture[str]):
    """Run ``stargan-lab runs …``; returns exit code, stdout and stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["runs", *words, "--outputs", str(outputs)])
        return code, *capsys.readouterr()

    return call


def test_list_shows_what_differs_newest_first(runs, outputs: Path) -> None:
    code, out, err = runs("list", "status=finished")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["run_id", "name", "status", "age", "discriminator.norm", "weights.rec", "edit", "↑"]
    id_of = ids(outputs)
    assert [(line[0], *line[-3:]) for line in lines[1:]] == [
        (id_of["layer"], "layer", "0.001", "0.750"),
        (id_of["none"], "none", "10.0", "0.250"),
    ]
    assert (code, err) == (0, "2 runs\n")


def test_list_sorts_and_selects_columns(runs, outputs: Path) -> None:
    def column(*words: str) -> list[str]:
        return runs("list", "--columns", "discriminator.norm,generator", "--csv", *words)[1].splitlines()

    assert column("--sort", "eval/edit") == ["discriminator.norm,generator", "layer,resnet", "none,resnet", "none,unet"]
    assert column("--sort", "weights.rec", "generator=resnet")[1:] == ["layer,resnet", "none,resnet"]
    records = json.loads(runs("list", "--json", "--sort", "run_id")[1])
    assert [record["run_id"] for record in records] == sorted(ids(outputs).values())
    assert {record["eval/edit"] for record in records} == {0.25, 0.75, None}
    assert {record["folder"] for record in records} == {str(folder.path) for folder in run_folders(outputs)}


def test_list_fits_the_terminal(runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stargan_lab.cli.runs._terminal_width", lambda: 70)
    _, out, err = runs("list", "status=finished")
    assert max(map(len, out.splitlines())) <= 70
    assert "discriminator.norm" in out and err == "2 runs; columns that do not fit: weights.rec, eval/edit\n"


def test_show(runs, outputs: Path) -> None:
    code, out, _ = runs("show", ids(outputs)["layer"][:6])
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "finished 1970-01-03 00:00",
        "ablation.norms v2",
        "discriminator.norm layer (default: none)",
        "weights.rec 0.001 (default: 10.0)",
        "data.sources.faces.kind synthfaces (default: celeba)",
        "edit ↑ 0.750",
        "collapse faces: all alike",
        "code c2",
        "torch 2.9",
    ):
        assert line in lines, line
    assert not [line for line in lines if line.startswith(("discriminator.head", "weights.cls", "tracking", "paths"))]
    assert lines[-1].startswith("files: checkpoints ")
    assert code == 0


def test_show_a_run_whose_component_no_longer_exists(runs, outputs: Path) -> None:
    folder = RunFolder(outputs / "runs" / ids(outputs)["unet"])
    folder.config_path.write_text(folder.config_path.read_text().replace("name: unet", "name: mine"))
    code, out, _ = runs("show", folder.run_id)
    assert code == 0 and "loss is nan" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "generator mine (default: resnet)" in lines and "generator.width 4" in lines, "no default of its options"


def test_diff(runs, outputs: Path) -> None:
    id_of = ids(outputs)
    code, out, _ = runs("diff", id_of["none"], id_of["layer"])
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "discriminator.norm none layer",
        "weights.rec 10.0 0.001",
        "code c1 c2",
        "ablation.norms v1 v2",
        "batch_size: 64, 8",
        "edit ↑ 0.250 0.750 +0.500 scored differently",
    ):
        assert line in lines, line
    assert not [line for line in lines if line.startswith(("seed", "generator", "data", "hash"))]
    code, out, _ = runs("diff", id_of["none"], id_of["unet"])
    assert code == 0 and " ".join(out.splitlines()[-1].split()) == "edit ↑ 0.250 – –"


def test_rm_deletes_after_confirmation(runs, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    id_of = ids(outputs)
    folder = outputs / "runs" / id_of["layer"]
    assert runs("rm", id_of["layer"], "--dry-run") == (
        0,
        f"{folder}  {_mib(folder)}\n",
        "dry run: nothing was deleted\n",
    )
    code, _, err = runs("rm", id_of["layer"])
    assert (code, err) == (2, "error: --yes: required to delete runs without a terminal\n")
    for answer, expected in (("n\n", 1), ("", 1), ("y\n", 0)):
        assert folder.is_dir()
        terminal = StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        code, out, err = runs("rm", id_of["layer"])
        assert code == expected and "Delete 1 run, " in out
    assert err == f"deleted {folder}; it has no MLflow run\n"
    assert {path.name for path in (outputs / "runs").iterdir()} == {id_of["none"], id_of["unet"]}


def _mib(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 2**20:.1f} MiB"


def test_rm_refuses_runs_in_use(runs, outputs: Path) -> None:
    id_of = ids(outputs)
    with RunFolder(outputs / "runs" / id_of["unet"]).claim():
        code, _, err = runs("rm", id_of["none"], id_of["unet"], "--yes")
    assert code == 2 and err.startswith(f"error: run {id_of['unet']} is in use by another process")
    assert len(run_folders(outputs)) == 3


def test_rm_finishes_an_interrupted_deletion(runs, outputs: Path) -> None:
    id_of = ids(outputs)
    half = outputs / "runs" / ".0a1b.deleted"
    (outputs / "runs" / id_of["unet"]).rename(half)
    assert {folder.run_id for folder in run_folders(outputs)} == {id_of["none"], id_of["layer"]}
    (outputs / "runs" / id_of["none"] / "result.json").write_text("{")
    assert runs("rm", id_of["none"], "--yes")[0] == 0, "a damaged run can be deleted"
    assert [path.name for path in (outputs / "runs").iterdir()] == [id_of["layer"]]


def test_rm_deletes_the_mlflow_run(runs, outputs: Path) -> None:
    id_of, store = ids(outputs), Store.open(outputs)
    sync(outputs, store)
    code, _, err = runs("rm", id_of["none"], "--yes")
    assert (code, "its MLflow run is marked as deleted" in err) == (0, True)
    assert store.find(id_of["none"]) is None and store.find(id_of["layer"]) is not None
    (outputs / "mlflow.db").write_text("damaged")
    code, _, err = runs("rm", id_of["layer"], "--yes")
    assert code == 1 and "its MLflow run remains: MLflow store sqlite" in err
    assert not (outputs / "runs" / id_of["layer"]).exists()


def test_du(runs, outputs: Path) -> None:
    id_of = ids(outputs)
    (outputs / "runs" / id_of["unet"] / "samples").mkdir()
    (outputs / "runs" / id_of["unet"] / "samples" / "1.png").write_bytes(bytes(3 * 2**20))
    (outputs / "cache" / "features").mkdir(parents=True, exist_ok=True)
    (outputs / "cache" / "features" / "a.npy").write_bytes(bytes(5 * 2**20))
    code, out, _ = runs("du")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["run", "total", "samples", "checkpoints", "records"]
    assert lines[1][0] == id_of["unet"] and lines[1][3:5] == ["3.0", "MiB"]
    assert lines[4][:2] == ["all", "runs"]
    assert ["cache/features", "5.0", "MiB"] in lines
    everything = sum(file.stat().st_size for file in outputs.rglob("*") if file.is_file())
    assert out.splitlines()[-1] == f"total: {everything / 2**20:.1f} MiB"
    assert code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lst"], "ACTION: unknown choice 'lst'; did you mean 'list'?"),
        (["list", "sed=0"], "sed: no run has this key; did you mean 'seed'?"),
        (["list", "--sort", "eval/edt"], "eval/edt: no run has this key; did you mean 'eval/edit'?"),
        (["list", "--columns", "seed,nam"], "nam: no run has this key; did you mean 'name'?"),
        (["list", "--csv", "--columns", "age"], "age: no run has this key"),
        (["show", "zz"], "no run matches 'zz' (3 runs in "),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_invalid_input(runs, words: list[str], message: str) -> None:
    code, out, err = runs(*words)
    assert (code, out) == (2, "") and err.startswith(f"error: {message}") and err.count("\n") == 1

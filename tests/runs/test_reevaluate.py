"""A finished run scored again: the numbers of its training, other protocols beside them, and each recorded once."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from stargan_lab import compose
from stargan_lab.config.evaluation_overrides import apply_evaluation_overrides, as_override
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.files import locked
from stargan_lab.runs.load import read_config
from stargan_lab.runs.reevaluate import reevaluate
from stargan_lab.runs.run import run
from stargan_lab.runs.scores import scores_path
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store, StoreError
from stargan_lab.tracking.sync import sync

TINY = ["preset=tiny", "trainer.device=cpu", "trainer.sample_every=0"]
NO_MLFLOW = "tracking.enabled=false"  # opening a new store takes longer than all of a tiny run
FEWER = "evaluation.max_images=8"


@pytest.fixture(scope="module", autouse=True)
def _quick_attribute_classifier() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=20, max_steps=20))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs with one run that keeps an average."""
    outputs = tmp_path_factory.mktemp("trained") / "outputs"
    run(compose([*TINY, "ema.decay=0.9", NO_MLFLOW, f"paths.outputs={outputs}"]))
    return outputs


@pytest.fixture
def outputs(trained: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "outputs"))


@pytest.fixture
def tracked(outputs: Path) -> Path:
    """The same with a run that MLflow is to have."""
    edit_config(folder_in(outputs), tracking={"enabled": True})
    return outputs


def edit_config(folder: RunFolder, **groups: dict[str, Any]) -> None:
    raw = yaml.safe_load(folder.config_path.read_text())
    for group, values in groups.items():
        raw[group] |= values
    folder.config_path.write_text(yaml.safe_dump(raw))


def folder_in(outputs: Path) -> RunFolder:
    (path,) = (outputs / "runs").iterdir()
    return RunFolder(path)


def reevaluatedd(folder: RunFolder) -> list[dict[str, float]]:
    return [row.metrics for row in folder.rows() if any(name.startswith("rescored.") for name in row.metrics)]


def test_a_finished_run_keeps_its_scores_in_a_file_of_their_own(trained: Path) -> None:
    folder = folder_in(trained)
    result = folder.result()
    assert result is not None and "few-images" in folder.tags()["warnings"]
    (path,) = folder.scores.iterdir()
    assert path == scores_path(folder, result["protocol"]["hash"]) and folder.tags()["protocol"] == path.stem
    kept = json.loads(path.read_text())
    same = ("run_id", "step", "metrics", "protocol", "notes", "warnings")
    assert kept == {key: result[key] for key in same}
    assert kept["protocol"]["checkpoint"] and "eval/edit/Male" in kept["metrics"]


def test_the_same_protocol_is_not_computed_again(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_in(outputs)
    monkeypatch.setattr("stargan_lab.runs.reevaluate.load_run", None)
    scores = reevaluate(outputs, folder.run_id)
    assert scores["metrics"] == (folder.result() or {})["metrics"]
    assert "scored already" in capsys.readouterr().err
    assert reevaluatedd(folder) == []


def test_again_gives_the_numbers_of_the_training_to_the_last_bit(outputs: Path) -> None:
    folder = folder_in(outputs)
    path = scores_path(folder, folder.tags()["protocol"])
    before = path.read_bytes()
    path.unlink()
    assert reevaluate(outputs, folder.run_id[:5])["metrics"] == (folder.result() or {})["metrics"]
    assert path.read_bytes() == before
    reevaluate(outputs, str(folder.path), again=True)
    assert path.read_bytes() == before
    assert reevaluatedd(folder) == []


def test_precision_and_layout_of_memory_are_those_of_the_training(trained: Path, tmp_path: Path) -> None:
    for name in ("cache", "data"):
        shutil.copytree(trained / name, tmp_path / name)
    for option in ("trainer.precision=bfloat16", "trainer.channels_last=true"):
        config = compose([*TINY, option, NO_MLFLOW, f"paths.outputs={tmp_path}"])
        result = run(config)
        assert reevaluate(tmp_path, result["run_id"], again=True)["metrics"] == result["metrics"]


@pytest.mark.parametrize("override", [FEWER, "evaluation.extractor=pixels", "evaluation.checkpoint=last"])
def test_another_protocol_lands_beside(outputs: Path, override: str) -> None:
    folder = folder_in(outputs)
    result, files = folder.result_path.read_bytes(), {path.name for path in folder.scores.iterdir()}
    scores = reevaluate(outputs, folder.run_id, [override])
    protocol = scores["protocol"]["hash"]
    assert {path.name for path in folder.scores.iterdir()} == {*files, f"{protocol}.json"} and len(files) == 1
    assert json.loads(scores_path(folder, protocol).read_text()) == scores
    own = json.loads(result)["metrics"]
    if override == "evaluation.extractor=pixels":
        assert scores["metrics"].items() >= own.items() and "eval/frechet_pixels" in scores["metrics"]
    else:
        assert scores["metrics"]["eval/edit"] != own["eval/edit"]
    assert folder.result_path.read_bytes() == result
    reevaluate(outputs, folder.run_id, [override], again=True)
    (row,) = reevaluatedd(folder)
    assert {name.replace(f"rescored.{protocol}/", "eval/"): value for name, value in row.items()} == scores["metrics"]


def test_last_weights_of_a_run_without_average_are_the_same_under_either_rule(trained: Path, tmp_path: Path) -> None:
    for name in ("cache", "data"):
        shutil.copytree(trained / name, tmp_path / name)
    result = run(compose([*TINY, NO_MLFLOW, f"paths.outputs={tmp_path}"]))
    scores = reevaluate(tmp_path, result["run_id"], ["evaluation.checkpoint=last"])
    assert scores["metrics"] == result["metrics"]
    assert scores["protocol"]["hash"] != result["protocol"]["hash"]


def test_mlflow_has_the_scores_once_in_the_one_run(tracked: Path) -> None:
    folder = folder_in(tracked)
    store = Store.open(tracked)
    sync(tracked, store)
    protocol = ""
    for again in (False, True):
        protocol = reevaluate(tracked, folder.run_id, [FEWER], again=again)["protocol"]["hash"]
    for _ in range(2):
        (found,) = store.client.search_runs([store.experiment_id])
        for name, value in reevaluatedd(folder)[0].items():
            (point,) = store.client.get_metric_history(found.info.run_id, name)
            assert point.step == 4 and point.value == pytest.approx(value, rel=1e-3, abs=1e-4)
        assert found.info.status == "FINISHED" and found.data.tags["protocol"] != protocol
        artifacts = {item.path for item in store.client.list_artifacts(found.info.run_id, "scores")}
        assert artifacts == {f"scores/{found.data.tags['protocol']}.json", f"scores/{protocol}.json"}
        store.delete_run(found.info.run_id)  # and it is built anew from the files
        sync(tracked, store)
        sync(tracked, store)


def test_a_store_that_fails_costs_one_line(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(config: object) -> None:
        raise StoreError("MLflow store x cannot be opened: no")

    folder = folder_in(tracked)
    monkeypatch.setattr("stargan_lab.runs.reevaluate.open_store", broken)
    scores = reevaluate(tracked, folder.run_id, [FEWER])
    assert scores_path(folder, scores["protocol"]["hash"]).exists() and len(reevaluatedd(folder)) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: MLflow store x")]


def test_scores_that_were_written_but_not_recorded_are_recorded(outputs: Path) -> None:
    """As a kill between the two leaves them."""
    folder = folder_in(outputs)
    reevaluate(outputs, folder.run_id, [FEWER])
    rows = folder.metrics_path.read_text().splitlines(keepends=True)
    folder.metrics_path.write_text("".join(rows[:-1]))
    assert reevaluatedd(folder) == []
    reevaluate(outputs, folder.run_id, [FEWER])
    assert len(reevaluatedd(folder)) == 1


def test_other_numbers_under_one_protocol_are_said(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_in(outputs)
    result = folder.result() or {}
    folder.write_result(result | {"metrics": result["metrics"] | {"eval/leak": 0.5}})
    reevaluate(outputs, folder.run_id, again=True)
    assert "eval/leak is 0." in (said := capsys.readouterr().err) and "was 0.5" in said


def test_a_record_from_before_these_keys_is_scored(outputs: Path) -> None:
    folder = folder_in(outputs)
    raw = yaml.safe_load(folder.config_path.read_text())
    del raw["evaluation"]["dims"], raw["evaluation"]["checkpoint"]
    folder.config_path.write_text(yaml.safe_dump(raw))
    assert reevaluate(outputs, folder.run_id)["protocol"]["hash"] == folder.tags()["protocol"]


REFUSED = [
    (["evaluation.max_image=8"], ["evaluation.max_image: unknown key", "'max_images'"]),
    (["evaluation.max_images=1"], ["evaluation.max_images", "at least 2"]),
    (["evaluation.extractor=pixel"], ["evaluation.extractor", "'pixels'"]),
    (["evaluation=defalt"], ["evaluation", "'default'"]),
    (["evaluation.max_images=8,9"], ["evaluation.max_images=8,9: several values"]),
    (["evaluation.max_images=[8"], ["evaluation.max_images=[8: not a valid override"]),
    (["~evaluation.weights"], ["~evaluation.weights: expected key=value"]),
    (["evaluation.weights=${nowhere}"], ["evaluation.weights", "nowhere"]),
    (["generator.norm=layer"], ["generator.norm cannot change after training", "evaluation.*"]),
    (["seed=1"], ["seed cannot change after training"]),
    (["trainer.devices=1"], ["trainer.devices", "'trainer.device'"]),
    (["paths.outputs=elsewhere"], ["paths.outputs", "--outputs"]),
    (["data.sources.faces.kind=celeba"], ["data.sources.faces.kind cannot change after training"]),
    (["data.sources.face.root=here"], ["unknown dataset 'face'", "'faces'"]),
]


@pytest.mark.parametrize(("overrides", "said"), REFUSED, ids=[" ".join(overrides) for overrides, _ in REFUSED])
def test_what_cannot_be_changed_is_refused(trained: Path, overrides: list[str], said: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        reevaluate(trained, folder_in(trained).run_id, overrides)
    assert all(part in str(error.value) for part in said) and "\n" not in str(error.value)


def test_values_are_read_as_by_train(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "/weights of mine")
    overrides = ["++evaluation.weights='${oc.env:KEPT}/a,b.pth'", "evaluation.extractor=null", "evaluation=default"]
    overrides.append("data.sources.faces.exclusive=[[Male,Young]]")
    config = apply_evaluation_overrides(read_config(folder_in(trained).path), overrides)
    assert config.evaluation.weights == "/weights of mine/a,b.pth" and config.evaluation.extractor is None
    assert config.data.sources["faces"].options["exclusive"] == (("Male", "Young"),)


@pytest.mark.parametrize(
    "value", [None, 8, "pixels", "/weights of/it's, \\ mine.pth", [["A b", "C"], ["D"]], True, "8", "null"]
)
def test_keys_are_written_so_that_they_are_read_as_they_were(value: Any) -> None:
    parsed = OverridesParser.create().parse_override(as_override("evaluation.key", value))
    assert parsed.value() == value and not parsed.is_sweep_override()


def test_a_run_that_is_not_there_or_not_finished_is_refused(outputs: Path) -> None:
    folder = folder_in(outputs)
    with pytest.raises(ConfigError, match=f"did you mean '{folder.run_id}'"):
        reevaluate(outputs, f"{folder.run_id[:-1]}x")
    result = folder.result() or {}
    folder.write_result(result | {"status": "interrupted"})
    with pytest.raises(ConfigError, match=r"is not finished \(interrupted\)"):
        reevaluate(outputs, folder.run_id)
    with locked(folder.lock_path), pytest.raises(ConfigError, match="is still being trained"):
        reevaluate(outputs, folder.run_id)


def test_a_finished_run_that_is_held_is_found_finished(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scoring takes long, and ``train`` and ``sweep`` must not take it for training."""
    config = compose([*TINY, "ema.decay=0.9", NO_MLFLOW, f"paths.outputs={outputs}", FEWER])
    with locked(folder_in(outputs).lock_path):
        assert run(config)["status"] == "finished"
    said = capsys.readouterr().err
    assert f"`stargan-lab evaluate {folder_in(outputs).run_id} {FEWER} --outputs {outputs}`" in said


@pytest.fixture(scope="module")
def of_files(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs with a run over files that are not drawn on demand; they lie in ``celeba`` beside the outputs."""
    folder = tmp_path_factory.mktemp("of_files")
    (drawn,) = (path for path in (trained / "data").iterdir() if path.is_dir())
    root = shutil.copytree(drawn, folder / "celeba")
    data = ["data=celeba", f"data.sources.celeba.root={root}", "data.image_size=16"]
    run(compose([*TINY, *data, NO_MLFLOW, f"paths.outputs={folder / 'outputs'}"]))
    return folder


def test_data_that_have_moved_are_asked_for(of_files: Path, tmp_path: Path) -> None:
    outputs = Path(shutil.copytree(of_files / "outputs", tmp_path / "outputs"))
    folder = folder_in(outputs)
    moved = shutil.copytree(of_files / "celeba", tmp_path / "moved")
    edit_config(folder, data={"sources": moved_from(folder, tmp_path / "gone")})
    with pytest.raises(DataError, match=r"gone.*data\.sources\.celeba\.root says where its data are now"):
        reevaluate(outputs, folder.run_id)
    scores = reevaluate(outputs, folder.run_id, [f"data.sources.celeba.root={moved}"], again=True)
    assert scores["metrics"] == (folder.result() or {})["metrics"]


def moved_from(folder: RunFolder, root: Path) -> dict[str, Any]:
    sources = yaml.safe_load(folder.config_path.read_text())["data"]["sources"]
    return {name: options | {"root": str(root)} for name, options in sources.items()}


def test_other_data_are_refused(of_files: Path, tmp_path: Path) -> None:
    outputs = Path(shutil.copytree(of_files / "outputs", tmp_path / "outputs"))
    other = Path(shutil.copytree(of_files / "celeba", tmp_path / "other"))
    labels = (other / "list_attr_celeba.txt").read_text().splitlines()
    name, *values = labels[2].split()
    labels[2] = " ".join([name, *("1" if value == "-1" else "-1" for value in values)])
    (other / "list_attr_celeba.txt").write_text("\n".join(labels) + "\n")
    folder = folder_in(outputs)
    with pytest.raises(DataError, match=f"data.sources.celeba: not the data that run {folder.run_id} was trained on"):
        reevaluate(outputs, folder.run_id, [f"data.sources.celeba.root={other}"])


def test_other_groups_are_another_protocol(of_files: Path, tmp_path: Path) -> None:
    """Which labels exclude each other decides how a run is scored."""
    outputs = Path(shutil.copytree(of_files / "outputs", tmp_path / "outputs"))
    folder = folder_in(outputs)
    groups = "data.sources.celeba.exclusive=[[Black_Hair,Blond_Hair,Brown_Hair,Gray_Hair],[Male,Young]]"
    scores = reevaluate(outputs, folder.run_id, [groups])
    assert scores["protocol"]["hash"] != folder.tags()["protocol"]
    assert ["Male", "Young"] in scores["protocol"]["groups"]["celeba"]


def test_half_a_line_does_no_lasting_damage(outputs: Path) -> None:
    folder = folder_in(outputs)
    with folder.metrics_path.open("ab") as file:
        file.write(b'{"step": 4, "time')  # the disk was full
    rows = len(folder.rows())
    record = reevaluate(outputs, folder.run_id, [FEWER], progress=False)
    after = RunFolder(folder.path).rows()
    assert len(after) == rows + 1
    assert after[-1].metrics[f"rescored.{record['protocol']['hash']}/edit"] == record["metrics"]["eval/edit"]


def test_a_run_resumed_under_another_protocol_has_scores_of_one(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_in(outputs)
    first = folder.result()
    folder.result_path.unlink()  # killed between its scores and its result
    run(compose([*TINY, "ema.decay=0.9", NO_MLFLOW, FEWER, f"paths.outputs={outputs}"]))
    result = folder_in(outputs).result()
    assert first is not None and result is not None and result["protocol"]["hash"] != first["protocol"]["hash"]
    edits = [row.metrics["eval/edit"] for row in folder_in(outputs).rows() if "eval/edit" in row.metrics]
    assert edits == [result["metrics"]["eval/edit"]] and edits[0] != first["metrics"]["eval/edit"]
    assert "rows of scores under protocol" in capsys.readouterr().err

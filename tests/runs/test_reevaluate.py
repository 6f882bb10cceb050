"""Re-evaluation of a finished run: equal scores under its protocol, other protocols next to it, each recorded once."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from stargan_lab import compose
from stargan_lab.config.evaluation_overrides import apply_evaluation_overrides, as_override
from stargan_lab.errors import ConfigError, DataError, LockedError
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.files import locked
from stargan_lab.runs import reevaluate as module
from stargan_lab.runs.load import read_config
from stargan_lab.runs.run import run
from stargan_lab.runs.scores import scores_path
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import Store, StoreError
from stargan_lab.tracking.sync import sync

TINY = ["preset=tiny", "trainer.device=cpu", "trainer.sample_every=0"]
NO_MLFLOW = "tracking.enabled=false"  # creating a store takes longer than a tiny run
FEWER = "evaluation.max_images=8"


@pytest.fixture(scope="module", autouse=True)
def _quick_attribute_classifier() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=20, max_steps=20))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs with one run that has an average."""
    outputs = tmp_path_factory.mktemp("trained") / "outputs"
    run(compose([*TINY, "ema.decay=0.9", NO_MLFLOW, f"paths.outputs={outputs}"]))
    return outputs


@pytest.fixture
def outputs(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "outputs"))


@pytest.fixture
def tracked(outputs: Path) -> Path:
    """A copy whose run is tracked in MLflow."""
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


def reevaluate(
    outputs: Path, run: str, overrides: Sequence[str] = (), again: bool = False, progress: bool = True
) -> dict[str, Any]:
    folder = module.finished_run(outputs, run)
    return module.reevaluate(folder, module.evaluation_config(folder, overrides), again, progress)


def reevaluated(folder: RunFolder) -> list[dict[str, float]]:
    return [row.metrics for row in folder.rows() if any(name.startswith("reevaluated.") for name in row.metrics)]


def test_training_writes_a_scores_file(trained: Path) -> None:
    folder = folder_in(trained)
    result = folder.result()
    assert result is not None and "few-images" in folder.tags()["warnings"]
    (path,) = folder.scores.iterdir()
    assert path == scores_path(folder, result["protocol"]["hash"]) and folder.tags()["protocol"] == path.stem
    scores = json.loads(path.read_text())
    keys = ("run_id", "step", "metrics", "protocol", "notes", "warnings")
    assert scores == {key: result[key] for key in keys}
    assert scores["protocol"]["checkpoint"] and "eval/edit/Male" in scores["metrics"]


def test_scores_under_the_same_protocol_are_read(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_in(outputs)
    monkeypatch.setattr("stargan_lab.runs.reevaluate.load_run", None)
    scores = reevaluate(outputs, folder.run_id)
    assert scores["metrics"] == (folder.result() or {})["metrics"]
    assert "already evaluated" in capsys.readouterr().err
    assert reevaluated(folder) == []


def test_reevaluation_reproduces_the_scores_of_training_exactly(outputs: Path) -> None:
    folder = folder_in(outputs)
    path = scores_path(folder, folder.tags()["protocol"])
    before = path.read_bytes()
    path.unlink()
    assert reevaluate(outputs, folder.run_id[:5])["metrics"] == (folder.result() or {})["metrics"]
    assert path.read_bytes() == before
    reevaluate(outputs, str(folder.path), again=True)
    assert path.read_bytes() == before
    assert reevaluated(folder) == []


def test_precision_and_memory_format_are_those_of_training(trained: Path, tmp_path: Path) -> None:
    for name in ("cache", "data"):
        shutil.copytree(trained / name, tmp_path / name)
    for option in ("trainer.precision=bfloat16", "trainer.channels_last=true"):
        config = compose([*TINY, option, NO_MLFLOW, f"paths.outputs={tmp_path}"])
        result = run(config)
        assert reevaluate(tmp_path, result["run_id"], again=True)["metrics"] == result["metrics"]


@pytest.mark.parametrize("override", ["evaluation.extractor=pixels", "evaluation.checkpoint=last"])
def test_another_protocol_is_recorded_next_to_the_first(outputs: Path, override: str) -> None:
    folder = folder_in(outputs)
    result, files = folder.result_path.read_bytes(), {path.name for path in folder.scores.iterdir()}
    scores = reevaluate(outputs, folder.run_id, [override])
    protocol = scores["protocol"]["hash"]
    assert {path.name for path in folder.scores.iterdir()} == {*files, f"{protocol}.json"} and len(files) == 1
    assert json.loads(scores_path(folder, protocol).read_text()) == scores
    first = json.loads(result)["metrics"]
    if override == "evaluation.extractor=pixels":
        assert scores["metrics"].items() >= first.items() and "eval/frechet_pixels" in scores["metrics"]
    else:
        assert scores["metrics"]["eval/edit"] != first["eval/edit"]
    assert folder.result_path.read_bytes() == result
    reevaluate(outputs, folder.run_id, [override], again=True)
    (row,) = reevaluated(folder)
    assert {name.replace(f"reevaluated.{protocol}/", "eval/"): value for name, value in row.items()} == scores[
        "metrics"
    ]


def test_average_and_last_are_equal_without_an_average(trained: Path, tmp_path: Path) -> None:
    for name in ("cache", "data"):
        shutil.copytree(trained / name, tmp_path / name)
    result = run(compose([*TINY, NO_MLFLOW, f"paths.outputs={tmp_path}"]))
    scores = reevaluate(tmp_path, result["run_id"], ["evaluation.checkpoint=last"])
    assert scores["metrics"] == result["metrics"]
    assert scores["protocol"]["hash"] != result["protocol"]["hash"]


def test_mlflow_has_each_score_once(tracked: Path) -> None:
    folder = folder_in(tracked)
    store = Store.open(tracked)
    sync(tracked, store)
    protocol = ""
    for again in (False, True):
        protocol = reevaluate(tracked, folder.run_id, [FEWER], again=again)["protocol"]["hash"]
    for _ in range(2):
        (found,) = store.client.search_runs([store.experiment_id])
        for name, value in reevaluated(folder)[0].items():
            (point,) = store.client.get_metric_history(found.info.run_id, name)
            assert point.step == 4 and point.value == pytest.approx(value, rel=1e-3, abs=1e-4)
        assert found.info.status == "FINISHED" and found.data.tags["protocol"] != protocol
        artifacts = {item.path for item in store.client.list_artifacts(found.info.run_id, "scores")}
        assert artifacts == {f"scores/{found.data.tags['protocol']}.json", f"scores/{protocol}.json"}
        store.delete_run(found.info.run_id)  # sync rebuilds it from the files
        sync(tracked, store)
        sync(tracked, store)


def test_failing_store_causes_one_warning(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: object) -> None:
        raise StoreError("MLflow store x cannot be opened: no")

    folder = folder_in(tracked)
    monkeypatch.setattr("stargan_lab.runs.reevaluate.open_store", fail)
    scores = reevaluate(tracked, folder.run_id, [FEWER])
    assert scores_path(folder, scores["protocol"]["hash"]).exists() and len(reevaluated(folder)) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: MLflow store x")]


def test_scores_are_recorded_after_a_kill(outputs: Path) -> None:
    """The kill came between writing the scores and recording them."""
    folder = folder_in(outputs)
    reevaluate(outputs, folder.run_id, [FEWER])
    rows = folder.metrics_path.read_text().splitlines(keepends=True)
    folder.metrics_path.write_text("".join(rows[:-1]))
    assert reevaluated(folder) == []
    reevaluate(outputs, folder.run_id, [FEWER])
    assert len(reevaluated(folder)) == 1


def test_different_scores_under_one_protocol_are_noted(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_in(outputs)
    result = folder.result() or {}
    folder.write_result(result | {"metrics": result["metrics"] | {"eval/leak": 0.5}})
    reevaluate(outputs, folder.run_id, again=True)
    assert "eval/leak is 0." in (err := capsys.readouterr().err) and "was 0.5" in err


def test_older_record_without_new_keys(outputs: Path) -> None:
    folder = folder_in(outputs)
    raw = yaml.safe_load(folder.config_path.read_text())
    del raw["evaluation"]["dims"], raw["evaluation"]["checkpoint"]
    folder.config_path.write_text(yaml.safe_dump(raw))
    assert reevaluate(outputs, folder.run_id)["protocol"]["hash"] == folder.tags()["protocol"]


REFUSED = [
    (["evaluation.max_image=8"], ["evaluation.max_image: unknown key", "'max_images'"]),
    (["evaluation.extractor=pixel"], ["evaluation.extractor", "'pixels'"]),
    (["evaluation=defalt"], ["evaluation", "'default'"]),
    (["evaluation.max_images=8,9"], ["evaluation.max_images=8,9: expected one value"]),
    (["evaluation.max_images=[8"], ["evaluation.max_images=[8: not a valid override"]),
    (["evaluation.weights=${nowhere}"], ["evaluation.weights", "nowhere"]),
    (["generator.norm=layer"], ["generator.norm: cannot be changed after training", "evaluation.*"]),
    (["seed=1"], ["seed: cannot be changed after training"]),
    (["trainer.devices=1"], ["trainer.devices", "'trainer.device'"]),
    (["paths.outputs=elsewhere"], ["paths.outputs", "--outputs"]),
    (["data.sources.faces.kind=celeba"], ["data.sources.faces.kind: cannot be changed after training"]),
    (["data.sources.face.root=here"], ["unknown dataset 'face'", "'faces'"]),
]


@pytest.mark.parametrize(("overrides", "said"), REFUSED, ids=[" ".join(overrides) for overrides, _ in REFUSED])
def test_changes_that_a_reevaluation_cannot_make_are_refused(
    trained: Path, overrides: list[str], said: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        reevaluate(trained, folder_in(trained).run_id, overrides)
    assert all(part in str(error.value) for part in said) and "\n" not in str(error.value)


def test_values_are_parsed_as_by_train(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "/weights of mine")
    overrides = ["++evaluation.weights='${oc.env:KEPT}/a,b.pth'", "evaluation.extractor=null", "evaluation=default"]
    overrides.append("data.sources.faces.exclusive=[[Male,Young]]")
    config = apply_evaluation_overrides(read_config(folder_in(trained).path), overrides)
    assert config.evaluation.weights == "/weights of mine/a,b.pth" and config.evaluation.extractor is None
    assert config.data.sources["faces"].options["exclusive"] == (("Male", "Young"),)


@pytest.mark.parametrize("value", [None, "pixels", "/weights of/it's, \\ mine.pth", [["A b", "C"], ["D"]], "8"])
def test_written_overrides_round_trip(value: Any) -> None:
    parsed = OverridesParser.create().parse_override(as_override("evaluation.key", value))
    assert parsed.value() == value and not parsed.is_sweep_override()


def test_unknown_and_unfinished_runs_are_refused(outputs: Path) -> None:
    folder = folder_in(outputs)
    with pytest.raises(ConfigError, match=f"did you mean '{folder.run_id}'"):
        reevaluate(outputs, f"{folder.run_id[:-1]}x")
    result = folder.result() or {}
    folder.write_result(result | {"status": "interrupted"})
    with pytest.raises(ConfigError, match=r"is not finished \(interrupted\)"):
        reevaluate(outputs, folder.run_id)
    with locked(folder.lock_path), pytest.raises(ConfigError, match="is still training"):
        reevaluate(outputs, folder.run_id)


def test_a_run_that_another_host_uses_is_not_evaluated(outputs: Path) -> None:
    folder = folder_in(outputs)
    (folder.path / ".lease").write_text('{"host": "other", "machine": "other machine", "pid": 1, "token": "0123"}')
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(LockedError, match=rf"^run {folder.run_id} is in use on host other \(lease: "):
        reevaluate(outputs, folder.run_id, [FEWER])
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_finished_run_is_found_while_locked_and_gets_tags_and_notes(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ablation = "+tracking.ablations.norms=layer"
    config = compose([*TINY, "ema.decay=0.9", NO_MLFLOW, f"paths.outputs={outputs}", FEWER, ablation])
    folder = folder_in(outputs)
    folder.update_tags({"code": "0123456789ab"})
    with locked(folder.lock_path):
        assert run(config) == folder.result()
    run_id = folder.run_id
    assert folder.tags()["ablation.norms"] == "layer"
    found, *notes = capsys.readouterr().err.splitlines()
    assert found == f"already finished: run {run_id} in {outputs}/runs/{run_id}"
    command = f"`stargan-lab evaluate {run_id} {FEWER} --outputs {outputs}`"
    assert notes == [
        f"note: evaluated with different settings (evaluation.max_images); re-evaluate with {command}",
        f"note: trained with different code (0123456789ab); delete {outputs}/runs/{run_id} to retrain",
    ]


@pytest.fixture(scope="module")
def of_files(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``outputs`` of a run on image files, which are in ``celeba`` next to it."""
    folder = tmp_path_factory.mktemp("of_files")
    (rendered,) = (path for path in (trained / "data").iterdir() if path.is_dir())
    root = shutil.copytree(rendered, folder / "celeba")
    data = ["data=celeba", f"data.sources.celeba.root={root}", "data.image_size=16"]
    data.append("data.sources.celeba.crop=null")
    run(compose([*TINY, *data, NO_MLFLOW, f"paths.outputs={folder / 'outputs'}"]))
    return folder


def test_moved_data(of_files: Path, tmp_path: Path) -> None:
    outputs = Path(shutil.copytree(of_files / "outputs", tmp_path / "outputs"))
    folder = folder_in(outputs)
    moved = shutil.copytree(of_files / "celeba", tmp_path / "moved")
    edit_config(folder, data={"sources": moved_from(folder, tmp_path / "gone")})
    with pytest.raises(DataError, match=r"gone.*set data\.sources\.celeba\.root if the data was moved"):
        reevaluate(outputs, folder.run_id)
    scores = reevaluate(outputs, folder.run_id, [f"data.sources.celeba.root={moved}"], again=True)
    assert scores["metrics"] == (folder.result() or {})["metrics"]


def moved_from(folder: RunFolder, root: Path) -> dict[str, Any]:
    sources = yaml.safe_load(folder.config_path.read_text())["data"]["sources"]
    return {name: options | {"root": str(root)} for name, options in sources.items()}


def test_changed_data_are_refused(of_files: Path, tmp_path: Path) -> None:
    outputs = Path(shutil.copytree(of_files / "outputs", tmp_path / "outputs"))
    other = Path(shutil.copytree(of_files / "celeba", tmp_path / "other"))
    labels = (other / "list_attr_celeba.txt").read_text().splitlines()
    name, *values = labels[2].split()
    labels[2] = " ".join([name, *("1" if value == "-1" else "-1" for value in values)])
    (other / "list_attr_celeba.txt").write_text("\n".join(labels) + "\n")
    folder = folder_in(outputs)
    with pytest.raises(
        DataError, match=f"data.sources.celeba: images, labels or names differ from the data that run {folder.run_id}"
    ):
        reevaluate(outputs, folder.run_id, [f"data.sources.celeba.root={other}"])


def test_exclusive_labels_are_part_of_the_protocol(of_files: Path, tmp_path: Path) -> None:
    outputs = Path(shutil.copytree(of_files / "outputs", tmp_path / "outputs"))
    folder = folder_in(outputs)
    groups = "data.sources.celeba.exclusive=[[Black_Hair,Blond_Hair,Brown_Hair,Gray_Hair],[Male,Young]]"
    scores = reevaluate(outputs, folder.run_id, [groups])
    assert scores["protocol"]["hash"] != folder.tags()["protocol"]
    assert ["Male", "Young"] in scores["protocol"]["groups"]["celeba"]


def test_incomplete_last_line_is_dropped(outputs: Path) -> None:
    folder = folder_in(outputs)
    with folder.metrics_path.open("ab") as file:
        file.write(b'{"step": 4, "time')  # the disk was full
    rows = len(folder.rows())
    record = reevaluate(outputs, folder.run_id, [FEWER], progress=False)
    after = RunFolder(folder.path).rows()
    assert len(after) == rows + 1
    assert after[-1].metrics[f"reevaluated.{record['protocol']['hash']}/edit"] == record["metrics"]["eval/edit"]


def test_scores_of_older_records_are_found(outputs: Path) -> None:
    """They were recorded as ``rescored.<protocol>/…``."""
    folder = folder_in(outputs)
    protocol = reevaluate(outputs, folder.run_id, [FEWER])["protocol"]["hash"]
    text = folder.metrics_path.read_text().replace("reevaluated.", "rescored.")
    folder.metrics_path.write_text(text)
    reevaluate(outputs, folder.run_id, [FEWER], again=True)
    assert f"rescored.{protocol}/edit" in text and folder.metrics_path.read_text() == text


def test_resume_under_another_protocol_drops_earlier_scores(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_in(outputs)
    first = folder.result()
    folder.result_path.unlink()  # killed between its scores and its result
    run(compose([*TINY, "ema.decay=0.9", NO_MLFLOW, FEWER, f"paths.outputs={outputs}"]))
    result = folder_in(outputs).result()
    assert first is not None and result is not None and result["protocol"]["hash"] != first["protocol"]["hash"]
    edits = [row.metrics["eval/edit"] for row in folder_in(outputs).rows() if "eval/edit" in row.metrics]
    assert edits == [result["metrics"]["eval/edit"]] and edits[0] != first["metrics"]["eval/edit"]
    assert "rows of scores under protocol" in capsys.readouterr().err

"""Reports in MLflow."""

import threading
from pathlib import Path

import pytest

from stargan_lab.errors import LabError
from stargan_lab.files import locked, read_json, write_json, write_text
from stargan_lab.tracking.reports import lock_path, publish_report, publish_reports
from stargan_lab.tracking.store import Store


def written(outputs: Path, name: str, claim: str = "A norm helps.", answers: int = 1) -> Path:
    folder = outputs / "reports" / name
    table = {"columns": ["variant", "verdict"], "data": [["layer", "better"], ["batch", "worse"]]}
    facts = {"name": name, "title": name.title(), "claim": claim, "baseline": "none", "variants": ["none", "layer"]}
    facts |= {"files": ["report.html"], "answers": ["layer is better than none (n = 3, protocol p1)."] * answers}
    write_json(folder / "report.json", facts | {"table": table})
    write_text(folder / "report.html", f"<p>{claim}</p>")
    write_text(folder / "report.tex", "of an earlier report")
    return folder


def files(store: Store, mlflow_id: str) -> list[str]:
    return sorted(each.path for each in store.client.list_artifacts(mlflow_id))


def test_a_report_is_one_run_with_its_files_and_verdicts(store: Store, tmp_path: Path) -> None:
    publish_report(store, written(tmp_path, "norms"))
    publish_report(store, written(tmp_path, "norms", "A norm harms."))
    (run,) = store.search("tags.report = 'norms'")
    assert run.info.status == "FINISHED" and "run_id" not in run.data.tags
    assert files(store, run.info.run_id) == ["report.html", "report.json", "verdicts.json"]
    page = Path(store.client.download_artifacts(run.info.run_id, "report.html"))
    assert page.read_text() == "<p>A norm harms.</p>"
    table = read_json(Path(store.client.download_artifacts(run.info.run_id, "verdicts.json")))
    assert table == {"columns": ["variant", "verdict"], "data": [["layer", "better"], ["batch", "worse"]]}


def test_runs_are_described_with_every_ablation_that_has_a_report(store: Store, tmp_path: Path) -> None:
    variants = {"a": {"ablation.norms": "none", "ablation.depths": "2"}, "b": {"ablation.norms": "layer"}, "c": {}}
    for run_id, tags in variants.items():
        store.set_tags(store.open_run(run_id, run_id, 1.0).info.run_id, tags)
    written(tmp_path, "norms")
    written(tmp_path, "depths", "Deeper is better.")
    publish_reports(store, tmp_path)
    tags = [run.data.tags for run in store.search("tags.run_id LIKE '%'")]
    notes = {each["run_id"]: each.get("mlflow.note.content", "") for each in tags}
    (report,) = store.search("tags.report = 'norms'")
    assert notes["a"].split("\n\n")[1].startswith("**Norms:** variant none (the baseline). A norm helps. [Report](#/")
    assert "**Depths:** variant 2. Deeper is better." in notes["a"]
    assert notes["b"].startswith("**Norms:** variant layer. A norm helps.") and report.info.run_id in notes["b"]
    assert notes["c"] == ""
    places = {each["run_id"]: each.get("place.norms") for each in tags}
    assert places["c"] is None and places["a"] < places["b"]


def test_a_report_is_described_with_its_verdicts(store: Store, tmp_path: Path) -> None:
    for name, answers in (("norms", 2), ("rates", 400)):
        publish_report(store, written(tmp_path, name, answers=answers))
    line = "\n- layer is better than none (n = 3, protocol p1)."
    few, many = (
        store.search(f"tags.report = '{name}'")[0].data.tags["mlflow.note.content"] for name in ("norms", "rates")
    )
    assert few.startswith("**Norms** [Report](#/") and few.endswith(f")\n{2 * line}\n\nA norm helps.")
    assert many.endswith(f"{20 * line}\n- and 380 more in the report\n\nA norm helps.")


def test_a_report_that_is_published_already_is_left_alone(store: Store, tmp_path: Path) -> None:
    folder = written(tmp_path, "norms")
    publish_report(store, folder)
    (run,) = store.search("tags.report = 'norms'")
    stored = tmp_path / "mlartifacts" / run.info.run_id / "artifacts" / "report.html"
    stored.write_text("kept")
    publish_report(store, folder)
    assert stored.read_text() == "kept"


def test_the_runs_of_a_report_are_searched_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.set_tags(store.open_run("a", "a", 1.0).info.run_id, {"ablation.norms": "layer", "seed": "3"})
    written(tmp_path, "norms")
    search, conditions = store.search, []
    monkeypatch.setattr(store, "search", lambda condition: conditions.append(condition) or search(condition))
    assert publish_reports(store, tmp_path) == {"norms"}
    assert len([each for each in conditions if "ablation.norms" in each]) == 1
    (run,) = search("tags.run_id = 'a'")
    assert run.data.tags["place.norms"] == "001.0003" and "[Report]" in run.data.tags["mlflow.note.content"]


def test_a_description_by_hand_stays(store: Store, tmp_path: Path) -> None:
    run = store.open_run("a", "a", 1.0)
    store.set_tags(run.info.run_id, {"ablation.norms": "layer", "mlflow.note.content": "mine"})
    publish_report(store, written(tmp_path, "norms"))
    assert store.search("tags.run_id = 'a'")[0].data.tags["mlflow.note.content"] == "mine"


def test_a_report_is_published_when_nobody_writes_it(store: Store, tmp_path: Path) -> None:
    folder = written(tmp_path, "norms")
    publisher = threading.Thread(target=publish_report, args=(store, folder))
    with locked(lock_path(folder)):
        publisher.start()
        publisher.join(0.5)
        assert store.search("tags.report = 'norms'") == []
    publisher.join()
    assert len(store.search("tags.report = 'norms'")) == 1


def test_a_damaged_summary(store: Store, tmp_path: Path) -> None:
    write_json(tmp_path / "reports" / "norms" / "report.json", {"name": "norms"})
    with pytest.raises(LabError, match=r"norms/report.json: expected a mapping with name, title"):
        publish_reports(store, tmp_path)

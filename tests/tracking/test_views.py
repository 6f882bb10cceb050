"""Saved views of the MLflow UI, and the command of its server."""

import json
from urllib.parse import parse_qs

import pytest
from mlflow.server import app

from stargan_lab.tracking import ui_server
from stargan_lab.tracking.store import Store
from stargan_lab.tracking.ui import FIRST, ui_command, ui_environment
from stargan_lab.tracking.views import View

NORMS = View("ablation-norms", ["eval/edit", "eval/leak"], ["loss/g_rec"], ["discriminator.norm"], "norms")


def saved(store: Store, view: View) -> dict[str, object]:
    view.save(store)
    (key,) = parse_qs(view.url(store, 5001).partition("?")[2])["viewStateShareKey"]
    tags = store.client.get_experiment(store.experiment_id).tags
    state: dict[str, object] = json.loads(json.loads(tags[f"mlflow.sharedViewState.{key}"])["state"])
    return state


def test_the_view_of_an_ablation_selects_its_runs(store: Store) -> None:
    for run_id, tags in {"a": {"ablation.norms": "layer"}, "b": {"ablation.depth": "2"}}.items():
        store.set_tags(store.open_run(run_id, run_id, 1.0).info.run_id, tags)
    store.open_tagged({"report": "norms"}, "report: norms")
    state = saved(store, NORMS)
    assert [run.data.tags["run_id"] for run in store.search(str(state["searchFilter"]))] == ["a"]
    assert state["groupBy"] == {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "tag", "groupByData": "ablation.norms"}],
    }
    assert state["selectedColumns"] == ["params.`discriminator.norm`", "metrics.`eval/edit`", "metrics.`eval/leak`"]
    assert NORMS.url(store, 5001).startswith(f"http://127.0.0.1:5001/#/experiments/{store.experiment_id}/runs?")


def test_the_view_of_all_runs_leaves_reports_out(store: Store) -> None:
    store.open_run("a", "a", 1.0)
    store.open_tagged({"report": "norms"}, "report: norms")
    state = saved(store, View("all-runs", ["eval/edit"]))
    assert [run.info.run_name for run in store.search(str(state["searchFilter"]))] == ["a"]
    assert "groupBy" not in state


def test_server_listens_on_localhost_only() -> None:
    command = ui_command(5005)
    assert command[1:4] == ["-m", "mlflow", "server"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5005"
    assert ui_environment("sqlite:///x.db", [])["MLFLOW_BACKEND_STORE_URI"] == "sqlite:///x.db"


def test_scores_come_first_in_the_answers_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FIRST, ui_environment("sqlite:///x.db", ["eval/leak", "eval/edit"])[FIRST])
    run = {"data": {"metrics": [{"key": key} for key in ("loss/a", "eval/edit", "loss/b", "eval/leak")]}}
    for path, answer in {"get": {"run": run}, "search": {"runs": [run]}}.items():
        with app.test_request_context(f"/ajax-api/2.0/mlflow/runs/{path}"):
            changed = ui_server.scores_first(app.response_class(json.dumps(answer)))
        parsed = json.loads(changed.get_data())
        (shown,) = parsed["runs"] if "runs" in parsed else [parsed["run"]]
        assert [metric["key"] for metric in shown["data"]["metrics"]] == ["eval/leak", "eval/edit", "loss/a", "loss/b"]

"""The MLflow UI: the server command and the saved view of an ablation."""

import json
from urllib.parse import parse_qs

from stargan_lab.tracking.store import Store
from stargan_lab.tracking.ui import ui_command, ui_url


def test_url_of_an_ablation_stores_a_filtered_and_grouped_view(store: Store) -> None:
    for run_id, tags in {"a": {"ablation.norms": "layer"}, "b": {"ablation.depth": "2"}}.items():
        store.set_tags(store.open_run(run_id, run_id, 1.0).info.run_id, tags)
    url = ui_url(store, "norms", 5001)
    page, query = url.split("?")
    assert page == f"http://127.0.0.1:5001/#/experiments/{store.experiment_id}/runs"
    query_values = {key: values[0] for key, values in parse_qs(query).items()}
    assert query_values["workflowType"] == "machine_learning"
    tags = store.client.get_experiment(store.experiment_id).tags
    state = json.loads(json.loads(tags[f"mlflow.sharedViewState.{query_values['viewStateShareKey']}"])["state"])
    assert state["searchFilter"] == "tags.`ablation.norms` LIKE '%'"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "ablation.norms"}]
    assert {f"metrics.`eval/{score}`" for score in ("edit", "fid", "kid", "reconstruction")} <= {
        *state["selectedColumns"]
    }
    assert not {f"metrics.`eval/{score}`" for score in ("fid_pooled", "ssim", "recall")} & {*state["selectedColumns"]}
    found = store.client.search_runs([store.experiment_id], filter_string=state["searchFilter"])
    assert [run.data.tags["run_id"] for run in found] == ["a"]


def test_url_of_all_runs(store: Store) -> None:
    assert ui_url(store).endswith(f"/#/experiments/{store.experiment_id}/runs?workflowType=machine_learning")


def test_server_listens_on_localhost_only() -> None:
    command = ui_command("sqlite:///x.db", 5005)
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5005"
    assert command[command.index("--backend-store-uri") + 1] == "sqlite:///x.db"

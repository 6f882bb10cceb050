"""MLflow's own pages, opened at the right place."""

import json
import sys
import time
from urllib.parse import urlencode

from stargan_lab.tracking.metrics import Descriptions, lookup, names
from stargan_lab.tracking.store import Store


def ui_command(uri: str, port: int = 5000) -> list[str]:
    """The command that serves MLflow's pages of the store at ``uri``, on this machine only."""
    where = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *where]


def ablation_filter(name: str) -> str:
    """MLflow's search expression for the runs of one ablation."""
    return f"tags.`ablation.{name}` LIKE '%'"


def ui_url(store: Store, name: str | None = None, port: int = 5000, descriptions: Descriptions | None = None) -> str:
    """Where the runs are: those of ablation ``name`` filtered and grouped by variant, or all.

    The main metrics in ``descriptions``, None for the registered ones, become columns.

    MLflow's page takes a filter from its address but the grouping from a saved view only, which it keeps in a tag of
    the experiment; the view is written here.
    """
    query = {"workflowType": "machine_learning"}
    if name is not None:
        key = f"ablation-{name}"
        store.set_experiment_tag(f"mlflow.sharedViewState.{key}", _view(name, descriptions or {}))
        query = {"viewStateShareKey": key} | query
    return f"http://127.0.0.1:{port}/#/experiments/{store.experiment_id}/runs?{urlencode(query)}"


def _view(name: str, descriptions: Descriptions) -> str:
    """A saved view in the form mlflow 3's page reads: an envelope whose ``state`` is JSON itself."""
    evaluated = (metric for metric in descriptions or names() if metric.startswith("eval/"))
    shown = [metric for metric in evaluated if lookup(metric, descriptions).main]
    group = {"mode": "tag", "groupByData": f"ablation.{name}"}
    state = {
        "searchFilter": ablation_filter(name),
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [group]},
        "useGroupedValuesInCharts": True,
        "runsHiddenMode": "SHOW_ALL",
        "selectedColumns": [f"metrics.`{metric}`" for metric in shown],
    }
    now = round(time.time() * 1000)
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)})

"""The MLflow UI: the command that serves it, and links into it."""

import json
import sys
import time
from urllib.parse import urlencode

from stargan_lab.tracking.metrics import Descriptions, lookup, names
from stargan_lab.tracking.store import Store


def ui_command(uri: str, port: int = 5000) -> list[str]:
    """The command that serves the MLflow UI of the store at ``uri`` on localhost."""
    options = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *options]


def ui_url(store: Store, name: str | None = None, port: int = 5000, descriptions: Descriptions | None = None) -> str:
    """The URL of all runs, or of those of ablation ``name``, grouped by variant.

    The main metrics in ``descriptions`` become columns; None: those of the registered metrics.

    MLflow reads the grouping only from a saved view, which is stored in a tag of the experiment; this writes it.
    """
    query = {"workflowType": "machine_learning"}
    if name is not None:
        key = f"ablation-{name}"
        store.set_experiment_tag(f"mlflow.sharedViewState.{key}", _view(name, descriptions or {}))
        query = {"viewStateShareKey": key} | query
    return f"http://127.0.0.1:{port}/#/experiments/{store.experiment_id}/runs?{urlencode(query)}"


def _view(name: str, descriptions: Descriptions) -> str:
    """A saved view in the format of the mlflow 3 UI: JSON whose ``state`` is a JSON string."""
    evaluated = (metric for metric in descriptions or names() if metric.startswith("eval/"))
    shown = [metric for metric in evaluated if lookup(metric, descriptions).main]
    group = {"mode": "tag", "groupByData": f"ablation.{name}"}
    state = {
        "searchFilter": f"tags.`ablation.{name}` LIKE '%'",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [group]},
        "useGroupedValuesInCharts": True,
        "runsHiddenMode": "SHOW_ALL",
        "selectedColumns": [f"metrics.`{metric}`" for metric in shown],
    }
    now = round(time.time() * 1000)
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": json.dumps(state)})

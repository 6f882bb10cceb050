"""The format of saved views in MLflow's UI: a table with groups, and charts; ``report.mlflow_view`` fills it.

MLflow reads a view from a tag of the experiment, in the format that its own "Share" button writes.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from stargan_lab.tracking.reports import place_tag
from stargan_lab.tracking.store import Store

_TRAINED = "tags.run_id LIKE '%'"
"""Filter for trained runs; those that hold a report lack the tag."""


@dataclass(frozen=True)
class View:
    """What the runs page shows.

    Attributes:
        key: identifies the view; saving replaces a view with the same key.
        scores: metrics, the primary one first; columns and bar charts.
        losses: metrics drawn as line charts.
        factors: params; columns.
        ablation: group and filter by its tag, in the order of its report; empty: all runs, not grouped.
    """

    key: str
    scores: Sequence[str]
    losses: Sequence[str] = ()
    factors: Sequence[str] = ()
    ablation: str = ""

    def save(self, store: Store) -> None:
        now = round(time.time() * 1000)
        saved = {"name": self.key, "createdAt": now, "updatedAt": now, "state": json.dumps(self._state())}
        store.set_experiment_tag(f"mlflow.sharedViewState.{self.key}", json.dumps(saved))

    def url(self, store: Store, port: int) -> str:
        """The runs page with this view, which must be saved."""
        query = urlencode({"viewStateShareKey": self.key, "workflowType": "machine_learning"})
        return f"http://127.0.0.1:{port}/#/experiments/{store.experiment_id}/runs?{query}"

    def _state(self) -> dict[str, Any]:
        columns = [f"params.`{name}`" for name in self.factors] + [f"metrics.`{name}`" for name in self.scores]
        state: dict[str, Any] = {
            "searchFilter": _TRAINED,
            "orderByKey": "attributes.start_time",
            "orderByAsc": False,
            "runsHiddenMode": "SHOW_ALL",
            "selectedColumns": columns,
            "columnOrder": columns,
            **self._charts(),
        }
        if self.ablation:
            tag = f"ablation.{self.ablation}"
            group = {"mode": "tag", "groupByData": tag}
            state |= {
                "searchFilter": f"tags.`{tag}` LIKE '%'",
                "orderByKey": f"tags.`{place_tag(self.ablation)}`",  # groups are in the order of their first runs
                "orderByAsc": True,
                "groupBy": {"aggregateFunction": "average", "groupByKeys": [group]},
                "useGroupedValuesInCharts": True,
            }
        return state

    def _charts(self) -> dict[str, Any]:
        charts: list[dict[str, Any]] = []
        sections = []
        for title, kind, names in (("Scores", "BAR", self.scores), ("Losses", "LINE", self.losses)):
            section = str(uuid4())
            flags = {"isGenerated": False, "deleted": False}
            if names:
                sections.append({"uuid": section, "name": title, "display": True, "isReordered": True, **flags})
            for name in names:
                card = {"uuid": str(uuid4()), "type": kind, "metricSectionId": section, "metricKey": name, **flags}
                if kind == "LINE":
                    card |= {"selectedMetricKeys": [name], "xAxisKey": "step", "scaleType": "linear", "range": {}}
                    card |= {"lineSmoothness": 0, "useGlobalLineSmoothing": True, "useGlobalXaxisKey": True}
                charts.append({"runsCountToCompare": 20, **card})
        return {"compareRunCharts": charts, "compareRunSections": sections, "isAccordionReordered": True}


def compare_url(store: Store, mlflow_ids: Sequence[str], port: int) -> str:
    """MLflow's compare page for these runs."""
    runs, experiments = quote(json.dumps(list(mlflow_ids))), quote(json.dumps([store.experiment_id]))
    return f"http://127.0.0.1:{port}/#/compare-runs?runs={runs}&experiments={experiments}&workflowType=machine_learning"

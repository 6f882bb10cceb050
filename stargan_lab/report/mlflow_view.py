"""Which columns and charts MLflow shows when ``stargan-lab ui`` opens."""

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.run_text import described, overall_scores
from stargan_lab.tracking.metrics import lookup, names
from stargan_lab.tracking.publish import State
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.views import View


def view_of_runs(runs: DataFrame, ablation: Ablation | None) -> View:
    """Columns and charts: scores that some run has, the primary one first, losses, and params that differ.

    Args:
        runs: as ``report.query.load_runs`` returns them.
        ablation: its runs only, grouped by variant; None: all runs.
    """
    descriptions = described(runs)
    main = [name for name in overall_scores(runs, descriptions, main=True) if name.startswith("eval/")]
    main = main or [name for name in names() if name.startswith("eval/") and lookup(name).main]  # none evaluated yet
    params = [State(RunFolder(folder)).params for folder in runs["folder"]]
    keys = dict.fromkeys(key for each in params for key in each)
    return View(
        key="all-runs" if ablation is None else f"ablation-{ablation.name}",
        scores=list(
            filter(None, dict.fromkeys([*([ablation.primary, *ablation.secondary] if ablation else []), *main]))
        ),
        losses=[name for name in descriptions if name.startswith("loss/")],
        factors=[key for key in keys if len({each.get(key) for each in params}) > 1],
        ablation=ablation.name if ablation else "",
    )

"""All evaluations of an ablation's runs, including those of ``stargan-lab evaluate``: samples of a score's noise."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.evaluation.protocol import procedure_identity
from stargan_lab.files import read_json
from stargan_lab.report.collect_runs import finished
from stargan_lab.report.variance import INPUT


class Evaluation(NamedTuple):
    """One evaluation of a run.

    Attributes:
        protocol: empty if only its hash was recorded.
        images: number of translated images; 0 if it was not recorded.
    """

    protocol: Mapping[str, Any]
    metrics: Mapping[str, float]
    images: int


class EvaluatedRun(NamedTuple):
    """A finished run and its evaluations; the first is the one that the report shows."""

    variant: str
    seed: int
    evaluations: Sequence[Evaluation]


def evaluated_runs(ablation: Ablation, runs: DataFrame, metrics: Sequence[str]) -> list[EvaluatedRun]:
    """The finished runs with all their evaluations under known protocols.

    Args:
        metrics: those of interest.
    Raises:
        LabError: names a file that cannot be read.
    """
    done = finished(runs)
    done = done[done["variant"].isin(ablation.variants)].reindex(
        columns=["variant", "seed", "folder", "protocol", "facts", *metrics]
    )
    result = []
    for variant, seed, folder, protocol, facts, *values in done.itertuples(index=False, name=None):
        paths = [] if pd.isna(folder) else sorted((folder / "scores").glob("*.json"))
        facts = facts or next((_read(path).protocol for path in paths if path.stem == protocol), {})  # not in a CSV
        shown = Evaluation(facts, dict(zip(metrics, values, strict=True)), _images(facts))
        others = [_read(path) for path in paths if path.stem != protocol]
        result.append(EvaluatedRun(variant, seed, [shown, *(each for each in others if each.protocol)]))
    return result


def _read(path: Any) -> Evaluation:
    record = read_json(path)
    try:
        protocol, metrics = record["protocol"], dict(record["metrics"])
    except (KeyError, TypeError, ValueError):
        raise LabError(f"{path}: expected a mapping with metrics and protocol") from None
    if isinstance(protocol, str):  # in very old records only its hash
        return Evaluation({}, metrics, 0)
    return Evaluation(protocol, metrics, _images(protocol))


def values_of_evaluations(runs: Sequence[EvaluatedRun], metric: str) -> DataFrame:
    """The input of ``variance.components``.

    Besides a run's shown evaluation, those count that differ from it only in their seed and in ``max_images``. The
    number of images is the mean over the evaluations with the same limit, since a random selection of test images
    contains a random number without a label.
    """
    known: dict[str, str] = {}  # hashing takes longer than everything else

    def procedure(protocol: Mapping[str, Any]) -> str:
        key = str(protocol.get("hash"))
        return known[key] if key in known else known.setdefault(key, procedure_identity(protocol, metric))

    rows = []
    for run in runs:
        shown = run.evaluations[0].protocol
        for each in run.evaluations:
            protocol, value = each.protocol, each.metrics.get(metric)
            if value is None or value != value:
                continue
            if protocol is shown or procedure(protocol) == procedure(shown):
                limit = protocol.get("max_images") or 0
                rows.append((run.variant, run.seed, protocol.get("seed", 0), limit, each.images, value))
    frame = DataFrame(rows, columns=["variant", "training_seed", "evaluation_seed", "limit", "images", "value"])
    images = frame.groupby("limit")["images"].mean().round().astype(int)
    frame["images"] = frame["limit"].map(images)  # limits that leave no image out have the same number
    return frame.drop_duplicates(list(INPUT[:-1]))[list(INPUT)]


def _images(protocol: Mapping[str, Any]) -> int:
    """The number of translated images."""
    of_datasets = protocol.get("images") or {}
    return sum(domain["translated"] for each in of_datasets.values() for domain in each.values())

"""The variance of a metric in a report: over seeds, between evaluations, and from the number of images."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.files import read_json
from stargan_lab.report.collect_runs import descriptions, finished
from stargan_lab.report.effects import ALPHA, looks, values_of
from stargan_lab.report.rounding import MISSING, decimals, shown
from stargan_lab.report.statistics import by_variant, differences, standard_deviation
from stargan_lab.report.variance import INPUT, components, pair_correlation, smallest_detectable
from stargan_lab.tracking.metrics import lookup

COLUMNS = (
    "standard deviation",
    "standard deviation of the differences",
    "correlation",
    "smallest detectable difference",
)


def variance_table(ablation: Ablation, runs: DataFrame, metric: str) -> DataFrame:
    """A row of text per variant: spread over seeds, correlation with its baseline, and the smallest true difference
    that the same number of pairs would detect with probability 0.8."""
    description = lookup(metric, descriptions(runs))
    values, comparisons = values_of(ablation, runs, metric), ablation.comparisons()
    total, present = sum(map(len, comparisons.values())), set(values["variant"])
    rows = {}
    for baseline, variant in (
        (baseline, variant) for baseline, variants in comparisons.items() for variant in variants
    ):
        if not {baseline, variant} <= present:
            rows[variant] = dict.fromkeys(COLUMNS, MISSING)
            continue
        scores = by_variant(values, baseline, metric)
        pairs = differences(scores[variant], scores[baseline])
        smallest = smallest_detectable(pairs, ALPHA, total, looks=looks(ablation))
        correlation = pair_correlation(values, baseline, variant, metric)
        spread, of_differences = pd.Series(scores[variant]).std(), standard_deviation(pairs)
        cells = (
            shown(spread, decimals(description, spread)),
            shown(of_differences, decimals(description, of_differences)),
            MISSING if correlation is None else f"{correlation:.2f}",
            MISSING if smallest is None else shown(smallest, decimals(description, smallest)),
        )
        rows[variant] = dict(zip(COLUMNS, cells, strict=True))
    return DataFrame.from_dict(rows, orient="index").rename_axis("variant")


def noise_lines(ablation: Ablation, runs: DataFrame, metric: str) -> list[str]:
    """The components of the metric's variance, as far as the runs' evaluations identify them."""
    values = _evaluations(ablation, runs, metric)
    if values.empty:
        return []
    parts = components(values, metric)
    description = lookup(metric, descriptions(runs))
    named = {
        "between training seeds": parts.training_seed,
        "between evaluations of a run": parts.evaluation_seed,
        f"from the sample size ({parts.images:,} images)": parts.sample_size,
        "in total": parts.total,
    }
    texts = [
        f"standard deviation {name}: "
        + ("not identifiable" if part is None else shown(part**0.5, decimals(description, part**0.5)))
        for name, part in named.items()
    ]
    return texts


def _evaluations(ablation: Ablation, runs: DataFrame, metric: str) -> DataFrame:
    """variant, training_seed, evaluation_seed, images, value: each evaluation of each finished run.

    An evaluation has no seed: it depends on the run and on the images only.
    """
    done = finished(runs)
    done = done[done["variant"].isin(ablation.variants) & done["folder"].notna()]
    columns = done.reindex(columns=["variant", "seed", "folder", "protocol", "facts", metric])
    rows = {}
    for variant, seed, folder, protocol, facts, value in columns.itertuples(index=False, name=None):
        for path in sorted((folder / "scores").glob("*.json")):
            if path.stem == protocol and facts:  # the scores that ``runs`` has
                record = {"protocol": facts, "metrics": {metric: value}}
            else:
                record = read_json(path)
            images, score = _images(record["protocol"]), record["metrics"].get(metric)
            if images and pd.notna(score):
                rows[variant, seed, 0, images] = score
    return DataFrame([(*key, value) for key, value in rows.items()], columns=list(INPUT))


def _images(protocol: Mapping[str, Any]) -> int:
    """The number of translated images in an evaluation."""
    return sum(domain["translated"] for each in protocol.get("images", {}).values() for domain in each.values())

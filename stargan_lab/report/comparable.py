"""Whether runs may share a table: each score computed under one protocol, all runs trained with the same code."""

import re

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.evaluation.protocol import DATA_FIELDS, differences, metric_protocol
from stargan_lab.report.collect_runs import finished, scores


def protocol_of(runs: DataFrame, metric: str) -> str:
    """The hashes of what the metric's values depend on, usually one; comma-separated. ``unknown`` without a value."""
    done = finished(runs)
    done = done[done[metric].notna()] if metric in done else done[:0]
    ways = [
        each.get(metric, protocol) or "unknown"
        for each, protocol in zip(done["protocols"], done["protocol"], strict=True)
    ]
    return ", ".join(dict.fromkeys(ways)) or "unknown"


def mixed(runs: DataFrame) -> dict[str, DataFrame]:
    """Each score that was computed in different ways, with the first two runs that differ."""
    result = {}
    done = finished(runs)
    protocols = list(zip(done["protocols"], done["protocol"], strict=True))
    for score in scores(runs):
        scored = done[score].notna()
        ways = [each.get(score, protocol) for (each, protocol), has in zip(protocols, scored, strict=True) if has]
        if len(set(ways)) > 1:
            result[score] = done[scored].assign(way=ways).drop_duplicates("way")[:2]
    return result


def check_comparable(ablation: Ablation, runs: DataFrame) -> None:
    """Reject runs with a score that was computed in different ways, or that were trained with different code.

    Full protocols may differ: a score that only some runs have, e.g. for lack of weights, does not affect the others.

    Raises:
        LabError: names the score, the first two runs that differ, what differs, and what to do.
    """
    result = mixed(runs)
    if ablation.varies_data():  # each variant is scored on its own data by design; the provenance says so
        result = {score: pair for score, pair in result.items() if not _only_data(score, pair)}
    if result:
        score, pair = next(iter(result.items()))
        others = f" and {len(result) - 1} other score{'s' if len(result) > 2 else ''}" if len(result) > 1 else ""
        raise LabError(
            f"{score}{others}: runs {' and '.join(pair['run_id'])} were scored differently ({_reason(score, pair)}); "
            f"re-evaluate all runs with `stargan-lab evaluate --of {ablation.name} …`, "
            "or select scores with --protocol HASH, or pass --allow-mixed"
        )
    pair = finished(runs).drop_duplicates("code")[:2]
    if len(pair) > 1:
        code = ", ".join(code or "unknown" for code in pair["code"])
        raise LabError(
            f"runs {' and '.join(pair['run_id'])} were trained with different code ({code}); "
            "delete the older runs with `stargan-lab runs rm` and sweep again, or pass --allow-mixed"
        )


def _only_data(score: str, pair: DataFrame) -> bool:
    one, other = pair["facts"]
    keys = differences(metric_protocol(one, score), metric_protocol(other, score)) if one and other else ["unknown"]
    return all(re.split("[.:]", key)[0] in DATA_FIELDS for key in keys)


def _reason(score: str, pair: DataFrame) -> str:
    """The keys of the protocol that differ; only the hashes if the full protocols are unknown."""
    one, other = pair["facts"]
    if one and other and (keys := differences(metric_protocol(one, score), metric_protocol(other, score))):
        return "; ".join([*keys[:3], *(["…"] if len(keys) > 3 else [])])
    return f"protocol {', '.join(way or 'unknown' for way in pair['way'])}"

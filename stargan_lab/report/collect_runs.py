"""The runs of an ablation as a DataFrame, read from the runs' own files."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.console import say
from stargan_lab.errors import LabError, counted
from stargan_lab.evaluation.protocol import metric_identity
from stargan_lab.files import canonical_hash, read_json
from stargan_lab.tracking.metrics import Metric, order
from stargan_lab.tracking.run_folder import DAMAGED, RunFolder

Cells = list[tuple[str, int, str]]
"""Variant, seed and run id of each run."""

NOT_SCORED = "not scored"
"""Status of a finished run without scores under the requested protocol."""

PARAMETERS = ("parameters.generator", "parameters.discriminator")
TEXT = ("variant", "run_id", "status", "protocol", "code", "machine", "finished", "error")
COST = ("seconds", "seconds_per_step", "peak_memory_mib")
MEASURED = {"speed/seconds_per_step": "seconds_per_step", "memory/peak_mib": "peak_memory_mib"}
"""Logged metrics of which ``COST`` has the value for a whole run."""
SCORING = ("protocols", "facts", "warnings", "descriptions", "audit", "folder")


def collect(ablation: Ablation, cells: Cells, outputs: Path, protocol: str | None = None) -> DataFrame:
    """Read the runs ``cells`` (variant, seed, run id) from ``outputs/runs``.

    Args:
        protocol: hash of the evaluation protocol whose scores to use, or a prefix of it; None uses each run's first.
    Returns:
        One row per run, in the order of the ablation's variants and then by seed. Columns:

        - variant, seed, run_id, and status as in ``RunFolder`` (``planned`` for a run that never started), NOT_SCORED,
          or DAMAGED if its records cannot be read, with the reason as its error
        - protocol, code: hashes of the evaluation protocol and of the code, empty where unknown; machine; error
        - finished: date and time in UTC; seconds, seconds_per_step, peak_memory_mib: of training
        - parameters.generator, parameters.discriminator: numbers of trainable parameters
        - protocols: score -> hash of everything its value depends on; facts: the full protocol, empty where unknown
        - warnings: of the evaluation, each with its code, text (one line) and metrics (empty: it affects all of them)
        - descriptions: name -> description of each metric that the run logged
        - audit: as ``runs.audit.audit`` returns it; empty for runs of older versions
        - folder: Path of the run's files, or None
        - a column per score, e.g. ``eval/edit`` and ``eval/edit/Male``, and per other metric that the ablation names,
          e.g. ``loss/g_rec``: its last logged value; NaN where a run lacks it
    Raises:
        LabError: a variant is not in the ablation, scores under the protocol are damaged, or no run has any.
    """
    variants = list(ablation.variants)
    for variant, _, run_id in cells:
        if variant not in variants:
            raise LabError(f"run {run_id}: ablation {ablation.name} has no variant {variant!r}")
    ordered = sorted(cells, key=lambda cell: (variants.index(cell[0]), cell[1]))
    folders = [RunFolder(outputs / "runs" / run_id) for _, _, run_id in ordered]
    if protocol is not None:
        protocol = _resolve_protocol(protocol, folders)
    runs = as_frame([_run(*cell[:2], folder, protocol) for cell, folder in zip(ordered, folders, strict=True)])
    for name in (ablation.primary, *ablation.secondary):
        runs = _with_logged(_with_part(runs, name), name)
    return runs


def _with_part(runs: DataFrame, name: str) -> DataFrame:
    """Fill a dataset's score, ``eval/accuracy/faces``, from ``eval/accuracy`` of runs on that dataset alone."""
    metric, part = overall(name), name.rpartition("/")[2]
    alone = [list(facts.get("data", {})) == [part] for facts in runs["facts"]]
    if metric == name or metric not in runs or not any(alone):
        return runs
    own = runs[name] if name in runs else runs[metric].where([False] * len(runs))
    return runs.assign(**{name: own.where(own.notna() | ~np.array(alone), runs[metric])})


def _with_logged(runs: DataFrame, name: str) -> DataFrame:
    """Add a metric that is not a score, unless no run logged it."""
    if name in runs or name.startswith("eval/"):
        return runs
    values = runs[MEASURED[name]] if name in MEASURED else runs["folder"].map(partial(_last_logged, name), "ignore")
    return runs.assign(**{name: values.astype(float)}) if values.notna().any() else runs


def _last_logged(name: str, folder: Path) -> float | None:
    """None if the run did not log it, or its rows are damaged."""
    try:
        return next((row.metrics[name] for row in reversed(RunFolder(folder).rows()) if name in row.metrics), None)
    except LabError as error:
        say(f"warning: no {name}: {error}")
        return None


def finished(runs: DataFrame) -> DataFrame:
    """The finished runs, which are those that the tables include."""
    return runs[runs["status"] == "finished"]


def scores(runs: DataFrame) -> list[str]:
    """The overall scores (not per domain) of finished runs, in the order of the tables."""
    described, names = descriptions(runs), [name for name in runs if name.startswith("eval/") and overall(name) == name]
    present = runs.loc[runs["status"] == "finished", names].notna().any()
    return sorted((name for name in names if present[name]), key=lambda name: order(name, described))


def descriptions(runs: DataFrame) -> dict[str, Metric]:
    """The metrics of all runs by name, as the runs describe them."""
    distinct = {id(each): each for each in runs["descriptions"]}  # as_frame makes equal ones the same object
    return {name: metric for each in distinct.values() for name, metric in each.items()}


def overall(metric: str) -> str:
    """``eval/edit`` of ``eval/edit/Male``."""
    return "/".join(metric.split("/")[:2])


def as_frame(runs: Any) -> DataFrame:
    """Order the columns and set their types, even if values are missing."""
    table = DataFrame(runs)
    known = [*TEXT, "seed", *COST, *PARAMETERS, *SCORING]
    metrics = [name for name in table if name not in known]
    types: dict[str, Any] = dict.fromkeys((*COST, *metrics), float) | dict.fromkeys(PARAMETERS, "Int64")
    typed = table.reindex(columns=[*known, *metrics]).astype(types | {"seed": int})
    typed = typed.copy()  # joins the columns of a type; pandas warns if a frame with 100 separate ones gets another
    shared: dict[Any, Any] = {}
    typed["descriptions"] = [shared.setdefault(tuple(each.items()), each) for each in typed["descriptions"]]
    return typed


def _run(variant: str, seed: int, folder: RunFolder, protocol: str | None) -> dict[str, Any]:
    run: dict[str, Any] = {"variant": variant, "seed": seed}
    try:
        result, tags = folder.result(), folder.tags()
        run |= {
            **outcome(folder, result, tags),
            "descriptions": folder.descriptions(),
            "audit": (result or {}).get("audit") or {},
            "folder": folder.path if folder.path.is_dir() else None,
        }
        scoring = first_scoring(folder, result, tags)
    except LabError as error:  # the others can be reported
        return run | _damaged(folder, str(error))
    if protocol is None or run["status"] != "finished":
        return run | scoring
    path = folder.scores / f"{protocol}.json"
    if path.exists():
        return run | _parse_scoring(read_json(path), path)
    if scoring["protocol"] == protocol:
        return run | scoring
    missing = f"not scored under protocol {protocol}; run `stargan-lab evaluate {folder.run_id} …`"
    return run | _parse_scoring({"protocol": ""}, path) | {"status": NOT_SCORED, "error": missing}


def _damaged(folder: RunFolder, error: str) -> dict[str, Any]:
    described: dict[str, Any] = {"descriptions": {}, "audit": {}, "folder": None}
    text = {"run_id": folder.run_id, "status": DAMAGED, "code": "", "machine": "", "finished": "", "error": error}
    return described | text | _parse_scoring({"protocol": ""}, folder.result_path)


def outcome(folder: RunFolder, result: Mapping[str, Any] | None, tags: Mapping[str, str]) -> dict[str, Any]:
    """The columns of ``collect`` that do not depend on an evaluation, from the content of result.json and tags.json."""
    status, result = folder.status_with(result), result or {}
    parameters = result.get("parameters") or {}
    return {
        "run_id": folder.run_id,
        "status": status,
        "code": str(tags.get("code", "")),
        "machine": str(result.get("machine") or tags.get("machine", "")),
        "finished": utc_text(result.get("finished_at")),
        "error": str(result.get("error") or ""),
        **{name: result.get(name) for name in COST},
        **{name: parameters.get(name.removeprefix("parameters.")) for name in PARAMETERS},
    }


def utc_text(seconds: float | None) -> str:
    """Unix seconds as date and time in UTC, to the minute; empty for None."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else ""


def first_scoring(folder: RunFolder, result: Mapping[str, Any] | None, tags: Mapping[str, str]) -> dict[str, Any]:
    """The scores in ``result.json`` as columns of ``collect``; no metrics if the run does not have that file.

    Raises:
        LabError: names the file.
    """
    result = result or {}
    protocol = result.get("protocol") or tags.get("protocol", "")
    return _parse_scoring({**result, "protocol": protocol}, folder.result_path)


def _parse_scoring(record: Any, path: Path) -> dict[str, Any]:
    """Columns of one evaluation of a run. Raises LabError that names the file."""
    try:
        metrics = {str(name): float(value) for name, value in record.get("metrics", {}).items()}
        protocol = record["protocol"]  # in very old records only its hash
        facts = {} if isinstance(protocol, str) else dict(protocol)
        warnings = parse_warnings(record.get("warnings"))
        identities = dict(_identities(json.dumps(facts), tuple(metrics))) if facts else {}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = error if isinstance(error, ValueError) else "expected a mapping with metrics and protocol"
        raise LabError(f"{path}: {reason}") from None
    return {
        "protocol": protocol if isinstance(protocol, str) else facts.get("hash") or canonical_hash(facts)[:12],
        "protocols": identities,
        "facts": facts,
        "warnings": warnings,
        **metrics,
    }


@lru_cache(maxsize=256)
def _identities(facts: str, metrics: tuple[str, ...]) -> dict[str, str]:
    """Score -> ``metric_identity`` under a protocol, given as JSON; most runs of a report share one protocol."""
    protocol = json.loads(facts)
    return {score: metric_identity(protocol, score) for score in dict.fromkeys(map(overall, metrics))}


def parse_warnings(warnings: Any) -> list[dict[str, Any]]:
    """Check the warnings of an evaluation, plain JSON or None. Raises ValueError."""
    try:
        return [
            {"code": str(w["code"]), "metrics": list(map(str, w["metrics"])), "text": str(w["text"])}
            for w in warnings or ()
        ]
    except (KeyError, TypeError):
        raise ValueError("warnings: expected a list of code, metrics and text") from None


def _resolve_protocol(prefix: str, folders: Iterable[RunFolder]) -> str:
    """The one protocol with this prefix that finished runs were scored under.

    Raises:
        LabError: no protocol matches, or several; the message lists the protocols.
    """
    runs_under = Counter(protocol for folder in folders for protocol in _protocols_of(folder) if protocol)
    matching = [protocol for protocol in runs_under if protocol.startswith(prefix)]
    if len(matching) == 1:
        return matching[0]
    problem = "more than one protocol matches" if matching else "no run was scored under it"
    available = ", ".join(f"{name} ({counted(n, 'run')})" for name, n in sorted(runs_under.items()))
    raise LabError(f"--protocol {prefix}: {problem}; available: {available or 'none'}")


def _protocols_of(folder: RunFolder) -> set[str]:
    """The hashes of the protocols that a finished run was scored under; none of any other, or a damaged one."""
    with suppress(LabError):
        if folder.status() == "finished":
            first = first_scoring(folder, folder.result(), folder.tags())["protocol"]
            return {first, *(path.stem for path in folder.scores.glob("*.json"))}
    return set()

"""Reports of ablations in MLflow: one run each, with the report's files, and a description of every run compared."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargan_lab.errors import LabError
from stargan_lab.files import locked, read_json, sha256_bytes
from stargan_lab.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run

SUMMARY = "report.json"
"""In a report's directory: what the report says, for programs."""

NO_TABLE = {"columns": (), "data": ()}

MOST_ANSWERS = 20
"""Verdicts in a report's description."""

_OURS = re.compile(r"\[Report\]\(#/experiments/")
"""In every description that this module writes."""

_REPORT, _DIGEST, _ABLATION, _NOTE = "report", "report_sha256", "ablation.", "mlflow.note.content"


def publish_reports(store: Store, outputs: Path) -> set[str]:
    """Publish every report in ``outputs/reports`` that MLflow does not have yet.

    Returns:
        The ablations that have a report, whose runs are sorted.
    Raises:
        StoreError: the store fails; LabError: a summary is damaged.
    """
    return {publish_report(store, path.parent) for path in sorted((outputs / "reports").glob(f"[!.]*/{SUMMARY}"))}


def publish_report(store: Store, folder: Path) -> str:
    """Publish a report's directory as a run with the tag ``report``, and describe the runs it compares.

    A later report of the same ablation replaces the files of the earlier one.

    Returns:
        The name of the ablation.
    Raises:
        StoreError: the store fails; LabError: the summary is damaged.
    """
    with locked(lock_path(folder)):  # another process may be writing it
        return _publish(store, folder)


def lock_path(folder: Path) -> Path:
    """Locked while a report's directory is written or published; beside it, since it holds nothing but the report."""
    return folder.parent / f".{folder.name}.lock"


def _publish(store: Store, folder: Path) -> str:
    summary = read_json(folder / SUMMARY)
    try:
        name, title, table = str(summary["name"]), str(summary["title"]), dict(summary.get("table", NO_TABLE))
        facts = {key: str(summary[key]) for key in ("title", "claim", "baseline")}
        variants = list(map(str, summary["variants"]))
        answers = list(map(str, summary.get("answers", ())))  # older summaries have neither these nor a table
        files = [folder / Path(file).name for file in [*summary["files"], SUMMARY]]
    except (KeyError, TypeError, ValueError):
        raise LabError(
            f"{folder / SUMMARY}: expected a mapping with name, title, claim, baseline, variants and files"
        ) from None
    files = [path for path in files if path.is_file()]
    digest = sha256_bytes(path.read_bytes() for path in files)
    run = store.open_tagged({_REPORT: name}, f"report: {name}")
    if run.data.tags.get(_DIGEST) != digest:
        for path in files:
            store.artifact(run.info.run_id, path)
        store.table(run.info.run_id, table["columns"], table["data"])
        facts["page"] = next((f"/{path.name}" for path in files if path.suffix == ".html"), "")
        # MLflow shows the first lines and keeps 8,000 characters
        note = "\n\n".join(filter(None, [f"**{title}** {_link(run, facts)}", _list(answers), facts["claim"]]))
        store.set_tags(run.info.run_id, {**facts, _NOTE: note, _DIGEST: digest})  # last: marks it as complete
        store.set_status(run.info.run_id, "finished")
    compared = _runs_of(store, name)
    _sort(store, name, variants, compared)
    _describe(store, compared)
    return name


def sort_runs(store: Store, name: str, order: Sequence[str]) -> None:
    """Like ``publish_report``, sort the runs of an ablation, which need not have a report."""
    _sort(store, name, order, _runs_of(store, name))


def _runs_of(store: Store, name: str) -> "list[Run]":
    return store.search(f"tags.`{_ABLATION}{name}` LIKE '%'")


def _sort(store: Store, name: str, order: Sequence[str], compared: "Sequence[Run]") -> None:
    """Number the runs of an ablation for its view: its variants in their order, each by seed.

    A run that several variants share has the place of the first.
    """
    for run in compared:
        tag = run.data.tags[_ABLATION + name]
        matching = [place for place, variant in enumerate(order) if tag == variant or tag.startswith(f"{variant}, ")]
        exact = [place for place in matching if tag == order[place]]
        place = f"{next(iter(exact or matching), len(order)):03}.{run.data.tags.get('seed', ''):0>4}"
        if run.data.tags.get(place_tag(name)) != place:
            store.set_tags(run.info.run_id, {place_tag(name): place})


def _describe(store: Store, compared: "Sequence[Run]") -> None:
    """Set the description of each of these runs, a paragraph per ablation that has a report.

    A description that somebody has written in MLflow stays.
    """
    reports = {run.data.tags[_REPORT]: run for run in store.search(f"tags.`{_REPORT}` LIKE '%'")}
    for run in compared:
        variants = {
            key.removeprefix(_ABLATION): variant
            for key, variant in run.data.tags.items()
            if key.startswith(_ABLATION) and key.removeprefix(_ABLATION) in reports
        }
        note = "\n\n".join(_paragraph(reports[each], variant) for each, variant in sorted(variants.items()))
        present = run.data.tags.get(_NOTE, "")
        if present != note and (not present or _OURS.search(present)):
            store.set_tags(run.info.run_id, {_NOTE: note})


def place_tag(ablation: str) -> str:
    """The tag that sorts the runs of an ablation: its variants in their order, the baseline first, then by seed."""
    return f"place.{ablation}"


def _paragraph(report: "Run", variant: str) -> str:
    facts: Mapping[str, Any] = report.data.tags
    role = " (the baseline)" if variant == facts["baseline"] else ""
    return f"**{facts['title']}:** variant {variant}{role}. {facts['claim']} {_link(report, facts)}"


def _list(answers: Sequence[str]) -> str:
    """The first verdicts as a Markdown list."""
    more = [f"and {len(answers) - MOST_ANSWERS} more in the report"] if len(answers) > MOST_ANSWERS else []
    return "\n".join(f"- {line}" for line in [*answers[:MOST_ANSWERS], *more])


def _link(report: "Run", facts: Mapping[str, str]) -> str:
    run = f"#/experiments/{report.info.experiment_id}/runs/{report.info.run_id}"
    return f"[Report]({run}/artifacts{facts.get('page', '')}?workflowType=machine_learning)"

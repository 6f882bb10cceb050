"""A finished run scored once more, as its training scored it or under another protocol.

scores = rescore(Path("outputs"), "3f2a", ["evaluation.max_images=500"])
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stargan_lab.checkpoints.files import CHECKPOINT
from stargan_lab.config import RunConfig
from stargan_lab.config.evaluation_overrides import apply_evaluation_overrides
from stargan_lab.config.identity import thread_count
from stargan_lab.console import say
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.files import canonical_hash, is_locked, locked, read_json
from stargan_lab.runs.build import build_sources, pick_device
from stargan_lab.runs.ledger import Ledger
from stargan_lab.runs.load import load_run, read_config
from stargan_lab.runs.metadata import open_store
from stargan_lab.runs.scores import build_evaluator, scores_average, scores_path, write_scores
from stargan_lab.seeding import cpu_threads
from stargan_lab.tracking.publish import rebuild
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import StoreError


def reevaluate(
    outputs: Path, run: str, overrides: Sequence[str] = (), again: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Score a finished run and record the scores beside those it has.

    Under the protocol of its training the numbers are those of its training, on the same machine. ``result.json`` stays
    as it was.

    Args:
        run: id, its unique beginning, or the run's folder.
        overrides: to its recorded configuration; see ``config.evaluation_overrides``.
        again: score anew where there are scores under this protocol already.
    Returns:
        What ``scores/<protocol>.json`` holds: run_id, step, metrics, protocol, notes, warnings.
    Raises:
        LabError: in one line; the run is not known or not finished, an override is refused, or its data have changed.
    """
    folder = finished_run(outputs, run)
    config = apply_evaluation_overrides(read_config(folder.path), overrides)
    with _alone(folder), cpu_threads(thread_count(config)):
        sources = _same_data(config, folder)
        for source in sources:
            source.prepare()
        device = pick_device(config)
        evaluator = build_evaluator(config, sources, device, progress)
        path = scores_path(folder, evaluator.protocol["hash"])
        if path.exists() and not again:
            record: dict[str, Any] = read_json(path)
            say(f"scored already: {path}")
        else:
            opened = load_run(outputs, str(folder.path / CHECKPOINT), None if scores_average(config) else False)
            scores = evaluator.score(opened.translator(device))
            record = write_scores(folder, scores, opened.step or 0)
            say(f"written {path}")
        _add_row(config, folder, record)
    return record


def finished_run(outputs: Path, run: str) -> RunFolder:
    """The folder of a finished run by id, unique beginning or path.

    Raises:
        ConfigError: there is none, with the nearest one, or it is not finished, with what it is instead.
    """
    path = Path(run).expanduser()
    here = len(path.parts) > 1 and (path / "config.yaml").is_file()
    folder = RunFolder(path) if here else RunFolder(outputs / "runs" / Ledger(outputs).find(run))
    status = folder.status()
    if status == "running":
        raise ConfigError(f"run {folder.run_id} is still being trained; it is scored at its end")
    if status != "finished":
        raise ConfigError(
            f"run {folder.run_id} is not finished ({status}); the command it was begun with finishes and scores it"
        )
    return folder


@contextmanager
def _alone(folder: RunFolder) -> Iterator[None]:
    """Hold a finished run; whoever else scores or rebuilds it is waited for."""
    if is_locked(folder.lock_path):
        say(f"run {folder.run_id} is in use by another process, which is waited for")
    with locked(folder.lock_path):
        yield


def _same_data(config: RunConfig, folder: RunFolder) -> list[ImageSource]:
    """The run's datasets, not prepared yet. Raises DataError when they are not those it was trained on."""
    moved = f"{', '.join(f'data.sources.{name}.root' for name in config.data.sources)} says where its data are now"
    try:
        sources = build_sources(config)
        fingerprints = [source.fingerprint for source in sources]
    except DataError as error:
        raise DataError(f"{error}; {moved}") from None
    trained_on = folder.tags().get("data")
    if trained_on is None or trained_on == canonical_hash(fingerprints)[:12]:
        return sources
    known = ((folder.result() or {}).get("protocol") or {}).get("data", {})
    others = [
        name
        for name, now in zip(config.data.sources, fingerprints, strict=True)
        if name in known and not now.startswith(known[name])
    ]
    which = ", ".join(f"data.sources.{name}" for name in others or config.data.sources)
    raise DataError(
        f"{which}: not the data that run {folder.run_id} was trained on: other images, labels or names; {moved}"
    )


def _add_row(config: RunConfig, folder: RunFolder, record: Mapping[str, Any]) -> None:
    """Put the scores beside those of the training, in metrics.jsonl and in the run's MLflow run; once per protocol."""
    protocol, metrics = record["protocol"]["hash"], record["metrics"]
    before = _recorded(folder, protocol)
    if before is None:
        row = {f"rescored.{protocol}/{name.removeprefix('eval/')}": value for name, value in metrics.items()}
        folder.truncate_after(record["step"])  # keeps all but half a line, which a full disk may have left
        folder.append(record["step"], row)
        folder.flush()
        _publish(config, folder)
        return
    other = [name for name, value in metrics.items() if before.get(name.removeprefix("eval/"), value) != value]
    if other:
        was = before[other[0].removeprefix("eval/")]
        say(
            f"note: {other[0]} is {metrics[other[0]]:.6g} and was {was:.6g} when first scored, with another device,"
            " number of threads or version of a library; metrics.jsonl and MLflow keep the first"
        )


def _recorded(folder: RunFolder, protocol: str) -> dict[str, float] | None:
    """The metrics that the run's records have under a protocol, without their ``eval/``; None: none yet."""
    result = folder.result() or {}
    own = result.get("protocol") or {}
    if isinstance(own, dict) and own.get("hash") == protocol:
        return {name.removeprefix("eval/"): value for name, value in result["metrics"].items()}
    prefix = f"rescored.{protocol}/"
    found = {
        name.removeprefix(prefix): value
        for row in folder.rows()
        for name, value in row.metrics.items()
        if name.startswith(prefix)
    }
    return found or None


def _publish(config: RunConfig, folder: RunFolder) -> None:
    """Bring MLflow to what the files say, if it is there."""
    if not config.tracking.enabled:
        say(f"note: run {folder.run_id} was trained without MLflow, so its scores are in files only")
        return
    try:
        store = open_store(config)
        if store is not None:
            rebuild(store, folder)
    except StoreError as error:
        say(f"warning: {error}; the scores are in files only, `stargan-lab track sync` puts them into MLflow")

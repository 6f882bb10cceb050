"""Re-evaluate a finished run, under the protocol of its training or another one.

folder = finished_run(Path("outputs"), "3f2a")
scores = reevaluate(folder, evaluation_config(folder, ["evaluation.max_images=500"]))
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stargan_lab.checkpoints.weight_files import CHECKPOINT, read_checkpoint
from stargan_lab.config import RunConfig
from stargan_lab.config.compose import import_named, key_of
from stargan_lab.config.evaluation_overrides import apply_evaluation_overrides
from stargan_lab.config.run_identity import thread_count
from stargan_lab.console import say
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import DataError
from stargan_lab.files import canonical_hash, is_locked, read_json
from stargan_lab.runs.build import build_sources, pick_device
from stargan_lab.runs.load import load_run, read_config
from stargan_lab.runs.metadata import open_store
from stargan_lab.runs.scores import build_evaluator, scores_average, scores_path, write_scores
from stargan_lab.seeding import cpu_threads
from stargan_lab.tracking.publish import rebuild
from stargan_lab.tracking.run_folder import RunFolder, find_run
from stargan_lab.tracking.store import StoreError


def finished_run(outputs: Path, run: str) -> RunFolder:
    """The folder of a finished run.

    Args:
        run: id (a prefix is enough) or path of the run folder.
    Raises:
        ConfigError: no run or several match, or the run is not finished.
    """
    path = Path(run).expanduser()
    is_folder = len(path.parts) > 1 and (path / "config.yaml").is_file()
    folder = RunFolder(path) if is_folder else find_run(outputs, run)
    folder.check_finished()
    return folder


def evaluation_config(folder: RunFolder, overrides: Sequence[str] = ()) -> RunConfig:
    """The run's recorded configuration with other evaluation settings; see ``apply_evaluation_overrides``.

    Args:
        overrides: ``imports=[MODULE]`` imports modules; the modules that the configuration lists must be imported.
    Raises:
        LabError: in one line; an override is invalid, or the recorded configuration is damaged.
    """
    import_named(overrides)
    others = [override for override in overrides if key_of(override) != "imports"]
    return apply_evaluation_overrides(read_config(folder.path), others)


def reevaluate(
    folder: RunFolder, config: RunConfig, again: bool = False, progress: bool = True, need_weights: bool = False
) -> dict[str, Any]:
    """Evaluate a finished run and record the scores next to its earlier ones; ``result.json`` does not change.

    Under the protocol of its training, the scores equal those recorded after training, on the same machine.

    Args:
        config: from ``evaluation_config``.
        again: evaluate even if there are scores under this protocol.
        need_weights: refuse an extractor without weights instead of leaving out its scores with a warning.
    Returns:
        The content of ``scores/<protocol>.json``: run_id, step, metrics, protocol, notes, warnings.
    Raises:
        LabError: in one line; the data has changed.
    """
    with _lock(folder), cpu_threads(thread_count(config)):
        record = _evaluate(folder, config, again, progress, need_weights)
        _add_row(folder, config, record)
    return record


@contextmanager
def _lock(folder: RunFolder) -> Iterator[None]:
    """Hold the run's lock and lease, like every process that evaluates the run or rebuilds its MLflow run.

    Raises:
        LockedError: another host uses the run.
    """
    if is_locked(folder.lock_path):
        say(f"run {folder.run_id}: waiting for the process using it")
    with folder.unused(timeout=-1):
        yield


def _evaluate(folder: RunFolder, config: RunConfig, again: bool, progress: bool, need_weights: bool) -> dict[str, Any]:
    sources = _open_data(config)
    _check_data(folder, config, [source.fingerprint for source in sources])
    for source in sources:
        source.prepare()
    device = pick_device(config)
    evaluator = build_evaluator(config, sources, device, progress, need_weights)
    path = scores_path(folder, evaluator.protocol["hash"])
    if path.exists() and not again:
        say(f"already evaluated: {path}")
        record: dict[str, Any] = read_json(path)
        return record
    checkpoint = read_checkpoint(folder.path / CHECKPOINT)
    model = load_run(checkpoint, config, None if scores_average(config) else False)
    scores = evaluator.score(model.translator(device))
    folder.check_claim()
    record = write_scores(folder, scores, model.step or 0)
    say(f"wrote {path}")
    return record


def _open_data(config: RunConfig) -> list[ImageSource]:
    """The run's datasets, not prepared yet. Raises DataError if one is missing or damaged."""
    try:
        sources = build_sources(config)
        for source in sources:
            _ = source.fingerprint  # reads the images
        return sources
    except DataError as error:
        raise DataError(f"{error}; {_moved(config)}") from None


def _check_data(folder: RunFolder, config: RunConfig, fingerprints: Sequence[str]) -> None:
    """Raises DataError if the datasets are not those that the run was trained on."""
    if folder.tags().get("data") in (None, canonical_hash(fingerprints)[:12]):
        return
    recorded = ((folder.result() or {}).get("protocol") or {}).get("data", {})
    pairs = zip(config.data.sources, fingerprints, strict=True)
    changed = [name for name, now in pairs if not now.startswith(recorded.get(name, now))]
    keys = ", ".join(f"data.sources.{name}" for name in changed or config.data.sources)
    raise DataError(
        f"{keys}: images, labels or names differ from the data that run {folder.run_id} was trained on;"
        f" {_moved(config)}"
    )


def _moved(config: RunConfig) -> str:
    return f"set {', '.join(f'data.sources.{name}.root' for name in config.data.sources)} if the data was moved"


def _add_row(folder: RunFolder, config: RunConfig, record: Mapping[str, Any]) -> None:
    """Add the scores to metrics.jsonl and to MLflow, unless there are scores under the same protocol."""
    protocol, metrics = record["protocol"]["hash"], record["metrics"]
    scores = {name.removeprefix("eval/"): value for name, value in metrics.items()}
    recorded = _recorded_scores(folder, protocol)
    if not recorded:
        folder.truncate_after(record["step"])  # an incomplete last line, left by a full disk
        folder.append(record["step"], {f"reevaluated.{protocol}/{name}": v for name, v in scores.items()})
        folder.flush()
        _publish(folder, config)
    elif changed := [name for name, value in scores.items() if recorded.get(name, value) != value]:
        name = changed[0]
        say(
            f"note: eval/{name} is {scores[name]:.6g} but was {recorded[name]:.6g} in the first evaluation, with"
            " a different device, thread count or library version; metrics.jsonl and MLflow keep the first value"
        )


def _recorded_scores(folder: RunFolder, protocol: str) -> dict[str, float]:
    """The recorded scores under a protocol, without their prefix; empty if there are none."""
    result = folder.result() or {}
    if (result.get("protocol") or {}).get("hash") == protocol:
        return {name.removeprefix("eval/"): value for name, value in result["metrics"].items()}
    prefixes = (f"reevaluated.{protocol}/", f"rescored.{protocol}/")  # the second in older records
    return {
        name.partition("/")[2]: value
        for row in folder.rows()
        for name, value in row.metrics.items()
        if name.startswith(prefixes)
    }


def _publish(folder: RunFolder, config: RunConfig) -> None:
    """Rebuild the run's MLflow run from its files, if it has one."""
    if not config.tracking.enabled:
        say(f"note: run {folder.run_id} was trained without MLflow, so its scores are only in its run directory")
        return
    try:
        if (store := open_store(config)) is not None:
            rebuild(store, folder)
    except StoreError as error:
        say(f"warning: {error}; the scores are only in the run directory; add them with `stargan-lab track sync`")

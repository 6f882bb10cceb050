"""One run from start to end: data, training, scores, records. The same call resumes an interrupted run."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stargan_lab.config import RunConfig, compose, initial_hashes, run_id
from stargan_lab.console import inform, quietly, say
from stargan_lab.errors import LabError, LockedError
from stargan_lab.runs.build import build_sources
from stargan_lab.runs.failure import described, status_of
from stargan_lab.runs.finished import update_finished
from stargan_lab.runs.follower import FINISHED, Follower, processes
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.run_folder import FAILED, RunFolder
from stargan_lab.training.distributed import World


def run(config: RunConfig | Sequence[str], retry_failed: bool = True, outlast: bool = False) -> dict[str, Any]:
    """Train, evaluate and record one run; returns the content of its ``result.json``, immediately if it is finished.

    With ``config.quiet`` it prints only its result, warnings and errors. With ``trainer.devices`` > 1 it is called
    in as many processes, which `stargan-lab train` or torchrun has started; the first writes and prints, the others
    return an empty result or raise their error.

    Args:
        config: from ``compose``, or the overrides to compose it from, e.g. ``["preset=tiny", "seed=1"]``.
        retry_failed: train a run again that has failed.
        outlast: see ``RunFolder.claim``; for a job that may have been started again because its host died.
    Raises:
        LabError: in one line; recorded as the run's failure if training had started.
        Interrupted: one of ``stop_signals``, after a checkpoint.
    """
    if not isinstance(config, RunConfig):
        config = compose(config)
    with quietly(config.quiet), processes(config) as world:
        return _run(config, world, retry_failed, outlast)


def _run(config: RunConfig, world: World, retry_failed: bool, outlast: bool) -> dict[str, Any]:
    sources = build_sources(config)
    hashes = initial_hashes(config)  # before the run id, to detect a change of the weights in between
    identity = run_id(config, [source.fingerprint for source in sources])
    folder = RunFolder(Path(config.paths.outputs) / "runs" / identity)
    if world.rank:
        Follower(config, sources, folder, hashes, world).run()
        return {}
    if (result := folder.finished_result()) is None:  # a finished run may be locked for re-evaluation
        with folder.claim(outlast):
            if (result := folder.finished_result()) is None:
                if not retry_failed:
                    _refuse_failed(folder)
                with _recorded_failure(config, folder):
                    _note_failure(folder)
                    return Trainer(config, sources, folder, hashes, world).run()
    world.largest(FINISHED)
    say(f"already finished: run {identity} in {folder.path}")
    update_finished(config, folder)
    return result


@contextmanager
def _recorded_failure(config: RunConfig, folder: RunFolder) -> Iterator[None]:
    """Record any error in ``result.json``, including errors before training starts, and raise it in one line."""
    try:
        yield
    except LockedError:  # another process has taken over the run, with its files
        raise
    except (Exception, SystemExit) as error:  # sys.exit in a component must not end a sweep
        folder.check_claim()
        failure = described(error, config, folder)
        record = {"run_id": folder.run_id, "metrics": {}, "finished_at": round(time.time(), 3)}
        with suppress(OSError):  # a full disk may be the failure
            earlier = folder.result() or {}
            folder.write_result(record | earlier | {"status": status_of(failure), "error": str(failure)})
        if failure is error:
            raise
        raise failure from error


def _refuse_failed(folder: RunFolder) -> None:
    result = folder.result() or {}
    if result.get("status") in FAILED:
        reason = result.get("error", "no reason recorded")
        raise LabError(
            f"run {folder.run_id} {result['status']} in another sweep ({reason}); use --retry-failed to train it again"
        )


def _note_failure(folder: RunFolder) -> None:
    """Say that a failed run is trained again; its checkpoint, if any, is resumed."""
    result = folder.result() or {}
    if result.get("status") in FAILED:
        reason = result.get("error", "no reason recorded")
        inform(f"run {folder.run_id} {result['status']} earlier ({reason}); training it again")
    folder.traceback_path.unlink(missing_ok=True)

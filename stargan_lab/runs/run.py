"""One run from start to end: data, training, scores, records. The same call resumes an interrupted run."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stargan_lab.config import RunConfig, compose, initial_hashes, run_id
from stargan_lab.console import quietly, say
from stargan_lab.errors import LabError
from stargan_lab.runs.build import build_sources
from stargan_lab.runs.finished import update_finished
from stargan_lab.runs.metadata import reason
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import StoreError


def run(config: RunConfig | Sequence[str]) -> dict[str, Any]:
    """Train, evaluate and record one run; returns the content of its ``result.json``, immediately if it is finished.

    With ``config.quiet`` it prints only its result, warnings and errors.

    Args:
        config: from ``compose``, or the overrides to compose it from, e.g. ``["preset=tiny", "seed=1"]``.
    Raises:
        LabError: in one line; recorded as the run's failure if training had started.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint.
    """
    if not isinstance(config, RunConfig):
        config = compose(config)
    with quietly(config.quiet):
        return _run(config)


def _run(config: RunConfig) -> dict[str, Any]:
    sources = build_sources(config)
    hashes = initial_hashes(config)  # before the run id, to detect a change of the weights in between
    identity = run_id(config, [source.fingerprint for source in sources])
    folder = RunFolder(Path(config.paths.outputs) / "runs" / identity)
    if (result := folder.finished_result()) is None:  # a finished run may be locked for re-evaluation
        with folder.claim():
            if (result := folder.finished_result()) is None:
                with _recorded_failure(folder), _exit_as_failure():
                    return Trainer(config, sources, folder, hashes).run()
    say(f"already finished: run {identity} in {folder.path}")
    update_finished(config, folder)
    return result


@contextmanager
def _recorded_failure(folder: RunFolder) -> Iterator[None]:
    """Record any error in ``result.json``, including errors before training starts."""
    try:
        yield
    except StoreError:  # not a failure of the run, which resumes once the store works
        raise
    except Exception as error:
        record = {"run_id": folder.run_id, "status": "failed", "metrics": {}, "finished_at": round(time.time(), 3)}
        folder.write_result(record | (folder.result() or {}) | {"status": "failed", "error": reason(error)})
        raise


@contextmanager
def _exit_as_failure() -> Iterator[None]:
    """Turn ``sys.exit`` in a user's component into a failure of this run, so that it does not end a sweep."""
    try:
        yield
    except SystemExit as error:
        raise LabError(f"a component called sys.exit({error.code!r})") from error

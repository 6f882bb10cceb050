"""One run from start to end: data, training, scores, records. The same call again resumes it or finds it finished."""

import shlex
import time
from pathlib import Path
from typing import Any

import yaml

from stargan_lab.config import RunConfig, run_id
from stargan_lab.config.evaluation_overrides import as_override, evaluation_changes
from stargan_lab.console import outputs_flag, say
from stargan_lab.runs.build import build_sources
from stargan_lab.runs.ledger import Ledger
from stargan_lab.runs.metadata import ablation_tags, open_store, reason
from stargan_lab.runs.provenance import code_hash
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import StoreError
from stargan_lab.tracking.sync import add_tag


def run(config: RunConfig) -> dict[str, Any]:
    """Train, score and record one run; returns what its ``result.json`` says.

    Raises:
        LabError: something the user can mend, in one line; recorded as the run's failure when training had begun.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint.
    """
    sources = build_sources(config)
    identity = run_id(config, [source.fingerprint for source in sources])
    ledger = Ledger(Path(config.paths.outputs))
    if (result := _finished(ledger.folder(identity))) is not None:  # which may be held, to be scored again
        return _found_finished(config, ledger.folder(identity), result)
    with ledger.claim(identity) as folder:
        if (result := _finished(folder)) is not None:
            return _found_finished(config, folder, result)
        try:
            return Trainer(config, sources, folder, identity).carry_out()
        except StoreError:  # says nothing about the run, which can go on once the store is back
            raise
        except Exception as error:
            record = {"run_id": identity, "status": "failed", "metrics": {}, "finished_at": round(time.time(), 3)}
            folder.write_result(record | (folder.result() or {}) | {"status": "failed", "error": reason(error)})
            raise


def _finished(folder: RunFolder) -> dict[str, Any] | None:
    result = folder.result()
    return result if result is not None and result["status"] == "finished" else None


def _found_finished(config: RunConfig, folder: RunFolder, result: dict[str, Any]) -> dict[str, Any]:
    tag_finished(config, folder.run_id)
    say(f"run {folder.run_id} is finished already: {folder.path}")
    _warn_of_other_scoring(config, folder)
    _warn_of_other_code(config, folder)
    return result


def _warn_of_other_scoring(config: RunConfig, folder: RunFolder) -> None:
    """How a run is scored is not part of its id: say so when it was scored otherwise than asked for now."""
    asked = evaluation_changes(yaml.safe_load(folder.config_path.read_text()), config)
    if asked:
        keys = " ".join(shlex.quote(as_override(key, value)) for key, value in asked.items())
        command = f"stargan-lab evaluate {folder.run_id} {keys}{outputs_flag(Path(config.paths.outputs))}"
        say(f"note: it was scored with another {', '.join(asked)}; `{command}` scores it so too")


def _warn_of_other_code(config: RunConfig, folder: RunFolder) -> None:
    """The sources are not part of a run's id either, ours or one's own: say so when they are others by now."""
    before = folder.tags().get("code")
    if before is not None and before != code_hash(config.imports):
        say(f"note: it was trained by other code ({before}); delete {folder.path} to train it anew")


def tag_finished(config: RunConfig, identity: str) -> None:
    """Let a finished run belong to the ablations that ask for it now."""
    outputs = Path(config.paths.outputs)
    known = RunFolder(outputs / "runs" / identity).tags()
    missing = {key: value for key, value in ablation_tags(config).items() if known.get(key) != value}
    store = open_store(config) if missing else None
    for key, value in missing.items():
        add_tag(outputs, identity, key, value, store)

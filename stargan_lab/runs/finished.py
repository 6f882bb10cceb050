"""Handle a request for a run that is already finished: add its ablation tags, and note how it differs."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from stargan_lab.config import RunConfig
from stargan_lab.config.evaluation_overrides import as_override, evaluation_changes
from stargan_lab.console import inform, outputs_flag, quietly, say
from stargan_lab.errors import counted
from stargan_lab.runs.metadata import ablation_tags, open_store
from stargan_lab.runs.provenance import code_hash
from stargan_lab.tracking.publish import State
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.store import StoreError
from stargan_lab.tracking.sync import add_tags, publish_missing


def update_finished(config: RunConfig, folder: RunFolder) -> None:
    """Tag the finished run of ``config``, and print how it differs from ``config``; silent for a run just trained."""
    with quietly(config.quiet):
        tag_finished(config, folder)
        if State(folder).behind:
            publish(config, [folder])
        for note in differences(config, folder):
            inform(f"note: {note}")


def tag_finished(config: RunConfig, folder: RunFolder) -> None:
    """Add the ablations of ``config`` to a finished run, in its folder; ``publish`` sends them to MLflow."""
    tags = folder.tags()
    if missing := {key: value for key, value in ablation_tags(config).items() if tags.get(key) != value}:
        add_tags(folder, missing)


def publish(config: RunConfig, folders: Sequence[RunFolder]) -> None:
    """Send runs that MLflow lacks, or that have something to send; warns if the store does not work."""
    try:
        if (store := open_store(config)) is not None and (count := publish_missing(store, folders)):
            inform(f"sent {counted(count, 'run')} to MLflow")
    except StoreError as error:
        say(f"warning: {error}; `stargan-lab track sync` sends what is missing")


def differences(config: RunConfig, folder: RunFolder) -> list[str]:
    """Notes on evaluation settings and code, which are not part of the run id, if the run's differ from the current."""
    outputs = Path(config.paths.outputs)
    notes = []
    if settings := evaluation_changes(folder.config(), config):
        named = {"imports": config.imports} if config.imports else {}  # evaluate imports only what it is told to
        overrides = " ".join(shlex.quote(as_override(key, value)) for key, value in (named | settings).items())
        command = f"stargan-lab evaluate {folder.run_id} {overrides}{outputs_flag(outputs)}"
        notes.append(f"evaluated with different settings ({', '.join(settings)}); re-evaluate with `{command}`")
    code = folder.tags().get("code")
    if code is not None and code != code_hash(config.imports):
        notes.append(f"trained with different code ({code}); delete {folder.path} to retrain")
    return notes

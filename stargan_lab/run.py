"""One run from start to end: data, training, scores, records. The same call again resumes it or finds it finished."""

from pathlib import Path
from typing import Any

from stargan_lab.config import RunConfig, run_id
from stargan_lab.console import say
from stargan_lab.factory import build_sources
from stargan_lab.ledger import Ledger
from stargan_lab.tracking.records import RunFolder
from stargan_lab.tracking.sync import add_tag
from stargan_lab.trial import Trial, ablation_tags, open_store, reason


def run(config: RunConfig) -> dict[str, Any]:
    """Train, score and record one run; returns what its ``result.json`` says.

    Raises:
        LabError: something the user can mend, in one line; recorded as the run's failure when training had begun.
        Interrupted: Ctrl-C or SIGTERM, after a checkpoint.
    """
    sources = build_sources(config)
    identity = run_id(config, [source.fingerprint for source in sources])
    ledger = Ledger(Path(config.paths.outputs))
    with ledger.claim(identity) as folder:
        result = folder.result()
        if result is not None and result["status"] == "finished":
            tag_finished(config, identity)
            say(f"run {identity} is finished already: {folder.path}")
            return result
        try:
            return Trial(config, sources, folder, identity).carry_out()
        except Exception as error:
            if (folder.result() or {}).get("status") != "failed":  # it failed before there was anything to train
                folder.write_result({"run_id": identity, "status": "failed", "metrics": {}, "error": reason(error)})
            raise


def tag_finished(config: RunConfig, identity: str) -> None:
    """Let a finished run belong to the hypotheses that ask for it now."""
    outputs = Path(config.paths.outputs)
    known = RunFolder(outputs / "runs" / identity).tags()
    missing = {key: value for key, value in ablation_tags(config).items() if known.get(key) != value}
    for key, value in missing.items():
        add_tag(outputs, identity, key, value, open_store(config))

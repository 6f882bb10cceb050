"""A distributed run one of whose other processes ends; tests/integration kills real ones."""

from pathlib import Path

import pytest

from stargan_lab import compose, run
from stargan_lab.errors import ProcessLost
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.run_folder import run_folders

pytestmark = pytest.mark.slow  # an attribute classifier is trained


def lost(self: Trainer, *arguments: object) -> None:
    raise ProcessLost("another of the 2 processes has ended")


@pytest.mark.parametrize("moment", ["sample", "_resume"])
def test_the_end_of_another_process_is_an_interruption(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During the training, and before it."""
    config = compose(["preset=tiny", "quiet=true", "tracking.enabled=false", f"paths.outputs={tmp_path}"])
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, moment, lost)
        with pytest.raises(ProcessLost):
            run(config)
    (folder,) = run_folders(tmp_path)
    result = folder.result()
    assert result is not None and result["error"] == "another of the 2 processes has ended"
    assert result["status"] == folder.status() == "interrupted"
    assert not folder.traceback_path.exists()
    assert run(config)["status"] == "finished"

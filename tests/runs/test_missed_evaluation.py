"""A run that ends between a checkpoint and the evaluation due at the same step evaluates when it resumes."""

from pathlib import Path

import pytest

from stargan_lab import compose, run
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking.run_folder import run_folders


def test_evaluation_at_the_step_of_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(
        ["preset=tiny", "quiet=true", "trainer.evaluate_every=2", "tracking.enabled=false", f"paths.outputs={tmp_path}"]
    )
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "evaluate", lambda self, step: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(config)
    assert run(config)["resumed_from"] == 2
    (folder,) = run_folders(tmp_path)
    evaluated = [row.step for row in folder.rows() if any(name.startswith("eval/") for name in row.metrics)]
    assert evaluated == [2, 4]

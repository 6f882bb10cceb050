"""What a real run writes to a terminal, with and without ``quiet=true``."""

from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal

from stargan_lab import compose
from stargan_lab.config import RunConfig
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.runs.run import run

TINY = ["preset=tiny", "trainer.device=cpu", "trainer.sample_every=0", "tracking.enabled=false"]


def written(action: Callable[[RunConfig], Any], config: RunConfig) -> str:
    """What ``action`` writes to the terminal."""
    with redirect_stderr(Terminal()) as terminal:
        action(config)
    return terminal.getvalue()


def with_fewer_images(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"max_images": 5})})


def test_only_warnings_and_the_result_of_a_quiet_run_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=20, max_steps=20))
    quiet = compose([*TINY, f"paths.outputs={tmp_path / 'quiet'}", "quiet=true"])
    loud = compose([*TINY, f"paths.outputs={tmp_path / 'loud'}"])

    *warnings, scores = written(run, quiet).splitlines()
    (folder,) = (tmp_path / "quiet" / "runs").iterdir()
    assert warnings and all(line.startswith("resnet · seed 0  warning: ") for line in warnings)
    assert scores.startswith("resnet · seed 0  finished in ")

    text = written(run, loud)
    assert f"samples: {tmp_path / 'loud' / 'runs' / folder.name / 'samples'}; next: " in text
    assert (tmp_path / "loud" / "runs" / folder.name).is_dir()
    for bar in ("generating", "packing faces/train", "training classifier of faces", "ground truth", "scoring faces"):
        assert bar in text
    assert text.count("training the attribute classifier") == 1 and f"cached as {tmp_path / 'loud'}" in text
    assert "step 4/4" in text

    assert "note: evaluated with different settings" in written(run, with_fewer_images(loud))
    assert written(run, with_fewer_images(quiet)) == f"already finished: run {folder.name} in {folder}\n"

"""A process whose lease another host takes in the middle of a training stops without writing."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stargan_lab import compose, run
from stargan_lab.errors import LockedError
from stargan_lab.runs.trainer import Trainer
from stargan_lab.tracking import lease

pytestmark = pytest.mark.slow  # an attribute classifier is trained

TINY = (
    *("preset=tiny", "quiet=true", "tracking.enabled=false", "trainer.checkpoint_every=0", "trainer.evaluate_every=0"),
    *("trainer.log_every=1000", "trainer.sample_every=0"),
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that one attribute classifier is trained."""
    return tmp_path_factory.mktemp("outputs")


class Takeover:
    """Writes the lease of another host into a run's directory, and knows what else was in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".lease").write_text(json.dumps({"host": "other", "token": "0123"}))
        self.before = self.files()

    def files(self) -> dict[str, bytes]:
        paths = (path for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path): path.read_bytes() for path in paths}


def stopped(outputs: Path, *overrides: str) -> None:
    with pytest.raises(LockedError, match="taken over by host other"):
        run(compose([*TINY, *overrides, f"paths.outputs={outputs}"]))


@pytest.mark.parametrize(
    ("hook", "overrides"),
    [
        ("log", ["seed=0", "trainer.log_every=1"]),
        ("diagnose", ["seed=1", "diagnostics.enabled=true", "diagnostics.every=1"]),
        ("sample", ["seed=2", "trainer.sample_every=1"]),
        ("evaluate", ["seed=3", "trainer.evaluate_every=1"]),
    ],
)
def test_no_hook_of_the_loop_writes(
    hook: str, overrides: list[str], outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takeovers: list[Takeover] = []
    original: Callable[..., Any] = getattr(Trainer, hook)

    def after_takeover(self: Trainer, *arguments: Any) -> None:
        takeovers.append(Takeover(self.folder.path))
        original(self, *arguments)

    monkeypatch.setattr(Trainer, hook, after_takeover)
    stopped(outputs, *overrides)
    (takeover,) = takeovers
    assert takeover.files() == takeover.before


def test_the_loop_stops_after_a_renewal_finds_the_lease_taken(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if nothing is due to be written for a long time."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    steps: list[int] = []
    original = Trainer.stepped

    def stepped(self: Trainer, step: int) -> None:
        steps.append(step)
        if step == 2:
            Takeover(self.folder.path)
            time.sleep(1)  # for many renewals
        original(self, step)

    monkeypatch.setattr(Trainer, "stepped", stepped)
    stopped(outputs, "seed=4")
    assert steps == [1, 2]


def test_an_error_after_a_takeover_is_not_recorded(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takeovers: list[Takeover] = []

    def failing(self: Trainer, step: int) -> None:
        takeovers.append(Takeover(self.folder.path))
        raise RuntimeError("a bug in a component")

    monkeypatch.setattr(Trainer, "stepped", failing)
    stopped(outputs, "seed=5")
    (takeover,) = takeovers
    assert takeover.files() == takeover.before

"""``initial``: training from stored weights, whose content is part of the run id."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from refusals import refused
from stored import golden_state, tiny_config, write_pair, write_run

from stargan_lab.checkpoints.weight_files import digest, read_checkpoint
from stargan_lab.config import initial_hashes, run_id, training_identity
from stargan_lab.errors import ConfigError
from stargan_lab.files import locked
from stargan_lab.runs.build import build_layout, build_sources, build_train_state
from stargan_lab.runs.load import load_model

Capture = pytest.CaptureFixture[str]
OUTPUTS = Path("outputs")
TRAIN = ["train", "preset=tiny", "tracking.enabled=false", "trainer.device=cpu"]


@pytest.fixture(autouse=True)
def _fixed_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["stargan-lab"])


def test_run_id_depends_on_the_content_of_the_weights(here: Path) -> None:
    """It depends neither on the path nor on the file format; without initial weights there is no such key."""
    write_pair(here / "a")
    write_pair(here / "b", step=3)
    sizes = ["generator.blocks=2", "discriminator.depth=3", "data.image_size=32", "trainer.threads=1"]

    def identity(*overrides: str) -> str:
        return run_id(tiny_config(OUTPUTS, *sizes, *overrides), ["data"])

    assert "initial" not in training_identity(tiny_config(OUTPUTS, *sizes), ["data"])
    first = identity("initial.generator=a/200000-G.ckpt")
    assert first == identity("initial.generator=b/3-G.ckpt") != identity()
    assert first != identity("initial.discriminator=a/200000-D.ckpt") != identity()
    torch.save({**golden_state("G"), "main.1.bias": torch.ones(4)}, "b/3-G.ckpt")
    assert first != identity("initial.generator=b/3-G.ckpt") != identity()


REFUSED = [
    (["initial.generator=nope"], ["initial.generator: no run matches 'nope' (1 run in outputs/runs)"]),
    (
        ["initial.generator=200000-G.ckpt"],
        ["initial.generator", "generator.blocks=2 (configured: 1)", "takes 5 labels"],
    ),
    (["initial.discriminator=200000-D.ckpt"], ["discriminator.depth=3 data.image_size=32 (configured: 2, 16)"]),
    (["initial.discriminatr=x"], ["initial.discriminatr", "'initial.discriminator'"]),
    (["-m", "initial.generator=RUN,200000-D.ckpt"], ["did you mean initial.discriminator?"]),
]


@pytest.mark.parametrize(("overrides", "parts"), REFUSED, ids=lambda value: " ".join(value))
def test_refused_initial_weights(overrides: list[str], parts: list[str], here: Path, capfd: Capture) -> None:
    write_pair(here)
    run = write_run(OUTPUTS)
    message = refused([*TRAIN, *(word.replace("RUN", run) for word in overrides)], capfd)
    assert all(part in message for part in parts), message


def test_unfinished_run_is_refused(here: Path, capfd: Capture) -> None:
    run = write_run(OUTPUTS, status="interrupted")
    folder = OUTPUTS / "runs" / run
    last = folder / "checkpoints" / "last.pt"
    for name in (run[:6], str(folder), str(last.absolute())):
        message = refused([*TRAIN, "seed=3", f"initial.generator={name}"], capfd)
        assert f"initial.generator: run {run} is not finished (interrupted); repeat its train command" in message
    with locked(folder.absolute() / ".lock"):
        message = refused([*TRAIN, "seed=3", f"initial.discriminator={run}"], capfd)
    assert f"initial.discriminator: run {run} is still training; wait until it is finished" in message
    assert load_model(run, OUTPUTS).name == run, "translate and export accept it"
    shutil.copy(last, "copy.pt")
    hashes = initial_hashes(tiny_config(OUTPUTS, "initial.generator=copy.pt"))
    assert hashes == {"generator": digest(read_checkpoint(last).state("generator"))}


def test_weights_that_change_after_the_run_id_are_refused(here: Path) -> None:
    config = tiny_config(OUTPUTS, f"initial.generator={write_run(OUTPUTS)}", "seed=3")
    (last,) = OUTPUTS.glob("runs/*/checkpoints/last.pt")
    layout, hashes = build_layout(build_sources(config)), initial_hashes(config)
    before = build_train_state(config, layout, hashes).generator.state_dict()
    assert digest(before) == hashes["generator"]
    content = torch.load(last, weights_only=True)
    next(iter(content["generator"].values())).add_(1)
    torch.save(content, last)
    with pytest.raises(ConfigError, match=r"^initial\.generator: .*last\.pt: the weights have changed since"):
        build_train_state(config, layout, hashes)
    build_train_state(config, layout, initial_hashes(config))


def test_a_run_id_of_digits_is_no_number() -> None:
    assert tiny_config(OUTPUTS, "initial.generator=880211").initial.generator == "880211"

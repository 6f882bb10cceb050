"""Checkpoints: restored bit for bit; files that are not a checkpoint of this run are refused."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import ONE, make_batch, make_objective, make_train_state

from stargan_lab.checkpoints import train_state as checkpoint
from stargan_lab.checkpoints.train_state import restore, save, state_sha256
from stargan_lab.errors import LabError, NonFiniteLossError
from stargan_lab.training.meter import Meter
from stargan_lab.training.updates import TrainState, step_randomness, train_step


def trained(steps: int = 2, decay: float = 0.9) -> tuple[TrainState, Meter]:
    train_state, meter = make_train_state(ONE, decay=decay), Meter()
    train_on(train_state, meter, steps)
    return train_state, meter


def train_on(train_state: TrainState, meter: Meter, steps: int) -> None:
    for step in range(train_state.step + 1, train_state.step + 1 + steps):
        losses = train_step(
            train_state, make_objective(ONE), make_batch(ONE, step), step_randomness(0, step, 4, 1), step % 2 == 0
        )
        meter.add(step, losses)
        train_state.step = step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "last.pt"


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_restored_training_continues_bit_for_bit(path: Path, decay: float) -> None:
    train_state, meter = trained(3, decay)
    save(path, train_state, meter, "run")
    other, other_meter = make_train_state(ONE, decay=decay), Meter()
    assert state_sha256(other) != state_sha256(train_state)
    restore(path, other, other_meter, "run")
    assert state_sha256(other) == state_sha256(train_state)
    assert other.step == 3
    train_on(train_state, meter, 3)
    train_on(other, other_meter, 3)
    assert state_sha256(other) == state_sha256(train_state)
    assert other_meter.read() == meter.read()


def test_the_learning_rate_is_restored(path: Path) -> None:
    train_state, meter = trained()
    for optimizer in (train_state.g_optimizer, train_state.d_optimizer):
        optimizer.param_groups[0]["lr"] *= 0.25
    save(path, train_state, meter, "run")
    other = make_train_state(ONE, decay=0.9)
    restore(path, other, Meter(), "run")
    assert [o.param_groups[0]["lr"] for o in (other.g_optimizer, other.d_optimizer)] == [0.25e-3, 0.5e-3]


def one_line(caught: pytest.ExceptionInfo[LabError], path: Path) -> str:
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_the_checkpoint_of_another_run_is_refused_before_anything_is_loaded(path: Path) -> None:
    save(path, *trained(), "0123abcd")
    other = make_train_state(ONE, decay=0.9)
    before = state_sha256(other)
    with pytest.raises(LabError) as caught:
        restore(path, other, Meter(), "ffff0000")
    assert "0123abcd" in one_line(caught, path) and "ffff0000" in str(caught.value)
    assert (state_sha256(other), other.step) == (before, 0)


GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "html": lambda good: b"<!DOCTYPE html>\n<html></html>",
    "noise": lambda good: bytes(range(256)) * 8,
    "truncated": lambda good: good[: len(good) // 2],
    "beginning lost": lambda good: good[100:],
    "pickled code": lambda good: pickle.dumps(Path("x"), 2),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_refused_in_one_line(path: Path, kind: str) -> None:
    save(path, *trained(), "run")
    path.write_bytes(GARBAGE[kind](path.read_bytes()))
    with pytest.raises(LabError) as caught:
        restore(path, make_train_state(ONE), Meter(), "run")
    one_line(caught, path)


@pytest.mark.parametrize("content", [{"run_id": "run", "step": 1}, torch.zeros(3)])
def test_another_torch_file_is_refused(path: Path, content: object) -> None:
    path.parent.mkdir()
    torch.save(content, path)
    with pytest.raises(LabError, match="not a run's checkpoint") as caught:
        restore(path, make_train_state(ONE), Meter(), "run")
    one_line(caught, path)


def test_a_missing_file_and_a_folder_are_refused(path: Path) -> None:
    with pytest.raises(LabError, match="no such file") as caught:
        restore(path, make_train_state(ONE), Meter(), "run")
    one_line(caught, path)
    path.mkdir(parents=True)
    with pytest.raises(LabError) as caught:
        restore(path, make_train_state(ONE), Meter(), "run")
    one_line(caught, path)


def test_a_crash_while_writing_keeps_the_previous_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_state, meter = trained()
    save(path, train_state, meter, "run")
    digest, old = state_sha256(train_state), path.read_bytes()
    train_on(train_state, meter, 2)
    write = torch.save

    def disk_full(content: object, file) -> None:
        write(content, file)
        file.truncate(file.tell() // 2)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save(path, train_state, meter, "run")
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]
    other = make_train_state(ONE, decay=0.9)
    restore(path, other, Meter(), "run")
    assert (state_sha256(other), other.step) == (digest, 2)


def test_a_state_with_non_finite_losses_is_not_saved(path: Path) -> None:
    train_state, meter = trained()
    save(path, train_state, meter, "run")
    old = path.read_bytes()
    meter.add(3, {"d_gp": torch.tensor(float("nan"))})
    with pytest.raises(NonFiniteLossError, match="step 3: loss/d_gp"):
        save(path, train_state, meter, "run")
    assert path.read_bytes() == old


def test_the_hash_depends_on_every_part() -> None:
    train_state, _ = trained()
    digest = state_sha256(train_state)
    assert digest == state_sha256(train_state) and len(digest) == 64
    moments = train_state.g_optimizer.state[next(train_state.generator.parameters())]["exp_avg_sq"]
    steps = train_state.d_optimizer.state[next(train_state.critic.parameters())]["step"]
    networks = train_state.generator, train_state.critic, train_state.ema.network
    with torch.no_grad():
        for value in (*(next(network.parameters()).view(-1)[0] for network in networks), moments.view(-1)[0], steps):
            before = value.clone()
            value += 1e-3
            assert state_sha256(train_state) != digest
            value.copy_(before)
    assert state_sha256(train_state) == digest


def test_the_hash_depends_on_types_but_not_on_memory_order() -> None:
    train_state, _ = trained(0)
    before = state_sha256(train_state)
    train_state.critic.to(memory_format=torch.channels_last)
    assert state_sha256(train_state) == before
    train_state.critic.double()
    assert state_sha256(train_state) != before

"""Checkpoints: what is saved comes back to the bit, and what is not a checkpoint of this run is refused."""

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
    go_on(train_state, meter, steps)
    return train_state, meter


def go_on(train_state: TrainState, meter: Meter, steps: int) -> None:
    for step in range(train_state.step + 1, train_state.step + 1 + steps):
        parts = train_step(
            train_state, make_objective(ONE), make_batch(ONE, step), step_randomness(0, step, 4, 1), step % 2 == 0
        )
        meter.add(step, parts)
        train_state.step = step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "last.pt"


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_round_trip_to_the_bit(path: Path, decay: float) -> None:
    train_state, meter = trained(3, decay)
    save(path, train_state, meter, "run")
    other, its_meter = make_train_state(ONE, decay=decay), Meter()
    assert state_sha256(other) != state_sha256(train_state)
    restore(path, other, its_meter, "run")
    assert state_sha256(other) == state_sha256(train_state)
    assert other.step == 3
    for each, its in ((train_state, meter), (other, its_meter)):
        go_on(each, its, 3)
    assert state_sha256(other) == state_sha256(train_state)
    assert its_meter.read() == meter.read()


def test_saving_changes_nothing(path: Path) -> None:
    saved, plain = trained(), trained()
    save(path, *saved, "run")
    for pair in (saved, plain):
        go_on(*pair, 2)
    assert state_sha256(saved[0]) == state_sha256(plain[0])
    assert saved[1].read() == plain[1].read()


def test_the_learning_rate_comes_back(path: Path) -> None:
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


def test_a_foreign_run_is_refused_and_nothing_is_loaded(path: Path) -> None:
    save(path, *trained(), "0123abcd")
    other = make_train_state(ONE, decay=0.9)
    before = state_sha256(other)
    with pytest.raises(LabError) as caught:
        restore(path, other, Meter(), "ffff0000")
    assert "0123abcd" in one_line(caught, path) and "ffff0000" in str(caught.value)
    assert (state_sha256(other), other.step) == (before, 0)


GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "text": lambda good: b"not a checkpoint\nat all\n",
    "html": lambda good: b"<!DOCTYPE html>\n<html></html>",
    "zeros": lambda good: bytes(1000),
    "noise": lambda good: bytes(range(256)) * 8,
    "one byte": lambda good: b"\x80",
    "half": lambda good: good[: len(good) // 2],
    "all but the end": lambda good: good[:-100],
    "beginning lost": lambda good: good[100:],
    "a pickle": lambda good: pickle.dumps({"step": 3}, 2),
    "a pickle of code": lambda good: pickle.dumps(Path("x"), 2),
    "letters": lambda good: b"abcdefgh" * 50,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_refused_in_one_line(path: Path, kind: str) -> None:
    save(path, *trained(), "run")
    path.write_bytes(GARBAGE[kind](path.read_bytes()))
    with pytest.raises(LabError) as caught:
        restore(path, make_train_state(ONE), Meter(), "run")
    one_line(caught, path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"run_id": "run", "step": 1}, torch.zeros(3)])
def test_another_file_of_torch_is_refused(path: Path, content: object) -> None:
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


def test_a_crash_while_writing_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_state, meter = trained()
    save(path, train_state, meter, "run")
    digest, old = state_sha256(train_state), path.read_bytes()
    go_on(train_state, meter, 2)
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


def test_a_broken_state_is_not_saved(path: Path) -> None:
    train_state, meter = trained()
    save(path, train_state, meter, "run")
    old = path.read_bytes()
    meter.add(3, {"d_gp": torch.tensor(float("nan"))})
    with pytest.raises(NonFiniteLossError, match="step 3: loss/d_gp"):
        save(path, train_state, meter, "run")
    assert path.read_bytes() == old


def parts_of(train_state: TrainState) -> dict[str, torch.Tensor]:
    return {
        "generator": next(train_state.generator.parameters()),
        "critic": next(train_state.critic.parameters()),
        "average": next(train_state.ema.network.parameters()),
        "generator's optimizer": train_state.g_optimizer.state[next(train_state.generator.parameters())]["exp_avg_sq"],
        "critic's optimizer": train_state.d_optimizer.state[next(train_state.critic.parameters())]["step"],
    }


@pytest.mark.parametrize("part", ["generator", "critic", "average", "generator's optimizer", "critic's optimizer"])
def test_the_digest_sees_every_part(part: str) -> None:
    train_state, _ = trained()
    before = state_sha256(train_state)
    assert before == state_sha256(train_state) and len(before) == 64
    with torch.no_grad():
        value = (
            parts_of(train_state)[part].view(-1)[:1] if part != "critic's optimizer" else parts_of(train_state)[part]
        )
        kept = value.clone()
        value += 1e-3
        assert state_sha256(train_state) != before
        value.copy_(kept)
    assert state_sha256(train_state) == before


def test_the_digest_sees_types_and_ignores_memory_order() -> None:
    train_state, _ = trained(0)
    before = state_sha256(train_state)
    train_state.critic.to(memory_format=torch.channels_last)
    assert state_sha256(train_state) == before
    train_state.critic.double()
    assert state_sha256(train_state) != before

"""What the command that starts a run's processes makes of their ends; tests/integration starts real ones."""

import signal
from typing import NoReturn

import pytest
import torch

from stargan_lab import compose
from stargan_lab.errors import ConfigError, ProcessLost, Stopped
from stargan_lab.runs import local_processes
from stargan_lab.runs.local_processes import exit_code, train_in_processes


def test_fewer_gpus_than_devices_are_refused_before_a_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*arguments: object) -> NoReturn:
        raise AssertionError("started")

    monkeypatch.setattr(local_processes, "start_processes", start)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    config = compose(["preset=tiny", "trainer.devices=2", "trainer.device=cuda"])
    with pytest.raises(ConfigError, match=r"^trainer\.devices: 2 processes need 2 GPUs, but this machine has 1$"):
        train_in_processes(config, ["train"])


@pytest.mark.parametrize(
    ("codes", "stopped", "expected"),
    [
        ({}, 0, 0),
        ({}, signal.SIGINT, 0),  # they finished before the signal reached them
        ({0: 143, 1: 143}, signal.SIGINT, 130),
        ({0: 143, 1: 143}, signal.SIGTERM, 143),
        ({0: 143, 1: 143}, 0, 143),  # the processes themselves got the signal
        ({1: -signal.SIGKILL, 0: 1}, 0, 1),  # process 0 has reported that another one has ended
        ({0: 1, 1: -signal.SIGTERM}, signal.SIGTERM, 1),
    ],
)
def test_the_exit_code_is_that_of_the_process_that_reported(codes: dict[int, int], stopped: int, expected: int) -> None:
    assert exit_code(codes, stopped, 2) == expected


def test_a_kill_that_no_process_reported_is_reported() -> None:
    with pytest.raises(ProcessLost, match="process 1 of 2 was killed by SIGKILL; repeat the command to resume"):
        exit_code({1: -signal.SIGKILL, 0: -signal.SIGTERM}, 0, 2)


def test_processes_that_are_stopped_while_they_start_count_as_stopped() -> None:
    with pytest.raises(Stopped) as caught:
        exit_code({0: -signal.SIGTERM, 1: -signal.SIGTERM}, signal.SIGTERM, 2)
    assert caught.value.exit_code == 143

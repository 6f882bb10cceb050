"""What a signal does while a run trains, and while nothing is left to save."""

import os
import signal

import pytest

from stargan_lab.errors import Interrupted, Stopped
from stargan_lab.runs.interrupt import StopSignal


def test_the_first_signal_is_a_request_and_the_second_interrupts() -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == signal.SIGTERM
        with pytest.raises(Stopped) as caught:
            os.kill(os.getpid(), signal.SIGINT)
    assert not isinstance(caught.value, Interrupted) and caught.value.exit_code == 130


def test_a_signal_interrupts_at_once_if_everything_is_saved() -> None:
    with StopSignal() as stop:
        with pytest.raises(Interrupted) as caught, stop.at_once(step=7):
            os.kill(os.getpid(), signal.SIGTERM)
        assert (caught.value.step, caught.value.exit_code) == (7, 143)
        os.kill(os.getpid(), signal.SIGTERM)  # training again: a request
        with pytest.raises(Interrupted), stop.at_once(step=8):
            pytest.fail("stopping was already requested")


def test_repeated_signals_never_interrupt() -> None:
    with StopSignal(repeated=True) as stop, stop.at_once(step=7):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == signal.SIGTERM

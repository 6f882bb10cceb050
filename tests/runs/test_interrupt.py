"""What a signal does while a run trains, and while nothing is left to save."""

import os
import signal
from collections.abc import Iterator

import pytest

from stargan_lab.errors import Interrupted, Stopped
from stargan_lab.runs.interrupt import StopSignal


@pytest.fixture(autouse=True)
def _not_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


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


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGINT])
def test_a_closed_terminal_does_not_interrupt_a_run_that_saves(first: signal.Signals) -> None:
    with StopSignal() as stop:
        for number in (first, signal.SIGHUP, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert stop.requested == first


def test_a_closed_terminal_interrupts_once_if_everything_is_saved() -> None:
    with StopSignal() as stop:
        with pytest.raises(Interrupted) as caught, stop.at_once(step=7):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
    assert caught.value.exit_code == 129 and not stop.requested


def test_nohup_lets_a_run_go_on() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.requested

"""What reaches stderr, with and without ``quiet``."""

import os
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import IO

import pytest
from terminal import Terminal

from stargan_lab.console import bar, inform, quietly, say


def show() -> None:
    with bar("a bar", 2) as shown:
        shown.update()
    inform("a note")
    say("a result")


def test_quiet_hides_bars_and_notes() -> None:
    with redirect_stderr(Terminal()) as terminal, quietly(True):
        show()
    assert terminal.getvalue() == "a result\n"


def test_quiet_ends_with_its_context() -> None:
    with pytest.raises(KeyError), quietly(True):
        raise KeyError
    with redirect_stderr(Terminal()) as terminal, quietly(False):
        show()
    assert "a bar" in terminal.getvalue() and "a note\na result\n" in terminal.getvalue()


def test_a_loud_run_inside_a_quiet_sweep_is_quiet() -> None:
    with redirect_stderr(Terminal()) as terminal, quietly(True):
        with quietly(False):
            show()
        show()
    assert terminal.getvalue() == "a result\n" * 2


def test_bars_are_hidden_in_the_workers_of_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with redirect_stderr(Terminal()) as terminal:
        show()
    assert terminal.getvalue() == "a note\na result\n"


def test_bars_are_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    show()
    assert capsys.readouterr().err == "a note\na result\n"


def closed_terminal() -> IO[str]:
    master, terminal = os.openpty()
    os.close(master)
    return os.fdopen(terminal, "w", buffering=1)


def pipe_without_reader() -> IO[str]:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", buffering=1)


@pytest.mark.parametrize("stream", [closed_terminal, pipe_without_reader])
def test_messages_that_nobody_can_read_raise_nothing(stream: Callable[[], IO[str]]) -> None:
    with stream() as stderr, redirect_stderr(stderr):
        show()
        show()


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "w") as stderr, redirect_stderr(stderr):
        say("a result\n" * 10_000)

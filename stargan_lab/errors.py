"""Errors that the user can fix. Each message is one line, and the command line prints nothing else."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from signal import Signals

LONGEST_NAME = 100


class LabError(Exception):
    """An error that the user can fix; the message is one line that names the file, key or run."""


class ConfigError(LabError):
    """Invalid configuration; the message names the key, the nearest valid one and the allowed values."""


class OptionError(ConfigError):
    """An option of a feature extractor, named by the message as a key of ``evaluation`` and by ``as_flag`` as a flag.

    Args:
        reason: what is wrong.
        values: what to set the option to; empty if the reason says it.
    """

    def __init__(self, option: str, reason: str, values: str = "") -> None:
        super().__init__(option, reason, values)

    def __str__(self) -> str:
        return self._line(f"evaluation.{self.args[0]}", "=")

    def as_flag(self) -> ConfigError:
        return ConfigError(self._line(f"--{self.args[0]}", " "))

    def _line(self, name: str, assign: str) -> str:
        _, reason, values = self.args
        return f"{name}: {reason}" + (f"; set {name}{assign}{values}" if values else "")


class UnnamedModules(ConfigError):
    """A run uses modules that the caller did not name; the message suggests an override, ``as_flag`` a flag."""

    def __init__(self, run_id: str, modules: Sequence[str]) -> None:
        super().__init__(run_id, modules)

    def __str__(self) -> str:
        return self._line(f"imports=[{','.join(self.args[1])}]")

    def as_flag(self) -> ConfigError:
        return ConfigError(self._line(f"--imports {','.join(self.args[1])}"))

    def _line(self, remedy: str) -> str:
        run_id, modules = self.args
        if len(modules) == 1:
            return f"run {run_id} uses the module {modules[0]}, which is code; if you trust it, add {remedy}"
        return f"run {run_id} uses the modules {', '.join(modules)}, which are code; if you trust them, add {remedy}"


class DataError(LabError):
    """Missing, empty or damaged dataset; the message names the path."""


class LockedError(LabError):
    """Another process holds a lock; the message names the run or the lock file."""


class StorageError(LabError, OSError):
    """A file cannot be written, e.g. because the disk is full; the message names it and the reason."""


class NonFiniteLossError(LabError):
    """A loss term is NaN or infinite; the message names the step and the term."""


class ReportedElsewhere(LabError):
    """Another process of the same run reports the error."""


class ProcessLost(LabError):
    """Another process of the same run has ended."""


class JobStopped(LabError):
    """A signal stopped a run in a worker of a launcher; it has saved a checkpoint if it was training."""


class Stopped(KeyboardInterrupt):
    """A signal asked to stop. A KeyboardInterrupt, so that it ends a sweep as Ctrl-C does, not just one of its runs.

    Args:
        signal_number: SIGINT or SIGTERM.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {Signals(signal_number).name}")
        self.exit_code = 128 + signal_number


class Interrupted(Stopped):
    """Training stopped on request, after writing the checkpoint of ``step``."""

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(signal_number)
        self.step = step


def one_line(error: BaseException) -> str:
    """An exception's message in one line, or its type's name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def printable(text: str) -> str:
    """``text`` with escapes for line breaks, control characters and what a terminal might interpret."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` if an entry of ``allowed`` is close to ``name``, else an empty string."""
    options = list(allowed)
    matches = get_close_matches(name, options, n=1, cutoff=0.5)
    if not matches:  # a correct last part under a wrong parent is also close
        matches = [o for o in options if o.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:1]
    return f"; did you mean {matches[0]!r}?" if matches else ""


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """One line for an unknown name: its kind, the nearest valid name and all allowed ones."""
    options = sorted(allowed)
    hint = nearest(name, options)
    return f"unknown {what} {name!r}{hint or ';'} allowed: {', '.join(options) or 'none'}"


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """One line for an unknown dotted key; ``allowed`` are the valid names of its last part."""
    options = list(allowed)
    hint = nearest(key.rpartition(".")[2], options)
    return f"{key}: unknown key{hint or ';'} allowed: {', '.join(options) or 'none'}"


def name_problem(name: str) -> str | None:
    """Why a name cannot be shown in one line of a message or a table; None if it can."""
    if name.isprintable() and 0 < len(name.strip()) <= LONGEST_NAME:
        return None
    return f"expected a name of 1 to {LONGEST_NAME} printable characters, got {name[:LONGEST_NAME]!r}"


def preview(names: Sequence[str], count: int = 3) -> str:
    """The first few names, comma-separated, with an ellipsis if there are more."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def counted(count: int, noun: str) -> str:
    """``1 run`` or ``1,000 runs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

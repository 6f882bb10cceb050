"""Errors that the user can fix. Each message is one line, and the command line prints nothing else."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class LabError(Exception):
    """An error that the user can fix; the message is one line that names the file, key or run."""


class ConfigError(LabError):
    """Invalid configuration; the message names the key, the nearest valid one and the allowed values."""


class OptionError(ConfigError):
    """An invalid option of an extractor, which is a key of the configuration or a flag of ``stargan-lab fid``.

    Attributes:
        option: without its section, e.g. ``weights``.
        reason: the message without the option.
    """

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"evaluation.{option}: {reason}")
        self.option, self.reason = option, reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Workers of a launcher pickle errors."""
        return type(self), (self.option, self.reason)


class DataError(LabError):
    """Missing, empty or damaged dataset; the message names the path."""


class LockedError(LabError):
    """Another process holds a lock; the message names the run or the lock file."""


class NonFiniteLossError(LabError):
    """A loss term is NaN or infinite; the message names the step and the term."""


def one_line(error: Exception) -> str:
    """An exception's message in one line, or its type's name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


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


def preview(names: Sequence[str], count: int = 3) -> str:
    """The first few names, comma-separated, with an ellipsis if there are more."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


def counted(count: int, noun: str) -> str:
    """``1 run`` or ``1,000 runs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

"""Errors a person can act on: their message is one line, and the command line shows nothing else."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class LabError(Exception):
    """Something the user can mend; the message is one line that names the file, key or run."""


class ConfigError(LabError):
    """The configuration is refused; the message names the key, the nearest right one and what is allowed."""


class DataError(LabError):
    """A dataset is missing, empty or damaged; the message names the path."""


class NonFiniteLossError(LabError):
    """A loss term became NaN or infinite; the message names the step and the term."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'x'? "`` when something in ``allowed`` is close to ``name``, else an empty string."""
    options = list(allowed)
    found = get_close_matches(name, options, n=1, cutoff=0.5)
    if not found:  # a right last part under a wrong parent is near too
        found = [o for o in options if o.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:1]
    return f"; did you mean {found[0]!r}?" if found else ""


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """One line for an unknown name: what it is, the nearest right one and everything allowed."""
    options = sorted(allowed)
    hint = nearest(name, options)
    return f"unknown {what} {name!r}{hint or ';'} allowed: {', '.join(options) or 'none'}"


def preview(names: Sequence[str], count: int = 3) -> str:
    """The first few names, comma-separated, with an ellipsis if there are more."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")

"""What can come next on a command line, for the shell's TAB. Imports neither torch nor Hydra, and says no errors."""

import shlex
from argparse import Action, ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stargan_lab.ablation import spec as ablation
from stargan_lab.cli import outline
from stargan_lab.cli.overrides import FILES, Overrides, value_of

SCRIPT = """\
_stargan_lab() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <("${1/#\\~\\//$HOME/}" __complete "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    case "${COMPREPLY[0]-}" in
        :files) COMPREPLY=(); compopt -o default 2>/dev/null ;;
        *[=./]) compopt -o nospace 2>/dev/null ;;
    esac
}
complete -F _stargan_lab stargan-lab
"""
"""Bash's side: gives the line up to the cursor, takes one word per line."""

TRAIN_FLAGS = (
    *("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun", "-m"),
    *("--shell-completion", "--config-path", "--config-name", "--config-dir", "--experimental-rerun", "--info"),
)
"""Hydra's; ``train`` is not argparse's."""

_TRAIN_VALUES = {"--cfg": ("job", "hydra", "all"), "--info": ("all", "config", "defaults", "plugins", "searchpath")}
_RUNS = ("translate", "export")
"""Commands whose first word is a run."""

_ABLATIONS = ("sweep", "report", "ui")


def answer(parser: ArgumentParser, line: str, breaks: str) -> list[str]:
    """The words the shell may put in place of the one it sees, nothing when anything is wrong.

    Args:
        parser: of the command line, with a subparser per command.
        line: up to the cursor, the program's name first.
        breaks: what parts words for the shell (``COMP_WORDBREAKS``): of ``norm=la`` it replaces ``la`` only.
    """
    words, current, quoted = _split(line)
    offered = list(_candidates(parser, words[1:], current))
    cut = 0 if quoted else max((current.rfind(b) + 1 for b in breaks), default=0)
    fitting = sorted({word[cut:] for word in offered if word.startswith(current) and word != FILES})
    return fitting or [FILES] * (FILES in offered)


def _split(line: str) -> tuple[list[str], str, bool]:
    """Finished words, the one at the cursor, and whether that began with a quote that is still open."""
    for close in ("", "'", '"'):
        try:
            words = shlex.split(line + close)
        except ValueError:
            continue
        if not close and (not line or line[-1].isspace()):
            return words, "", False
        return words[:-1], words[-1] if words else "", bool(close)
    return [], "", False


def _candidates(parser: ArgumentParser, words: Sequence[str], current: str) -> Iterator[str]:
    commands = next(a for a in parser._actions if isinstance(a, _SubParsersAction)).choices
    if not words:
        yield from (*commands, "--help", "--version")
    elif words[0] == "train":
        yield from _train(words, current)
    elif words[0] in commands:
        yield from _command(words[0], commands[words[0]], words[1:], current)


def _train(words: Sequence[str], current: str) -> Iterator[str]:
    if words[-1] in ("--config-dir", "--config-path"):
        yield FILES
    elif words[-1] in _TRAIN_VALUES:
        yield from _TRAIN_VALUES[words[-1]]
    elif current.startswith("-"):
        yield from TRAIN_FLAGS
    else:
        yield from Overrides(words).candidates(current)


def _command(name: str, parser: ArgumentParser, words: Sequence[str], current: str) -> Iterator[str]:
    """Of one of argparse's commands: what its flags and positional arguments take."""
    flags = {flag: action for action in parser._actions for flag in action.option_strings}
    before = flags.get(words[-1]) if words else None
    if before is not None and before.nargs != 0:
        yield from map(str, before.choices or _flag_values(before, current))
        return
    if current.startswith("-"):
        yield from flags
        return
    taken = [
        w for i, w in enumerate(words) if not w.startswith("-") and "=" not in w and not _is_value(flags, words, i)
    ]
    places = [action for action in parser._actions if not action.option_strings]
    place = places[min(len(taken), len(places) - 1)] if places else None
    if place is None or (len(taken) >= len(places) and places[-1].nargs not in ("*", "+")):
        return
    if place.choices:
        yield from map(str, place.choices)
    elif name == "evaluate":  # its words are runs and how to score them
        yield from _run_ids(words)
        yield from (word for word in Overrides(words).candidates(current) if word.startswith("evaluation."))
    elif place.dest == "overrides" or "=" in current:
        yield from Overrides(words).candidates(current)
    elif place.dest == "words":
        yield from () if taken else Overrides(words).axes()
        yield "imports="
    elif name in _ABLATIONS:
        yield from ablation.available()
    elif name in _RUNS and place is places[0]:
        yield from _run_ids(words)
        yield FILES
    else:
        yield FILES


_NAMED: Mapping[str, Callable[[], Iterable[str]]] = {
    "--of": ablation.available,
    "--features": lambda: outline.registered()["extractor"],
}
"""Flags that take one of the names that are there."""


def _flag_values(flag: Action, current: str) -> Iterator[str]:
    """By what a flag's help calls its value: ``md,csv,html`` is a list of these, ``DIR`` and ``RUNS.csv`` are files."""
    metavar = str(flag.metavar or "")
    yield from (name for option in flag.option_strings if option in _NAMED for name in _NAMED[option]())
    before, comma, _ = current.rpartition(",")
    if "," in metavar:
        yield from (f"{before}{comma}{name}" for name in metavar.split(",") if name not in before.split(","))
    elif any(part in metavar for part in ("DIR", "FILE", "FOLDER", "PATH", ".")):
        yield FILES


def _is_value(flags: Mapping[str, Any], words: Sequence[str], index: int) -> bool:
    """Whether a word belongs to the flag before it."""
    flag = flags.get(words[index - 1]) if index else None
    return flag is not None and flag.nargs != 0


def _run_ids(words: Sequence[str]) -> Iterator[str]:
    outputs = Path(value_of(words, "--outputs", "paths.outputs") or "outputs").expanduser()
    yield from (path.parent.name for path in outputs.glob("runs/*/config.yaml"))


def serve(arguments: Sequence[str], parser: Callable[[], ArgumentParser]) -> int:
    """``stargan-lab __complete LINE BREAKS``, which the shell calls at every TAB: words, one per line, or nothing."""
    try:
        words = answer(parser(), *arguments[:2])
    except (Exception, SystemExit):  # whatever is wrong with a half-typed line or a file, the prompt stays clean
        return 0
    print("\n".join(words), end="\n" if words else "", flush=True)
    return 0

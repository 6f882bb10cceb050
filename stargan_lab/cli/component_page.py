"""The catalogue as plain text for a terminal of 100 columns, and as the Markdown page ``docs/components.md``."""

import textwrap
from collections.abc import Iterator, Sequence

from stargan_lab.config.catalogue import Axis, Entry, Option

WIDTH = 100
COMMAND = "stargan-lab list --format md > docs/components.md"

_HEAD = f"""\
# Everything that can be swapped or set

Written by `{COMMAND}`; a test keeps it equal to what the code says. The same for a terminal, with your own parts in it:
`stargan-lab list`, `stargan-lab list discriminator`, `stargan-lab list norm imports=[my_norms]`.

A *name* is set by `KEY=NAME`, an option by `KEY.OPTION=VALUE`, as in
`stargan-lab train discriminator.norm=layer discriminator.depth=3 ema.decay=0.999`. Several at once are a multirun:
`stargan-lab train -m discriminator.norm=none,layer seed=0,1`. A star marks the default.
"""


def overview(axes: Sequence[Axis]) -> str:
    """One line per axis: how it is set, and to what."""
    named = [axis for axis in axes if axis.entries]
    places = {axis.key for axis in named}
    lines = ["Names (KEY=NAME; * is what the configuration has)"]
    lines += _columns([(axis.key, _names(axis)) for axis in named])
    lines += ["", "Numbers, switches and texts (KEY=VALUE; these are the configuration's values)"]
    lines += _columns([row for axis in axes for row in _values(axis) if row[0].split("=")[0] not in places])
    lines += ["", "stargan-lab list KEY says more of one, e.g. stargan-lab list discriminator"]
    return "\n".join(lines)


def details(axis: Axis) -> str:
    """Entries, options, what they take and mean, and sources."""
    lines = [f"{axis.key}   {_how(axis)}"]
    lines += _wrapped(axis.summary, 2) if axis.summary else []
    for entry in axis.entries:
        mark = " *" if entry.chosen else ""
        lines += ["", f"  {entry.name}{mark}{_own(entry, axis)}"]
        lines += _wrapped(entry.summary, 4)
        lines += _wrapped(f"Source: {entry.source}", 4) if entry.source else []
        lines += [line for option in entry.options for line in _option(option, 6)]
    lines += [""] if axis.options else []
    lines += [line for option in axis.options for line in _option(option, 2)]
    return "\n".join(lines)


def page(axes: Sequence[Axis]) -> str:
    """All of it as Markdown."""
    parts = [_HEAD]
    single = [axis for axis in axes if _is_key(axis)]
    if single:
        parts.append("\n".join(["## Single keys", "", *_table([axis.options[0] for axis in single], "key")]) + "\n")
    for axis in axes:
        if not _is_key(axis):
            parts.append("\n".join(_chapter(axis)) + "\n")
    return "\n".join(parts)


def _is_key(axis: Axis) -> bool:
    """Whether the axis is a single key, which is its own option."""
    return not axis.entries and [option.key for option in axis.options] == [axis.key]


def _names(axis: Axis) -> str:
    return ", ".join(f"{e.name}{'*' if e.chosen else ''}{' (yours)' if e.own else ''}" for e in axis.entries)


def _values(axis: Axis) -> Iterator[tuple[str, str]]:
    for option in axis.options:
        key = axis.key if _is_key(axis) else f"{axis.key}.{option.key}"
        yield f"{key}={option.default}", option.takes


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = min(max((len(left) for left, _ in rows), default=0), 32)
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, WIDTH - width - 4, break_on_hyphens=False) or [""]
        first = [f"  {left:<{width}}  {wrapped[0]}"] if len(left) <= width else [f"  {left}", _under(wrapped[0], width)]
        lines += [line.rstrip() for line in first + [_under(more, width) for more in wrapped[1:]]]
    return lines


def _under(text: str, width: int) -> str:
    return f"{'':<{width + 4}}{text}"


def _how(axis: Axis) -> str:
    if _is_key(axis):
        return f"({axis.key}=VALUE)"
    own = any(option for entry in axis.entries for option in entry.options)
    ways = [f"{axis.key}=NAME"] * bool(axis.entries)
    below = axis.key.rpartition(".")[0] or axis.key  # a dataset's or an extractor's options stand beside its name
    ways += [f"{below}.OPTION=VALUE"] * (own or bool(axis.options))
    return f"({', '.join(ways)})"


def _own(entry: Entry, axis: Axis) -> str:
    if not entry.own:
        return ""
    unlisted = "" if entry.file else f"; without a YAML file it is set by {axis.key}.name={entry.name}"
    return f"   yours, from {entry.own}{unlisted}"


def _option(option: Option, indent: int) -> list[str]:
    value = f"{option.key}={option.default}" if option.default is not None else f"{option.key}   (must be set)"
    head = _wrapped(f"{value}   {option.takes}", indent, hang=4)
    return head + (_wrapped(option.meaning, indent + 4) if option.meaning else [])


def _wrapped(text: str, indent: int, hang: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _chapter(axis: Axis) -> list[str]:
    lines = [f"## {axis.key}", "", f"{axis.summary} Set by `{_how(axis)[1:-1]}`.".strip(), ""]
    if axis.options:
        lines += [*_table(axis.options), ""]
    if axis.entries:
        lines += ["| name | what it is | source |", "|---|---|---|"]
        for entry in axis.entries:
            star = " ★" if entry.chosen else ""
            lines.append(f"| `{entry.name}`{star} | {_cell(entry.summary)} | {_cell(entry.source)} |")
        lines.append("")
    for entry in axis.entries:
        if entry.options:
            lines += [f"### {axis.key}: {entry.name}", "", *_table(entry.options), ""]
    return lines[:-1]


def _table(options: Sequence[Option], first: str = "option") -> list[str]:
    lines = [f"| {first} | default | takes | meaning |", "|---|---|---|---|"]
    for option in options:
        default = "must be set" if option.default is None else f"`{option.default}`"
        lines.append(f"| `{option.key}` | {default} | {_cell(option.takes)} | {_cell(option.meaning)} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

"""What an option takes and what it means, read off its annotation, its builder's docstring and its YAML file."""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo


def described(annotation: Any) -> str:
    """A type and its range in words, e.g. ``integer, 1 to 64`` or ``number above 0, or null``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        base, *notes = arguments
        bounds = [b for note in notes if isinstance(note, FieldInfo) for b in note.metadata]
        return described(base) + _range({k: v for bound in bounds for k, v in _limits(bound)})
    if origin in (Union, types.UnionType):
        parts = [described(a) for a in arguments if a is not type(None)]
        return ", or ".join(parts + ["null"] * (type(None) in arguments))
    if origin is Literal:
        return ", ".join(as_yaml(a) for a in arguments)
    if origin is tuple:
        return f"list of {_plural(described(arguments[0]))}"
    if origin is dict:
        return "mapping"
    return _TYPES.get(annotation, getattr(annotation, "__name__", str(annotation)))


_TYPES: dict[Any, str] = {bool: "true, false", int: "integer", float: "number", str: "text"}


def _plural(text: str) -> str:
    return re.sub(r"^(integer|number)\b", r"\1s", text)


def _limits(bound: Any) -> list[tuple[str, Any]]:
    found = [(k, getattr(bound, k, None)) for k in ("ge", "gt", "le", "lt", "multiple_of", "min_length")]
    return [(k, v) for k, v in found if v is not None]


def _range(limits: Mapping[str, Any]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}
    text = ""
    if "ge" in limits and "le" in limits:
        low, high = limits["ge"], limits["le"]
        text = f", {low} to {high}" if low != high else f", {low}"
        limits = {k: v for k, v in limits.items() if k not in ("ge", "le")}
    limits = {k: v for k, v in limits.items() if v != 2**63}  # as far as an integer goes
    return text + "".join(f", {words[k]} {v}" for k, v in limits.items() if k in words)


def as_yaml(value: Any) -> str:
    """A value as one would write it in YAML or on the command line."""
    plain = _lists(value)
    return yaml.safe_dump(plain, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple | list) else value


def meanings(builder: Callable[..., Any]) -> dict[str, str]:
    """Argument -> text of the ``Args`` section of a builder's docstring; ``a, b: text`` is said of both."""
    found: dict[str, str] = {}
    for owner in (getattr(builder, "__init__", None), builder) if inspect.isclass(builder) else (builder,):
        section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", inspect.getdoc(owner) or "", re.MULTILINE)
        for block in re.split(r"\n(?=    \S)", section.group(1).rstrip()) if section else []:
            names, _, text = block.partition(":")
            found |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    return found


def plain(text: str) -> str:
    """Docstring mark-up off."""
    return text.replace("``", "").strip()


def heading(path: Path) -> str:
    """The comment a YAML file begins with, as one line."""
    lines: list[str] = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines += [] if line.startswith("# @package") else [line.lstrip("# ")]
    return " ".join(lines)


def yaml_comments(path: Path) -> dict[str, str]:
    """Dotted key -> comment behind it, or on the lines right above it, of block mappings."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            above.append(stripped.lstrip("# "))
            continue
        match = re.match(r"( *)([\w/]+):(.*)", line)
        if match:
            indent = len(match.group(1))
            parents = [p for p in parents if p[0] < indent] + [(indent, match.group(2))]
            behind = re.match(r"(?:[^#'\"]|'[^']*'|\"[^\"]*\")*?\s#\s?(.*)$", match.group(3))
            first = not found and len(parents) == 1 and line == _first_key(path)
            text = behind.group(1) if behind else "" if first else " ".join(above)
            found[".".join(name for _, name in parents)] = text
        above = []
    return found


def _first_key(path: Path) -> str:
    """The line of a file's first key: the comment above it is the file's heading."""
    return next((line for line in path.read_text().splitlines() if line and not line.startswith("#")), "")

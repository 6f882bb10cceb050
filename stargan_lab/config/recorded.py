"""A recorded configuration as flat keys, each as an override spells it: ``discriminator``, ``discriminator.norm``."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from stargan_lab.config.compose import compose
from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.run_identity import NOT_IDENTITY, NOT_IDENTITY_IN_TRAINER
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.registry import family
from stargan_lab.yaml_text import load_yaml

_OMITTED = {*NOT_IDENTITY, *(f"trainer.{key}" for key in NOT_IDENTITY_IN_TRAINER)} - {"evaluation"}
NO_DEFAULT = object()
"""Marks a key without a default; differs from a default of None."""
_TOP_LEVEL = re.compile(r"^(?=[^\s#-])", re.MULTILINE)


def read_keys(text: str) -> dict[str, Any]:
    """The keys in the text of a ``config.yaml``; see ``keys_of``.

    Parsing takes milliseconds, so top-level sections are parsed separately and equal ones of many runs only once.
    Text that is not a plain sequence of sections, e.g. with an alias to another section, is parsed as a whole.

    Raises:
        ValueError: the text is not valid YAML, or not a mapping.
    """
    sections = [_section(part) for part in _TOP_LEVEL.split(text) if part.strip()]
    if all(section is not None for section in sections):
        names = [name for name, _ in filter(None, sections)]
        if names and len(set(names)) == len(names):
            return {key: value for _, keys in filter(None, sections) for key, value in keys.items()}
    raw = load_yaml(text)
    if not isinstance(raw, dict):
        raise ValueError("expected a mapping")
    return keys_of(raw)


def keys_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Every key that can change weights or scores, with its value; lists are text in YAML spelling.

    Args:
        raw: nested, as ``RunConfig.flat`` returns it.
    """
    return {key: value for name, below in raw.items() for key, value in _flat(str(name), below)}


@lru_cache(maxsize=4096)
def _section(text: str) -> tuple[str, Mapping[str, Any]] | None:
    """Name and keys of one top-level section; None if the text is anything else."""
    try:
        raw = load_yaml(text)
    except ValueError:
        return None
    return (str(next(iter(raw))), keys_of(raw)) if isinstance(raw, dict) and len(raw) == 1 else None


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if key in _OMITTED:
        return
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _flat(key if key in COMPONENTS and name == "name" else f"{key}.{name}", below)
    else:
        yield key, as_yaml(value) if isinstance(value, Mapping | list | tuple) else value


def changed_keys(text: str) -> dict[str, tuple[Any, Any]]:
    """The keys in the text of a ``config.yaml`` that differ from their defaults: key -> (value, default).

    The defaults of options are those of the selected component. A key without a default, such as an option of a
    component that is not registered, has ``NO_DEFAULT``. Nothing is imported.

    Raises:
        ValueError: as ``read_keys``.
    """
    keys, raw = read_keys(text), load_yaml(text)
    defaults = compose().flat()
    for group in set(COMPONENTS) & keys.keys():
        defaults[group] = {"name": defaults[group]["name"], **_defaults(group, keys[group])}
    sources = (raw.get("data") or {}).get("sources") or {}
    kind = {"kind": next(iter(defaults["data"]["sources"].values()))["kind"]}
    defaults["data"]["sources"] = {name: kind | _defaults("dataset", each["kind"]) for name, each in sources.items()}
    known = keys_of(defaults)
    found = {key: (value, known.get(key, NO_DEFAULT)) for key, value in keys.items()}
    return {key: (value, default) for key, (value, default) in found.items() if value != default}


def _defaults(family_name: str, component: str) -> dict[str, Any]:
    """An option without a default is left out; empty for an unknown component."""
    registry = family(family_name)
    options = registry.options(component).values() if component in registry.names() else ()
    return {option.name: option.default for option in options if option.default is not option.empty}

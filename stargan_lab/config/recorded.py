"""A recorded configuration as flat keys, each as an override spells it: ``discriminator``, ``discriminator.norm``."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from stargan_lab.config.identity import NOT_IDENTITY, NOT_IDENTITY_IN_TRAINER
from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.schema import COMPONENTS

_OMITTED = {*NOT_IDENTITY, *(f"trainer.{key}" for key in NOT_IDENTITY_IN_TRAINER)} - {"evaluation"}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
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
    try:
        return keys_of(yaml.load(text, _LOADER))
    except (yaml.YAMLError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())) from None


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
        raw = yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError):
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

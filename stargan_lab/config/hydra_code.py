"""Which code Hydra may run for a configuration: YAML of a user's directory may come from somebody else.

Hydra calls each ``_target_`` in its ``hydra`` node, and Python's logging each class in the settings of logs. Plugins of
Hydra and handlers of logging are allowed, with what installed plugins register; anything else must be named in the
command.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.utils import _locate
from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig, ListConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stargan_lab.errors import ConfigError, printable

_TARGET = "_target_"
_TARGETS = {
    "callbacks": (_TARGET,),
    "launcher": (_TARGET,),
    "sweeper": (_TARGET,),
    "hydra_logging": ("()", "class", "queue", "listener"),
    "job_logging": ("()", "class", "queue", "listener"),
}
"""Parts of the ``hydra`` node -> keys whose values are called."""
_PACKAGES = ("hydra.", "hydra_plugins.", "stargan_lab.", "logging.", "colorlog.")
_KINDS = (Plugin, Callback, logging.Handler, logging.Formatter, logging.Filter)
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_BUILDS = ("oc.decode", "oc.create")
"""Resolvers that turn text into mappings, in which a target would not be seen."""


def check_hydra_code(hydra: DictConfig, overrides: Sequence[str], imports: Sequence[str]) -> None:
    """Refuse a ``hydra`` node that runs code which is neither a plugin nor named.

    Args:
        overrides: of the command line, which may name anything.
        imports: modules that the command line imports.
    Raises:
        ConfigError: names the key and the target.
    """
    registered = set(_registered(ConfigStore.instance().repo["hydra"]))
    for part, keys in _TARGETS.items():
        for key, name, value in _values(hydra.get(part), f"hydra.{part}"):
            runs = name in keys or value.startswith("ext://") or any(builder in value for builder in _BUILDS)
            if not runs or value in _STREAMS or value in registered or _is_plugin(value):
                continue
            if any(value in override for override in overrides) or value.startswith(tuple(f"{m}." for m in imports)):
                continue
            shown = printable(value)[:100]
            raise ConfigError(
                f"{key}: {shown} is code that the command does not name; if you trust it, add {_remedy(key, value)}"
            )


def _remedy(key: str, value: str) -> str:
    module = printable(value.removeprefix("ext://").rpartition(".")[0])
    return f"imports=[{module}]" if module and key.endswith(_TARGET) else "it on the command line"


def _is_plugin(target: str) -> bool:
    """Whether it is a class of Hydra, its plugins, or logging, not just something that their modules import."""
    if not target.startswith(_PACKAGES):
        return False
    try:
        found: Any = _locate(target)
    except Exception:  # Hydra reports a plugin that is not installed when it is used
        return "$" not in target
    return isinstance(found, type) and issubclass(found, _KINDS) and f"{found.__module__}.".startswith(_PACKAGES)


def _values(node: Any, key: str) -> Iterator[tuple[str, str, str]]:
    """Dotted key, last part of it, and value of each text below a node, with interpolations resolved if possible."""
    if not isinstance(node, DictConfig | ListConfig) or node._is_none():
        return
    names: Any = node.keys() if isinstance(node, DictConfig) else range(len(node))
    for name in list(names):
        raw = node._get_node(name)
        try:
            value = node[name]
        except (OmegaConfBaseException, ValueError, KeyError, AssertionError):
            value = raw._value() if isinstance(raw, Node) else raw  # e.g. the number of a job, which is not known yet
        if isinstance(value, str):
            yield f"{key}.{name}", str(name), value
        elif isinstance(value, dict | list):
            yield from _values(OmegaConf.create(value), f"{key}.{name}")
        else:
            yield from _values(value, f"{key}.{name}")


def _registered(entry: Any) -> Iterator[str]:
    """The targets in Hydra's store of configurations, to which only installed packages add."""
    if isinstance(entry, dict):
        for value in entry.values():
            yield from _registered(value)
    elif OmegaConf.is_config(node := getattr(entry, "node", None)):
        yield from (value for _, name, value in _values(node, "") if name == _TARGET)

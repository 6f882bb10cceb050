"""Composition from Hydra's groups, with Hydra's many kinds of refusal brought to one line each."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stargan_lab.config.schema import RunConfig
from stargan_lab.config.validate import validate
from stargan_lab.errors import ConfigError, nearest, unknown

CONFIG_MODULE = "stargan_lab.conf"


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None, rules: bool = True) -> RunConfig:
    """The checked configuration of one run, as ``stargan-lab train OVERRIDES`` would use it.

    Args:
        overrides: Hydra overrides, e.g. ``["preset=quickstart", "discriminator.norm=layer"]``.
        config_dir: folder with further YAML files for the groups.
        rules: whether the parts must go together, which does not matter to who looks at the data alone.
    Raises:
        ConfigError: in one line, the key, the nearest right one and what is allowed.
    """
    return resolve(compose_raw(overrides, config_dir), rules)


def resolve(config: DictConfig, rules: bool = True) -> RunConfig:
    """Check a configuration that Hydra composed. Raises ConfigError."""
    try:
        raw = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'configuration'}: {_first_line(error)}") from None
    assert isinstance(raw, dict)
    return validate({str(key): value for key, value in raw.items() if key != "hydra"}, rules)


def compose_raw(overrides: Sequence[str], config_dir: str | Path | None = None) -> DictConfig:
    """Compose without checking values. Raises ConfigError."""
    overrides = list(overrides)
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir: {config_dir} is no folder")
        overrides.append(f"hydra.searchpath=[file://{Path(config_dir).resolve()}]")
    try:
        return _compose(overrides)
    except OverrideParseException as error:
        raise ConfigError(f"{error.override}: not an override; write key=value ({_first_line(error)})") from None
    except MissingConfigException as error:
        raise ConfigError(_missing(error)) from None
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_not_composed(error, overrides)) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not readable as YAML: {' '.join(str(error).split())}") from None


def _compose(overrides: Sequence[str]) -> DictConfig:
    running = GlobalHydra.instance().hydra  # inside a Hydra app, as when a sweep plans its cells
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(config_module=CONFIG_MODULE, version_base="1.3"):
            return hydra_compose("config", overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = running


def _missing(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        return _first_line(error)
    return f"{group}: {unknown(group, name, error.options)}"


def _not_composed(error: Exception, overrides: Sequence[str]) -> str:
    """Name the key Hydra stumbled over and the nearest one that exists."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    if not found:
        culprits = [o for o in overrides if _fails(o)] if len(overrides) > 1 else overrides
        if "Ambiguous value" in str(error):
            return f"{' '.join(culprits)}: several values need -m, one run for each; a list is written [a,b]"
        return f"{' '.join(culprits)}: {_first_line(error)}"
    key = found.group(1)
    keys = _existing_keys([o for o in overrides if not o.lstrip("+~").startswith(f"{key}=")])
    parent = key
    while parent and not any(k.startswith(f"{parent}.") for k in keys):
        parent = parent.rpartition(".")[0]
    below = {
        k[len(parent) + 1 if parent else 0 :].split(".")[0]
        for k in keys
        if k.startswith(f"{parent}." if parent else "")
    }
    siblings = [f"{parent}.{name}" if parent else name for name in sorted(below)]
    hint = nearest(key, siblings) or nearest(key, keys)
    return f"{key}: unknown key{hint or ';'} allowed: {', '.join(s.rpartition('.')[2] for s in siblings)}"


def _fails(override: str) -> bool:
    """Whether this override cannot be composed on its own."""
    try:
        _compose([override])
    except (HydraException, OmegaConfBaseException, ValueError):
        return True
    return False


def _existing_keys(overrides: Sequence[str]) -> list[str]:
    """Every dotted key under those of the overrides that pick a group's entry."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    picks = [o.input_line or "" for o in parsed if "." not in o.key_or_group and o.key_or_group != "hydra.searchpath"]
    for attempt in (picks, []):
        try:
            return _dotted(OmegaConf.to_container(_compose(attempt), resolve=False))
        except (HydraException, OmegaConfBaseException):
            continue
    return []


def _dotted(value: Any, prefix: str = "") -> list[str]:
    if not isinstance(value, dict) or not value:
        return [prefix]
    keys = [key for name, item in value.items() for key in _dotted(item, f"{prefix}.{name}" if prefix else str(name))]
    return [prefix, *keys] if prefix else keys


def _first_line(error: Exception) -> str:
    return " ".join(str(error).strip().splitlines()[0].split()) if str(error).strip() else type(error).__name__

"""Composition of a configuration from Hydra's groups; every error is one line."""

import re
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository, IConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from stargan_lab.config.hydra_code import check_hydra_code
from stargan_lab.config.schema import COMPONENTS, RunConfig
from stargan_lab.config.validate import standard_term_refusal, validate
from stargan_lab.errors import ConfigError, nearest, one_line, unknown
from stargan_lab.registry import family, import_user_modules
from stargan_lab.yaml_text import load_yaml

CONFIG_MODULE = "stargan_lab.conf"
CONFIG_NAME = "config"
HYDRA_VERSION_BASE = "1.3"


class Note(UserWarning):
    """A remark about a configuration that a user could easily miss."""


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None, rules: bool = True) -> RunConfig:
    """The validated configuration of one run, as ``stargan-lab train OVERRIDES`` would use it.

    Args:
        overrides: Hydra overrides, e.g. ``["preset=quickstart", "discriminator.norm=layer"]``.
        config_dir: directory with additional YAML files for the groups.
        rules: also check that the components are compatible; off for commands that only read the data.
    Raises:
        ConfigError: one line that names the key, the nearest valid one and the allowed values.
    """
    composed = compose_with(config_loader(config_dir), overrides)
    return resolve(composed, composed.hydra, rules)


def compose_raw(overrides: Sequence[str], config_dir: str | Path | None = None) -> DictConfig:
    """The composed configuration without the ``hydra`` node, not validated. Raises ConfigError."""
    composed = compose_with(config_loader(config_dir), overrides)
    return _without_hydra(composed)


def resolve(composed: DictConfig, hydra: DictConfig, rules: bool = True) -> RunConfig:
    """Validate a composed configuration; warns with a Note if a preset changes the image size of user-selected data.

    Options that a preset sets for a component other than the selected one are dropped. With ``quiet`` nothing is noted.

    Args:
        hydra: the ``hydra`` node of the same composition: the overrides and the group choices.
    Raises:
        ConfigError: the configuration is invalid.
    """
    return resolve_plain(to_plain(composed), Origin.of(hydra), rules)


def resolve_plain(raw: dict[str, Any], origin: "Origin", rules: bool = True) -> RunConfig:
    """As ``resolve``, from nested values, of which surplus options are deleted."""
    import_user_modules(raw.get("imports", ()))  # registers components, whose options determine what is dropped
    for group, option in _surplus_options(raw, origin):
        del raw[group][option]
    config = validate(raw, rules)
    chosen = origin.set_by_user
    if rules and not config.quiet and "data" in chosen and "data.image_size" not in chosen:
        _note_image_size(config.data.image_size, origin)
    return config


def without_surplus_options(composed: DictConfig, hydra: DictConfig) -> DictConfig:
    """A copy of a composition without the options that ``resolve``, which was called before, drops."""
    result = deepcopy(composed)
    with open_dict(result):
        for group, option in _surplus_options(to_plain(composed), Origin.of(hydra)):
            del result[group][option]
    return result


def _without_hydra(composed: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def to_plain(composed: DictConfig) -> dict[str, Any]:
    """Nested dicts with interpolations resolved, without the ``hydra`` node. Raises ConfigError."""
    try:
        return {
            str(key): OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
            if OmegaConf.is_config(value)
            else value
            for key, value in composed.items()
            if key != "hydra"
        }
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'configuration'}: {_first_line(error)}") from None


def key_of(override: str) -> str:
    """The key of an override such as ``++generator.width=8``."""
    return override.partition("=")[0].lstrip("+~")


def _surplus_options(raw: Mapping[str, Any], origin: "Origin") -> list[tuple[str, str]]:
    """(group, option) of the options that a preset sets for another component than the selected one."""
    groups = [group for group in COMPONENTS if isinstance(raw.get(group), dict)]
    return [(group, option) for group in groups for option in _surplus(group, raw[group], origin)]


def _surplus(group: str, options: Mapping[str, Any], origin: "Origin") -> set[str]:
    """The surplus options of a group. An unknown option stays, to be rejected later, if the user or the component's
    YAML sets it or no component has it.
    """
    registry, name = family(group), options.get("name")
    known = {"name", *registry.options(name)} if name in registry.names() else options.keys()
    if not (surplus := options.keys() - known):
        return set()
    result = origin.files.load_config(f"{group}/{origin.choices[group]}")
    file: Any = result.config if result else {}
    required = set(file) if file.get("name") == name else set()
    valid = {option for component in registry.names() for option in registry.options(component)}
    return {key for key in (surplus & valid) - required if f"{group}.{key}" not in origin.set_by_user}


def _note_image_size(size: int, origin: "Origin") -> None:
    choices = origin.choices
    loader = ConfigLoaderImpl(origin.path)
    without_preset = loader.load_configuration(f"data/{choices['data']}", [], RunMode.RUN)
    default = OmegaConf.select(without_preset, "data.image_size")
    if default not in (None, size):
        text = (
            f"preset={choices['preset']} sets data.image_size={size};"
            f" the default of data={choices['data']} is {default}"
        )
        warnings.warn(text, Note, stacklevel=4)


@dataclass(frozen=True)
class Origin:
    """Where a composition comes from.

    Attributes:
        set_by_user: the keys of the overrides.
        choices: group -> name of its YAML file.
        path, files: where Hydra found the YAML files, and these files.
    """

    set_by_user: frozenset[str]
    choices: Mapping[str, str]
    path: ConfigSearchPathImpl
    files: IConfigRepository

    @classmethod
    def of(cls, hydra: DictConfig) -> "Origin":
        """From the ``hydra`` node of the composition."""
        path = ConfigSearchPathImpl()
        for source in hydra.runtime.config_sources:
            path.append(source.provider, f"{source.schema}://{source.path}")
        files = CachingConfigRepository(ConfigRepository(path))
        return cls(frozenset(map(key_of, hydra.overrides.task)), dict(hydra.runtime.choices), path, files)


def config_loader(config_dir: str | Path | None = None) -> ConfigLoader:
    """Hydra's loader over the packaged groups and ``config_dir``. Raises ConfigError if that is not a directory."""
    version.setbase(HYDRA_VERSION_BASE)
    setup_globals()
    path = create_config_search_path(f"pkg://{CONFIG_MODULE}")
    launchers: Any = ConfigStore.instance().repo["hydra"]["launcher"]
    for name in list(launchers):  # Hydra's and installed plugins' would be merged with those of conf/ as schemas
        if files(CONFIG_MODULE).joinpath("hydra", "launcher", name).is_file():
            del launchers[name]
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir: {config_dir} is not a directory")
        _check_files(Path(config_dir))
        location = f"file://{Path(config_dir).resolve()}"
        path.prepend("command-line", location, anchor=SearchPathQuery("schema", None))
    return ConfigLoaderImpl(path)


def _check_files(folder: Path) -> None:
    """Refuse YAML files that would take too much memory, which Hydra reads without limits. Raises ConfigError."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            load_yaml(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: invalid YAML: {one_line(error)}") from None


def compose_with(
    loader: ConfigLoader, overrides: Sequence[str], mode: RunMode = RunMode.RUN, name: str = CONFIG_NAME
) -> DictConfig:
    """Hydra's composition with its ``hydra`` node, which runs no code but plugins and what the overrides name; the
    rest is not validated. Raises ConfigError in one line.
    """
    try:
        composed = loader.load_configuration(name, list(overrides), mode, from_shell=False)
    except OverrideParseException as error:
        raise ConfigError(_not_an_override(error.override, error)) from None
    except MissingConfigException as error:
        raise ConfigError(_missing(error, loader, overrides)) from None
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_not_composed(error, loader, overrides, name)) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"invalid YAML: {one_line(error)}") from None
    check_hydra_code(composed.hydra, overrides, _named_imports(overrides, loader))
    return composed


def parse_override(override: str, loader: ConfigLoader | None = None) -> Override:
    """One override in Hydra's grammar. Raises ConfigError in one line."""
    try:
        return OverridesParser.create(loader).parse_override(override)
    except HydraException as error:
        raise ConfigError(_not_an_override(override, error)) from None


def _not_an_override(override: str, error: Exception) -> str:
    return f"{override}: not a valid override, expected key=value ({_first_line(error)})"


def _missing(error: MissingConfigException, loader: ConfigLoader, overrides: Sequence[str]) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if group in COMPONENTS and name in _registered(group, loader, overrides):
        return f"{group}={name}: there is no {group}/{name}.yaml; select an imported component with {group}.name={name}"
    return f"{group}: {unknown(group, name, error.options)}" if error.options else _first_line(error)


def _registered(group: str, loader: ConfigLoader, overrides: Sequence[str]) -> list[str]:
    """The components of a group, with those of the modules that ``imports`` on the command line names."""
    import_named(overrides, loader)
    return family(group).names()


def import_named(overrides: Sequence[str], loader: ConfigLoader | None = None) -> None:
    """Import the modules that ``imports`` names in the overrides. Raises ConfigError."""
    for override in overrides:
        if key_of(override) == "imports":
            import_user_modules(parse_override(override, loader).value())


def _named_imports(overrides: Sequence[str], loader: ConfigLoader) -> list[str]:
    """The modules that ``imports`` names in the overrides."""
    values = [parse_override(override, loader).value() for override in overrides if key_of(override) == "imports"]
    return [str(module) for value in values for module in (value if isinstance(value, list) else [])]


def _not_composed(error: Exception, loader: ConfigLoader, overrides: Sequence[str], name: str) -> str:
    """Name the override that Hydra rejects and, for an unknown key, the nearest valid one."""
    unknown_key = re.search(r"Could not override '([^']+)'", str(error))
    if unknown_key:
        choices = [o for o in overrides if "." not in key_of(o) or key_of(o) == "hydra.searchpath"]
        choices = choices if _composes(loader, choices, name) else []
        return _unknown_key(unknown_key[1], loader.load_configuration(name, choices, RunMode.RUN))
    rejected = " ".join(o for o in overrides if len(overrides) == 1 or not _composes(loader, [o], name))
    if "Ambiguous value" in str(error):
        return f"{rejected}: multiple values need -m, which trains one run per value; write a list as [a,b]"
    return f"{rejected}: {_first_line(error)}"


def _composes(loader: ConfigLoader, overrides: Sequence[str], name: str) -> bool:
    try:
        loader.load_configuration(name, list(overrides), RunMode.RUN)
    except (HydraException, OmegaConfBaseException, ValueError):
        return False
    return True


def _unknown_key(key: str, composed: DictConfig) -> str:
    if re.match(r"(terms|evaluation\.metrics|.*_options)\.", key):  # mappings that take any number of keys
        refusal = standard_term_refusal(key.split(".")[1]) if key.startswith("terms.") else None
        return refusal or f"{key}: not set; add it with +{key}=VALUE"
    if not key.startswith("hydra."):
        composed = _without_hydra(composed)
    if hint := _new_source(key, composed):
        return hint
    parent = key.rpartition(".")[0]
    while parent and not OmegaConf.is_dict(OmegaConf.select(composed, parent)):
        parent = parent.rpartition(".")[0]
    names = sorted(str(name) for name in (OmegaConf.select(composed, parent) if parent else composed))
    siblings = [f"{parent}.{name}" if parent else name for name in names]
    hint = nearest(key, siblings) or nearest(key, _dotted(OmegaConf.to_container(composed, resolve=False)))
    return f"{key}: unknown key{hint or ';'} allowed: {', '.join(names)}"


def _new_source(key: str, composed: DictConfig) -> str:
    """How to add a source that does not exist; empty if the key is another, or close to one of an existing source."""
    prefix, _, rest = key.removeprefix("data.sources.").partition(".")
    sources = list(OmegaConf.select(composed, "data.sources") or ())
    if not key.startswith("data.sources.") or prefix in sources or nearest(prefix, sources):
        return ""
    added = f"+data.sources.{prefix}.kind=KIND" + (f" +{key}=VALUE" if rest not in ("", "kind") else "")
    kinds = ", ".join(family("dataset").names())
    return (
        f"data.sources.{prefix}: no such source (existing: {', '.join(sources)}); add it with {added} (KIND: {kinds})"
    )


def _dotted(value: Any, prefix: str = "") -> list[str]:
    """Every key of nested dicts, in dotted form."""
    if not isinstance(value, dict):
        return [prefix]
    below = [key for name, item in value.items() for key in _dotted(item, f"{prefix}.{name}" if prefix else str(name))]
    return [prefix, *below] if prefix else below


def _first_line(error: Exception) -> str:
    """The first line of an exception's message, with single spaces; its type's name when there is none."""
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split()) if lines else type(error).__name__

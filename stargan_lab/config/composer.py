"""Composition of many configurations that differ in a few values, such as the cells of an ablation."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from stargan_lab.config.compose import (
    Origin,
    compose_with,
    config_loader,
    key_of,
    parse_override,
    resolve,
    resolve_plain,
    to_plain,
)
from stargan_lab.config.schema import RunConfig, Seed
from stargan_lab.errors import ConfigError

_SEED = TypeAdapter(Seed, config=ConfigDict(strict=True))


class _Base(NamedTuple):
    """A composition without interpolations."""

    plain: Mapping[str, Any]
    origin: Origin


class Composer:
    """``compose`` without repeated work: Hydra composes each selection of YAML files once.

    An override that sets an existing key to a plain value is applied to a copy of that composition, which has the same
    result. Everything else, including every error, is left to Hydra.

    Args:
        config_dir: directory with additional YAML files for the groups.
    """

    def __init__(self, config_dir: str | Path | None = None) -> None:
        self._loader = config_loader(config_dir)
        self._bases: dict[tuple[str, ...], _Base | None] = {}
        self._parsed: dict[str, Override | None] = {}

    def __call__(self, overrides: Sequence[str]) -> RunConfig:
        """The validated configuration. Raises ConfigError, as ``compose``."""
        if (raw := self._plain(overrides)) is None:
            composed = compose_with(self._loader, overrides)
            return resolve(composed, composed.hydra)
        return resolve_plain(*raw)

    def with_seeds(self, overrides: Sequence[str], seeds: Sequence[int]) -> list[RunConfig]:
        """One configuration per seed. They share all values but the seed, unless interpolations may refer to it."""
        configs: list[RunConfig] = []
        plain = self._plain([*overrides, *(f"seed={seed}" for seed in seeds[:1])]) is not None
        for seed in seeds:
            shares = configs and plain and _is_valid(seed)
            configs.append(
                configs[0].model_copy(update={"seed": seed}) if shares else self([*overrides, f"seed={seed}"])
            )
        return configs

    def _plain(self, overrides: Sequence[str]) -> tuple[dict[str, Any], Origin] | None:
        """Nested values and their origin, as Hydra would compose them; None if only Hydra can."""
        direct = [override for override in overrides if self._direct(override)]
        base = self._base(tuple(override for override in overrides if override not in direct))
        if base is None:
            return None
        raw = deepcopy(dict(base.plain))
        if not all(_set(raw, parsed) for override in direct if (parsed := self._direct(override))):
            return None
        return raw, replace(base.origin, set_by_user=frozenset(map(key_of, overrides)))

    def _base(self, choices: tuple[str, ...]) -> _Base | None:
        if choices not in self._bases:
            self._bases[choices] = self._compose(choices)
        return self._bases[choices]

    def _compose(self, choices: tuple[str, ...]) -> _Base | None:
        try:
            composed = compose_with(self._loader, choices)
            plain = to_plain(composed)
        except ConfigError:  # perhaps a later override sets a missing value; otherwise Hydra raises it again
            return None
        unresolved: Any = OmegaConf.to_container(composed, resolve=False)
        special = any(_has_special(unresolved[key]) for key in plain)
        return None if special else _Base(plain, Origin.of(composed.hydra))

    def _direct(self, override: str) -> Override | None:
        """The parsed override if it may be set without Hydra."""
        if override not in self._parsed:
            self._parsed[override] = self._parse(override)
        return self._parsed[override]

    def _parse(self, override: str) -> Override | None:
        try:
            parsed = parse_override(override)
        except ConfigError:
            return None
        plain = parsed.type is not None and parsed.type.name == "CHANGE" and not parsed.is_sweep_override()
        group = parsed.package is not None or self._loader.repository.group_exists(parsed.key_or_group)  # type: ignore[attr-defined]
        if not plain or group or parsed.key_or_group.startswith("hydra") or _has_special(parsed.value()):
            return None
        return None if isinstance(parsed.value(), dict) else parsed  # which Hydra would merge


def _set(raw: dict[str, Any], override: Override) -> bool:
    """Set an existing key; False if it does not exist."""
    *parents, name = override.key_or_group.split(".")
    for parent in parents:
        raw = raw.get(parent)  # type: ignore[assignment]
        if not isinstance(raw, dict):
            return False
    if name not in raw:
        return False
    raw[name] = override.value()
    return True


def _has_special(value: Any) -> bool:
    """Whether nested values contain an interpolation or a mandatory missing value."""
    if isinstance(value, Mapping):
        return any(map(_has_special, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_special, value))
    return isinstance(value, str) and ("${" in value or value == "???")


def _is_valid(seed: int) -> bool:
    try:
        _SEED.validate_python(seed)
    except ValidationError:
        return False
    return True

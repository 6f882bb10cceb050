"""A recorded configuration with a few keys changed afterwards, read as Hydra's command line reads them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stargan_lab.config.compose import compose_raw
from stargan_lab.config.schema import EvaluationConfig, RunConfig
from stargan_lab.config.validate import validate
from stargan_lab.errors import ConfigError, nearest, unknown

SCORING = ("trainer.device", "trainer.threads")
SCORING_OF_DATA = ("root", "exclusive")
"""Keys beside ``evaluation`` that say where and how a trained network is scored."""


def revise(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The configuration of a finished run, scored as ``overrides`` ask.

    Args:
        overrides: as ``train`` takes them: ``evaluation=NAME``, ``evaluation.KEY=VALUE`` and the keys of ``allowed``;
            an entry of the group is taken first, wherever it stands.
    Raises:
        ConfigError: in one line; the key is part of the training, or its value is refused.
    """
    parsed = [_parse(override) for override in overrides]
    for each in parsed:
        _check(each.key_or_group, config)
    raw = config.flat()
    for each in (each for each in parsed if each.key_or_group == "evaluation"):
        raw["evaluation"] = _entry(each.value())
    for each in (each for each in parsed if each.key_or_group != "evaluation"):
        _put(raw, each.key_or_group.split("."), _value(each))
    return validate(raw, rules=False)


def allowed(config: RunConfig) -> list[str]:
    """The keys that ``revise`` takes."""
    data = [f"data.sources.{name}.{option}" for name in config.data.sources for option in SCORING_OF_DATA]
    return ["evaluation", *(f"evaluation.{key}" for key in EvaluationConfig.model_fields), *SCORING, *data]


def changed(before: Mapping[str, Any], after: RunConfig) -> Iterator[tuple[str, Any]]:
    """The keys of scoring in which a recorded mapping differs from ``after``, with what they are there.

    What the record does not have, or its data have under another name, is not compared.
    """
    now = after.flat()
    keys = [key for key in allowed(after) if key.startswith("evaluation.") or key.endswith(".exclusive")]
    for key in keys:
        old, new = (_find(raw, key.split(".")) for raw in (before, now))
        if old is not _ABSENT and new is not _ABSENT and _plain(old) != _plain(new):
            yield key, _plain(new)


def written(key: str, value: Any) -> str:
    """``key=value`` as an override, in Hydra's spelling."""
    return f"{key}={_spelt(value)}"


def _parse(override: str) -> Override:
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        reason = " ".join(str(error).strip().splitlines()[0].split())
        raise ConfigError(f"{override}: not an override; write key=value ({reason})") from None
    if parsed.is_sweep_override():
        raise ConfigError(f"{override}: several values, but a run is scored in one way at a time; a list is [a,b]")
    if parsed.type == OverrideType.DEL or parsed.package is not None:
        raise ConfigError(f"{override}: expected key=value")
    return parsed


def _check(key: str, config: RunConfig) -> None:
    keys = allowed(config)
    if key in keys:
        return
    parent, _, last = key.rpartition(".")
    if parent == "evaluation":
        fields = list(EvaluationConfig.model_fields)
        raise ConfigError(f"{key}: unknown key{nearest(last, fields) or ';'} allowed: {', '.join(fields)}")
    if found := re.fullmatch(r"data\.sources\.([^.]+)\.(?:root|exclusive)", key):
        raise ConfigError(f"{key}: {unknown('dataset', found[1], config.data.sources)}")
    shown = ", ".join(["evaluation.*", *keys[1 + len(EvaluationConfig.model_fields) :]])
    if key == "paths.outputs":
        raise ConfigError(f"{key}: --outputs DIR says where the run is; allowed: {shown}")
    raise ConfigError(f"{key} is part of the training, which is done{nearest(key, keys) or ';'} allowed: {shown}")


def _entry(name: Any) -> dict[str, Any]:
    """One entry of the group ``evaluation``."""
    if not isinstance(name, str):
        raise ConfigError(f"evaluation: expected the name of an entry, or evaluation.KEY=VALUE; got {name!r}")
    entry: Any = OmegaConf.to_container(compose_raw([f"evaluation={name}"]).evaluation, resolve=True)
    return dict(entry)


def _value(override: Override) -> Any:
    """The value, resolvers such as ``${oc.env:HOME}`` applied."""
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create({"value": override.value()}), resolve=True)
    except OmegaConfBaseException as error:
        reason = " ".join(str(error).strip().splitlines()[0].split())
        raise ConfigError(f"{override.key_or_group}: {reason}") from None
    return resolved["value"]


def _put(raw: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        raw = raw[key]
    raw[keys[-1]] = value


_ABSENT = object()


def _find(raw: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if not isinstance(raw, Mapping) or key not in raw:
            return _ABSENT
        raw = raw[key]
    return raw


def _plain(value: Any) -> Any:
    """Tuples as lists, at any depth."""
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


_NO_WORDS = ("null", "true", "false", "nan", "inf")


def _spelt(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_spelt, value))}]"
    if not isinstance(value, str):
        return str(value)
    plain = re.fullmatch(r"[A-Za-z_/.][\w./:%+-]*", value) and value.lower() not in _NO_WORDS
    return value if plain else "'" + value.replace("'", "\\'") + "'"

"""Overrides of a finished run's configuration: only keys that decide how it is evaluated, not how it was trained."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from omegaconf import OmegaConf

from stargan_lab.config.compose import compose_raw, parse_override, to_plain
from stargan_lab.config.schema import EvaluationConfig, RunConfig
from stargan_lab.config.validate import validate
from stargan_lab.errors import ConfigError, nearest, unknown, unknown_key

TRAINER_KEYS = ("trainer.device", "trainer.threads")
SOURCE_OPTIONS = ("root", "exclusive")
"""Options of a dataset that may change after training: its location, and which labels are mutually exclusive."""


def apply_evaluation_overrides(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The configuration of a finished run with different evaluation settings.

    Args:
        overrides: in Hydra's syntax: ``evaluation=NAME``, ``evaluation.KEY=VALUE`` or other ``allowed_keys``.
            ``evaluation=NAME`` is applied first.
    Raises:
        ConfigError: one line; a key affects training, or a value is invalid.
    """
    parsed = [_parse(override) for override in overrides]
    changed = OmegaConf.create(config.flat())
    for override in sorted(parsed, key=lambda override: override.key_or_group != "evaluation"):
        key, value = override.key_or_group, override.value()
        _check_key(key, config)
        if key == "evaluation":
            if not isinstance(value, str):
                raise ConfigError(f"evaluation: expected an entry's name or evaluation.KEY=VALUE, got {value!r}")
            value = compose_raw([f"evaluation={value}"]).evaluation
        OmegaConf.update(changed, key, value, merge=False)
    return validate(to_plain(changed), rules=False)


def allowed_keys(config: RunConfig) -> list[str]:
    """The keys that can be overridden after training."""
    evaluation = [f"evaluation.{key}" for key in EvaluationConfig.model_fields]
    data = [f"data.sources.{name}.{option}" for name in config.data.sources for option in SOURCE_OPTIONS]
    return ["evaluation", *evaluation, *TRAINER_KEYS, *data]


def evaluation_changes(recorded: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    """The keys of ``config`` that make its evaluation differ from a recorded configuration's, with their values.

    Keys that one of the two lacks, such as options of a renamed dataset, are left out.
    """
    before, after = OmegaConf.create(dict(recorded)), OmegaConf.create(config.flat())
    keys = [key for key in allowed_keys(config) if key.startswith("evaluation.") or key.endswith(".exclusive")]
    values = {key: [OmegaConf.select(side, key, default=_MISSING) for side in (before, after)] for key in keys}
    changed = {key: new for key, (old, new) in values.items() if _MISSING not in (old, new) and old != new}
    return {key: OmegaConf.to_object(new) if OmegaConf.is_config(new) else new for key, new in changed.items()}


def as_override(key: str, value: Any) -> str:
    """``key=value`` in Hydra's syntax."""
    return f"{key}={Override._get_value_element_as_str(_quoted(value))}"


def _parse(override: str) -> Override:
    parsed = parse_override(override)
    if parsed.is_sweep_override():
        raise ConfigError(f"{override}: expected one value; write a list as [a,b]")
    if parsed.type == OverrideType.DEL or parsed.package is not None:
        raise ConfigError(f"{override}: expected key=value")
    return parsed


def _check_key(key: str, config: RunConfig) -> None:
    keys = allowed_keys(config)
    if key in keys:
        return
    if key.rpartition(".")[0] == "evaluation":
        raise ConfigError(unknown_key(key, EvaluationConfig.model_fields))
    if source := re.fullmatch(rf"data\.sources\.([^.]+)\.(?:{'|'.join(SOURCE_OPTIONS)})", key):
        raise ConfigError(f"{key}: {unknown('dataset', source[1], config.data.sources)}")
    allowed = ", ".join(["evaluation.*", *(key for key in keys if not key.startswith("evaluation"))])
    if key == "paths.outputs":
        raise ConfigError(f"{key}: set the directory of the runs with --outputs DIR; allowed: {allowed}")
    raise ConfigError(f"{key}: cannot be changed after training{nearest(key, keys) or ';'} allowed: {allowed}")


_MISSING = object()
_LITERALS = ("null", "true", "false", "nan", "inf")


def _quoted(value: Any) -> Any:
    """Quote strings that Hydra would parse as something else, also inside lists and as values of mappings."""
    if isinstance(value, Mapping):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_quoted(item) for item in value]
    if not isinstance(value, str) or (re.fullmatch(r"[A-Za-z_/.][\w./-]*", value) and value.lower() not in _LITERALS):
        return value
    return QuotedString(value, Quote.single)

"""The factors of a run: the settings by which runs are compared, logged as MLflow params."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.run_identity import NOT_IDENTITY
from stargan_lab.config.schema import COMPONENTS, RunConfig
from stargan_lab.registry import family


def factors(config: RunConfig, further: Sequence[str] = ()) -> dict[str, str]:
    """Key -> value in YAML spelling: the general settings, the components' names, and those of their options that
    differ from the defaults.

    Args:
        further: keys to add, e.g. those that an ablation varies; keys that the configuration lacks are skipped.
            ``preset=tiny`` adds this value, which the configuration does not contain.
    """
    raw = config.flat()
    keys, given = [key for key in further if "=" not in key], [key.split("=", 1) for key in further if "=" in key]
    values = {key: _select(raw, key) for key in (*_general(raw), *_components(config), *map(factor, keys))}
    values |= dict(given)
    return {key: as_yaml(value) for key, value in values.items() if value is not _MISSING}


def factor(key: str) -> str:
    """The recorded name of a key: ``lipschitz.name`` for the group ``lipschitz``, otherwise the key."""
    return f"{key}.name" if key in COMPONENTS else key


def _general(raw: Mapping[str, Any]) -> Iterator[str]:
    """Keys of single values that can change results, e.g. ``seed`` and ``weights.rec``, unless they are null."""
    for key in raw.keys() - {*NOT_IDENTITY, *COMPONENTS, "trainer"}:
        values = (
            {f"{key}.{name}": value for name, value in raw[key].items()}
            if isinstance(raw[key], dict)
            else {key: raw[key]}
        )
        yield from (name for name, value in values.items() if value is not None and not isinstance(value, dict))


def _components(config: RunConfig) -> Iterator[str]:
    for name, term in config.terms.items():
        yield from (f"terms.{name}.{key}" for key in term.flat())
    for group in COMPONENTS:
        component = getattr(config, group)
        yield f"{group}.name"
        for option, parameter in family(group).options(component.name).items():
            if component.options[option] != parameter.default:
                yield f"{group}.{option}"


_MISSING = object()


def _select(raw: Any, key: str) -> Any:
    """The value at a dotted key of nested dicts."""
    for part in key.split("."):
        if not isinstance(raw, dict) or part not in raw:
            return _MISSING
        raw = raw[part]
    return raw

"""The factors of a run: the settings that experiments vary, as they are shown to compare runs by."""

from collections.abc import Iterator, Sequence
from typing import Any

from stargan_lab.config.schema import COMPONENTS, Component, RunConfig
from stargan_lab.registry import family

FACTORS = (
    "seed",
    "total_steps",
    "batch_size",
    "n_critic",
    "targets",
    "data.image_size",
    "generator.name",
    "generator.width",
    "generator.blocks",
    "generator.norm",
    "generator.affine",
    "generator.conditioning",
    "discriminator.width",
    "discriminator.depth",
    "discriminator.norm",
    "discriminator.bias",
    "discriminator.head",
    "adversarial.name",
    "lipschitz.name",
    "lipschitz.weight",
    "weights.cls",
    "weights.rec",
    "optimizer.g_lr",
    "optimizer.d_lr",
    "schedule.name",
    "ema.decay",
)


def factors(config: RunConfig, further: Sequence[str] = ()) -> dict[str, str]:
    """The factors a configuration has, as text: the usual ones, every component's name, each of its options that is not
    at its default, and the ``further`` keys an experiment varies."""
    raw = config.flat()
    found = {key: select(raw, key, _ABSENT) for key in (*FACTORS, *_departures(config), *further)}
    return {key: _text(value) for key, value in found.items() if value is not _ABSENT}


def _departures(config: RunConfig) -> Iterator[str]:
    for name, term in config.terms.items():
        yield from (f"terms.{name}.{key}" for key in term.flat())
    for group in COMPONENTS:
        component: Component = getattr(config, group)
        yield f"{group}.name"
        for option, parameter in family(group).options(component.name).items():
            if component.options.get(option) != parameter.default:
                yield f"{group}.{option}"


_ABSENT = object()


def select(raw: Any, key: str, default: Any = None) -> Any:
    """What stands at a dotted key of nested dicts."""
    for part in key.split("."):
        if not isinstance(raw, dict) or part not in raw:
            return default
        raw = raw[part]
    return raw


def _text(value: Any) -> str:
    """As one would write it in YAML."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)

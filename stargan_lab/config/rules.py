"""Pairs of settings that cannot work together, each refused with its reason, and those that may but surprise.

A rule asks for traits that components were registered with, never for their names, so it holds for one's own too. What
concerns a single component is said by its own static method ``refusal``.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from stargan_lab.config.schema import REFERENCES, RunConfig
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family

NETWORKS = ("generator", "discriminator")


def check_rules(config: RunConfig) -> None:
    """Raise ConfigError for the first illegal pair; warn of legal ones whose effect is easily missed."""
    _networks_can_be_built(config)
    _small_maps_are_enough(config)
    _label_reaches_the_generator(config)
    _critic_is_constrained_once(config)
    _critics_norm_suits_the_constraint(config)


def _has(config: RunConfig, key: str, trait: str) -> bool:
    """Whether the component at ``key``, or with ``group.option`` its part, was registered with ``trait``."""
    group, _, option = key.partition(".")
    component = getattr(config, group)
    if not option:
        return family(group).has(component.name, trait)
    name, referred = component.options.get(option), REFERENCES[group][option]
    return name is not None and family(referred).has(name, trait)


def _knows(config: RunConfig, network: str, question: str) -> bool:
    return hasattr(family(network).get(getattr(config, network).name), question)


def _ask(config: RunConfig, network: str, question: str) -> Any:
    """What a network's class answers before it is built; None where it has no such method."""
    component = getattr(config, network)
    method = getattr(family(network).get(component.name), question, None)
    return method(config.data.image_size, component.options) if method else None


def _networks_can_be_built(config: RunConfig) -> None:
    for network in NETWORKS:
        reason = _ask(config, network, "refusal")
        if reason:
            raise ConfigError(f"{network}.{reason}")


def _small_maps_are_enough(config: RunConfig) -> None:
    """The norm of a single value is zero whatever it is, and a single pixel has no neighbour to mirror."""
    for network in NETWORKS:
        if _ask(config, network, "smallest_map") != 1:
            continue
        options: Mapping[str, Any] = getattr(config, network).options
        depth = options.get("depth")
        at = f"data.image_size={config.data.image_size}" + (f" {network}.depth={depth}" if depth else "")
        less = f"{network}.depth={depth - 1}" if depth else "larger images"
        enough = config.batch_size > 1 and _has(config, f"{network}.norm", "couples_samples")
        if _has(config, f"{network}.norm", "needs_map") and not enough:
            raise ConfigError(
                f"{network}.norm: {options['norm']} norm of a 1x1 map, as there is at {at}, is zero whatever the input;"
                f" use {less} or another norm"
            )
        if "padding" in options and _has(config, f"{network}.padding", "needs_map"):
            raise ConfigError(
                f"{network}.padding: a 1x1 map, as there is at {at}, has nothing to {options['padding']}; use {less} or"
                " another padding"
            )


def _label_reaches_the_generator(config: RunConfig) -> None:
    options = config.generator.options
    if _has(config, "generator.conditioning", "brings_affine") and options.get("affine") is True:
        raise ConfigError(
            f"generator.affine: true with generator.conditioning={options['conditioning']}, which sets the norms' scale"
            " and shift from the label, would learn them twice; allowed: null, false"
        )
    if (
        _has(config, "generator", "normed_input")
        and _has(config, "generator.conditioning", "planes")
        and _has(config, "generator.norm", "erases_planes")
        and not _has(config, "generator.padding", "zeros")
    ):
        warnings.warn(
            f"generator.padding={options['padding']} with conditioning={options['conditioning']} under"
            f" {options['norm']} norm: a label plane is then constant everywhere and the norm removes it, so the label"
            " has no effect",
            stacklevel=2,
        )


def _critic_is_constrained_once(config: RunConfig) -> None:
    norm, constraint = config.discriminator.options.get("norm"), config.lipschitz.name
    if _has(config, "discriminator.norm", "constrains") and _has(config, "lipschitz", "bounds_weights"):
        raise ConfigError(
            f"lipschitz: {constraint} with discriminator.norm={norm} has no effect: that norm divides by the scale of"
            " the weights; allowed: none, gp"
        )
    bounded = _has(config, "discriminator.norm", "constrains") or _has(config, "lipschitz", "constrains")
    if _has(config, "adversarial", "needs_lipschitz") and not bounded:
        warnings.warn(
            f"adversarial={config.adversarial.name} with lipschitz={constraint}: nothing bounds the critic, and this"
            " loss has no minimum without a bound",
            stacklevel=2,
        )


def _critics_norm_suits_the_constraint(config: RunConfig) -> None:
    options, constraint = config.discriminator.options, config.lipschitz.name
    norm = options.get("norm")
    if norm is None or any(_has(config, "discriminator.norm", trait) for trait in ("absent", "of_weights")):
        return
    if _knows(config, "discriminator", "smallest_map") and _ask(config, "discriminator", "smallest_map") is None:
        warnings.warn(
            f"discriminator.norm={norm} at discriminator.depth={options['depth']}: no layer has a norm, since the first"
            " never has; the network is that of none",
            stacklevel=2,
        )
        return
    if _has(config, "discriminator.norm", "couples_samples") and _has(config, "lipschitz", "per_sample"):
        warnings.warn(
            f"discriminator.norm={norm} with lipschitz={constraint}: the penalty is per image, and {norm} norm makes"
            " the score of an image depend on the others of its batch",
            stacklevel=2,
        )
    if options.get("norm_affine") and _has(config, "lipschitz", "bounds_weights"):
        warnings.warn(
            f"lipschitz={constraint} with discriminator.norm={norm}: the norms' scales start at 1 and are clipped too,"
            " which all but switches their layers off; discriminator.norm_affine=false leaves nothing to clip",
            stacklevel=2,
        )

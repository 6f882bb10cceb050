"""Combinations of settings: invalid ones raise an error with the reason, surprising ones a warning.

A rule checks the traits that components were registered with, never their names, so it also applies to user-defined
components. A network's static method ``refusal`` checks what concerns that network only.
"""

import warnings
from typing import Any

from stargan_lab.config.schema import RunConfig
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family

NETWORKS = ("generator", "discriminator")


def check_rules(config: RunConfig) -> None:
    """Raise ConfigError for the first invalid combination; warn about valid ones with an unexpected effect."""
    for network in NETWORKS:
        if reason := _method(config, network, "refusal"):
            raise ConfigError(f"{network}.{reason}")
    _check_smallest_maps(config)
    _check_label_input(config)
    _check_lipschitz_bound(config)
    _check_discriminator_norm(config)
    _check_devices(config)


def has_trait(config: RunConfig, key: str, trait: str) -> bool:
    """Whether the component at ``group`` or ``group.option`` was registered with ``trait``."""
    group, _, option = key.partition(".")
    component = getattr(config, group)
    if not option:
        return family(group).has(component.name, trait)
    name, referenced = component.options.get(option), family(group).references(component.name).get(option)
    return name is not None and referenced is not None and family(referenced).has(name, trait)


def coupling(config: RunConfig, network: str) -> str | None:
    """What makes the network's output for an image depend on the rest of the batch, as KEY=NAME; or None."""
    component = getattr(config, network)
    names = {network: component.name, f"{network}.norm": component.options.get("norm")}
    return next((f"{key}={names[key]}" for key in names if has_trait(config, key, "couples_samples")), None)


def _method(config: RunConfig, network: str, name: str) -> Any:
    """A static method of the network's builder, applied to image size and options; None if it has no such method."""
    component = getattr(config, network)
    method = getattr(family(network).get(component.name), name, None)
    return method(config.data.image_size, component.options) if method else None


def _check_smallest_maps(config: RunConfig) -> None:
    """Normalizing a single value yields zero, and a single pixel has no neighbor to reflect."""
    for network in NETWORKS:
        if _method(config, network, "smallest_map") != 1:
            continue
        options = getattr(config, network).options
        depth = options.get("depth")
        size = f"data.image_size={config.data.image_size}" + (f" and {network}.depth={depth}" if depth else "")
        fix = f"use {network}.depth={depth - 1}" if depth else "use larger images"
        has_batch = config.batch_size > 1 and coupling(config, network)
        if has_trait(config, f"{network}.norm", "needs_map") and not has_batch:
            raise ConfigError(
                f"{network}.norm: {options['norm']} norm of a 1x1 map is always zero, and {size} give a 1x1 map;"
                f" {fix} or another norm"
            )
        if has_trait(config, f"{network}.padding", "needs_map"):
            raise ConfigError(
                f"{network}.padding: {options['padding']} padding needs more than one pixel, but {size} give a 1x1"
                f" map; {fix} or another padding"
            )


def _check_label_input(config: RunConfig) -> None:
    options = config.generator.options
    if has_trait(config, "generator.conditioning", "brings_affine") and options.get("affine") is True:
        raise ConfigError(
            f"generator.affine: true is redundant with generator.conditioning={options['conditioning']}, which learns"
            " scale and shift from the label; allowed: null, false"
        )
    if (
        has_trait(config, "generator", "normed_input")
        and has_trait(config, "generator.conditioning", "planes")
        and has_trait(config, "generator.norm", "erases_planes")
        and not has_trait(config, "generator.padding", "zeros")
    ):
        warnings.warn(
            f"generator.padding={options['padding']} with conditioning={options['conditioning']} and norm="
            f"{options['norm']}: the label has no effect, because the norm removes constant label planes",
            stacklevel=2,
        )


def _check_lipschitz_bound(config: RunConfig) -> None:
    norm, constraint = config.discriminator.options.get("norm"), config.lipschitz.name
    if has_trait(config, "discriminator.norm", "constrains") and has_trait(config, "lipschitz", "bounds_weights"):
        raise ConfigError(
            f"lipschitz: {constraint} has no effect with discriminator.norm={norm}, which rescales the weights;"
            " allowed: none, gp"
        )
    bounded = has_trait(config, "discriminator.norm", "constrains") or has_trait(config, "lipschitz", "constrains")
    if has_trait(config, "adversarial", "needs_lipschitz") and not bounded:
        warnings.warn(
            f"adversarial={config.adversarial.name} with lipschitz={constraint}: the discriminator is not"
            " Lipschitz-bounded, so this loss has no minimum",
            stacklevel=2,
        )


def _check_discriminator_norm(config: RunConfig) -> None:
    options, constraint = config.discriminator.options, config.lipschitz.name
    norm = options.get("norm")
    traits = ("absent", "of_weights")
    has_norm = norm is not None and not any(has_trait(config, "discriminator.norm", trait) for trait in traits)
    builder = family("discriminator").get(config.discriminator.name)
    if has_norm and hasattr(builder, "smallest_map") and _method(config, "discriminator", "smallest_map") is None:
        warnings.warn(
            f"discriminator.norm={norm} with discriminator.depth={options['depth']}: no layer has a norm, because the"
            " first layer never has one; this equals norm=none",
            stacklevel=2,
        )
        return
    if (component := coupling(config, "discriminator")) and has_trait(config, "lipschitz", "per_sample"):
        warnings.warn(
            f"{component} with lipschitz={constraint}: the penalty is per image, but an image's score depends on the"
            " other images in the batch",
            stacklevel=2,
        )
    if has_norm and options.get("norm_affine") and has_trait(config, "lipschitz", "bounds_weights"):
        warnings.warn(
            f"lipschitz={constraint} with discriminator.norm={norm}: clipping also applies to the norm's scale, which"
            " starts at 1, so its layers output almost zero; use discriminator.norm_affine=false",
            stacklevel=2,
        )


def _check_devices(config: RunConfig) -> None:
    """Refuse what several devices cannot compute with the results of one."""
    trainer = config.trainer
    if trainer.devices == 1:
        return
    if config.batch_size % trainer.devices:
        raise ConfigError(
            f"batch_size: {config.batch_size} cannot be divided by trainer.devices={trainer.devices}, which share each"
            " batch equally"
        )
    for network in NETWORKS:
        if component := coupling(config, network):
            raise ConfigError(
                f"{component} couples the images of a batch, which trainer.devices={trainer.devices} splits; use"
                " another one or trainer.devices=1"
            )
    if trainer.cuda_graphs:
        raise ConfigError("trainer.cuda_graphs: true needs trainer.devices=1; set it to false")
    if ":" in trainer.device:
        raise ConfigError(f"trainer.device: {trainer.device} is one GPU; with trainer.devices > 1 use cuda")

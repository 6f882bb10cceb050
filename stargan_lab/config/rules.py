"""Pairs of settings that cannot work together, each refused with its reason, and those that may but surprise."""

import warnings

from stargan_lab.config.schema import RunConfig
from stargan_lab.errors import ConfigError


def check_rules(config: RunConfig) -> None:
    """Raise ConfigError for the first illegal pair; warn of legal ones whose effect is easily missed."""
    _critic_fits_the_image(config)
    _norm_has_something_to_normalise(config)
    _label_reaches_the_generator(config)


def _critic_fits_the_image(config: RunConfig) -> None:
    depth = config.discriminator.options.get("depth")
    if depth is None:
        return
    size = config.data.image_size
    if size < 2**depth:
        raise ConfigError(
            f"discriminator.depth: {depth} halvings need images of at least {2**depth} px, but data.image_size is"
            f" {size}; allowed: 1 to {size.bit_length() - 1}"
        )
    bias = config.discriminator.options.get("bias")
    if isinstance(bias, tuple) and any(layer >= depth for layer in bias):
        raise ConfigError(
            f"discriminator.bias: layer {max(bias)} does not exist at discriminator.depth={depth};"
            f" allowed: true, false or a list of 0 to {depth - 1}"
        )


def _norm_has_something_to_normalise(config: RunConfig) -> None:
    """Instance norm of a single pixel is zero whatever the input."""
    options = config.discriminator.options
    if (
        options.get("norm") == "instance"
        and config.data.image_size // 2 ** options["depth"] == 1
        and options["depth"] > 1
    ):
        raise ConfigError(
            f"discriminator.norm: instance norm of the last map, 1x1 at discriminator.depth={options['depth']} and"
            f" data.image_size={config.data.image_size}, is zero whatever the input; use depth {options['depth'] - 1}"
            " or another norm"
        )
    if config.generator.options.get("norm") == "instance" and config.data.image_size == 4:
        raise ConfigError(
            "generator.norm: instance norm of the 1x1 map inside the generator is zero whatever the input"
        )


def _label_reaches_the_generator(config: RunConfig) -> None:
    options = config.generator.options
    if (
        options.get("conditioning") == "concat"
        and options.get("norm") == "instance"
        and options.get("padding") != "zero"
    ):
        warnings.warn(
            f"generator.padding={options['padding']} with conditioning=concat under instance norm: a label plane is"
            " then constant everywhere and the norm removes it, so the label has no effect",
            stacklevel=2,
        )

"""Illegal pairs are refused with the reason; surprising ones are warned about; all others pass in silence."""

import warnings

import pytest

from stargan_lab import compose
from stargan_lab.errors import ConfigError

TINY = ["preset=tiny"]

REFUSED = {
    "generator.conditioning=adain generator.affine=true": ["generator.affine", "twice", "null, false"],
    "generator=unet generator.depth=5 generator.blocks=0": ["generator.depth", "multiple of 32 px", "2 to 4"],
    "generator=unet generator.depth=3 data.image_size=20": ["generator.depth", "multiple of 8", "2 to 2"],
    "generator=unet generator.depth=4": ["generator.norm", "1x1", "depth=3"],
    "generator=unet generator.depth=4 generator.norm=layer generator.padding=reflect": [
        "generator.padding",
        "1x1",
        "reflect",
        "depth=3",
    ],
    "discriminator.depth=5": ["discriminator.depth", "32 px", "1 to 4"],
    "discriminator.bias=[0,2]": ["discriminator.bias", "layer 2", "0 to 1"],
    "discriminator.depth=4 discriminator.norm=instance": ["discriminator.norm", "instance", "1x1", "depth=3"],
    "discriminator.depth=4 discriminator.norm=batch batch_size=1": ["discriminator.norm", "batch", "1x1"],
    "discriminator.norm=spectral lipschitz=clip": ["lipschitz", "clip", "spectral", "none, gp"],
}
WARNED = {
    "generator.padding=reflect": ["generator.padding=reflect", "no effect"],
    "generator.padding=replicate": ["generator.padding=replicate", "no effect"],
    "discriminator.norm=batch": ["batch", "gp", "depend on the others"],
    "lipschitz=none": ["wgan", "nothing bounds"],
    "discriminator.depth=1 discriminator.norm=instance": ["depth=1", "no layer has a norm"],
    "discriminator.depth=1 discriminator.norm=batch": ["depth=1", "no layer has a norm"],
    "lipschitz=clip discriminator.norm=layer": ["scales", "clipped too", "norm_affine=false"],
}
PASSED = [
    "",
    "generator.conditioning=adain",
    "generator.conditioning=adain generator.affine=false",
    "generator.conditioning=adain generator.padding=reflect",
    "generator.norm=layer generator.padding=reflect",
    "generator=unet generator.padding=reflect generator.blocks=0",
    "discriminator.depth=4 discriminator.norm=layer",
    "discriminator.depth=4 discriminator.norm=batch lipschitz=none adversarial=hinge",
    "discriminator.norm=spectral lipschitz=none",
    "discriminator.norm=spectral lipschitz=gp",
    "discriminator.norm=batch discriminator.norm_affine=false lipschitz=clip",
    "discriminator.depth=1 discriminator.norm=spectral",
    "lipschitz=clip optimizer=rmsprop",
    "adversarial=vanilla lipschitz=none",
]


def ids(value: object) -> str:
    return value.replace("discriminator", "d").replace("generator", "g") if isinstance(value, str) else ""


@pytest.mark.parametrize(("overrides", "said"), REFUSED.items(), ids=ids)
def test_refused_with_the_reason(overrides: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*TINY, *overrides.split()])
    message = str(caught.value)
    assert message.startswith(said[0]) and "\n" not in message
    for part in said:
        assert part in message, message


@pytest.mark.parametrize(("overrides", "said"), WARNED.items(), ids=ids)
def test_warned_of(overrides: str, said: list[str]) -> None:
    with pytest.warns(UserWarning) as caught:
        compose([*TINY, *overrides.split()])
    assert len(caught) == 1
    for part in said:
        assert part in str(caught[0].message)


@pytest.mark.parametrize("overrides", PASSED, ids=ids)
def test_passed_in_silence(overrides: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose([*TINY, *overrides.split()])

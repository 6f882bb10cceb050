"""Illegal combinations are refused with the reason, surprising ones cause a warning, all others neither."""

import warnings

import pytest

from stargan_lab import compose
from stargan_lab.errors import ConfigError
from stargan_lab.models.discriminators import PatchDiscriminator
from stargan_lab.registry import family

TINY = ["preset=tiny"]

REFUSED = {
    "generator.conditioning=adain generator.affine=true": ["generator.affine", "redundant", "null, false"],
    "generator=unet generator.depth=3 data.image_size=20": ["generator.depth", "multiple of 8", "2 to 2"],
    "generator=unet generator.depth=4": ["generator.norm", "1x1", "depth=3"],
    "generator=unet generator.depth=4 generator.norm=layer generator.padding=reflect": [
        "generator.padding",
        "1x1",
        "reflect",
        "depth=3",
    ],
    "discriminator.depth=5": ["discriminator.depth", "32 px", "1 to 4"],
    "discriminator.bias=[0,2]": ["discriminator.bias", "layer 2", "-2 to 1"],
    "discriminator.depth=4 discriminator.norm=instance": ["discriminator.norm", "instance", "1x1", "depth=3"],
    "discriminator.depth=4 discriminator.norm=batch batch_size=1": ["discriminator.norm", "batch", "1x1"],
    "discriminator.norm=spectral lipschitz=clip": ["lipschitz", "clip", "spectral", "none, gp"],
    "discriminator.norm=group discriminator.norm_options={groups:3}": ["discriminator.norm_options", "groups=3", "8"],
    "trainer.devices=3": ["batch_size", "4 cannot be divided by trainer.devices=3"],
    "trainer.devices=2 discriminator.norm=batch": ["discriminator.norm", "batch", "couples", "trainer.devices=1"],
    "trainer.devices=2 trainer.cuda_graphs=true": ["trainer.cuda_graphs", "trainer.devices=1"],
    "trainer.devices=2 trainer.device=cuda:1": ["trainer.device", "cuda:1", "use cuda"],
    "generator.norm=group generator.norm_options={groups:8}": ["generator.norm_options", "groups=8", "4 channels"],
}
WARNED = {
    "generator.padding=reflect": ["generator.padding=reflect", "no effect"],
    "discriminator.norm=batch": ["batch", "gp", "depends on the other images"],
    "lipschitz=none": ["wgan", "not Lipschitz-bounded"],
    "discriminator.depth=1 discriminator.norm=instance": ["depth=1", "no layer has a norm"],
    "lipschitz=clip discriminator.norm=layer": ["scale", "norm_affine=false"],
}
ALLOWED = [
    "generator.conditioning=adain generator.padding=reflect",
    "generator.norm=layer generator.padding=reflect",
    "generator=unet generator.padding=reflect generator.blocks=0",
    "discriminator.depth=4 discriminator.norm=batch lipschitz=none adversarial=hinge",
    "discriminator.norm=spectral lipschitz=none",
    "discriminator.depth=1 discriminator.norm=spectral",
    "discriminator.norm=batch discriminator.norm_affine=false lipschitz=clip",
]


@pytest.mark.parametrize(("overrides", "parts"), REFUSED.items())
def test_illegal_combinations_are_refused_with_the_reason(overrides: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([*TINY, *overrides.split()])
    message = str(caught.value)
    assert message.startswith(parts[0]) and "\n" not in message
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(("overrides", "parts"), WARNED.items())
def test_surprising_combinations_cause_one_warning(overrides: str, parts: list[str]) -> None:
    with pytest.warns(UserWarning) as caught:
        compose([*TINY, *overrides.split()])
    assert len(caught) == 1
    assert all(part in str(caught[0].message) for part in parts)


@pytest.mark.parametrize("overrides", ALLOWED)
def test_other_combinations_are_allowed_without_a_warning(overrides: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compose([*TINY, *overrides.split()])
    assert [str(warning.message) for warning in caught] == []


def test_a_discriminator_that_couples_samples_itself_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family("discriminator"), "_entries", dict(family("discriminator")._entries))
    family("discriminator").register("coupled", traits=("couples_samples",))(PatchDiscriminator)
    with pytest.warns(UserWarning) as caught:
        compose([*TINY, "discriminator.name=coupled"])
    assert [str(warning.message) for warning in caught] == [
        "discriminator=coupled with lipschitz=gp: the penalty is per image, but an image's score depends on the other"
        " images in the batch"
    ]

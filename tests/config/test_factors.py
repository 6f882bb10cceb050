"""Factors, the settings by which runs are compared."""

from stargan_lab import compose
from stargan_lab.config.factors import factors

TINY = ["preset=tiny"]


def test_an_option_that_differs_from_its_default_is_a_factor() -> None:
    base = factors(compose(TINY))
    for overrides, key, value in (
        ("optimizer=rmsprop", "optimizer.name", "rmsprop"),
        ("generator.padding=reflect generator.norm=layer", "generator.padding", "reflect"),
        ("discriminator.head_bias=true", "discriminator.head_bias", "true"),
        (
            "discriminator.norm=group discriminator.norm_options={groups:2}",
            "discriminator.norm_options",
            "{groups: 2}",
        ),
        ("targets=different", "targets", "different"),
        ("seed=3", "seed", "3"),
        ("weights.rec=2", "weights.rec", "2.0"),
        ("data.image_size=32", "data.image_size", "32"),
    ):
        assert base.get(key) != value == factors(compose([*TINY, *overrides.split()]))[key], overrides


def test_defaults_and_settings_without_effect_on_results_are_not_factors() -> None:
    result = factors(compose(TINY))
    assert {"generator.output", "lipschitz.reduction", "optimizer.beta2", "trainer.log_every", "imports"}.isdisjoint(
        result
    )
    assert (
        result["generator.name"] == "resnet" and result["lipschitz.name"] == "gp" and result["generator.width"] == "4"
    )


def test_further_keys_are_added_if_they_exist() -> None:
    result = factors(compose(TINY), ["trainer.precision", "discriminator.norm", "no.such.key"])
    assert result["trainer.precision"] == "float32" and result["discriminator.norm"] == "none"
    assert "no.such.key" not in result

"""The factors shown to compare runs by: what is usual, and whatever departs from its default."""

from stargan_lab import compose
from stargan_lab.config.factors import factors

TINY = ["preset=tiny"]


def test_runs_that_differ_in_any_option_of_a_component_can_be_told_apart() -> None:
    base = factors(compose(TINY))
    for override, key in {
        "optimizer=rmsprop": "optimizer.name",
        "generator.output=sigmoid": "generator.output",
        "generator.padding=reflect generator.norm=layer": "generator.padding",
        "lipschitz.reduction=mean": "lipschitz.reduction",
        "discriminator.head_bias=true": "discriminator.head_bias",
        "schedule=linear schedule.decay_steps=3": "schedule.decay_steps",
        "targets=different": "targets",
    }.items():
        other = factors(compose([*TINY, *override.split()]))
        assert other.get(key) != base.get(key), override
        assert other[key] == override.split()[0 if "padding" in override else -1].split("=")[1]


def test_options_at_their_defaults_are_not_all_listed() -> None:
    found = factors(compose(TINY))
    assert {"generator.output", "lipschitz.reduction", "optimizer.beta2"}.isdisjoint(found)
    assert found["generator.name"] == "resnet" and found["lipschitz.name"] == "gp"
    assert factors(compose(TINY), ["trainer.precision"])["trainer.precision"] == "float32"

"""The run id changes with everything that can change a number, and with nothing else."""

import pytest

from stargan_lab import compose
from stargan_lab.config import run_id

BASE = ["preset=tiny", "trainer.device=cpu"]
PRINTS = ["abc"]


def identity(*overrides: str) -> str:
    return run_id(compose([*BASE, *overrides]), PRINTS)


@pytest.mark.parametrize(
    "override",
    [
        "paths.outputs=elsewhere",
        "tracking.enabled=false",
        "tracking.uri=sqlite:///x.db",
        "+tracking.ablations.h=v",
        "trainer.log_every=7",
        "trainer.sample_every=0",
        "trainer.checkpoint_every=9",
        "trainer.evaluate_every=3",
        "trainer.workers=2",
        "trainer.sample_images=2",
        "evaluation.batch_size=3",
        "evaluation.extractor=classifier",
        "data.sources.faces.root=/somewhere",
    ],
)
def test_what_cannot_change_the_numbers_is_left_out(override: str) -> None:
    assert identity(override) == identity()


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "total_steps=5",
        "batch_size=5",
        "n_critic=1",
        "generator.width=5",
        "generator.output=sigmoid",
        "discriminator.norm=layer",
        "discriminator.bias=false",
        "lipschitz=none",
        "lipschitz.one_sided=true",
        "weights.rec=1",
        "ema.decay=0.9",
        "schedule=linear",
        "optimizer.beta1=0.4",
        "data.sources.faces.flip=false",
        "trainer.precision=float64",
        "trainer.threads=2",
        "trainer.channels_last=true",
    ],
)
def test_what_changes_the_numbers_is_in_it(override: str) -> None:
    assert identity(override) != identity()


def test_the_data_are_in_it() -> None:
    assert run_id(compose(BASE), ["other"]) != identity()


def test_order_of_overrides_is_not() -> None:
    assert identity("seed=1", "n_critic=1") == identity("n_critic=1", "seed=1")


def test_no_two_of_the_variants_collide() -> None:
    ids = {identity(f"discriminator.norm={norm}", f"seed={seed}") for norm in ("none", "layer") for seed in range(5)}
    assert len(ids) == 10


def test_groups_count_where_the_targets_heed_them() -> None:
    """Which labels exclude each other decides what ``different`` asks for; under ``permuted`` only the scoring."""
    apart = ["data.sources.faces.exclusive=[[Black_Hair,Blond_Hair,Brown_Hair],[Male,Young]]"]
    assert identity(*apart) == identity()
    assert identity("targets=different") != identity()
    assert identity("targets=different", *apart) != identity("targets=different")

"""Composing many configurations at once gives what composing each of them gives."""

import warnings
from pathlib import Path

import pytest

from stargan_lab.ablation.plan import merge
from stargan_lab.ablation.spec import available, load
from stargan_lab.config.compose import compose
from stargan_lab.config.composer import Composer
from stargan_lab.errors import ConfigError

CASES = {
    "values": ["preset=tiny", "generator.width=8", "optimizer.g_lr=1e-3", "ema.decay=0.5"],
    "groups and values": ["adversarial=lsgan", "preset=tiny", "lipschitz=clip", "lipschitz.bound=0.1"],
    "added keys": ["preset=tiny", "+terms.total_variation.weight=0.1", "n_critic=4"],
    "quoted text": ["preset=tiny", "paths.outputs='a b'", 'tracking.uri="http://x"'],
    "lists and nulls": ["preset=tiny", "trainer.sample_images=[a.png]", "evaluation.max_images=null"],
    "a mapping is merged": ["preset=tiny", "weights={rec: 5}"],
    "an interpolation": ["preset=tiny", "batch_size=3", "data.sources.faces.seed=${batch_size}"],
    "the last of two values": ["preset=tiny", "total_steps=5", "total_steps=6"],
    "a component by name": ["preset=tiny", "schedule.name=linear"],
    "null in place of a mapping": ["preset=tiny", "terms=null"],
}


@pytest.mark.parametrize("case", CASES)
def test_result_equals_hydras(case: str) -> None:
    composer = Composer()
    assert composer(CASES[case]) == compose(CASES[case])
    assert composer([*CASES[case], "seed=3"]) == compose([*CASES[case], "seed=3"])
    assert composer(CASES[case]) == compose(CASES[case])  # unchanged by the second


def test_shipped_ablations() -> None:
    for name in sorted(available())[::3]:
        ablation = load(name)
        composer = Composer()
        for overrides in list(ablation.variants.values())[:2]:
            words = merge(*ablation.base, *overrides, "trainer.threads=1")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert composer(words) == compose(words), (name, overrides)


WRONG = {
    "unknown key": ["preset=tiny", "generator.wdth=8"],
    "unknown group": ["preset=tiny", "adversarial=wgn"],
    "wrong type": ["preset=tiny", "n_critic=two"],
    "below a value": ["preset=tiny", "seed.x=1"],
    "several values": ["preset=tiny", "n_critic=1,2"],
    "not an override": ["preset=tiny", "n_critic"],
    "negative seed": ["preset=tiny", "seed=-1"],
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_equal_hydras(case: str) -> None:
    with pytest.raises(ConfigError) as expected:
        compose(WRONG[case])
    with pytest.raises(ConfigError) as error:
        Composer()(WRONG[case])
    assert str(error.value) == str(expected.value)


def test_seeds_share_everything_else() -> None:
    words = ["preset=tiny", "adversarial=hinge"]
    configs = Composer().with_seeds(words, [0, 5, 2])
    assert configs == [compose([*words, f"seed={seed}"]) for seed in (0, 5, 2)]
    assert configs[2].generator is configs[0].generator
    with pytest.raises(ConfigError, match=r"^seed: expected at least 0"):
        Composer().with_seeds(words, [0, -1])


def test_a_value_that_follows_the_seed_is_not_shared(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(
        "defaults: [synthfaces_tiny, _self_]\nsources: {faces: {seed: '${seed}'}}\n"
    )
    configs = Composer(tmp_path).with_seeds(["preset=tiny", "data=mine", "data.image_size=16"], [1, 2])
    assert [config.data.sources["faces"].options["seed"] for config in configs] == [1, 2]

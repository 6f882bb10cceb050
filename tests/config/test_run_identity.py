"""The run id changes with everything that can change a result, and with nothing else."""

import pytest
import torch
from joblib import cpu_count

from stargan_lab import build_networks, compose
from stargan_lab.config import RunConfig, run_id
from stargan_lab.config.run_identity import thread_count
from stargan_lab.labels import LabelLayout, LabelSpec

BASE = ["preset=tiny", "trainer.device=cpu"]
LAYOUT = LabelLayout((LabelSpec("faces", ("Male", "Young")),))


def config(*overrides: str) -> RunConfig:
    return compose([*BASE, *overrides])


def identity(*overrides: str, fingerprint: str = "abc") -> str:
    return run_id(config(*overrides), [fingerprint])


def test_settings_that_cannot_change_results_are_left_out() -> None:
    assert (
        identity(
            "paths.outputs=elsewhere",
            "tracking.enabled=false",
            "+tracking.ablations.h=v",
            "trainer.log_every=7",
            "trainer.sample_every=0",
            "trainer.checkpoint_every=9",
            "trainer.evaluate_every=3",
            "trainer.workers=2",
            "trainer.sample_images=2",
            "evaluation.batch_size=3",
            "quiet=true",
            "data.sources.faces.root=/somewhere",
        )
        == identity()
    )


def test_every_setting_that_changes_results_gives_another_id() -> None:
    overrides = [
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
        "trainer.devices=2",
        "trainer.channels_last=true",
        "trainer.joint_pass=false",
        "trainer.precision=bfloat16",
        "trainer.precision=bfloat16 trainer.discriminator_precision=float32",
    ]
    ids = [identity(), identity(fingerprint="other data"), *(identity(*override.split()) for override in overrides)]
    assert len(set(ids)) == len(overrides) + 2


def test_devices_share_the_cores_of_the_machine(monkeypatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 6)
    counts = [thread_count(config(f"trainer.devices={n}", "trainer.threads=null")) for n in (1, 2, 4)]
    assert counts == [6, 3, 1]
    assert thread_count(config("trainer.devices=2", "trainer.threads=5")) == 5


def test_a_containers_cpu_quota_limits_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """``LOKY_MAX_CPU_COUNT`` stands for the quota, which joblib takes the minimum with."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert thread_count(config("trainer.threads=null")) == 1
    assert identity("trainer.threads=null") == identity("trainer.threads=1")


LINEAR, GROUP, DEPTH_3 = "schedule=linear total_steps=10", "discriminator.norm=group", "discriminator.depth=3"
SAME = [
    ("diagnostics.enabled=false", "diagnostics.enabled=true diagnostics.every=7"),
    ("trainer.cuda_graphs=false", "trainer.cuda_graphs=true"),
    ("discriminator.norm=batch", "discriminator.norm=batch trainer.joint_pass=false"),
    ("trainer.autotune=false", "trainer.autotune=true"),
    ("trainer.discriminator_precision=same", "trainer.discriminator_precision=float32"),
    ("generator.affine=null", "generator.affine=true"),
    ("generator.conditioning=adain", "generator.conditioning=adain generator.affine=false"),
    ("generator=unet generator.depth=3", "generator=unet generator.depth=3 generator.affine=true"),
    ("generator.norm=none generator.affine=true", "generator.norm=none generator.affine=false"),
    ("generator.inplace=true", "generator.inplace=false"),
    ("discriminator.bias=true", "discriminator.bias=[0,1]"),
    ("discriminator.bias=false", "discriminator.bias=[]"),
    ("discriminator.bias=[0,1]", "discriminator.bias=[1,0,1]"),
    ("discriminator.bias=[0,1]", "discriminator.bias=[-1,-2]"),
    ("discriminator.norm_affine=true", "discriminator.norm_affine=false"),
    (f"{GROUP} discriminator.norm_options=null", f"{GROUP} discriminator.norm_options={{groups:null}}"),
    ("generator.norm=group generator.norm_options={}", "generator.norm=group generator.norm_options={groups:null}"),
    ("discriminator.depth=1 discriminator.norm=none", "discriminator.depth=1 discriminator.norm=layer"),
]
"""Pairs of overrides that build the same networks."""


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("first", "second"), SAME)
def test_settings_that_build_the_same_networks_have_one_id(first: str, second: str) -> None:
    assert identity(*first.split()) == identity(*second.split())
    for one, other in zip(*(build_networks(config(*o.split()), LAYOUT) for o in (first, second)), strict=True):
        states = one.state_dict(), other.state_dict()
        assert list(states[0]) == list(states[1])
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LINEAR, f"{LINEAR} schedule.decay_steps=5"),
        (f"{LINEAR} schedule.decay_steps=10", f"{LINEAR} schedule.decay_steps=99"),
        ("weights.rec=10", "weights.rec=10.0"),
        ("seed=1 n_critic=1", "n_critic=1 seed=1"),
        ("trainer.threads=null", f"trainer.threads={cpu_count()}"),
    ],
)
def test_settings_of_the_same_meaning_have_one_id(first: str, second: str) -> None:
    assert identity(*first.split()) == identity(*second.split())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("generator.affine=null", "generator.affine=false"),
        (f"{DEPTH_3} discriminator.bias=[0,1]", f"{DEPTH_3} discriminator.bias=true"),
        (f"{DEPTH_3} discriminator.bias=[0,1]", f"{DEPTH_3} discriminator.bias=[0,2]"),
        (GROUP, f"{GROUP} discriminator.norm_options={{groups:2}}"),
        (GROUP, f"{GROUP} discriminator.norm_affine=false"),
        (LINEAR, f"{LINEAR} schedule.decay_steps=6"),
        ("discriminator.depth=1 discriminator.norm=none", "discriminator.depth=1 discriminator.norm=spectral"),
    ],
)
def test_settings_of_another_meaning_have_another_id(first: str, second: str) -> None:
    assert identity(*first.split()) != identity(*second.split())


def test_label_groups_count_only_if_the_targets_use_them() -> None:
    """Under ``permuted`` they only affect scoring. Neither their order nor labels that are not trained on matter."""

    def groups(text: str) -> str:
        return f"data.sources.faces.exclusive={text}"

    assert identity(groups("[[Male,Young]]")) == identity()
    different = [
        identity("targets=different", groups(text)) for text in ("[[Black_Hair,Male],[Young]]", "[[Male,Young]]")
    ]
    assert len({*different, identity("targets=different")}) == 3
    assert identity("targets=different", groups("[[Young],[Male,Black_Hair,Gray_Hair]]")) == different[0]

"""How steps are computed: ``auto`` is replaced before a run is identified, and one pass needs an uncoupled norm."""

import pytest
import torch

from stargan_lab import compose
from stargan_lab.config import run_id
from stargan_lab.config.machine import AUTOMATIC, COMPILED_FROM
from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.models.discriminators import PatchDiscriminator
from stargan_lab.registry import family
from stargan_lab.runs.build import build_execution, build_train_state
from stargan_lab.training.updates import Execution

TINY = ["preset=tiny", "trainer.device=cpu"]
LAYOUT = LabelLayout((LabelSpec("faces", ("Male", "Young")),))


def test_the_defaults_are_float32_in_one_pass() -> None:
    assert build_execution(compose(TINY)) == Execution(joint_pass=True)


@pytest.mark.parametrize(
    ("amx", "avx512", "precision"), [(True, False, "bfloat16"), (False, True, "bfloat16"), (False, False, "float32")]
)
def test_fast_on_a_cpu_uses_half_precision_where_the_hardware_does(
    amx: bool, avx512: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    execution = build_execution(compose([*TINY, "trainer=fast"]))
    assert execution == Execution(precision, "float32", joint_pass=True)


@pytest.mark.parametrize(("steps", "compiled"), [(COMPILED_FROM - 1, False), (COMPILED_FROM, True)])
def test_fast_on_a_gpu_compiles_long_runs_only(steps: int, compiled: bool) -> None:
    config = compose(["trainer=fast", "trainer.device=cuda", f"total_steps={steps}"])
    expected = Execution("bfloat16", "same", compiled, compiled, joint_pass=True, cuda_graphs=True)
    assert build_execution(config) == expected


def test_auto_is_recorded_and_identified_as_what_it_chose() -> None:
    automatic = compose([*TINY, *(f"trainer.{key}=auto" for key in AUTOMATIC)])
    values = {key: getattr(automatic.trainer, key) for key in AUTOMATIC}
    chosen = compose([*TINY, *(f"trainer.{key}={value}" for key, value in values.items())])
    assert "auto" not in values.values()
    assert automatic.flat() == chosen.flat() and run_id(automatic, ["x"]) == run_id(chosen, ["x"])


@pytest.mark.parametrize(("norm", "joint"), [("none", True), ("instance", True), ("spectral", True), ("batch", False)])
@pytest.mark.filterwarnings("ignore")
def test_one_pass_only_where_no_norm_couples_samples(norm: str, joint: bool) -> None:
    assert build_execution(compose([*TINY, f"discriminator.norm={norm}"])).joint_pass is joint


def test_no_joint_pass_of_a_discriminator_that_couples_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family("discriminator"), "_entries", dict(family("discriminator")._entries))
    family("discriminator").register("coupled", traits=("couples_samples",))(PatchDiscriminator)
    assert not build_execution(compose([*TINY, "discriminator.name=coupled"])).joint_pass


def test_networks_have_the_memory_format_of_their_images() -> None:
    state = build_train_state(compose([*TINY, "trainer.channels_last=true"]), LAYOUT)
    assert state.memory_format is torch.channels_last
    weight = next(p for p in state.generator.parameters() if p.ndim == 4)
    assert weight.is_contiguous(memory_format=torch.channels_last)

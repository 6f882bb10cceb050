"""``auto`` on GPUs and CPUs that this machine need not have, and its dependence on the other settings."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from stargan_lab import compose
from stargan_lab.config import RunConfig
from stargan_lab.config.machine import AUTOMATIC, COMPILED_FROM
from stargan_lab.config.schema import TrainerConfig, annotations
from stargan_lab.config.yaml_files import CONF
from stargan_lab.registry import family
from stargan_lab.training.optimizers import make_capturable
from stargan_lab.yaml_text import load_yaml

LONG = f"total_steps={COMPILED_FROM}"
ON_GPU = ("trainer=fast", "trainer.device=cuda")


def settings(*overrides: str) -> dict[str, object]:
    """The values of ``AUTOMATIC`` in a configuration."""
    trainer = compose(overrides).trainer
    return {key: getattr(trainer, key) for key in AUTOMATIC}


def test_fast_sets_everything_that_can_be_automatic() -> None:
    can_be = {key for key, type_ in annotations(TrainerConfig).items() if "'auto'" in str(type_)}
    assert can_be == set(AUTOMATIC)
    fast = load_yaml((CONF / "trainer" / "fast.yaml").read_text())
    assert {key: value for key, value in fast.items() if key != "defaults"} == dict.fromkeys(AUTOMATIC, "auto")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), {"compile": True, "channels_last": True, "cuda_graphs": True, "autotune": True}),
        (("trainer.compile=false",), {"compile": False, "channels_last": False}),
        ((f"total_steps={COMPILED_FROM - 1}",), {"compile": False, "channels_last": False}),
        (("total_steps=1", "trainer.compile=true"), {"compile": True, "channels_last": True}),
        (("trainer.precision=float32",), {"precision": "float32", "compile": False, "channels_last": False}),
        (("trainer.channels_last=false",), {"compile": True, "channels_last": False}),
        (("trainer.cuda_graphs=false", "trainer.autotune=false"), {"cuda_graphs": False, "autotune": False}),
    ],
)
def test_what_is_set_decides_about_the_rest(overrides: tuple[str, ...], expected: dict[str, object]) -> None:
    chosen = settings(*ON_GPU, LONG, *overrides)
    assert {key: chosen[key] for key in expected} == expected


@pytest.mark.parametrize(
    "smaller",
    ["preset=small", "data.image_size=64", "batch_size=8", "generator.width=32", "discriminator.width=32"],
)
def test_steps_smaller_than_the_measured_one_are_not_compiled(smaller: str) -> None:
    size = ["discriminator.depth=5"] if smaller == "data.image_size=64" else []
    chosen = settings(smaller, *size, *ON_GPU, LONG)
    assert (chosen["compile"], chosen["channels_last"], chosen["cuda_graphs"]) == (False, False, True)


@pytest.mark.parametrize(
    ("visible", "native", "precision"), [(True, True, "bfloat16"), (True, False, "float32"), (False, False, "bfloat16")]
)
def test_a_gpu_that_emulates_bfloat16_uses_float32(
    visible: bool, native: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: visible)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    chosen = settings("preset=tiny", *ON_GPU)
    assert (chosen["precision"], chosen["cuda_graphs"]) == (precision, True)


def test_nothing_that_only_a_gpu_has_is_recorded_on_a_cpu() -> None:
    chosen = settings("preset=tiny", "trainer=fast", "trainer.device=cpu", "trainer.devices=2")
    assert [chosen[key] for key in ("compile", "channels_last", "cuda_graphs", "autotune")] == [False] * 4


def test_several_gpus_run_steps_eagerly() -> None:
    chosen = settings("preset=tiny", *ON_GPU, "trainer.devices=2")
    assert (chosen["cuda_graphs"], chosen["autotune"], chosen["precision"]) == (False, True, "bfloat16")


@pytest.fixture
def sgd() -> Iterator[str]:
    """The name of an optimizer without the option ``capturable``."""

    def build(parameters: list[nn.Parameter], network: str, *, lr: float = 0.1) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr)

    family("optimizer").register("plain")(build)
    yield "plain"
    del family("optimizer")._entries["plain"]


def recorded(optimizer: str) -> RunConfig:
    return compose(["preset=tiny", *ON_GPU, "~optimizer", f"+optimizer={{name: {optimizer}}}"])


def test_an_optimizer_that_cannot_be_recorded_runs_eagerly(sgd: str) -> None:
    for name in family("optimizer").names():
        optimizer = family("optimizer").get(name)([torch.zeros(1, requires_grad=True)], "generator")
        if recorded(name).trainer.cuda_graphs:
            make_capturable(optimizer, torch.device("cpu"))
    assert not recorded(sgd).trainer.cuda_graphs
    assert all(recorded(name).trainer.cuda_graphs for name in ("adam", "rmsprop"))

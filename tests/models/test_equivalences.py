"""Settings that look different and are not: biases before a norm, label planes, in-place activations."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tiny import make_critic, make_generator
from torch import Tensor, nn

K = 3
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "inplace.py"


def images(n: int = 2, size: int = 16) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(
    ("norm", "removed"), [("instance", True), ("batch", True), ("layer", False), ("group", False), ("none", False)]
)
def test_a_bias_before_a_norm_per_channel_has_no_effect(norm: str, removed: bool) -> None:
    """A norm over one channel subtracts its mean, bias included; a norm over several channels does not."""
    critic = make_critic(K, size=16, norm=norm).double()
    bias = critic.main[2].bias  # before the first norm
    before = critic(images())
    (gradient,) = torch.autograd.grad(before[0].square().sum(), bias)
    with torch.no_grad():
        bias.add_(torch.linspace(-3, 3, len(bias)))
    for old, new in zip(before, critic(images()), strict=True):
        assert torch.allclose(old, new, rtol=0, atol=1e-9) is removed
    assert bool(gradient.abs().max() < 1e-12) is removed


def test_the_bias_of_the_first_layer_which_has_no_norm_has_an_effect() -> None:
    critic = make_critic(K, size=16, norm="instance").double()
    before = critic(images())[0]
    with torch.no_grad():
        critic.main[0].bias.add_(1)
    assert (critic(images())[0] - before).abs().max() > 1e-3


def shift_of_label(padding: str) -> tuple[Tensor, Tensor]:
    """(N, C, H, W), what label planes add to the first convolution's output, and (C,), the bias that they equal."""
    generator = make_generator(K, padding=padding).double()
    label = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64).expand(2, -1)
    first = generator.main[0]
    with_label, without = (first(generator.condition.inputs(images(), each)) for each in (label, 0 * label))
    taps = first.weight if isinstance(first, nn.Conv2d) else next(first.parameters())
    return (with_label - without).detach(), (taps[:, 3:].sum((2, 3)) @ label[0]).detach()


@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
def test_label_planes_are_a_bias_except_where_the_kernel_reaches_into_zeros(padding: str) -> None:
    shift, bias = shift_of_label(padding)
    difference = (shift - bias[None, :, None, None]).abs().amax((0, 1))
    reach = 3  # of a kernel of 7
    assert difference[reach:-reach, reach:-reach].max() < 1e-12
    border = difference.clone()
    border[reach:-reach, reach:-reach] = torch.inf
    if padding == "zero":
        assert border.min() > 1e-4  # at every pixel of the border
    else:
        assert difference.max() < 1e-12


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("inplace", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_activations_in_place_save_no_memory_in_training(benchmark: ModuleType) -> None:
    """Both settings keep the same for the backward pass; the peak differs by at most 5 %, in either direction."""
    overrides = ["preset=tiny", "generator.width=16", "data.image_size=32", "data.sources.faces.size=32"]
    (loss, kept, peak), (other_loss, other_kept, other_peak) = (
        benchmark.measure([*overrides, f"generator.inplace={inplace}"]) for inplace in ("true", "false")
    )
    assert torch.equal(loss, other_loss)
    assert kept == other_kept > 2**20
    assert peak == pytest.approx(other_peak, rel=0.05)

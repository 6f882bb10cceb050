"""Other ways to compute parts of a training step, against the one that is used: ``python benchmarks/alternatives.py``.

    discriminator   gradients of its loss: torch's own layers, real, translated and interpolated images in one pass,
                    compiled plain passes, the whole loss with a functional double backward in one compiled graph,
                    compiled autograd
    generator       five batches without gradients, one after another or in one pass; the last convolution as torch
                    computes it
    optimizer       Adam over the discriminator's weights: fused, foreach, one tensor after another
    norm            instance norm with its gradients, by group norm's kernels or its own
    planes          the generator's first convolution with its gradients: images and label planes as its input, or
                    images alone and the labels as a bias that is exact at the border
    last            the generator's last convolution with its gradients, as two convolutions or torch's one
    product         the discriminator's last stride-2 convolution with its gradients and their derivative, as a matrix
                    product (at 64 px) or torch's convolution

The sizes are those of ``step.py``. The ways alternate, one thread, CPU time. A gradient that differs from the first
way's by more than 1e-4 (relative, L2; 0.05 in bfloat16) ends the benchmark. The last line of the output is JSON:
milliseconds, and the median and quartiles of the ratio to the first way, above 1 if faster, or the error of a way that
torch cannot compute.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from statistics import median
from typing import Any

import torch
from spread import machine, quartiles
from step import LABELS, SIZES
from torch import Tensor, nn
from torch.nn import functional

from stargan_lab.config import compose
from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.models import few_outputs, twice
from stargan_lab.models.norms import InstanceNorm
from stargan_lab.runs.build import build_train_state
from stargan_lab.training.updates import TrainState

Way = Callable[[], Sequence[Tensor]]


def networks(size: int) -> TrainState:
    sizes = SIZES[size]
    shape = [f"data.image_size={size}", f"batch_size={sizes['batch_size']}", f"discriminator.depth={sizes['depth']}"]
    widths = [f"{network}.width={sizes['width']}" for network in ("generator", "discriminator")]
    config = compose(["preset=reference", "trainer.device=cpu", *shape, *widths])
    return build_train_state(config, LabelLayout((LabelSpec("faces", tuple("abcde")),)))


def torchs(network: nn.Module) -> nn.Module:
    """The same network, weights included, with torch's own layers."""
    for module in network.modules():
        if isinstance(module, twice.Conv2d | few_outputs.Conv2d):
            module.__class__ = nn.Conv2d
        elif isinstance(module, twice.LeakyReLU):
            module.__class__ = nn.LeakyReLU
    return network


def discriminator(size: int) -> dict[str, Way]:
    random, count = torch.Generator().manual_seed(0), SIZES[size]["batch_size"]
    critic, plain = networks(size).critic, torchs(networks(size).critic)
    real, fake = (torch.rand(count, 3, size, size, generator=random) * 2 - 1 for _ in range(2))
    labels = torch.randint(2, (count, LABELS), generator=random).float()
    alpha = torch.rand(count, 1, 1, 1, generator=random)

    def loss(scores: Tensor, logits: Tensor, slope: Tensor) -> Tensor:
        of_real, of_fake = scores[: 2 * count].chunk(2)
        classes = functional.binary_cross_entropy_with_logits(logits[:count], labels, reduction="sum") / count
        norms = torch.linalg.vector_norm(slope.flatten(1), dim=1)
        return of_fake.mean() - of_real.mean() + classes + 10 * (norms - 1).square().mean()

    def between() -> Tensor:
        return (alpha * real + (1 - alpha) * fake).requires_grad_()

    def slope(network: nn.Module) -> Tensor:
        x = between()
        (gradient,) = torch.autograd.grad(network(x)[0].sum(), x, create_graph=True)
        return gradient

    def eager(network: nn.Module, pass_: Callable[..., Any]) -> Tensor:
        return loss(*pass_(torch.cat([real, fake])), slope(network))

    def one_pass() -> Tensor:
        x = torch.cat([real, fake, between()])
        scores, logits = critic(x)
        (gradient,) = torch.autograd.grad(scores[2 * count :].sum(), x, create_graph=True)
        return loss(scores, logits, gradient[2 * count :])

    def functional_loss(weights: dict[str, Tensor]) -> Tensor:
        def scored(x: Tensor) -> tuple[Tensor, Tensor]:
            result: tuple[Tensor, Tensor] = torch.func.functional_call(critic, weights, (x,))
            return result

        gradient = torch.func.grad(lambda x: scored(x)[0].sum())(alpha * real + (1 - alpha) * fake)
        return loss(*scored(torch.cat([real, fake])), gradient)

    def gradients(of: Tensor, network: nn.Module = critic) -> Sequence[Tensor]:
        return torch.autograd.grad(of, list(network.parameters()))

    def compiled_autograd() -> Sequence[Tensor]:
        of = eager(plain, plain)
        with torch._dynamo.compiled_autograd._enable(torch.compile):
            return gradients(of, plain)

    compiled, whole = torch.compile(critic, dynamic=False), torch.compile(functional_loss, dynamic=False)
    return {
        "used": lambda: gradients(eager(critic, critic)),
        "torch's layers": lambda: gradients(eager(plain, plain), plain),
        "interpolates in the same pass": lambda: gradients(one_pass()),
        "plain passes compiled": lambda: gradients(eager(critic, compiled)),
        "all in one compiled graph": lambda: gradients(whole(dict(critic.named_parameters()))),
        "torch's layers, compiled autograd": compiled_autograd,
    }


def generator(size: int) -> dict[str, Way]:
    random, count = torch.Generator().manual_seed(0), SIZES[size]["batch_size"]
    network, plain = networks(size).generator, torchs(networks(size).generator)
    images = [torch.rand(count, 3, size, size, generator=random) * 2 - 1 for _ in range(5)]
    labels = [torch.randint(2, (count, LABELS), generator=random).float() for _ in range(5)]

    def each(module: nn.Module) -> Sequence[Tensor]:
        return [module(*pair) for pair in zip(images, labels, strict=True)]

    ways = {
        "used": lambda: each(network),
        "five batches in one pass": lambda: network(torch.cat(images), torch.cat(labels)).chunk(5),
        "torch's last convolution": lambda: each(plain),
    }
    return {name: torch.no_grad()(way) for name, way in ways.items()}


def optimizer(size: int) -> dict[str, Way]:
    weights = list(networks(size).critic.parameters())
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    kinds = {"used": {"fused": True}, "foreach": {"foreach": True}, "one after another": {"foreach": False}}
    steps = {name: torch.optim.Adam(weights, 1e-4, (0.5, 0.999), **kind).step for name, kind in kinds.items()}
    return {name: (lambda step=step: (step(), [])[1]) for name, step in steps.items()}


def norm(size: int) -> dict[str, Way]:
    width, x = SIZES[size]["width"], maps(size, size)
    ours = InstanceNorm(width)
    return {"used": once(ours, x), "instance norm's kernels": once(nn.InstanceNorm2d(width, affine=True), x)}


def planes(size: int) -> dict[str, Way]:
    sizes = SIZES[size]
    first = networks(size).generator.get_submodule("main.0")
    images = (torch.rand(sizes["batch_size"], 3, size, size) * 2 - 1).requires_grad_()
    labels = torch.randint(2, (sizes["batch_size"], LABELS)).float()
    # [y, i] is 1 where row i of the kernel, centered at y, lies within the image
    offset = torch.arange(size)[:, None] + torch.arange(7) - 3
    inside = ((offset >= 0) & (offset < size)).float()

    def concatenated() -> Tensor:
        of_labels = labels[:, :, None, None].expand(-1, -1, size, size)
        return functional.conv2d(torch.cat([images, of_labels], 1), first.weight, padding=3)

    def as_bias() -> Tensor:
        kernel = (labels @ first.weight[:, 3:].transpose(0, 1).flatten(1)).view(-1, 7, 7)
        bias = (inside @ kernel @ inside.T).view(len(labels), -1, size, size)
        return functional.conv2d(images, first.weight[:, :3], padding=3) + bias

    def with_gradients(output: Tensor) -> Sequence[Tensor]:
        return [output, *torch.autograd.grad(output.square().sum(), [images, first.weight])]

    return {"used": lambda: with_gradients(concatenated()), "labels as a bias": lambda: with_gradients(as_bias())}


def last(size: int) -> dict[str, Way]:
    ours, x = few_outputs.Conv2d(SIZES[size]["width"], 3, 7, 1, 3, bias=False), maps(size, size)
    return {"used": once(ours, x), "torch's": once(torchs(deepcopy(ours)), x)}


def product(size: int) -> dict[str, Way]:
    channels, before = SIZES[size]["width"] * 2 ** (SIZES[size]["depth"] - 2), size // 2 ** (SIZES[size]["depth"] - 1)
    ours, x = twice.Conv2d(channels, 2 * channels, 4, 2, 1), maps(size, before, channels)
    theirs = torchs(deepcopy(ours))

    def both(layer: nn.Module) -> Sequence[Tensor]:
        output = layer(x)
        (slope,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum() + output.sum(), [x, *layer.parameters()])

    return {"used": lambda: both(ours), "torch's": lambda: both(theirs)}


def maps(size: int, height: int, channels: int | None = None) -> Tensor:
    """Feature maps of a batch: those of the first layers, or those with so many channels."""
    sizes = SIZES[size]
    return torch.rand(sizes["batch_size"], channels or sizes["width"], height, height).requires_grad_()


def once(layer: nn.Module, x: Tensor) -> Way:
    """A layer's output, and the gradients of a weighted sum of it."""
    weights = torch.rand(layer(x).shape, generator=torch.Generator().manual_seed(0))

    def way() -> Sequence[Tensor]:
        output = layer(x)
        return [output, *torch.autograd.grad(output, [x, *layer.parameters()], weights.to(output.dtype))]

    return way


def checked(ways: dict[str, Way], tolerance: float) -> tuple[dict[str, Way], dict[str, Any]]:
    """The ways that work, after a first call; and for each way the seconds of that call, or its error."""
    expected, working, first = list(ways["used"]()), {}, dict[str, Any]()
    for name, way in ways.items():
        start = time.perf_counter()
        try:
            found = list(way())
        except Exception as error:  # of any kind: torch refuses some of them
            first[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        first[name] = round(time.perf_counter() - start, 1)
        for a, b in zip(expected, found, strict=True):
            assert (a - b).norm() <= tolerance * a.norm(), name
        working[name] = way
    return working, first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {part.__name__: part for part in (discriminator, generator, optimizer, norm, planes, last, product)}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--image-size", type=int, choices=SIZES, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bfloat16", action="store_true", help="in autocast")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16)
    compare(arguments, {name: autocast(way) for name, way in parts[arguments.part](arguments.image_size).items()})


def compare(arguments: argparse.Namespace, ways: dict[str, Way]) -> None:
    ways, first = checked(ways, 0.05 if arguments.bfloat16 else 1e-4)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            times[name].append(time.process_time() - start)
    result: dict[str, dict[str, Any]] = {name: {"first_call": seconds} for name, seconds in first.items()}
    for name, values in times.items():
        ratios = [used / other for used, other in zip(times["used"], values, strict=True)]
        result[name] |= {"ms": round(median(values) * 1e3, 2), "ratio": round(median(ratios), 2)}
        result[name]["quartiles"] = quartiles(ratios, 2)
        print(f"{name:36s} {result[name]['ms']:8.2f} ms  {result[name]['ratio']:.2f}  {result[name]['quartiles']}")
    print(json.dumps({**vars(arguments), **machine(), "ways": result}))


if __name__ == "__main__":
    main()

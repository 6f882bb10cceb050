"""Memory of in-place activations: ``python benchmarks/inplace.py [preset=small …]``.

Prints, with ``generator.inplace`` true and false, the peak memory of the tensors of one generator update (a
translation, its reconstruction and the backward pass) and how much of it the forward pass keeps for the backward pass.
Both settings give the same numbers, so they are one run and cannot be variants of an ablation.

An activation keeps its output and a norm its input, so both settings keep the same. Measured on the CPU; a GPU's
allocator and kernels may differ.
"""

import argparse
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from stargan_lab.config import compose
from stargan_lab.labels import LabelLayout, LabelSpec
from stargan_lab.runs.build import build_networks

LABELS = LabelSpec("faces", tuple("abcdef"))


def measure(overrides: list[str]) -> tuple[Tensor, int, int]:
    """Loss, bytes kept for the backward pass, and peak bytes; parameters and images are not counted."""
    config = compose([*overrides, "trainer.device=cpu"])
    generator, critic = build_networks(config, LabelLayout((LABELS,)))
    random = torch.Generator().manual_seed(0)
    images = torch.rand(config.batch_size, 3, *2 * [config.data.image_size], generator=random) * 2 - 1
    labels = torch.randint(2, (config.batch_size, len(LABELS.names)), generator=random).float()
    own = {parameter.untyped_storage().data_ptr() for parameter in (*generator.parameters(), *critic.parameters())}
    kept: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
            fake = generator(images, labels)
            scores, logits = critic(fake)
            loss = (images - generator(fake, labels.flip(0))).abs().mean() - scores.mean() + logits.square().mean()
        loss.backward()
    changes = sorted((event.start_ns(), event.nbytes()) for event in _memory_events(profiler))
    return loss.detach(), sum(kept.values()), max(accumulate(size for _, size in changes))


def _memory_events(profiler: profile) -> Iterator[Any]:
    """Allocations, with positive sizes, and releases."""
    results: Any = profiler.profiler.kineto_results  # type: ignore[union-attr]
    return (event for event in results.events() if event.name() == "[memory]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="default: preset=small")
    overrides = parser.parse_args().overrides or ["preset=small"]
    results = {inplace: measure([*overrides, f"generator.inplace={inplace}"]) for inplace in ("true", "false")}
    for inplace, (_, kept, peak) in results.items():
        print(f"inplace={inplace}: peak {peak / 2**20:.1f} MiB, {kept / 2**20:.1f} MiB kept for the backward pass")
    print(f"equal losses: {torch.equal(results['true'][0], results['false'][0])}")


if __name__ == "__main__":
    main()

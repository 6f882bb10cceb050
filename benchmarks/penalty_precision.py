"""Error of the gradient penalty's gradient in lower precision: ``python benchmarks/penalty_precision.py``.

Prints, for each precision, the relative error (L2, over all weights of the discriminator) of the penalty's gradient
against float64, with the initial weights and random images, and with norms as they are after training (``--scale``).
The last line of the output is JSON.
"""

import argparse
import json
from contextlib import nullcontext

import torch

from stargan_lab.losses.lipschitz import GradientPenalty
from stargan_lab.models.initialize import initialize
from stargan_lab.registry import family


def gradient(
    arguments: argparse.Namespace, dtype: torch.dtype, half: bool, tf32: bool = False, channels_last: bool = False
) -> torch.Tensor:
    size, device = arguments.image_size, arguments.device
    critic = family("discriminator").build("patchgan", 5, size, width=arguments.width, depth=arguments.depth)
    critic = initialize(critic, 0, "critic")
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(arguments.scale)
    critic = critic.to(device, dtype)
    random = torch.Generator().manual_seed(0)
    real, fake = (torch.rand(arguments.batch_size, 3, size, size, generator=random) * 2 - 1 for _ in range(2))
    alpha = torch.rand(1, arguments.batch_size, 1, 1, 1, generator=random)
    if channels_last:
        critic, real = critic.to(memory_format=torch.channels_last), real.contiguous(memory_format=torch.channels_last)
    torch.backends.cudnn.allow_tf32 = tf32
    with torch.autocast(device, torch.bfloat16) if half else nullcontext():
        loss = GradientPenalty().penalty(
            lambda x: critic(x)[0], real.to(device, dtype), fake.to(device, dtype), alpha.to(device, dtype)
        )
    assert loss is not None
    loss.backward()
    print(f"  {dtype!s:15s} half={half} tf32={tf32}: penalty {loss.item():.6f}")
    return torch.cat([p.grad.flatten().double() for p in critic.parameters() if p.grad is not None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all initial weights")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    exact = gradient(arguments, torch.float64, False)
    cases = {"float32": (torch.float32, False), "bfloat16": (torch.float32, True)}
    if arguments.device == "cuda":
        cases |= {"tf32": (torch.float32, False, True), "bfloat16 channels-last": (torch.float32, True, True, True)}
    errors = {}
    for name, case in cases.items():
        found = gradient(arguments, *case)
        errors[name] = ((found - exact).norm() / exact.norm()).item()
        cosine = torch.nn.functional.cosine_similarity(found, exact, dim=0).item()
        print(f"{name:24s} relative error {errors[name]:.2e}, cosine {cosine:.6f}")
    print(json.dumps({"image_size": arguments.image_size, "scale": arguments.scale, "errors": errors}))


if __name__ == "__main__":
    main()

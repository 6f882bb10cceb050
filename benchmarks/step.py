"""Time and memory of a training step: ``python benchmarks/step.py --image-size 64 --against PATH``.

PATH is a checkout of yunjey/stargan. Its own solver trains its own networks in this process, alternating with this
project's step under several settings of ``trainer``; a round is one cycle of each: n_critic discriminator updates and
one generator update, from batches in CPU memory. Ratios are medians over rounds of the reference's time over ours.
Without PATH, the default settings take the reference's place. The last line of the output is JSON:

    ratio, ratio_fp32   of the fastest setting, and of the fastest one in float32, with quartiles
    setting, seconds    the fastest setting, and its median time per discriminator update
    memory_ratio        memory of its training over the reference's, each in its own process, libraries not included;
                        memory_ratio_fp32 is that of the fastest setting in float32
    first_seconds       wall time until each setting has run once, compilation included
    floor_seconds       per discriminator update, the larger of: FLOPs over the measured rate of a matrix product, and
                        bytes of convolutions and optimizers over the measured bandwidth; floor_share is reached
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
from spread import machine, quartiles
from step_floor import floor
from step_reference import reference_cycle

from stargan_lab.config import compose
from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.runs.build import build_objective, build_train_state
from stargan_lab.training.graphs import GraphedStep
from stargan_lab.training.meter import Meter
from stargan_lab.training.updates import step_randomness, train_step

SIZES = {32: {"width": 16, "batch_size": 16, "depth": 5}, 64: {"width": 32, "batch_size": 8, "depth": 6}}
SIZES |= {128: {"width": 64, "batch_size": 2, "depth": 6}}
N_CRITIC, LABELS = 5, 5
EXACT: dict[str, list[str]] = {"two passes": ["joint_pass=false"], "default": []}
HALF = ["precision=bfloat16"]
LAST = [*HALF, "channels_last=true"]
MIXED = [*HALF, "discriminator_precision=float32"]
SETTINGS = {
    "cpu": EXACT
    | {
        "channels-last": ["channels_last=true"],
        "bf16": HALF,
        "bf16 generator": MIXED,
        "bf16, channels-last": LAST,
        "compiled": ["compile=true"],
        "bf16 generator, compiled": [*MIXED, "compile=true"],
    },
    "cuda": EXACT
    | {"graphs": ["cuda_graphs=true"]}
    | {"graphs, compiled": ["cuda_graphs=true", "compile=true"]}
    | {"bf16, channels-last": LAST, "bf16, graphs": [*HALF, "cuda_graphs=true"]}
    | {"bf16 generator, graphs": [*MIXED, "cuda_graphs=true"]}
    | {"bf16, channels-last, graphs": [*LAST, "cuda_graphs=true"]}
    | {"bf16, graphs, compiled": [*HALF, "cuda_graphs=true", "compile=true"]}
    | {"bf16, channels-last, graphs, compiled": [*LAST, "cuda_graphs=true", "compile=true"]},
}
Cycle = Callable[[], None]


def batches(arguments: argparse.Namespace) -> list[tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    shape = (arguments.batch_size, 3, arguments.image_size, arguments.image_size)
    return [
        (
            torch.rand(shape, generator=random) * 2 - 1,
            torch.randint(2, (arguments.batch_size, LABELS), generator=random).float(),
        )
        for _ in range(N_CRITIC)
    ]


def our_cycle(arguments: argparse.Namespace, setting: list[str], data: list[Any]) -> Cycle:
    """One cycle of this project's training, including its random numbers and its averages of losses."""
    depth = SIZES[arguments.image_size]["depth"]
    config = compose(
        ["preset=reference", f"data.image_size={arguments.image_size}", f"batch_size={arguments.batch_size}"]
        + [f"generator.width={arguments.width}", f"discriminator.width={arguments.width}"]
        + [f"discriminator.depth={depth}", f"trainer.device={arguments.device}"]
        + [f"trainer.{option}" for option in setting]
    )
    layout = LabelLayout((LabelSpec("faces", tuple("abcde")),))
    objective, train_state, meter = build_objective(config, layout), build_train_state(config, layout), Meter()
    update = GraphedStep() if train_state.records_steps else train_step

    def cycle() -> None:
        for index, (images, labels) in enumerate(data):
            randomness = step_randomness(0, train_state.step, len(images), objective.lipschitz.samples)
            batch = Batch(images, labels, 0)
            losses = update(train_state, objective, batch, randomness, index == N_CRITIC - 1)
            train_state.step += 1
            meter.add(train_state.step, losses)
        meter.read()

    return cycle


def timed(cycle: Cycle, device: str, clock: Callable[[], float]) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = clock()
    cycle()
    if device == "cuda":
        torch.cuda.synchronize()
    return (clock() - start) / N_CRITIC


def memory(arguments: argparse.Namespace, cycle: Callable[[], Cycle]) -> float:
    """MiB of training after warm-up: reserved on a CUDA device; on the CPU, the peak above the start of the process."""
    if arguments.device == "cuda":
        run = cycle()
        for _ in range(6):
            run()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_reserved() / 2**20
    import_libraries(arguments)
    before = status_kib("VmRSS")
    run = cycle()
    run(), run()
    return (status_kib("VmHWM") - before) / 2**10


def import_libraries(arguments: argparse.Namespace) -> None:
    """All that either side imports, so that it does not count as memory of the training."""
    import_module("torch._dynamo")  # the optimizers import it
    if arguments.against:
        sys.path.insert(0, str(arguments.against))
        import_module("solver")
    compose(["preset=reference"])
    gc.collect()


def status_kib(key: str) -> int:
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(f"{key}:"))


def measured_memory(arguments: argparse.Namespace, name: str) -> float:
    """``memory`` of a setting, or of the reference, in its own process."""
    command = [sys.executable, *sys.argv, "--memory-of", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, choices=SIZES, default=64)
    parser.add_argument("--against", type=Path, metavar="PATH", help="a checkout of yunjey/stargan")
    parser.add_argument("--device", choices=SETTINGS, default="cpu")
    parser.add_argument("--width", type=int, help="channels of both networks' first layers (16/32/64 at 32/64/128 px)")
    parser.add_argument("--batch-size", type=int, help="default: 16/8/2 at 32/64/128 px")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="of all threads, for a CPU that others use too")
    parser.add_argument("--settings", nargs="+", metavar="NAME", help="only these settings, by the names printed")
    parser.add_argument("--memory-of", metavar="NAME", help="only print the memory of a setting, or of reference")
    arguments = parser.parse_args()
    for key in ("width", "batch_size"):
        setattr(arguments, key, getattr(arguments, key) or SIZES[arguments.image_size][key])
    return arguments


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.benchmark = True  # as the reference's main.py sets it; for ours trainer.autotune
    data, settings = batches(arguments), SETTINGS[arguments.device]
    if arguments.settings:
        settings = {name: settings[name] for name in arguments.settings}
    makers: dict[str, Callable[[], Cycle]] = {
        name: lambda setting=setting: our_cycle(arguments, setting, data) for name, setting in settings.items()
    }
    base = "default"
    if arguments.against:
        base = "reference"
        makers = {base: lambda: reference_cycle(arguments, SIZES[arguments.image_size]["depth"], data)} | makers
    if arguments.memory_of:
        print(memory(arguments, makers[arguments.memory_of]))
        return
    compare(arguments, makers, base, settings)


def compare(
    arguments: argparse.Namespace, makers: dict[str, Callable[[], Cycle]], base: str, settings: dict[str, list[str]]
) -> None:
    cycles, first = {}, {}
    for name, make in makers.items():
        start = time.perf_counter()
        cycles[name] = make()
        for _ in range(5 if arguments.device == "cuda" else 1):  # recorded and compiled before anything is timed
            cycles[name]()
        first[name] = time.perf_counter() - start
        print(f"{name}: ready after {first[name]:.1f} s", flush=True)
    times: dict[str, list[float]] = {name: [] for name in cycles}
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    for number in range(arguments.rounds):
        order = list(cycles) if number % 2 == 0 else list(cycles)[::-1]  # no setting always follows the same one
        for name in order:
            times[name].append(timed(cycles[name], arguments.device, clock))
    ratios = {name: [b / a for a, b in zip(times[name], times[base], strict=True)] for name in times}
    for name, values in ratios.items():
        low, high = quartiles(values)
        print(f"{name:40s} {median(times[name]) * 1e3:9.2f} ms  {median(values):.2f}x  ({low:.2f} to {high:.2f})")
    report(arguments, ratios, times, base, settings, first)


def report(
    arguments: argparse.Namespace,
    ratios: dict[str, list[float]],
    times: dict[str, list[float]],
    base: str,
    settings: dict[str, list[str]],
    first: dict[str, float],
) -> None:
    def fastest(names: list[str]) -> str:
        return max(names, key=lambda name: median(ratios[name]))

    best = fastest(list(settings))
    exact = [name for name, setting in settings.items() if "precision=bfloat16" not in setting]
    fp32 = fastest(exact) if exact else None
    memories = {name: measured_memory(arguments, name) for name in dict.fromkeys((base, best, fp32)) if name}
    eager = our_cycle(
        arguments, [o for o in settings[best] if not o.startswith(("compile", "cuda"))], batches(arguments)
    )
    seconds = median(times[best])
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    bound = floor(eager, arguments.device, N_CRITIC, clock)
    print(
        json.dumps(
            {
                **{key: getattr(arguments, key) for key in ("image_size", "width", "batch_size", "threads", "rounds")},
                **machine(arguments.device),
                "clock": "CPU time" if arguments.cpu_time else "wall time",
                "against": base,
                "setting": best,
                "options": settings[best],
                "seconds": round(seconds, 6),
                "base_seconds": round(median(times[base]), 6),
                "ratio": round(median(ratios[best]), 3),
                "ratio_quartiles": quartiles(ratios[best]),
                "ratio_fp32": round(median(ratios[fp32]), 3) if fp32 else None,
                "ratio_fp32_quartiles": quartiles(ratios[fp32]) if fp32 else None,
                "setting_fp32": fp32,
                "memory_mib": {name: round(value, 1) for name, value in memories.items()},
                "memory_ratio": round(memories[best] / memories[base], 3),
                "memory_ratio_fp32": round(memories[fp32] / memories[base], 3) if fp32 else None,
                "first_seconds": {name: round(seconds, 1) for name, seconds in first.items()},
                **bound,
                "floor_share": round(bound["floor_seconds"] / seconds, 3),
                "ratios": {name: round(median(values), 3) for name, values in ratios.items()},
            }
        )
    )


if __name__ == "__main__":
    main()

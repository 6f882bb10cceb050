"""Time of a step by batch size, image size, width and number of datasets: ``python benchmarks/scaling.py``.

The default is 32 px, width 16, batch 16 and one dataset, with the default settings of ``trainer``; each row changes one
of them. Rows are measured in turn, and a ratio is the median over rounds of a row's time over the default's in the same
round. A step is one discriminator update; the time is that of a cycle, n_critic updates of the discriminator on each
dataset and one of the generator, divided by its number of steps. The last line of the output is JSON: for each row
seconds, ratio and quartiles, FLOPs and the floor, the larger of FLOPs over the measured rate of a matrix product and
bytes of convolutions and optimizers over the measured bandwidth.
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from spread import machine, quartiles
from step_floor import Cost, costs, rates

from stargan_lab.config import compose
from stargan_lab.labels import Batch, LabelLayout, LabelSpec
from stargan_lab.runs.build import build_objective, build_train_state
from stargan_lab.training.updates import step_randomness, train_step

DEFAULT = {"image size": 32, "width": 16, "batch size": 16, "datasets": 1}
GRID = {"batch size": (4, 8, 32), "image size": (64,), "width": (8, 32), "datasets": (2, 3)}
LABELS, N_CRITIC = 5, 5


def settings() -> dict[str, dict[str, int]]:
    """Row -> its sizes."""
    rows = {"default": DEFAULT}
    return rows | {f"{key} {value}": DEFAULT | {key: value} for key, values in GRID.items() for value in values}


def cycle_of(sizes: dict[str, int]) -> Callable[[], None]:
    size, width, count = sizes["image size"], sizes["width"], sizes["batch size"]
    words = ["preset=reference", f"data.image_size={size}", f"batch_size={count}", "trainer.device=cpu"]
    words += [f"generator.width={width}", f"discriminator.width={width}", "discriminator.depth=4"]
    config = compose(words)
    names = tuple(f"label {number}" for number in range(LABELS))
    layout = LabelLayout(tuple(LabelSpec(f"dataset {number}", names) for number in range(sizes["datasets"])))
    objective, state = build_objective(config, layout), build_train_state(config, layout)
    random = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, size, size, generator=random) * 2 - 1
    labels = torch.randint(2, (count, LABELS), generator=random).float()

    def cycle() -> None:
        for iteration in range(N_CRITIC):
            for source in range(sizes["datasets"]):
                randomness = step_randomness(0, state.step, count, objective.lipschitz.samples)
                train_step(state, objective, Batch(images, labels, source), randomness, iteration == N_CRITIC - 1)
                state.step += 1

    return cycle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu-time", action="store_true", help="of all threads, for a CPU that others use too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = clock_of(arguments)
    rows = settings()
    cycles = {name: cycle_of(sizes) for name, sizes in rows.items()}
    steps = {name: N_CRITIC * sizes["datasets"] for name, sizes in rows.items()}
    for cycle in cycles.values():
        cycle()
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(arguments.rounds):
        for name, cycle in cycles.items():
            start = clock()
            cycle()
            times[name].append((clock() - start) / steps[name])
    report(arguments, rows, times, {name: costs(cycle) for name, cycle in cycles.items()}, steps)


def clock_of(arguments: argparse.Namespace) -> Callable[[], float]:
    return time.process_time if arguments.cpu_time else time.perf_counter


def report(
    arguments: argparse.Namespace,
    rows: dict[str, dict[str, int]],
    times: dict[str, list[float]],
    cost: dict[str, Cost],
    steps: dict[str, int],
) -> None:
    rate, bandwidth = rates("cpu", torch.float32, clock_of(arguments))
    result: dict[str, dict[str, Any]] = {}
    print("| | ms per step | ratio | GFLOP | floor / time |\n|---|---|---|---|---|")
    for name in rows:
        ratios = [mine / base for mine, base in zip(times[name], times["default"], strict=True)]
        middle, (low, high) = median(ratios), quartiles(ratios)
        seconds, flops = median(times[name]), cost[name].total_flops / steps[name]
        floor = max(flops / rate, cost[name].bytes / steps[name] / bandwidth)
        result[name] = {"seconds": round(seconds, 6), "ratio": round(middle, 3)}
        result[name] |= {"ratio_quartiles": [low, high], "gflops": round(flops / 1e9, 3)}
        result[name] |= {"floor_seconds": round(floor, 6), "floor_share": round(floor / seconds, 3)}
        spread = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"| {name} | {seconds * 1e3:.1f} | {spread} | {flops / 1e9:.2f} | {floor / seconds:.0%} |")
    clock = "CPU time" if arguments.cpu_time else "wall time"
    rates_now = {"gflops_per_second": round(rate / 1e9, 1), "gib_per_second": round(bandwidth / 2**30, 1)}
    print(json.dumps({**machine(), "threads": arguments.threads, "clock": clock, **rates_now, "rows": result}))


if __name__ == "__main__":
    main()

"""Power of a verdict by number of seeds: ``python benchmarks/power.py [--figure docs/images/power.svg]``.

Prints a table of the probability to find a true difference, by its ratio to the standard deviation of the paired
differences, and draws the curves.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from stargan_lab.report.power import power
from stargan_lab.report.statistics import Correction

ALPHA = 0.05
RATIOS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
VARIANTS = (1, 4)
SEEDS = np.arange(2, 21)
TABLE = (2, 3, 4, 5, 6, 8, 10, 15, 20)


def curve(ratio: float, variants: int) -> np.ndarray:
    """Power at each of ``SEEDS``, [seeds]."""
    level = Correction(ALPHA, variants).level
    return power(ratio, SEEDS, [level(int(seeds)) for seeds in SEEDS])


def table(variants: int) -> str:
    """A Markdown table: a row per number of seeds, a column per ratio."""
    lines = ["| seeds | " + " | ".join(map(str, RATIOS)) + " |", "|---" * (len(RATIOS) + 1) + "|"]
    curves = [curve(ratio, variants) for ratio in RATIOS]
    for index, seeds in enumerate(SEEDS):
        if seeds in TABLE:
            lines.append(f"| {seeds} | " + " | ".join(f"{values[index]:.2f}" for values in curves) + " |")
    return "\n".join(lines)


def draw(path: Path) -> None:
    """One panel per number of variants."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    panels = figure.subplots(1, len(VARIANTS), sharey=True)
    for panel, variants in zip(panels, VARIANTS, strict=True):
        for ratio in RATIOS:
            panel.plot(SEEDS, curve(ratio, variants), marker=".", label=f"{ratio:g}")
        panel.axhline(0.8, color="gray", linewidth=0.8, linestyle="--")
        panel.set(title=f"{variants} variant{'s' if variants > 1 else ''} and a baseline", xlabel="seeds")
        panel.set_xticks(range(2, 21, 2))
    panels[0].set(ylabel="power", ylim=(0, 1.02))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="difference / sd", fontsize="small", loc="outside right center")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, default=Path("docs/images/power.svg"))
    path = parser.parse_args().figure
    for variants in VARIANTS:
        print(f"{variants} variant{'s' if variants > 1 else ''}:\n\n{table(variants)}\n")
    matplotlib.rcParams["svg.hashsalt"] = "power"  # the same file from the same numbers
    draw(path)
    print(path)


if __name__ == "__main__":
    main()

"""How fast SynthFaces are drawn, on one core: ``python benchmarks/synthfaces.py``.

Prints images per second at 32, 64 and 128 px, with the ratio to drawing them one at a time.
"""

import time
from statistics import median

from stargan_lab.data.faces import sample
from stargan_lab.data.renderer import render


def rate(size: int, count: int, step: int) -> float:
    """Images per second when ``count`` faces are drawn ``step`` at a time."""
    began = time.perf_counter()
    for start in range(0, count, step):
        render(sample(0, range(start, start + step), 0.5), size)
    return count / (time.perf_counter() - began)


def main() -> None:
    for size in (32, 64, 128):
        pairs = [(rate(size, 256, 64), rate(size, 64, 1)) for _ in range(5)]
        together = median(pair[0] for pair in pairs)
        print(f"{size} px: {together:,.0f} images/s, {median(a / b for a, b in pairs):.1f}x one at a time")


if __name__ == "__main__":
    main()

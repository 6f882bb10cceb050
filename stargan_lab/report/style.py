"""Style of a report's figures: vector files for papers, distinguishable in gray by marker and line style."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargan_lab.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which remains distinguishable with color vision deficiency
COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))


def look(i: int) -> dict[str, Any]:
    """Color, marker and line style of the i-th item; two items share all three only from the 245th on."""
    shift = i + i // len(COLORS)
    return {
        "color": COLORS[i % len(COLORS)],
        "marker": MARKERS[shift % len(MARKERS)],
        "linestyle": LINES[shift % len(LINES)],
    }


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches, without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write ``stem.svg`` or ``stem.pdf`` or both, with text as text and without a date: equal figures, equal files."""
    import matplotlib

    figure.draw_without_rendering()  # lays the axes out; doing it once is faster
    figure.set_layout_engine("none")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    paths = [stem.with_suffix(f".{name}") for name in formats]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stargan-lab", "pdf.fonttype": 42}):
        for path, name in zip(paths, formats, strict=True):
            write_atomically(path, partial(figure.savefig, format=name, metadata=dates[name]))
    return paths

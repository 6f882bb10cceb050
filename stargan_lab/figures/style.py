"""Style of figures: vector files for papers, distinguishable in gray by marker and line style."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stargan_lab.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which remains distinguishable with color vision deficiency
COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))

RASTER_DPI = 200
"""Resolution of the parts of a figure that are drawn as an image."""


def look(i: int) -> dict[str, Any]:
    """Color, marker and line style of the i-th item; two items share all three only from the 245th on."""
    shift = i + i // len(COLORS)
    return {
        "color": COLORS[i % len(COLORS)],
        "marker": MARKERS[shift % len(MARKERS)],
        "linestyle": LINES[shift % len(LINES)],
    }


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """An empty figure, in inches, without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def panel_figure(panels: int, columns: int, legend: float) -> tuple["Figure", list["Axes"]]:
    """A figure of equal panels with tick labels, and space for a legend below them.

    Its margins are fixed: matplotlib takes as long to compute them as to draw the figure.
    """
    lines = math.ceil(panels / columns)
    width, height = 3.4 * columns, 2.1 * lines + legend
    figure = new_figure(width, height, layout=None)
    inner_width, inner_height = 2.75, 1.42  # inches of a panel without its numbers and title
    grid = figure.add_gridspec(
        *(lines, columns),
        left=0.55 / width,
        right=1 - 0.1 / width,
        bottom=(legend + 0.4) / height,
        top=1 - 0.28 / height,
        wspace=(3.4 - inner_width) / inner_width,
        hspace=(2.1 - inner_height) / inner_height,
    )
    return figure, [figure.add_subplot(grid[divmod(i, columns)]) for i in range(panels)]


def save(figure: "Figure", stem: Path, formats: Sequence[str]) -> list[Path]:
    """Write ``stem.svg`` or ``stem.pdf`` or both, with text as text and without a date: equal figures, equal files."""
    import matplotlib

    if engine := figure.get_layout_engine():
        engine.execute(figure)  # once for all formats
    figure.set_layout_engine(None)  # "none" would leave a placeholder, for which each format is drawn twice
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    paths = [stem.with_suffix(f".{name}") for name in formats]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stargan-lab", "pdf.fonttype": 42}):
        for path, name in zip(paths, formats, strict=True):
            write_atomically(path, partial(figure.savefig, format=name, dpi=RASTER_DPI, metadata=dates[name]))
    return paths

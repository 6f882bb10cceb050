"""Style of a report's figures: vector files for papers, distinguishable in gray by marker and line style."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which remains distinguishable with color vision deficiency
COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
FORMATS = ("svg", "pdf")


def look(i: int) -> dict[str, object]:
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


def save(figure: "Figure", stem: Path) -> list[Path]:
    """Write ``stem.svg`` and ``stem.pdf``, with text as text; without a date, so that equal figures are equal files."""
    import matplotlib

    paths: Sequence[Path] = [stem.with_suffix(f".{name}") for name in FORMATS]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stargan-lab", "pdf.fonttype": 42}):
        for path in paths:
            name = path.suffix[1:]
            write_atomically(path, lambda file, name=name: figure.savefig(file, format=name, metadata=metadata[name]))
    return list(paths)

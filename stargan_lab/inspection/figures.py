"""Figures of receptive fields over a face, and of label sensitivity."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from stargan_lab.figures.style import look, new_figure, save
from stargan_lab.inspection.label_sensitivity import Sensitivity, mean_by_distance
from stargan_lab.inspection.receptive_field import Field

FORMATS = ("svg", "pdf")
FLOOR = 1e-17
"""Smaller sensitivities count as zero: they are below float64's resolution of an output."""


def draw_fields(fields: Mapping[str, Field], face: Tensor, stem: Path) -> list[Path]:
    """A panel per network: the gradient as brightness of the face, the theoretical and effective field as squares.

    Args:
        face: (3, S, S) in [-1, 1].
    """
    columns = min(len(fields), 6)
    lines = math.ceil(len(fields) / columns)
    figure = new_figure(1.75 * columns, 2.25 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    size = face.shape[-1]
    pixels = ((face + 1) / 2).clamp(0, 1).permute(1, 2, 0)
    for panel, (name, field) in zip(panels, fields.items(), strict=False):
        shown = field.gradient[:, :, None].sqrt()  # the gradient falls off fast
        panel.imshow(pixels * (0.25 + 0.75 * shown), extent=(0, size, size, 0), interpolation="nearest")
        half = field.theoretical / 2
        for (low, high), style in (((field.center - half, field.center + half), "-"), (field.square, ":")):
            panel.plot([low, high, high, low, low], [low, low, high, high, low], style, color="#E69F00", linewidth=1.4)
        panel.set_xlim(0, size)
        panel.set_ylim(size, 0)
        panel.set_title(f"{name}\n{field.theoretical} px, effective {field.effective:.0f} px", fontsize=7.5)
        panel.set_xticks([])
        panel.set_yticks([])
    for panel in panels[len(fields) :]:
        panel.set_visible(False)
    return save(figure, stem, FORMATS)


def draw_sensitivity(measured: Mapping[str, Sensitivity], stem: Path) -> list[Path]:
    """The sensitivity of each generator by distance to the border, before its first activation and of its output."""
    figure = new_figure(6.8, 3.0)
    panels = figure.subplots(1, 2, sharey=True)
    for i, (name, each) in enumerate(measured.items()):
        for panel, stage in zip(panels, (each.first, each.output), strict=True):
            if stage is not None:
                values = [max(value, FLOOR) for value in mean_by_distance(stage)]
                every = max(1, len(values) // 8)
                panel.plot(values, label=name, markersize=4, markevery=every, linewidth=1.1, **look(i))
    for panel, title in zip(panels, ("before the first activation", "output"), strict=True):
        panel.set_yscale("log")
        panel.set_title(title, fontsize=8)
        panel.set_xlabel("distance to the border in px", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean change when a label is flipped", fontsize=8)
    panels[-1].legend(fontsize=7, frameon=False)
    return save(figure, stem, FORMATS)

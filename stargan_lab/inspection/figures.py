"""Figures of receptive fields over a face, and of label sensitivity."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from stargan_lab.figures.style import look, new_figure, save
from stargan_lab.inspection.label_sensitivity import Sensitivity, mean_by_distance
from stargan_lab.inspection.receptive_field import Field

FORMATS = ("svg", "pdf")
ROUNDING = 1e-9
"""Smaller sensitivities are rounding errors of float64, which several layers have amplified."""


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
    """The sensitivity of each generator by distance to the border, before its first activation and of its output.

    The axes are linear, so that a border and a middle can be compared; the legend gives the maximum of a generator
    whose sensitivity is a rounding error.
    """
    figure = new_figure(6.8, 3.0 + 0.18 * math.ceil(len(measured) / 2))
    panels = figure.subplots(1, 2)
    for i, (name, each) in enumerate(measured.items()):
        stages = [None if stage is None else mean_by_distance(stage) for stage in (each.first, each.output)]
        largest = max(max(values) for values in stages if values is not None)
        label = name if largest > ROUNDING else f"{name}: at most {largest:.0e}"
        for panel, values in zip(panels, stages, strict=True):
            if values is not None:
                every = max(1, len(values) // 8)
                panel.plot(values, label=label, markersize=4, markevery=every, linewidth=1.1, **look(i))
    titles = ("before the first activation, in standard deviations", "output, in units of [-1, 1]")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_ylim(bottom=0)
        panel.set_title(title, fontsize=8)
        panel.set_xlabel("distance to the border in px", fontsize=8)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean change when a label is flipped", fontsize=8)
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    return save(figure, stem, FORMATS)

"""Figures of receptive fields over a face, and of label sensitivity."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from stargan_lab.figure_style import look, new_figure, save
from stargan_lab.inspection.label_sensitivity import Sensitivity
from stargan_lab.inspection.receptive_field import Field

FORMATS = ("svg", "pdf")
FLOOR = 1e-17
"""Below float64's resolution of an output, where a sensitivity counts as none."""


def draw_fields(fields: Mapping[str, Field], face: Tensor, stem: Path) -> list[Path]:
    """A panel per network: the effective field as brightness of the face, the theoretical one as a box.

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
        row, column = field.center
        half = field.theoretical / 2
        box = [(column - half, row - half), (column + half, row + half)]
        (left, top), (right, bottom) = box
        panel.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color="#E69F00", linewidth=1.4)
        panel.set_xlim(0, size)
        panel.set_ylim(size, 0)
        panel.set_title(f"{name}\n{field.theoretical} px, effective {field.effective:.0f} px", fontsize=7.5)
        panel.set_xticks([])
        panel.set_yticks([])
    for panel in panels[len(fields) :]:
        panel.set_visible(False)
    return save(figure, stem, FORMATS)


def draw_sensitivity(measured: Mapping[str, Sensitivity], stem: Path) -> list[Path]:
    """The sensitivity of each generator by distance to the border, and as a map."""
    count = len(measured)
    figure = new_figure(max(4.6, 1.5 * count), 4.6)
    grid = figure.add_gridspec(2, count, height_ratios=(1, 1.9))
    panel = figure.add_subplot(grid[1, :])
    largest = max(float(each.map.max()) for each in measured.values())
    for i, (name, each) in enumerate(measured.items()):
        picture = figure.add_subplot(grid[0, i])
        decades = each.map.clamp(min=FLOOR).log10()
        top = math.log10(max(largest, FLOOR))
        picture.imshow(decades, cmap="viridis", vmin=top - 3, vmax=top, interpolation="nearest")
        picture.set_title(name, fontsize=7)
        picture.set_xticks([])
        picture.set_yticks([])
        values = torch.tensor(each.by_distance).clamp(min=FLOOR)
        panel.plot(range(len(values)), values, label=name, markersize=3.5, linewidth=1.1, **look(i))
    panel.set_yscale("log")
    panel.set_xlabel("distance to the border in px", fontsize=8)
    panel.set_ylabel("mean change of a pixel\nwhen a label is flipped", fontsize=8)
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=7, frameon=False)
    return save(figure, stem, FORMATS)

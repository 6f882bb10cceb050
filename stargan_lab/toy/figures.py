"""Figures of toy critics: value surfaces, gradients by layer, weights, and the generator's gradient over training."""

import math
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stargan_lab.figures.style import look, new_figure, save
from stargan_lab.toy.critic import ToyCritic
from stargan_lab.toy.train import TrainedCritic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("svg", "pdf")
FIGURES = ("value_surfaces", "layer_gradients", "weights", "generator_gradients", "vanishing_gradients")
GRID = 101
"""Points per side of a value surface."""
SHOWN_POINTS = 500
CONSTANT = 1e-10
"""A score that varies by less than this share of its size is drawn as constant: float64 resolves 1e-16."""
BINS = 61


def draw_figures(
    trained: Mapping[str, TrainedCritic],
    vanishing: Mapping[str, TrainedCritic],
    labels: Mapping[str, str],
    real: Tensor,
    folder: Path,
) -> list[Path]:
    """Write all figures to ``folder`` as SVG and PDF; returns the files.

    Args:
        trained: critics by constraint.
        vanishing: critics by loss; empty for no such figure.
        labels: what to call each constraint.
        real: (N, 2, 1, 1) real points.
    """
    surfaces, layers, weights, gradients, offsets = FIGURES
    paths = [
        *draw_surfaces(trained, labels, real, folder / surfaces),
        *draw_layer_gradients(trained, labels, folder / layers),
        *draw_weights(trained, labels, folder / weights),
        *draw_generator_gradients(trained, labels, "mean gradient norm at a generated point", folder / gradients),
    ]
    if vanishing:
        quantity, losses = "gradient norm of the generator's offset", {loss: loss for loss in vanishing}
        paths += draw_generator_gradients(vanishing, losses, quantity, folder / offsets)
    return paths


def draw_surfaces(
    trained: Mapping[str, TrainedCritic], labels: Mapping[str, str], real: Tensor, stem: Path
) -> list[Path]:
    """Contours of each critic's score with real points, as in figure 1a of WGAN-GP."""
    points = real[:SHOWN_POINTS].flatten(1)
    reach = 1.25 * float(points.abs().max())
    axis = torch.linspace(-reach, reach, GRID)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    columns = min(len(trained), 4)
    lines = math.ceil(len(trained) / columns)
    figure = new_figure(2.3 * columns, 2.5 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (name, each) in zip(panels, trained.items(), strict=False):
        _surface(panel, each.critic, x, y)
        panel.scatter(*points.T.numpy(), s=1.5, color="#D55E00", linewidths=0, rasterized=True)
        panel.set_title(labels[name], fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_xlim(-reach, reach)
        panel.set_ylim(-reach, reach)
        panel.set_aspect("equal")
    for panel in panels[len(trained) :]:
        panel.set_visible(False)
    return save(figure, stem, FORMATS)


def _surface(panel: "Axes", critic: ToyCritic, x: Tensor, y: Tensor) -> None:
    with torch.no_grad():  # in float64, since the scores of a strongly clipped critic hardly differ
        points = torch.stack([x.flatten(), y.flatten()], 1)[:, :, None, None].double()
        scores = deepcopy(critic).double()(points).view(x.shape)
    low, high = scores.min(), scores.max()
    if high - low < CONSTANT * scores.abs().max():
        panel.text(0.5, 0.03, "constant up to rounding", transform=panel.transAxes, ha="center", fontsize=7)
        return
    levels = torch.linspace(0, 1, 16)
    scaled = (scores - low) / (high - low)
    panel.contourf(x, y, scaled, levels, cmap="Greys", alpha=0.55).set_rasterized(True)
    panel.contour(x, y, scaled, levels, colors="black", linewidths=0.5).set_rasterized(True)


def draw_layer_gradients(trained: Mapping[str, TrainedCritic], labels: Mapping[str, str], stem: Path) -> list[Path]:
    """Gradient norm of the critic's loss at the output of each layer, after figure 1b of WGAN-GP."""
    figure = new_figure(4.4, 3.0)
    panel = figure.subplots()
    for i, (name, each) in enumerate(trained.items()):
        norms = [norm if norm > 0 else math.nan for norm in each.layer_gradient_norms]
        panel.plot(range(1, len(norms) + 1), norms, label=labels[name], markersize=4, linewidth=1.2, **look(i))
    panel.set_yscale("log")
    panel.set_xlabel("layer of the critic", fontsize=8)
    panel.set_ylabel("gradient norm", fontsize=8)
    _finish(panel)
    return save(figure, stem, FORMATS)


def draw_weights(trained: Mapping[str, TrainedCritic], labels: Mapping[str, str], stem: Path) -> list[Path]:
    """Histogram of each critic's weights, after figure 1b of WGAN-GP."""
    columns = min(len(trained), 4)
    lines = math.ceil(len(trained) / columns)
    figure = new_figure(2.3 * columns, 1.9 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (name, each) in zip(panels, trained.items(), strict=False):
        weights = torch.cat([parameter.detach().flatten() for parameter in each.critic.parameters()])
        reach = float(weights.abs().max()) or 1.0
        counts = torch.histc(weights, BINS, -reach, reach) / len(weights)
        edges = torch.linspace(-reach, reach, BINS + 1)
        panel.stairs(counts, edges, fill=True, color="#0072B2")
        panel.set_title(labels[name], fontsize=9)
        panel.set_xlabel(f"weight; {each.share_at_bound_end:.0%} at the ends", fontsize=7)
        panel.tick_params(labelsize=7)
        panel.locator_params(axis="x", nbins=3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of weights", fontsize=8)
    for panel in panels[len(trained) :]:
        panel.set_visible(False)
    return save(figure, stem, FORMATS)


def draw_generator_gradients(
    trained: Mapping[str, TrainedCritic], labels: Mapping[str, str], quantity: str, stem: Path
) -> list[Path]:
    """The generator's gradient norm over the critic's updates, on a logarithmic axis."""
    figure = new_figure(4.4, 3.0)
    panel = figure.subplots()
    for i, (name, each) in enumerate(trained.items()):
        values = [value if value > 0 else math.nan for value in each.history["generator_gradient"]]
        every = max(1, len(values) // 10)
        panel.plot(each.steps, values, label=labels[name], markersize=4, markevery=every, linewidth=1.2, **look(i))
    panel.set_yscale("log")
    panel.set_xlabel("updates of the critic", fontsize=8)
    panel.set_ylabel(quantity, fontsize=8)
    _finish(panel)
    return save(figure, stem, FORMATS)


def _finish(panel: "Axes") -> None:
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize=7, frameon=False)

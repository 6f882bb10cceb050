"""A batch of anti-aliased images composed of implicit curves and bands, in coordinates in [-1, 1] with y pointing down.

Pixel arithmetic is limited to + - * / sqrt min max abs floor and comparisons on float32 arrays, which IEEE 754 rounds
identically everywhere, so pixels are bit-equal on any CPU. Shapes: n images, h w pixels of a window.
"""

from dataclasses import dataclass

import numpy as np

from stargan_lab.data.synthfaces.identity import Floats

Window = tuple[float, float, float, float]
"""left, right, top, bottom; a shape must lie entirely inside."""
EVERYWHERE: Window = (-1.0, 1.0, -1.0, 1.0)
Labels = dict[str, Floats]
Factors = dict[str, Floats]


@dataclass(frozen=True)
class Term:
    """One coordinate's term in an implicit curve and its derivative, (n, 1, w) for x and (n, h, 1) for y."""

    value: Floats
    slope: Floats


def power2(offset: Floats, radius: Floats | float) -> Term:
    """(offset / radius)²."""
    ratio = offset / radius
    return Term(ratio * ratio, 2 * ratio / radius)


def power4(offset: Floats, radius: Floats | float) -> Term:
    """(offset / radius)⁴."""
    ratio = offset / radius
    square = ratio * ratio
    return Term(square * square, 4 * square * ratio / radius)


def pick(condition: Floats, yes: Term, no: Term) -> Term:
    """``yes`` where ``condition`` is 1, ``no`` where it is 0, and their weighted mean in between."""
    return Term(no.value + condition * (yes.value - no.value), no.slope + condition * (yes.slope - no.slope))


class Canvas:
    """n images (n, 3, size, size) float32 in [0, 1], painted back to front.

    Args:
        size: side in px.
        shift_x, shift_y: (n,) origin of each image's coordinates.
    """

    def __init__(self, size: int, shift_x: Floats, shift_y: Floats) -> None:
        self.size = size
        self.pixels = np.zeros((len(shift_x), 3, size, size), dtype=np.float32)
        centers = (2 * np.arange(size, dtype=np.float32) + 1 - size) / np.float32(size)
        self._x: Floats = centers[None, None, :] - shift_x[:, None, None]
        self._y: Floats = centers[None, :, None] - shift_y[:, None, None]

    def axes(self, window: Window = EVERYWHERE) -> tuple[Floats, Floats]:
        """x (n, 1, w) and y (n, h, 1) of the pixel centers of a window."""
        rows, columns = self.pixels_of(window)
        return self._x[:, :, columns], self._y[:, rows]

    def pixels_of(self, window: Window) -> tuple[slice, slice]:
        """Rows and columns of a window, with a margin for the largest shift and two pixels of anti-aliasing."""
        left, right, top, bottom = (self._pixel(v, after) for v, after in zip(window, (0, 1, 0, 1), strict=True))
        return slice(top, bottom), slice(left, right)

    def inside(self, x: Term, y: Term) -> Floats:
        """(n, h, w) coverage of the region x + y < 1, from the first-order distance to the curve."""
        steepness = x.slope * x.slope + y.slope * y.slope
        distance: np.ndarray = (x.value + y.value - 1) / np.sqrt(steepness + np.float32(1e-12))
        distance *= np.float32(-0.5 * self.size)
        distance += np.float32(0.5)
        return np.clip(distance, 0, 1, out=distance)

    def band(self, offset: Floats, half_width: Floats) -> Floats:
        """(n, h, w) coverage of |offset| < half_width, exact for horizontal and vertical bands."""
        scale = np.float32(0.5 * self.size)
        distance, half = np.abs(offset) * scale, half_width * scale
        overlap = np.minimum(distance + np.float32(0.5), half) - np.maximum(distance - np.float32(0.5), -half)
        return np.clip(overlap, 0, 1)

    def paint(self, coverage: Floats, color: Floats, window: Window = EVERYWHERE) -> None:
        """Blend ``color`` (n, 3) into the window's pixels with weight ``coverage`` (n, h, w)."""
        rows, columns = self.pixels_of(window)
        for channel in range(3):
            below = self.pixels[:, channel, rows, columns]
            below += coverage * (color[:, channel, None, None] - below)

    def bytes(self) -> np.ndarray:
        """(n, 3, size, size) uint8, rounded and clamped."""
        return (np.clip(self.pixels, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)

    def _pixel(self, coordinate: float, after: int) -> int:
        margin = 0.05 if after else -0.05
        position = (coordinate + margin + 1) * self.size / 2
        return max(0, min(self.size, int(position) + (3 if after else -2)))

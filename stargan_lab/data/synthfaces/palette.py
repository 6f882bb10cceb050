"""Colors and ranges: conversions from (n,) values, one per face, to the arrays that a canvas paints, all float32."""

import numpy as np

from stargan_lab.data.synthfaces.identity import Floats

Color = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""


def column(values: Floats) -> Floats:
    """(n,) as (n, 1, 1)."""
    return values[:, None, None]


def between(values: Floats, low: float, high: float) -> Floats:
    """(n,) in [0, 1] as (n, 1, 1) in [low, high]."""
    return column(low + values * (high - low))


def rgb(*colors: Color) -> Floats:
    """(k, 3) float32."""
    return np.asarray(colors, dtype=np.float32)


def along(values: Floats, stops: tuple[Color, Color, Color]) -> Floats:
    """(n, 3) colors at (n,) in [0, 1) along three equally spaced stops."""
    dark, middle, light = rgb(*stops)
    position = values[:, None] * 2
    return dark + np.minimum(position, 1) * (middle - dark) + np.maximum(position - 1, 0) * (light - middle)


def mix(color: Floats, other: Floats, share: Floats) -> Floats:
    """(n, 3) interpolated from ``color`` to ``other`` by ``share`` (n,); exactly ``color`` where that is 0."""
    return color + share[:, None] * (other - color)

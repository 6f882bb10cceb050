"""The colors of faces, and conversions from (n,) values, one per face, to the float32 arrays that a canvas paints."""

import numpy as np

from stargan_lab.data.synthfaces.identity import Floats

Color = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""

HAIR = {"Black_Hair": (0.09, 0.08, 0.10), "Blond_Hair": (0.95, 0.82, 0.42), "Brown_Hair": (0.40, 0.23, 0.11)}
NO_LISTED_HAIR = (0.84, 0.35, 0.11)  # ginger
SKIN = ((0.52, 0.33, 0.22), (0.80, 0.58, 0.42), (0.99, 0.84, 0.73))
PALE, ROSE = (0.97, 0.95, 0.96), (0.93, 0.16, 0.24)
FRAME, LENS = (0.07, 0.06, 0.09), (0.70, 0.86, 1.0)
AGED, STUBBLE = (0.13, 0.14, 0.15), (0.06, 0.07, 0.09)  # added to darkened skin
CLOTHES = (0.38, 0.46, 0.62)
CHEEKS_TINT, WRINKLES_TINT, FOLD_TINT = (1.0, 0.68, 0.66), (0.50, 0.46, 0.46), (0.50, 0.42, 0.42)  # times skin
NOSE_TINT, BIG_NOSE_TINT, PALE_LIPS_TINT = (0.80, 0.72, 0.70), (0.62, 0.46, 0.46), (0.86, 0.62, 0.58)  # times skin
BROWS, EYE_WHITE = (0.10, 0.07, 0.08), (0.97, 0.97, 0.96)
EYES = ((0.34, 0.19, 0.08), (0.22, 0.52, 0.28), (0.18, 0.42, 0.82))
RED, LIPSTICK, THROAT, TEETH = (0.82, 0.10, 0.17), (0.80, 0.06, 0.66), (0.24, 0.03, 0.06), (0.98, 0.97, 0.94)


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

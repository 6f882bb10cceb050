"""Rendering SynthFaces: from factors and labels to pixels, back to front.

Pixels are exact, see ``canvas``. Optional attributes and expressions have weight 0 on faces without them, which changes
no pixel; if no face of a chunk has them, they are skipped.
"""

from collections.abc import Iterable

import numpy as np

from stargan_lab.data.synthfaces import expression, head
from stargan_lab.data.synthfaces.canvas import Canvas, Factors
from stargan_lab.data.synthfaces.identity import OPTIONAL, Faces, Form
from stargan_lab.data.synthfaces.palette import between, column

RENDERER_VERSION = 1
"""Part of every fingerprint; increase it with any change to the pixels."""
FEATURE_VERSIONS: dict[str, int] = {name: 1 for name in (*OPTIONAL, "expressions")}
"""Versions of optional features; part of the fingerprints of only those datasets that have them."""

_CHUNK_PIXELS = 1 << 15  # a plane of a chunk fits in the CPU cache


def feature_versions(form: Form, vary: Iterable[str]) -> dict[str, int]:
    """The versions of a dataset's optional attributes and expressions; empty if it has only core attributes."""
    features = [*vary, *(["expressions"] if form == "rafd" else [])]
    return {name: FEATURE_VERSIONS[name] for name in sorted(features)}


def render(faces: Faces, size: int) -> np.ndarray:
    """Render faces.

    Returns:
        (n, 3, size, size) uint8; an image does not depend on the other faces.
    """
    step = max(1, _CHUNK_PIXELS // (size * size))
    parts = [_render_chunk(faces.part(slice(i, i + step)), size) for i in range(0, len(faces), step)]
    return np.concatenate(parts) if parts else np.empty((0, 3, size, size), dtype=np.uint8)


def _render_chunk(faces: Faces, size: int) -> np.ndarray:
    f, a = faces.factors, faces.labels
    reach = np.float32(0.06 + 0.10 * faces.difficulty)
    canvas = Canvas(size, (f["shift_x"] - 0.5) * reach, (f["shift_y"] - 0.5) * reach)
    skin, hair = head.skin_color(f, a, faces.difficulty), head.hair_color(f, a, faces.difficulty)
    _background(canvas, f, faces.difficulty)
    head.body(canvas, f, a, skin, hair, faces.difficulty)
    head.head(canvas, f, a, skin)
    head.wrinkles(canvas, f, a, skin)
    expression.eyes(canvas, f, a, hair)
    head.nose(canvas, f, a, skin)
    expression.nose_folds(canvas, a, skin)
    expression.mouth(canvas, f, a, skin)
    head.hair_front(canvas, f, a, hair)
    head.glasses(canvas, f, a)
    _light(canvas, f, faces.difficulty)
    return canvas.bytes()


def _background(canvas: Canvas, f: Factors, difficulty: float) -> None:
    """A color, a gradient and stripes: muted and nearly uniform at difficulty 0, any RGB color at 1."""
    x, y = canvas.axes()
    spread, slope, stripes = 0.04 + 0.90 * difficulty, 0.04 + 0.36 * difficulty, 0.20 * difficulty
    middle = 0.74 - 0.22 * difficulty
    base = np.stack([f[f"background_{c}"] for c in ("red", "green", "blue")], axis=1)
    gradient = slope * (column(f["gradient_x"] - 0.5) * x + column(f["gradient_y"] - 0.5) * y)
    if stripes > 0:
        turn = x * between(f["stripe_x"], -2, 2) + y * between(f["stripe_y"], 1, 3) + column(f["stripe_phase"])
        wave = np.abs(turn - np.floor(turn) - np.float32(0.5))
        gradient = gradient + stripes * (np.clip(4 * wave - 0.5, 0, 1) - np.float32(0.5))
    canvas.pixels[:] = (middle + (base - 0.5) * spread)[:, :, None, None] + gradient[:, None]


def _light(canvas: Canvas, f: Factors, difficulty: float) -> None:
    """Strength, warmth and direction of the light, over the entire image."""
    x, _ = canvas.axes()
    strength = 1 + (f["light"] - 0.5) * (0.08 + 0.30 * difficulty)
    warm = (f["warmth"] - 0.5) * (0.05 + 0.20 * difficulty)
    tint = np.stack([strength * (1 + warm), strength, strength * (1 - warm)], axis=1)
    side = 1 + column(f["light_side"] - 0.5) * (0.04 + 0.44 * difficulty) * x
    for channel in range(3):
        canvas.pixels[:, channel] *= tint[:, channel, None, None] * side

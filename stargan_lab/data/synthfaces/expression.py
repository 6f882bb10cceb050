"""Brows, eyes and mouth of SynthFaces for RaFD's eight expressions and Smiling, which has the happy mouth.

Poses are offsets to the identity's factors, which stay visible; the neutral pose changes no pixel.
"""

from dataclasses import dataclass

import numpy as np

from stargan_lab.data.synthfaces.canvas import Canvas, Factors, Labels, Window, power2
from stargan_lab.data.synthfaces.head import eye_place
from stargan_lab.data.synthfaces.identity import EXPRESSIONS, Floats
from stargan_lab.data.synthfaces.palette import (
    BROWS,
    EYE_WHITE,
    EYES,
    FOLD_TINT,
    LIPSTICK,
    PALE_LIPS_TINT,
    RED,
    TEETH,
    THROAT,
    along,
    between,
    column,
    mix,
    rgb,
)


@dataclass(frozen=True)
class Pose:
    """An expression relative to the neutral one; lengths in canvas units.

    Attributes:
        brow_height, brow_slant, one_brow: rise of both brows, of their outer ends (per unit of x), of the right brow.
        eye: factor on the height of the eyes.
        width, lips: factors on the width of the mouth and the thickness of the lips.
        lift, lean: rise of both corners of the mouth; rise of the right and fall of the left one.
        drop: fall of the entire mouth.
        gap: half the height of the opening.
        round: shape of the opening, from 0 (pointed corners) to 1 (ellipse).
        teeth: share of the opening covered by the upper teeth.
    """

    brow_height: float = 0.0
    brow_slant: float = 0.0
    one_brow: float = 0.0
    eye: float = 1.0
    width: float = 1.0
    lips: float = 1.0
    lift: float = 0.0
    lean: float = 0.0
    drop: float = 0.0
    gap: float = 0.0
    round: float = 0.0
    teeth: float = 0.0


NEUTRAL = Pose()
POSES: dict[str, Pose] = {
    "angry": Pose(brow_height=-0.055, brow_slant=0.60, eye=0.72, width=0.85, lips=0.45, lift=-0.05),
    "contemptuous": Pose(one_brow=0.085, eye=0.72, lift=0.03, lean=0.075, lips=0.75),
    "disgusted": Pose(brow_height=-0.050, brow_slant=0.15, eye=0.58, lips=0.8, lift=-0.10, drop=-0.01, gap=0.040),
    "fearful": Pose(0.055, -0.50, eye=1.28, width=1.20, lips=0.55, lift=-0.03, gap=0.042, round=0.5, teeth=1.0),
    "happy": Pose(eye=0.88, width=1.28, lips=0.6, lift=0.085, drop=0.030, gap=0.055, teeth=0.55),
    "neutral": NEUTRAL,
    "sad": Pose(brow_height=0.010, brow_slant=-0.60, eye=0.75, width=0.90, lips=0.8, lift=-0.115, drop=0.005),
    "surprised": Pose(brow_height=0.085, eye=1.35, width=0.60, lips=0.55, drop=0.020, gap=0.095, round=1.0),
}
_MOVED = tuple(name for name in EXPRESSIONS if POSES[name] != NEUTRAL)


def _shown(a: Labels) -> Labels:
    """Expression -> (n,) of 0 and 1, for brows and eyes; omits neutral and expressions that no face has."""
    return {name: a[name] for name in _MOVED if a[name].any()}


def _shown_by_mouth(a: Labels) -> Labels:
    """Like ``_shown``, for the mouth, which is ``happy`` if Smiling is 1, regardless of the expression."""
    unsmiling = 1 - a["Smiling"]
    weights = {name: a[name] * unsmiling for name in _MOVED if name != "happy"} | {"happy": a["Smiling"]}
    return {name: weight for name, weight in weights.items() if weight.any()}


def _pose(shown: Labels, part: str) -> Floats:
    """One attribute of the poses: (n, 1, 1), or (1, 1, 1) when ``shown`` is empty."""
    neutral = getattr(NEUTRAL, part)
    value = np.full((1, 1, 1), neutral, dtype=np.float32)
    for name, weight in shown.items():
        value = value + np.float32(getattr(POSES[name], part) - neutral) * column(weight)
    return value


def eyes(canvas: Canvas, f: Factors, a: Labels, hair: Floats) -> None:
    """Eyes, and brows in a shade of the hair color; brows are thicker with Male and Bushy_Eyebrows."""
    shown = _shown(a)
    window: Window = (-0.5, 0.5, -0.40, 0.30) if shown else (-0.5, 0.5, -0.30, 0.25)
    x, y = canvas.axes(window)
    right = (x > 0).astype(np.float32)
    male, ink = column(a["Male"]), np.broadcast_to(rgb(BROWS), hair.shape)
    x, y, scale = np.abs(x) - eye_place(f), y - np.float32(0.06), between(f["eye_size"], 0.88, 1.12)
    lash, opening = 0.034 - 0.016 * male, _pose(shown, "eye")
    canvas.paint(canvas.inside(power2(x, 0.122 * scale), power2(y + lash, 0.083 * scale * opening)), ink, window)
    white = canvas.inside(power2(x, 0.115 * scale), power2(y, 0.080 * scale * opening))
    canvas.paint(white, np.broadcast_to(rgb(EYE_WHITE), hair.shape), window)

    def within(shape: Floats) -> Floats:
        return np.where(opening < 1, np.minimum(shape, white), shape) if shown else shape

    iris = canvas.inside(power2(x, 0.073 * scale), power2(y, 0.074 * scale))
    canvas.paint(within(iris), along(f["eye_colour"], EYES), window)
    canvas.paint(within(canvas.inside(power2(x, 0.036 * scale), power2(y, 0.038 * scale))), ink, window)
    shine = canvas.inside(power2(x + 0.026, 0.022), power2(y + 0.030, 0.022))
    canvas.paint(within(shine), np.ones_like(hair), window)
    slant = between(f["brow_slant"], -0.25, 0.15) + _pose(shown, "brow_slant")
    height = between(f["brow_height"], 0.165, 0.205) + _pose(shown, "brow_height")
    arch = height + slant * x - 1.4 * x * x
    if shown:
        arch = arch + _pose(shown, "one_brow") * right
    half = (0.018 + 0.032 * male + 0.036 * column(a["Bushy_Eyebrows"])) * (1 - power2(x, 0.15).value)
    shade = between(a["Bushy_Eyebrows"], 0.62, 0.46)[:, :, 0]
    canvas.paint(canvas.band(y + arch, half), hair * shade, window)


def nose_folds(canvas: Canvas, a: Labels, skin: Floats) -> None:
    """Two wrinkles across the bridge of the nose for ``disgusted``."""
    if not a["disgusted"].any():
        return
    window: Window = (-0.25, 0.25, -0.15, 0.25)
    x, y = canvas.axes(window)
    half = np.float32(0.021) * (1 - power2(x, 0.12).value)
    bent = np.float32(0.5) * np.abs(x)
    for height in (0.03, 0.105):
        fold = canvas.band(y - height - bent, half)
        canvas.paint(between(a["disgusted"], 0, 0.9) * fold, skin * rgb(FOLD_TINT), window)


def mouth(canvas: Canvas, f: Factors, a: Labels, skin: Floats) -> None:
    """Lips: full and red, thin and pale with Male, magenta with Wearing_Lipstick; open in some poses."""
    shown = _shown_by_mouth(a)
    window: Window = (-0.4, 0.4, 0.15, 0.75) if shown else (-0.3, 0.3, 0.3, 0.6)
    x, y = canvas.axes(window)
    male, wide = column(a["Male"]), between(f["mouth_width"], 0.135, 0.205) * _pose(shown, "width")
    middle = between(f["mouth_height"], 0.415, 0.455) + _pose(shown, "drop")
    curve = y - middle + between(f["mouth_curve"], 0.0, 1.8) * x * x
    if shown:
        across = x / wide
        curve = curve + (_pose(shown, "lift") * across + _pose(shown, "lean")) * across
    taper = 1 - power2(x, wide).value
    red = np.broadcast_to(rgb(RED), skin.shape)
    lips = mix(mix(red, skin * rgb(PALE_LIPS_TINT), a["Male"]), rgb(LIPSTICK), a["Wearing_Lipstick"])
    thick, line = (0.070 - 0.028 * male) * _pose(shown, "lips"), lips * np.float32(0.45)
    if not shown:
        canvas.paint(canvas.band(curve, thick * taper), lips, window)
        canvas.paint(canvas.band(curve, 0.011 * taper), line, window)
        return
    gap, bowl = _pose(shown, "gap"), np.maximum(taper, np.float32(0))
    opening = gap * (bowl + _pose(shown, "round") * (np.sqrt(bowl) - bowl))
    canvas.paint(canvas.band(curve, thick * taper + opening), lips, window)
    throat = mix(line, rgb(THROAT), (gap[:, 0, 0] > 0).astype(np.float32))
    canvas.paint(canvas.band(curve, np.float32(0.011) * taper + opening), throat, window)
    teeth = _pose(shown, "teeth") * opening
    canvas.paint(canvas.band(curve + opening - teeth, teeth), np.broadcast_to(rgb(TEETH), skin.shape), window)

"""Heads of SynthFaces: skin, hair, outline, wrinkles, nose, glasses. Shapes: n images, h w pixels of a window."""

import numpy as np

from stargan_lab.data.synthfaces.canvas import Canvas, Factors, Labels, Term, Window, pick, power2, power4
from stargan_lab.data.synthfaces.identity import Floats
from stargan_lab.data.synthfaces.palette import (
    AGED,
    BIG_NOSE_TINT,
    CHEEKS_TINT,
    CLOTHES,
    FRAME,
    HAIR,
    LENS,
    NO_LISTED_HAIR,
    NOSE_TINT,
    PALE,
    ROSE,
    SKIN,
    STUBBLE,
    WRINKLES_TINT,
    along,
    between,
    column,
    mix,
    rgb,
)


def skin_color(f: Factors, a: Labels, difficulty: float) -> Floats:
    """(n, 3); grayer and darker without Young, whiter with Pale_Skin."""
    tone = 0.62 + (f["skin"] - np.float32(0.62)) * np.float32(0.20 + 0.80 * difficulty)
    fresh = along(tone, SKIN)
    aged = fresh * np.float32(0.66) + rgb(AGED)
    return mix(mix(aged, fresh, a["Young"]), rgb(PALE), np.float32(0.60) * a["Pale_Skin"])


def hair_color(f: Factors, a: Labels, difficulty: float) -> Floats:
    """(n, 3); the shade shifts all hair colors equally, so that any of them reveals it."""
    color = np.broadcast_to(rgb(NO_LISTED_HAIR), (len(f["skin"]), 3)).astype(np.float32)
    for name, listed in HAIR.items():
        color = mix(color, rgb(listed), a[name])
    spread = 0.16 + 0.16 * difficulty
    return (
        color * (1 - spread / 2 + f["hair_shade"][:, None] * spread) + (f["hair_shade"][:, None] - 0.5) * spread * 0.4
    )


def _outline(canvas: Canvas, f: Factors, a: Labels) -> Floats:
    """(n, h, w) coverage of all hair: a dome with short sides with Male, otherwise down to the shoulders."""
    male, volume = column(a["Male"]), between(f["hair_volume"], -0.05, 0.05)
    x, y = canvas.axes()
    y = y + np.float32(0.12)
    above = power2(y, 0.70 - 0.04 * male + volume)
    below = power4(y, 0.96 - 0.60 * male)
    return canvas.inside(power2(x, 0.69 - 0.13 * male + volume), pick((y > 0).astype(np.float32), below, above))


def body(canvas: Canvas, f: Factors, a: Labels, skin: Floats, hair: Floats, difficulty: float) -> None:
    """Hair behind the head, clothes and neck; ears where short hair leaves them visible."""
    male = column(a["Male"])
    canvas.paint(_outline(canvas, f, a), hair * np.float32(0.80))
    window: Window = (-1.0, 1.0, 0.6, 1.0)
    x, y = canvas.axes(window)
    spread = 0.10 + 0.52 * difficulty
    cloth = np.stack([f[f"clothes_{c}"] for c in ("red", "green", "blue")], axis=1)
    cloth = (cloth - np.float32(0.5)) * np.float32(spread) + rgb(CLOTHES) * np.float32(1 - difficulty)
    cloth = cloth + np.float32(0.49 * difficulty)
    canvas.paint(canvas.inside(power2(x, 0.92 + 0.10 * male), power2(y - 1.24, 0.55)), cloth, window)
    window = (-0.4, 0.4, 0.35, 1.0)
    x, y = canvas.axes(window)
    canvas.paint(canvas.inside(power4(x, 0.19 + 0.06 * male), power2(y - 0.62, 0.29)), skin * np.float32(0.80), window)
    window = (-0.7, 0.7, -0.15, 0.3)
    x, y = canvas.axes(window)
    ears = canvas.inside(power2(np.abs(x) - _face_width(f, a), 0.085), power2(y - 0.08, 0.13))
    canvas.paint(ears * male, skin * np.float32(0.90), window)


def _face_width(f: Factors, a: Labels) -> Floats:
    """(n, 1, 1) half width; it varies less between identities than with Oval_Face."""
    return between(f["face_width"], 0.97, 1.03) * (0.52 - 0.11 * column(a["Oval_Face"]))


def _face(canvas: Canvas, f: Factors, a: Labels, window: Window) -> Floats:
    """(n, h, w) coverage of the face: an ellipse; its jaw is square with Male, and it is longer with Oval_Face."""
    x, y = canvas.axes(window)
    y = y - np.float32(0.06)
    chin = 0.58 + 0.15 * column(a["Oval_Face"])
    jaw: Term = pick(0.55 * column(a["Male"]), power4(y, chin), power2(y, chin))
    outline = pick((y > 0).astype(np.float32), jaw, power2(y, 0.66))
    return canvas.inside(power2(x, _face_width(f, a)), outline)


def head(canvas: Canvas, f: Factors, a: Labels, skin: Floats) -> None:
    """Face and blush; strong blush with Rosy_Cheeks, stubble with Male."""
    window: Window = (-0.6, 0.6, -0.65, 0.85)
    x, y = canvas.axes(window)
    face = _face(canvas, f, a, window)
    canvas.paint(face, skin, window)
    soft = np.clip(1 - power2(np.abs(x) - np.float32(0.30), 0.15).value - power2(y - 0.27, 0.13).value, 0, 1)
    pink = skin * rgb(CHEEKS_TINT)
    canvas.paint(soft * face * between(f["blush"], 0.2, 0.8), pink, window)
    if a["Rosy_Cheeks"].any():
        round_ = canvas.inside(power2(np.abs(x) - np.float32(0.30), 0.140), power2(y - 0.295, 0.100))
        red = mix(skin, rgb(ROSE), np.full(len(skin), 0.75, dtype=np.float32))
        canvas.paint(round_ * face * (np.float32(0.70) * column(a["Rosy_Cheeks"])), red, window)
    beard = np.clip((y + 0.45 * np.abs(x) - 0.36) * 8, 0, 1) * face
    canvas.paint(beard * (0.62 * column(a["Male"])), skin * np.float32(0.42) + rgb(STUBBLE), window)


def wrinkles(canvas: Canvas, f: Factors, a: Labels, skin: Floats) -> None:
    """Lines on the forehead and beside the mouth, bags under the eyes; none with Young."""
    old, dark = 0.85 * column(1 - a["Young"]), skin * rgb(WRINKLES_TINT)
    width = _face_width(f, a)
    window: Window = (-0.45, 0.45, -0.40, -0.05)
    x, y = canvas.axes(window)
    for height, share in ((-0.31, 0.58), (-0.195, 0.50)):
        half = 0.033 * (1 - power4(x, share * width).value)
        canvas.paint(old * canvas.band(y - height - 0.10 * x * x, half), dark, window)
    window = (-0.5, 0.5, 0.15, 0.65)
    x, y = canvas.axes(window)
    side = np.abs(x)
    half = 0.028 * (1 - power4(y - 0.41, 0.13).value)
    canvas.paint(old * canvas.band(side - 0.50 * width - 0.25 * (y - 0.41), half), dark, window)
    eye = side - eye_place(f)
    bag = 0.017 * (1 - power2(eye, 0.10).value)
    canvas.paint(old * canvas.band(y - 0.195 + 3.5 * eye * eye, bag), dark, window)


def eye_place(f: Factors) -> Floats:
    return between(f["eye_spacing"], 0.185, 0.245)


def nose(canvas: Canvas, f: Factors, a: Labels, skin: Floats) -> None:
    """A shaded nose; wider, taller and darker with Big_Nose."""
    window: Window = (-0.2, 0.2, 0.05, 0.40)
    x, y = canvas.axes(window)
    low = between(f["nose_length"], 0.22, 0.28)
    wide = between(f["nose_width"], 0.055, 0.095) + between(a["Big_Nose"], 0, 0.075)
    tip, ridge = between(a["Big_Nose"], 0.048, 0.078), between(a["Big_Nose"], 0.055, 0.067)
    shade = skin * mix(rgb(NOSE_TINT), rgb(BIG_NOSE_TINT), a["Big_Nose"])
    canvas.paint(canvas.inside(power2(x, wide), power2(y - low, tip)), shade, window)
    canvas.paint(canvas.inside(power2(x, 0.6 * wide), power2(y - low + 0.035, ridge)), skin, window)


def hair_front(canvas: Canvas, f: Factors, a: Labels, hair: Floats) -> None:
    """Hair above the hairline, with a parting and a highlight.

    Bangs end a fixed length below the hairline, so that its position stays visible.
    """
    x, y = canvas.axes()
    male, edge = column(a["Male"]), between(f["hairline"], -0.45, -0.39)
    part = between(f["parting"], -0.16, 0.16)
    bend = 1.5 - 0.7 * male
    line = Term(-bend * (x - 0.3 * part) * (x - 0.3 * part), -2 * bend * (x - 0.3 * part))
    cap = canvas.inside(line, Term(y - edge + 1, np.ones_like(y)))
    if a["Bangs"].any():
        cap = np.maximum(cap, column(a["Bangs"]) * _fringe(canvas, edge))
    cap = np.minimum(cap, _outline(canvas, f, a))
    canvas.paint(cap, hair)
    window: Window = (-0.5, 0.5, -1.0, -0.3)
    x, y = canvas.axes(window)
    rows, columns = canvas.pixels_of(window)
    inner = cap[:, rows, columns]
    shine = canvas.band(y + 0.66 - 0.75 * x * x, 0.045 * (1 - power2(x - part, 0.30).value))
    canvas.paint(0.55 * shine * inner, hair * np.float32(0.75) + np.float32(0.25), window)
    seam = canvas.band(x - part * (1.35 + 0.6 * y), 0.020 * (1 - power2(y + 0.60, 0.24).value))
    canvas.paint(seam * inner, hair * np.float32(0.70), window)


def _fringe(canvas: Canvas, edge: Floats) -> Floats:
    """(n, h, w) coverage of the bangs over the forehead, in five tufts."""
    x, y = canvas.axes()
    turn = x * np.float32(4.5) + np.float32(0.5)
    tuft = np.abs(turn - np.floor(turn) - np.float32(0.5))  # 0 in the middle of a tuft, 1/2 between two
    return canvas.inside(Term(0.10 * tuft - 0.25 * x * x, np.zeros_like(x)), Term(y - edge + 0.81, np.ones_like(y)))


def glasses(canvas: Canvas, f: Factors, a: Labels) -> None:
    """Dark frames of one size with clear lenses, centered on the eyes and reaching to the sides of the face."""
    if not a["Eyeglasses"].any():
        return
    window: Window = (-0.6, 0.6, -0.15, 0.30)
    x, y = canvas.axes(window)
    present, ink = column(a["Eyeglasses"]), np.broadcast_to(rgb(FRAME), (len(x), 3))
    side, level = np.abs(x), y - np.float32(0.06)
    lens = side - eye_place(f)
    outer = canvas.inside(power4(lens, 0.172), power4(level, 0.142))
    inner = canvas.inside(power4(lens, 0.134), power4(level, 0.104))
    canvas.paint(present * inner * np.float32(0.14), np.broadcast_to(rgb(LENS), (len(x), 3)), window)
    thin = np.full((1, 1, 1), 0.021, dtype=np.float32)
    bar, near, far = canvas.band(level + 0.035, thin), np.float32(0.15), _face_width(f, a) - eye_place(f)
    bridge = canvas.band(x, np.full((1, 1, 1), 0.075, dtype=np.float32))
    temple = canvas.band(lens - 0.5 * (far + near), 0.5 * (far - near))
    canvas.paint(present * np.maximum(outer - inner, bar * np.maximum(bridge, temple)), ink, window)

"""SynthFaces, how it is drawn: from factors and attributes to pixels, back to front.

``canvas`` says what keeps it exact.
"""

import numpy as np

from stargan_lab.data.canvas import Canvas, Term, Window, pick, power2, power4
from stargan_lab.data.faces import Faces, Floats

RENDERER_VERSION = 1
"""Goes into every fingerprint: raise it with any change of the pixels (a test holds them to it)."""

_HAIR = {"Black_Hair": (0.09, 0.08, 0.10), "Blond_Hair": (0.95, 0.82, 0.42), "Brown_Hair": (0.40, 0.23, 0.11)}
_NO_LISTED_HAIR = (0.84, 0.35, 0.11)  # ginger
_SKIN = ((0.52, 0.33, 0.22), (0.80, 0.58, 0.42), (0.99, 0.84, 0.73))
_EYES = ((0.34, 0.19, 0.08), (0.22, 0.52, 0.28), (0.18, 0.42, 0.82))
_CHUNK_PIXELS = 1 << 15  # a plane of a chunk stays in the processor's cache


def render(faces: Faces, size: int) -> np.ndarray:
    """Draw faces.

    Returns:
        (n, 3, size, size) uint8; each picture depends on its own face only.
    """
    step = max(1, _CHUNK_PIXELS // (size * size))
    parts = [_draw(faces.part(slice(i, i + step)), size) for i in range(0, len(faces), step)]
    return np.concatenate(parts) if parts else np.empty((0, 3, size, size), dtype=np.uint8)


def _draw(faces: Faces, size: int) -> np.ndarray:
    f, a = faces.factors, faces.attributes
    reach = np.float32(0.06 + 0.10 * faces.difficulty)
    canvas = Canvas(size, (f["shift_x"] - 0.5) * reach, (f["shift_y"] - 0.5) * reach)
    skin, hair = _skin(f, a, faces.difficulty), _hair_colour(f, a, faces.difficulty)
    _background(canvas, f, faces.difficulty)
    _body(canvas, f, a, skin, hair, faces.difficulty)
    _head(canvas, f, a, skin)
    _wrinkles(canvas, f, a, skin)
    _eyes(canvas, f, a, hair)
    _nose_and_mouth(canvas, f, a, skin)
    _hair_front(canvas, f, a, hair)
    _light(canvas, f, faces.difficulty)
    return canvas.bytes()


def _column(values: Floats) -> Floats:
    """(n,) as (n, 1, 1)."""
    return values[:, None, None]


def _between(values: Floats, low: float, high: float) -> Floats:
    """(n,) in [0, 1] as (n, 1, 1) in [low, high]."""
    return _column(low + values * (high - low))


def _rgb(*colours: tuple[float, float, float]) -> Floats:
    return np.asarray(colours, dtype=np.float32)


def _along(values: Floats, stops: tuple[tuple[float, float, float], ...]) -> Floats:
    """(n, 3) colours at (n,) in [0, 1) along three equally spaced stops."""
    dark, middle, light = _rgb(*stops)
    place = values[:, None] * 2
    return dark + np.minimum(place, 1) * (middle - dark) + np.maximum(place - 1, 0) * (light - middle)


def _skin(f: dict[str, Floats], a: dict[str, Floats], difficulty: float) -> Floats:
    """(n, 3); a face that is not young is greyer and darker."""
    tone = 0.62 + (f["skin"] - np.float32(0.62)) * np.float32(0.20 + 0.80 * difficulty)
    fresh = _along(tone, _SKIN)
    aged = fresh * np.float32(0.66) + _rgb((0.13, 0.14, 0.15))
    return aged + a["Young"][:, None] * (fresh - aged)


def _hair_colour(f: dict[str, Floats], a: dict[str, Floats], difficulty: float) -> Floats:
    """(n, 3); the shade is common to all hair colours, so that one tells it of the others."""
    colour = np.broadcast_to(_rgb(_NO_LISTED_HAIR), (len(f["skin"]), 3)).astype(np.float32)
    for name, listed in _HAIR.items():
        colour = colour + a[name][:, None] * (_rgb(listed) - colour)
    spread = 0.16 + 0.16 * difficulty
    return (
        colour * (1 - spread / 2 + f["hair_shade"][:, None] * spread) + (f["hair_shade"][:, None] - 0.5) * spread * 0.4
    )


def _background(canvas: Canvas, f: dict[str, Floats], difficulty: float) -> None:
    """One colour, a gradient and stripes; muted and nearly even at difficulty 0, all over the colour cube at 1."""
    x, y = canvas.axes()
    spread, slope, stripes = 0.04 + 0.90 * difficulty, 0.04 + 0.36 * difficulty, 0.20 * difficulty
    middle = 0.74 - 0.22 * difficulty
    base = np.stack([f[f"background_{c}"] for c in ("red", "green", "blue")], axis=1)
    gradient = slope * (_column(f["gradient_x"] - 0.5) * x + _column(f["gradient_y"] - 0.5) * y)
    if stripes > 0:
        turn = x * _between(f["stripe_x"], -2, 2) + y * _between(f["stripe_y"], 1, 3) + _column(f["stripe_phase"])
        wave = np.abs(turn - np.floor(turn) - np.float32(0.5))
        gradient = gradient + stripes * (np.clip(4 * wave - 0.5, 0, 1) - np.float32(0.5))
    canvas.pixels[:] = (middle + (base - 0.5) * spread)[:, :, None, None] + gradient[:, None]


def _hair_outline(canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats]) -> Floats:
    """(n, h, w) coverage of all hair: a dome above, short sides under Male, else long ones down to the shoulders."""
    male, volume = _column(a["Male"]), _between(f["hair_volume"], -0.05, 0.05)
    x, y = canvas.axes()
    y = y + np.float32(0.12)
    above = power2(y, 0.70 - 0.04 * male + volume)
    below = power4(y, 0.96 - 0.60 * male)
    return canvas.inside(power2(x, 0.69 - 0.13 * male + volume), pick((y > 0).astype(np.float32), below, above))


def _body(
    canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats], skin: Floats, hair: Floats, difficulty: float
) -> None:
    """Hair behind the head, clothes, neck; ears where short hair leaves them bare."""
    male = _column(a["Male"])
    canvas.paint(_hair_outline(canvas, f, a), hair * np.float32(0.80))
    window: Window = (-1.0, 1.0, 0.6, 1.0)
    x, y = canvas.axes(window)
    spread = 0.10 + 0.52 * difficulty
    cloth = np.stack([f[f"clothes_{c}"] for c in ("red", "green", "blue")], axis=1)
    cloth = (cloth - np.float32(0.5)) * np.float32(spread) + _rgb((0.38, 0.46, 0.62)) * np.float32(1 - difficulty)
    cloth = cloth + np.float32(0.49 * difficulty)
    canvas.paint(canvas.inside(power2(x, 0.92 + 0.10 * male), power2(y - 1.24, 0.55)), cloth, window)
    window = (-0.4, 0.4, 0.35, 1.0)
    x, y = canvas.axes(window)
    canvas.paint(canvas.inside(power4(x, 0.19 + 0.06 * male), power2(y - 0.62, 0.29)), skin * np.float32(0.80), window)
    window = (-0.7, 0.7, -0.15, 0.3)
    x, y = canvas.axes(window)
    ears = canvas.inside(power2(np.abs(x) - _face_width(f, a), 0.085), power2(y - 0.08, 0.13))
    canvas.paint(ears * male, skin * np.float32(0.90), window)


def _face_width(f: dict[str, Floats], a: dict[str, Floats]) -> Floats:
    """(n, 1, 1) half width; the identities' range is narrower than what Oval_Face changes."""
    return _between(f["face_width"], 0.97, 1.03) * (0.52 - 0.11 * _column(a["Oval_Face"]))


def _face(canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats], window: Window) -> Floats:
    """(n, h, w) coverage of the face: an ellipse, with a square jaw under Male, and tall under Oval_Face."""
    x, y = canvas.axes(window)
    y = y - np.float32(0.06)
    chin = 0.58 + 0.15 * _column(a["Oval_Face"])
    jaw: Term = pick(0.55 * _column(a["Male"]), power4(y, chin), power2(y, chin))
    outline = pick((y > 0).astype(np.float32), jaw, power2(y, 0.66))
    return canvas.inside(power2(x, _face_width(f, a)), outline)


def _head(canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats], skin: Floats) -> None:
    """Face, blush, and stubble under Male."""
    window: Window = (-0.6, 0.6, -0.65, 0.85)
    x, y = canvas.axes(window)
    face = _face(canvas, f, a, window)
    canvas.paint(face, skin, window)
    soft = np.clip(1 - power2(np.abs(x) - np.float32(0.30), 0.15).value - power2(y - 0.27, 0.13).value, 0, 1)
    pink = skin * _rgb((1.0, 0.68, 0.66))
    canvas.paint(soft * face * _between(f["blush"], 0.2, 0.8), pink, window)
    beard = np.clip((y + 0.45 * np.abs(x) - 0.36) * 8, 0, 1) * face
    canvas.paint(beard * (0.62 * _column(a["Male"])), skin * np.float32(0.42) + _rgb((0.06, 0.07, 0.09)), window)


def _wrinkles(canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats], skin: Floats) -> None:
    """Two lines on the forehead, one beside each corner of the mouth, bags under the eyes; none when Young."""
    old, dark = 0.85 * _column(1 - a["Young"]), skin * _rgb((0.50, 0.46, 0.46))
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
    eye = side - _eye_place(f)
    bag = 0.017 * (1 - power2(eye, 0.10).value)
    canvas.paint(old * canvas.band(y - 0.195 + 3.5 * eye * eye, bag), dark, window)


def _eye_place(f: dict[str, Floats]) -> Floats:
    return _between(f["eye_spacing"], 0.185, 0.245)


def _eyes(canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats], hair: Floats) -> None:
    """Lashes, white, iris, pupil, a highlight; brows in the hair's colour, thick under Male."""
    window: Window = (-0.5, 0.5, -0.30, 0.25)
    x, y = canvas.axes(window)
    male, ink = _column(a["Male"]), np.broadcast_to(_rgb((0.10, 0.07, 0.08)), hair.shape)
    x, y, scale = np.abs(x) - _eye_place(f), y - np.float32(0.06), _between(f["eye_size"], 0.88, 1.12)
    lash = 0.034 - 0.016 * male
    canvas.paint(canvas.inside(power2(x, 0.122 * scale), power2(y + lash, 0.083 * scale)), ink, window)
    white = canvas.inside(power2(x, 0.115 * scale), power2(y, 0.080 * scale))
    canvas.paint(white, np.broadcast_to(_rgb((0.97, 0.97, 0.96)), hair.shape), window)
    iris = canvas.inside(power2(x, 0.073 * scale), power2(y, 0.074 * scale))
    canvas.paint(iris, _along(f["eye_colour"], _EYES), window)
    canvas.paint(canvas.inside(power2(x, 0.036 * scale), power2(y, 0.038 * scale)), ink, window)
    shine = canvas.inside(power2(x + 0.026, 0.022), power2(y + 0.030, 0.022))
    canvas.paint(shine, np.ones_like(hair), window)
    arch = _between(f["brow_height"], 0.165, 0.205) + (_between(f["brow_slant"], -0.25, 0.15) * x) - 1.4 * x * x
    half = (0.018 + 0.032 * male) * (1 - power2(x, 0.15).value)
    canvas.paint(canvas.band(y + arch, half), hair * np.float32(0.62), window)


def _nose_and_mouth(canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats], skin: Floats) -> None:
    """A shaded nose; lips full and red, or thin and pale under Male."""
    window: Window = (-0.2, 0.2, 0.05, 0.40)
    x, y = canvas.axes(window)
    low, wide = _between(f["nose_length"], 0.22, 0.28), _between(f["nose_width"], 0.055, 0.095)
    canvas.paint(canvas.inside(power2(x, wide), power2(y - low, 0.048)), skin * _rgb((0.80, 0.72, 0.70)), window)
    canvas.paint(canvas.inside(power2(x, 0.6 * wide), power2(y - low + 0.035, 0.055)), skin, window)
    window = (-0.3, 0.3, 0.3, 0.6)
    x, y = canvas.axes(window)
    male, wide = _column(a["Male"]), _between(f["mouth_width"], 0.135, 0.205)
    curve = y - _between(f["mouth_height"], 0.415, 0.455) + _between(f["mouth_curve"], 0.0, 1.8) * x * x
    taper = 1 - power2(x, wide).value
    red = np.broadcast_to(_rgb((0.82, 0.10, 0.17)), skin.shape)
    pale = skin * _rgb((0.86, 0.62, 0.58))
    lips = red + a["Male"][:, None] * (pale - red)
    canvas.paint(canvas.band(curve, (0.070 - 0.028 * male) * taper), lips, window)
    canvas.paint(canvas.band(curve, 0.011 * taper), lips * np.float32(0.45), window)


def _hair_front(canvas: Canvas, f: dict[str, Floats], a: dict[str, Floats], hair: Floats) -> None:
    """The hair above the forehead: within the outline and above a hairline, with a parting and a band of shine."""
    x, y = canvas.axes()
    male, edge = _column(a["Male"]), _between(f["hairline"], -0.45, -0.39)
    part = _between(f["parting"], -0.16, 0.16)
    bend = 1.5 - 0.7 * male
    line = Term(-bend * (x - 0.3 * part) * (x - 0.3 * part), -2 * bend * (x - 0.3 * part))
    cap = canvas.inside(line, Term(y - edge + 1, np.ones_like(y)))
    cap = np.minimum(cap, _hair_outline(canvas, f, a))
    canvas.paint(cap, hair)
    window: Window = (-0.5, 0.5, -1.0, -0.3)
    x, y = canvas.axes(window)
    _, rows, columns = canvas.rows(window)
    inner = cap[:, rows, columns]
    shine = canvas.band(y + 0.66 - 0.75 * x * x, 0.045 * (1 - power2(x - part, 0.30).value))
    canvas.paint(0.55 * shine * inner, hair * np.float32(0.75) + np.float32(0.25), window)
    seam = canvas.band(x - part * (1.35 + 0.6 * y), 0.020 * (1 - power2(y + 0.60, 0.24).value))
    canvas.paint(seam * inner, hair * np.float32(0.70), window)


def _light(canvas: Canvas, f: dict[str, Floats], difficulty: float) -> None:
    """Strength, warmth and side of the light, over the whole picture."""
    x, _ = canvas.axes()
    strength = 1 + (f["light"] - 0.5) * (0.08 + 0.30 * difficulty)
    warm = (f["warmth"] - 0.5) * (0.05 + 0.20 * difficulty)
    tint = np.stack([strength * (1 + warm), strength, strength * (1 - warm)], axis=1)
    side = 1 + _column(f["light_side"] - 0.5) * (0.04 + 0.44 * difficulty) * x
    for channel in range(3):
        canvas.pixels[:, channel] *= tint[:, channel, None, None] * side

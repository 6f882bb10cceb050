"""Rendering speed of SynthFaces on one core: ``python benchmarks/synthfaces.py``.

Prints images per second for default faces at 32, 64 and 128 px, the speedup over rendering them one at a time, and
the relative speed with all optional attributes and with expressions. ``--picture FILE.png`` renders the figure in
docs/synthfaces.md instead.
"""

import argparse
import time
from collections.abc import Iterable
from statistics import median

import numpy as np
from PIL import Image

from stargan_lab.data.synthfaces.identity import EXPRESSIONS, KIND, OPTIONAL, Form, relabel, sample
from stargan_lab.data.synthfaces.renderer import render

ROWS = (
    ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young", "Oval_Face", "Eyeglasses"),
    ("Smiling", "Bangs", "Big_Nose", "Bushy_Eyebrows", "Pale_Skin", "Rosy_Cheeks", "Wearing_Lipstick"),
    EXPRESSIONS,
)
PORTRAITS = (5, 1)


def rate(size: int, count: int, step: int, form: Form = "celeba", vary: Iterable[str] = ()) -> float:
    """Images per second when ``count`` faces are rendered ``step`` at a time."""
    began = time.perf_counter()
    for start in range(0, count, step):
        render(sample(0, range(start, start + step), 0.5, form=form, vary=vary), size)
    return count / (time.perf_counter() - began)


def rates() -> None:
    for size in (32, 64, 128):
        runs = [
            (rate(size, 256, 64), rate(size, 64, 1), rate(size, 256, 64, vary=OPTIONAL), rate(size, 256, 64, "rafd"))
            for _ in range(5)
        ]
        batched = median(row[0] for row in runs)
        single, optional, posed = (median(row[0] / row[i] for row in runs) for i in (1, 2, 3))
        print(
            f"{size} px: {batched:,.0f} images/s, {single:.1f}x the speed of one at a time;"
            f" {1 / optional:.2f}x the speed with all optional attributes, {1 / posed:.2f}x with expressions"
        )


def picture(path: str, size: int = 80, difficulty: float = 0.3) -> None:
    """For each face and row of labels, render the face and then the same face with each label flipped or set."""
    width = 1 + max(len(row) for row in ROWS)
    sheet = np.full((len(PORTRAITS) * len(ROWS), width, 3, size, size), 255, dtype=np.uint8)
    for i, number in enumerate(PORTRAITS):
        face = sample(0, [number], difficulty)
        for j, names in enumerate(ROWS):
            variants = [face]
            for name in names:
                flips = name in KIND and not name.endswith("_Hair")
                value = 1 - face.labels[name] if flips else np.ones(1, dtype=np.float32)
                variants.append(relabel(face, [name], value[:, None]))
            for k, variant in enumerate(variants):
                sheet[i * len(ROWS) + j, k] = render(variant, size)[0]
    pixels = sheet.transpose(0, 3, 1, 4, 2).reshape(len(sheet) * size, width * size, 3)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png", help="render the figure in docs/synthfaces.md")
    path = parser.parse_args().picture
    if path:
        picture(path)
    else:
        rates()


if __name__ == "__main__":
    main()

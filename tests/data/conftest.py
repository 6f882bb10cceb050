"""Small folders in the layouts of CelebA and ImageFolder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NAMES = ("Bald", "Black_Hair", "Blond_Hair", "Male", "Young")


def noise(rng: np.random.Generator, width: int = 178, height: int = 218) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write n JPEGs of CelebA's size with random labels; every fifth image is valid, every fifth test."""

    def make(n: int = 10, folder: str = "images") -> Path:
        root = tmp_path / "celeba"
        (root / folder).mkdir(parents=True)
        rng = np.random.default_rng(0)
        rows, parts = [], []
        for i in range(n):
            file = f"{i + 1:06d}.jpg"
            noise(rng).save(root / folder / file)
            rows.append(f"{file}  " + "  ".join(rng.choice(["1", "-1"], len(NAMES))))
            parts.append(f"{file} {(0, 0, 0, 1, 2)[i % 5]}")
        (root / "list_attr_celeba.txt").write_text("\n".join([str(n), " ".join(NAMES) + " ", *rows]) + "\n")
        (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
        return root

    return make


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """Write class directories with ``images[split]`` PNGs of 24 × 30 px per class."""

    def make(classes: Sequence[str] = ("angry", "happy", "sad"), name: str = "RaFD", **images: int) -> Path:
        root, rng = tmp_path / name, np.random.default_rng(1)
        for which, count in (images or {"train": 4, "test": 2}).items():
            for label in classes:
                (root / which / label).mkdir(parents=True)
                for i in range(count):
                    noise(rng, 24, 30).save(root / which / label / f"{label}{i}.png")
        return root

    return make

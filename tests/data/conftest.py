"""Small folders in CelebA's form, real files on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NAMES = ("Bald", "Black_Hair", "Blond_Hair", "Male", "Young")


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write n JPEGs of CelebA's size with labels from a generator; every fifth image valid, every fifth test."""

    def make(n: int = 10, folder: str = "images") -> Path:
        root = tmp_path / "celeba"
        (root / folder).mkdir(parents=True)
        rng = np.random.default_rng(0)
        rows, parts = [], []
        for i in range(n):
            file = f"{i + 1:06d}.jpg"
            Image.fromarray(rng.integers(0, 256, (218, 178, 3), dtype=np.uint8)).save(root / folder / file)
            rows.append(f"{file}  " + "  ".join(rng.choice(["1", "-1"], len(NAMES))))
            parts.append(f"{file} {(0, 0, 0, 1, 2)[i % 5]}")
        (root / "list_attr_celeba.txt").write_text("\n".join([str(n), " ".join(NAMES) + " ", *rows]) + "\n")
        (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
        return root

    return make

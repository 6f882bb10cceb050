"""Faces for inspecting networks, rendered so that no dataset is needed."""

import torch
from torch import Tensor

from stargan_lab.data.synthfaces.renderer import render
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.data.transforms import to_float

DIFFICULTY = 0.5


def faces(count: int, size: int) -> Tensor:
    """(count, 3, size, size) in [-1, 1]: the first SynthFaces of seed 0."""
    spec = SynthSpec(size, train=count, valid=0, test=1, seed=0, difficulty=DIFFICULTY)
    return to_float(torch.from_numpy(render(spec.sample(range(count)), size)))

"""The ground truth of SynthFaces: any image rendered with any other labels."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stargan_lab.data.synthfaces.identity import relabel
from stargan_lab.data.synthfaces.renderer import render
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.data.transforms import crop_and_resize


class SynthFacesGroundTruth:
    """Renders the images of a dataset with other labels and the loader's crop and resize (a ``GroundTruth``).

    Args:
        crop, size: as in ``crop_and_resize``.
        files: split -> its file names, in the order of its indices; only their stems matter.
    """

    def __init__(self, spec: SynthSpec, crop: int | None, size: int, files: Callable[[str], Sequence[str]]) -> None:
        self._spec = spec
        self._crop = crop
        self._size = size
        self._files = files

    def redraw(self, split: str, indices: Sequence[int], names: Sequence[str], labels: Tensor) -> Tensor:
        """(n, 3, H, W) uint8: images ``indices`` of ``split`` with ``labels`` (n, len(names)) of 0 and 1.

        For an image's source labels these are exactly the loader's pixels. Datasets of expressions take attributes too,
        and vice versa; labels not in ``names`` follow ``relabel``.

        Args:
            names: any of ``identity.LABELS``.
        Raises:
            ConfigError: unknown label.
            DataError: a row of ``labels`` sets two hair colors or two expressions.
        """
        stems = self._files(split)
        faces = self._spec.sample([int(Path(stems[i]).stem) - 1 for i in indices])
        targets = labels.detach().cpu().numpy().astype(np.float32)
        pixels = render(relabel(faces, names, targets), self._spec.size)
        if self._spec.size != self._size or self._crop not in (None, self._size):
            images = (Image.fromarray(image.transpose(1, 2, 0).copy()) for image in pixels)
            pixels = np.stack([crop_and_resize(image, self._crop, self._size) for image in images])
        return torch.from_numpy(pixels)

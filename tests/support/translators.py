"""Translators with known scores."""

from collections.abc import Callable, Sequence

from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float, to_uint8


def perfect_translator(sources: Sequence[ImageSource]) -> Callable[[Tensor, Tensor, int], Tensor]:
    """A translator that returns the ground truth for test images, and for its outputs."""
    rows_by_image: dict[tuple[int, bytes], int] = {}
    for index, source in enumerate(sources):
        test = source.split("test")
        rows_by_image |= {(index, image.numpy().tobytes()): i for i, image in enumerate(test.images(range(len(test))))}

    def translate(images: Tensor, labels: Tensor, index: int) -> Tensor:
        ground_truth = sources[index].ground_truth
        assert ground_truth is not None
        rows = [rows_by_image[index, image.numpy().tobytes()] for image in to_uint8(images)]
        rendered = ground_truth.redraw("test", rows, sources[index].spec.names, labels)
        rows_by_image.update({(index, image.numpy().tobytes()): row for image, row in zip(rendered, rows, strict=True)})
        return to_float(rendered)

    return translate

"""Translators whose scores are known beforehand."""

from collections.abc import Callable, Sequence

from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float, to_uint8


def perfect_translator(sources: Sequence[ImageSource]) -> Callable[[Tensor, Tensor, int], Tensor]:
    known: dict[tuple[int, bytes], int] = {}
    for index, source in enumerate(sources):
        test = source.split("test")
        known |= {(index, picture.numpy().tobytes()): i for i, picture in enumerate(test.images(range(len(test))))}

    def translate(images: Tensor, labels: Tensor, index: int) -> Tensor:
        ground_truth = sources[index].ground_truth
        assert ground_truth is not None
        rows = [known[index, picture.numpy().tobytes()] for picture in to_uint8(images)]
        drawn = ground_truth.images("test", rows, labels)
        known.update({(index, picture.numpy().tobytes()): row for picture, row in zip(drawn, rows, strict=True)})
        return to_float(drawn)

    return translate

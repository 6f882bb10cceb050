"""Option types shared by several kinds of datasets."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Crop = PositiveInt | None
Limit = PositiveInt | None
ImageSize = Annotated[int, Field(ge=8)] | None
Difficulty = Annotated[float, Field(ge=0, le=1)]
Unreadable = Literal["stop", "skip"]
SPLITS = ("train", "valid", "test")
Split = Literal["official", "reference"]
"""How CelebA is split."""


@dataclass(frozen=True)
class ImageOptions:
    """Which images of a directory are used, and how.

    Attributes:
        crop: side of the centered square in px; None: the shorter side.
        image_size: side in px after resizing.
        flip: whether training flips images left to right with probability 1/2.
        limits: maximum number of images of train, valid and test; None: all.
        unreadable: ``stop`` at missing or damaged images and malformed rows, or ``skip`` them.
    """

    crop: int | None
    image_size: int
    flip: bool
    limits: tuple[int | None, int | None, int | None] = (None, None, None)
    unreadable: Unreadable = "stop"

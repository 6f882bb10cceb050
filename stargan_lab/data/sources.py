"""Datasets: images with labels, cropped, resized and packed; several at once; and drawn faces with ground truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stargan_lab.data import celeba as _celeba  # noqa: F401  registers celeba and synthfaces
from stargan_lab.data import image_folder as _folders  # noqa: F401  registers image_folder and synthexpressions
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family


def open_sources(sources: Mapping[str, Mapping[str, Any]], image_size: int, outputs: Path) -> list[ImageSource]:
    """Build every source: ``kind`` is its registered name, the rest its options. No image is read yet.

    Args:
        sources: name -> options.
        image_size: side in px of the images served.
        outputs: where caches and drawn datasets go.
    Raises:
        ConfigError: no source, no ``kind``, or a kind that is not registered.
    """
    if not sources:
        raise ConfigError("data.sources: expected at least one")
    opened: list[ImageSource] = []
    for name, options in sources.items():
        if "kind" not in options:
            raise ConfigError(f"data.sources.{name}.kind is missing; one of {', '.join(family('dataset').names())}")
        rest = {key: value for key, value in options.items() if key != "kind"}
        opened.append(family("dataset").build(str(options["kind"]), name, image_size, outputs, **rest))
    return opened

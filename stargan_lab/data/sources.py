"""Builds the datasets of a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stargan_lab.data import celeba, image_folder  # noqa: F401  registers the datasets
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.synthfaces import dataset  # noqa: F401  registers the datasets
from stargan_lab.registry import family


def open_sources(sources: Mapping[str, Mapping[str, Any]], image_size: int, outputs: Path) -> list[ImageSource]:
    """Build every source, without reading any files.

    Args:
        sources: name -> ``kind``, a registered name, and its options.
        image_size: side of the images in px.
        outputs: directory for caches and generated datasets.
    Raises:
        ConfigError: an unknown ``kind``.
    """
    built: list[ImageSource] = []
    for name, source in sources.items():
        options = dict(source)
        built.append(family("dataset").build(options.pop("kind"), name, image_size, outputs, **options))
    return built

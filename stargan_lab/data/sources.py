"""Builds the datasets of a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stargan_lab.data import celeba, image_folder  # noqa: F401  registers the datasets
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.synthfaces import dataset  # noqa: F401  registers the datasets
from stargan_lab.errors import ConfigError
from stargan_lab.registry import family


def open_sources(sources: Mapping[str, Mapping[str, Any]], image_size: int, outputs: Path) -> list[ImageSource]:
    """Build every source, without reading any files.

    Args:
        sources: name -> ``kind``, a registered name, and its options.
        image_size: side of the images in px.
        outputs: folder for caches and generated datasets.
    Raises:
        ConfigError: there are no sources, or a ``kind`` is missing or unknown.
    """
    if not sources:
        raise ConfigError("data.sources: expected at least one dataset")
    built: list[ImageSource] = []
    for name, options in sources.items():
        if "kind" not in options:
            raise ConfigError(f"data.sources.{name}.kind: missing; set one of {', '.join(family('dataset').names())}")
        rest = {key: value for key, value in options.items() if key != "kind"}
        built.append(family("dataset").build(str(options["kind"]), name, image_size, outputs, **rest))
    return built

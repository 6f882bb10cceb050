"""Inception's weights: a path, a cached file, or the official download, identified by its SHA-256."""

import hashlib
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

import torch

from stargan_lab import console, files
from stargan_lab.errors import LabError, OptionError

VERIFIED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of the official file, TensorFlow's FID Inception as published by pytorch-fid; only it gives FID."""

DOWNLOAD = "download"


class WeightsMissing(OptionError):
    """There are no Inception weights; the message says how to get them.

    Attributes:
        label: label of the features that cannot be computed.
    """

    label = ""


def official_url() -> str:
    import pytorch_fid.inception

    return str(pytorch_fid.inception.FID_WEIGHTS_URL)


def cache_paths(outputs: Path) -> list[Path]:
    """Paths to search for weights: this project's cache, then pytorch-fid's."""
    name = official_url().rsplit("/", 1)[-1]
    return [outputs / "cache" / "weights" / name, Path(torch.hub.get_dir()) / "checkpoints" / name]


def find_weights(weights: str | None, outputs: Path) -> Path:
    """The file for ``weights``: a path, ``download``, or None for the cached file.

    Raises:
        WeightsMissing: weights is None and no cache has the file.
        OptionError: the path does not exist.
        LabError: the download failed or was not the official file.
    """
    paths = cache_paths(outputs)
    if weights not in (None, DOWNLOAD):
        path = Path(str(weights)).expanduser()
        if not path.is_file():
            raise OptionError("weights", f"{path} is not a file", f"{DOWNLOAD} or a path")
        return path
    cached = next((path for path in paths if path.is_file() and (weights is None or is_official(path))), None)
    if cached is not None:
        return cached
    if weights is None:
        values = f"{DOWNLOAD} or a path, or copy them to {paths[0]}"
        raise WeightsMissing("weights", "no Inception weights, so no FID", values)
    with files.locked(paths[0].with_suffix(".lock")):  # not make_once: a file that is not official is replaced
        if not (paths[0].is_file() and is_official(paths[0])):
            files.write_atomically(paths[0], lambda file: _download(official_url(), file))
    return paths[0]


def is_official(path: Path) -> bool:
    return files.sha256_file(path) == VERIFIED_SHA256


def _download(url: str, file: BinaryIO) -> None:
    """Stream ``url`` into ``file``. Raises LabError if the download fails or its SHA-256 is not the official one."""
    digest = hashlib.sha256()
    try:
        with urlopen(url, timeout=60) as response:
            total = int(response.headers.get("Content-Length") or 0) or None
            with console.bar("Inception weights", total, "B", unit_scale=True) as bar:
                while chunk := response.read(1 << 20):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
    except OSError as error:
        raise LabError(
            f"{url}: download failed ({error}); download the file manually and give its path as the weights"
        ) from None
    if digest.hexdigest() != VERIFIED_SHA256:
        raise LabError(
            f"{url}: SHA-256 is {digest.hexdigest()}, not the official {VERIFIED_SHA256}; the download was discarded"
        )

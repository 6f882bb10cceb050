"""Translate a user's image files: find, read and translate them, and write each output and an overview sheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stargan_lab.console import bar, say
from stargan_lab.data.image_reader import IMAGE_EXTENSIONS, decode, images_in, read_bytes, to_rgb_as_displayed
from stargan_lab.data.transforms import crop_and_resize, to_float, to_uint8
from stargan_lab.errors import ConfigError, DataError, one_line
from stargan_lab.figures.image_grid import GridRow, as_image, draw_sheet
from stargan_lab.files import write_atomically
from stargan_lab.translation.requested_labels import Target
from stargan_lab.translation.translator import Translator

SHEET_ROWS = 40
"""The sheet shows at most this many images, the first ones."""

SourceLabelsOf = Callable[[Path, Image.Image], Sequence[Tensor]]
"""The file and its upright image -> source labels, (1, A) per dataset."""


@dataclass(frozen=True)
class Frame:
    """How an image of any size becomes a network input.

    Attributes:
        size: side in px; with ``keep_aspect`` the shorter side.
        multiple: sides must be a multiple of this.
        crop: side in px of the center crop, black outside the image; None for the largest square.
        keep_aspect: do not crop; both sides are rounded to ``multiple``.
    """

    size: int
    multiple: int = 1
    crop: int | None = None
    keep_aspect: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for invalid sizes."""
        if self.size % self.multiple or self.size < 1:
            below = max(self.size // self.multiple, 1) * self.multiple
            raise ConfigError(f"--size: {self.size} is not a multiple of {self.multiple}; nearest: {below}")
        if self.crop is not None and self.keep_aspect:
            raise ConfigError("--crop: cannot be combined with --keep-aspect")
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"--crop: expected at least 1 px, got {self.crop}")

    def to_input(self, image: Image.Image) -> Tensor:
        """(3, H, W) uint8."""
        if not self.keep_aspect:
            return torch.from_numpy(crop_and_resize(image, self.crop, self.size))
        shorter = min(image.size)
        width, height = (
            max(1, round(side * self.size / shorter / self.multiple)) * self.multiple for side in image.size
        )
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        return torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(height, width, 3).permute(2, 0, 1)


def find_images(inputs: Sequence[str]) -> list[Path]:
    """The image files in ``inputs``: files, and the sorted images directly inside directories, without duplicates.

    Raises:
        DataError: an input does not exist, or a directory has no images.
    """
    paths: list[Path] = []
    for text in inputs:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = images_in(path)
            if not inside:
                raise DataError(f"{path}: contains no images; expected {', '.join(IMAGE_EXTENSIONS)}")
            paths += inside
        elif path.exists():
            paths.append(path)
        else:
            raise DataError(f"{path}: no such file or directory")
    return list(dict.fromkeys(paths))


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """The file stems, with a number appended to duplicates."""
    originals = {path.stem for path in paths}
    used: set[str] = set()
    stems = []
    for path in paths:
        stem, number = path.stem, 1
        while stem in used:
            number += 1
            if (candidate := f"{path.stem}-{number}") not in originals:
                stem = candidate
        used.add(stem)
        stems.append(stem)
    return stems


def translate_images(
    translator: Translator,
    paths: Sequence[Path],
    targets: Sequence[Target],
    frame: Frame,
    source_labels: SourceLabelsOf,
    out: Path,
) -> int:
    """Write ``<stem>.<target>.png`` for each image and target, and ``strip.png`` with all of them.

    Images are translated one at a time, so results do not depend on the other images.

    Returns:
        The number of images that could not be read; each is reported on stderr.
    Raises:
        ConfigError: the generator does not support this image size.
    """
    _check_size(translator, frame.size)
    rows: list[GridRow] = []
    unread = 0
    named = list(zip(paths, unique_stems(paths), strict=True))
    for path, stem in bar("translating", None, "image", iterable=named):
        try:
            image = decode(read_bytes(path), path, to_rgb_as_displayed)
        except DataError as error:
            say(f"skipped: {error}")
            unread += 1
            continue
        pixels, labels = frame.to_input(image), source_labels(path, image)
        tiles = [as_image(pixels)]
        for target in targets:
            target_labels = target.labels(labels[target.source], translator.layout.specs[target.source])
            tiles.append(as_image(to_uint8(translator(to_float(pixels[None]), target_labels, target.source))[0]))
            path_out = out / f"{stem}.{target.name.replace('/', '_')}.png"
            write_atomically(path_out, partial(tiles[-1].save, format="PNG"))
        if len(rows) < SHEET_ROWS:
            rows.append(GridRow(tiles, stem))
    if rows:
        sheet = draw_sheet(rows, ["input", *(target.title for target in targets)])
        write_atomically(out / "strip.png", partial(sheet.image.save, format="PNG"))
    if len(paths) - unread > SHEET_ROWS:
        say(f"{out / 'strip.png'} shows the first {SHEET_ROWS} of {len(paths) - unread} images")
    return unread


def _check_size(translator: Translator, size: int) -> None:
    """Reject a size that the generator does not support before the first image."""
    blank = torch.zeros(1, 3, size, size)
    spec = translator.layout.specs[0]
    try:
        translator(blank, torch.zeros(1, len(spec.names)), 0)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"--size: the generator does not support {size} px ({one_line(error)})") from None

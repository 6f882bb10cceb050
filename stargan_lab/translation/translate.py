"""A person's own pictures through a generator: found, read, translated, written as single pictures and as one sheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stargan_lab.console import say
from stargan_lab.data.image_reader import IMAGE_EXTENSIONS, decode, images_in, read_bytes, to_rgb_as_displayed
from stargan_lab.data.transforms import crop_and_resize, to_float, to_uint8
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.files import write_atomically
from stargan_lab.image_grid import GridRow, as_png, draw_sheet
from stargan_lab.runs.samples import as_image
from stargan_lab.translation.targets import Target
from stargan_lab.translation.translator import Translator

SHEET_ROWS = 40
"""Pictures on the sheet; of more, the first."""

Own = Callable[[Path, Image.Image], Sequence[Tensor]]
"""The file and the upright picture -> its own labels, (1, A) per dataset."""


@dataclass(frozen=True)
class Frame:
    """How a picture of any size becomes an input.

    Attributes:
        size: px of the side, or of the shorter one with ``keep_aspect``.
        crop: side of the centred square that is taken, black beyond the picture; None: the largest that fits.
        keep_aspect: no crop; both sides are rounded to ``multiple``.
    """

    size: int
    multiple: int = 1
    crop: int | None = None
    keep_aspect: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for a size that the generator cannot take."""
        if self.size % self.multiple or self.size < 1:
            below = max(self.size // self.multiple, 1) * self.multiple
            raise ConfigError(f"--size: {self.size} is no multiple of {self.multiple}; nearest: {below}")
        if self.crop is not None and self.keep_aspect:
            raise ConfigError("--crop: takes a square, which --keep-aspect does not; give one of them")
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"--crop: expected at least 1 px, got {self.crop}")

    def fit(self, picture: Image.Image) -> Tensor:
        """(3, H, W) uint8."""
        if not self.keep_aspect:
            return torch.from_numpy(crop_and_resize(picture, self.crop, self.size))
        shorter = min(picture.size)
        width, height = (
            max(1, round(side * self.size / shorter / self.multiple)) * self.multiple for side in picture.size
        )
        resized = picture.resize((width, height), Image.Resampling.BILINEAR)
        return torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(height, width, 3).permute(2, 0, 1)


def find_images(places: Sequence[str]) -> list[Path]:
    """Files as they are named, and the pictures in folders, sorted, not those in folders within.

    Raises:
        DataError: nothing is there, or a folder has no picture.
    """
    found: list[Path] = []
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            inside = images_in(path)
            if not inside:
                raise DataError(f"{path}: no picture in it; looked for {', '.join(IMAGE_EXTENSIONS)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path}: no such picture or folder")
    return list(dict.fromkeys(found))


def read_picture(path: Path) -> Image.Image:
    """A picture as RGB, upright as its EXIF says; transparent parts on white.

    Raises:
        DataError: not readable; names the file.
    """
    return decode(read_bytes(path), path, to_rgb_as_displayed)


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """A name for each file's outputs: its stem, numbered where an earlier file has it already."""
    taken = {path.stem for path in paths}
    used: set[str] = set()
    stems = []
    for path in paths:
        stem, number = path.stem, 1
        while stem in used:
            number += 1
            if (candidate := f"{path.stem}-{number}") not in taken:
                stem = candidate
        used.add(stem)
        stems.append(stem)
    return stems


def translate_pictures(
    translator: Translator, paths: Sequence[Path], targets: Sequence[Target], frame: Frame, own: Own, out: Path
) -> int:
    """Write ``<stem>.<target>.png`` per picture and target, and ``strip.png`` with all of them.

    Every picture goes through alone, so none depends on the others.

    Returns:
        How many pictures could not be read; each is named on stderr.
    Raises:
        ConfigError: the generator cannot take pictures of this size.
    """
    _try(translator, frame)
    rows: list[GridRow] = []
    unread = 0
    named = list(zip(paths, unique_stems(paths), strict=True))
    for path, stem in tqdm(named, "translating", unit="image", disable=None):
        try:
            picture = read_picture(path)
        except DataError as error:
            say(f"left out: {error}")
            unread += 1
            continue
        pixels, labels = frame.fit(picture), own(path, picture)
        tiles = [as_image(pixels)]
        for target in targets:
            asked = target.labels(labels[target.source], translator.layout.specs[target.source])
            tiles.append(as_image(to_uint8(translator(to_float(pixels[None]), asked, target.source))[0]))
            _write(out / f"{stem}.{target.name.replace('/', '_')}.png", tiles[-1])
        if len(rows) < SHEET_ROWS:
            rows.append(GridRow(tiles, stem))
    if rows:
        _write(out / "strip.png", draw_sheet(rows, ["input", *(target.title for target in targets)]).image)
    if len(paths) - unread > SHEET_ROWS:
        say(f"{out / 'strip.png'} shows the first {SHEET_ROWS} of {len(paths) - unread} pictures")
    return unread


def _try(translator: Translator, frame: Frame) -> None:
    """Let a size that is too small be refused before the first picture."""
    blank = torch.zeros(1, 3, frame.size, frame.size)
    spec = translator.layout.specs[0]
    try:
        translator(blank, torch.zeros(1, len(spec.names)), 0)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--size: the generator cannot take {frame.size} px ({reason})") from None


def _write(path: Path, image: Image.Image) -> None:
    content = as_png(image)
    write_atomically(path, lambda file: file.write(content))

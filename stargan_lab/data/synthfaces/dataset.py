"""The SynthFaces datasets: ``synthfaces`` in CelebA's layout, ``synthexpressions`` in RaFD's.

Images are generated if missing, then read back by the loaders of ``celeba`` and ``image_folder``.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from stargan_lab.data.celeba import HAIR, CelebAListing, Groups, Names, check_known, check_renderable
from stargan_lab.data.image_folder import Classes, FolderListing
from stargan_lab.data.options import Crop, Difficulty, ImageOptions, ImageSize, NonNegativeInt, PositiveInt, Split
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.synthfaces.identity import ATTRIBUTES, EXPRESSIONS, OPTIONAL
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.errors import ConfigError, unknown
from stargan_lab.registry import family

AtLeastEight = Annotated[int, Field(ge=8)]
_SOURCE = "rendered, see stargan_lab/data/synthfaces/renderer.py"


@family("dataset").register("synthfaces", source=_SOURCE)
def synthfaces(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str | None = None,
    attributes: Names = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young", "Oval_Face"),
    split: Split = "official",
    size: ImageSize = None,
    train: PositiveInt = 8_000,
    valid: NonNegativeInt = 500,
    test: PositiveInt = 1_000,
    seed: NonNegativeInt = 0,
    difficulty: Difficulty = 0.5,
    crop: Crop = None,
    flip: bool = True,
    exclusive: Groups = HAIR,
) -> PackedSource:
    """Synthetic faces with attributes and exact ground truth; generated if missing.

    Args:
        root: directory of the images; null: ``data/`` in the outputs directory, named after a hash of the options.
        attributes: the labels, in this order; optional attributes vary only if they are listed here.
        size: side of the generated images in px; null: the training size.
        train, valid, test: images per split; image i does not depend on the number of images.
        seed: seed of all faces.
        difficulty: 0: muted backgrounds, little variation; 1: saturated, striped backgrounds and varied light.
        split, crop, flip, exclusive: as in ``celeba``.
    """
    key = f"data.sources.{name}"
    for attribute in attributes:
        if attribute not in ATTRIBUTES:
            raise ConfigError(f"{key}.attributes: {unknown('attribute', attribute, ATTRIBUTES)}")
    check_known(f"{key}.exclusive", exclusive, ATTRIBUTES)
    check_renderable(f"{key}.exclusive", exclusive, attributes)
    vary = tuple(attribute for attribute in OPTIONAL if attribute in attributes)
    spec = SynthSpec(size or image_size, train, valid, test, seed, difficulty, "celeba", vary)
    folder = Path(root).expanduser() if root else outputs / "data" / f"synthfaces-{spec.fingerprint[:12]}"
    listing = CelebAListing(name, folder, tuple(attributes), split, exclusive)
    return PackedSource(listing, ImageOptions(crop, image_size, flip), outputs, spec)


@family("dataset").register("synthexpressions", source=_SOURCE)
def synthexpressions(
    name: str,
    image_size: int,
    outputs: Path,
    *,
    root: str | None = None,
    classes: Classes = None,
    size: ImageSize = None,
    train: AtLeastEight = 8_000,
    valid: NonNegativeInt = 500,
    test: AtLeastEight = 1_000,
    seed: NonNegativeInt = 0,
    difficulty: Difficulty = 0.5,
    crop: Crop = None,
    flip: bool = True,
) -> PackedSource:
    """Synthetic faces, each with one of RaFD's eight expressions, and exact ground truth; generated if missing.

    Args:
        root: directory of the images; null: ``data/`` in the outputs directory, named after a hash of the options.
        classes: the expressions to use, in this order; null: all eight, sorted. All eight are generated.
        size: side of the generated images in px; null: the training size.
        train, valid, test: images per split, over all eight expressions; 0 or at least 8.
        seed: seed of all faces.
        difficulty: 0: muted backgrounds, little variation; 1: saturated, striped backgrounds and varied light.
        crop, flip: as in ``image_folder``.
    """
    for expression in classes or ():
        if expression not in EXPRESSIONS:
            raise ConfigError(f"data.sources.{name}.classes: {unknown('expression', expression, EXPRESSIONS)}")
    spec = SynthSpec(size or image_size, train, valid, test, seed, difficulty, "rafd")
    folder = Path(root).expanduser() if root else outputs / "data" / f"synthexpressions-{spec.fingerprint[:12]}"
    listing = FolderListing(name, folder, classes or EXPRESSIONS)
    return PackedSource(listing, ImageOptions(crop, image_size, flip), outputs, spec)

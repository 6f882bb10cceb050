"""``stargan-lab fid``."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargan_lab.cli.arguments import Commands, add_command, add_imports, add_outputs, imports_of

if TYPE_CHECKING:
    import torch

    from stargan_lab.evaluation.extractors import Extractor
    from stargan_lab.evaluation.image_folders import FolderImages

EPILOG = """\
Prints {"metric", "value", "protocol"} as JSON; messages go to stderr. REAL and FAKE are directories of images
(bmp, jpg, jpeg, pgm, png, ppm, tif, tiff, webp; subdirectories are ignored) or .npz files from pytorch-fid's
--save-stats. The metric is called fid only for the 2,048 features of the official Inception weights. Statistics of a
directory are cached under --outputs, keyed by a hash of its images.

examples:
  stargan-lab fid photos translations --weights download         downloads the official weights once
  stargan-lab fid photos translations | jq .value                uses the downloaded weights
  stargan-lab fid photos translations --dims 192                 fewer features, for small sets of images
  stargan-lab fid celeba.npz translations                        statistics saved by pytorch-fid
  stargan-lab fid photos translations --weights mine.pth --allow-unverified
  stargan-lab fid photos translations --features torchscript --weights mine.pt"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "fid", "compute the Fréchet distance between two image directories", run, EPILOG)
    parser.add_argument("real", metavar="REAL", help="image directory, or .npz from pytorch-fid's --save-stats")
    parser.add_argument("fake", metavar="FAKE", help="image directory, or .npz from pytorch-fid's --save-stats")
    parser.add_argument(
        "--features", default="inception", metavar="NAME", help="feature extractor (default: inception)"
    )
    parser.add_argument("--dims", type=int, choices=[64, 192, 768, 2048], help="Inception features (default: 2048)")
    parser.add_argument(
        "--weights", metavar="FILE|download", help="extractor weights (default: cached Inception weights)"
    )
    parser.add_argument("--allow-unverified", action="store_true", help="accept unofficial Inception weights")
    add_imports(parser, "your extractors")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_outputs(parser, "directory for cached statistics and weights")


def run(args: argparse.Namespace) -> int:
    """Print ``{"metric", "value", "protocol"}``, and nothing else, to stdout."""
    from stargan_lab.console import say
    from stargan_lab.errors import LabError
    from stargan_lab.evaluation.frechet_distance import frechet_distance
    from stargan_lab.evaluation.image_folders import examine, find
    from stargan_lab.files import check_writable
    from stargan_lab.runs.build import find_device
    from stargan_lab.tracking.metrics import metric_name

    outputs, device = Path(args.outputs).expanduser(), find_device("--device", args.device)
    check_writable("--outputs", outputs)
    locations = find(args.real), find(args.fake)
    extractor = _extractor(args, outputs, device)
    real, fake = (examine(*location, extractor.dims) for location in locations)
    gaussians = [images.gaussian(extractor, outputs, device) for images in (real, fake)]
    dims, fake_dims = (len(mean) for mean, _ in gaussians)
    if dims != fake_dims:
        raise LabError(
            f"{extractor.name!r} has {dims:,} features per image in {real.path} but {fake_dims:,} in {fake.path};"
            " both sides need the same image size"
        )
    notes = [note for images in (real, fake) for note in _notes(images, dims, extractor)]
    for note in dict.fromkeys(notes):  # once if both are the same directory
        say(f"note: {note}")
    result = {
        "metric": metric_name("frechet", extractor.label).removeprefix("eval/"),
        "value": frechet_distance(*gaussians[0], *gaussians[1]),
        "protocol": _protocol(extractor, dims, real, fake),
    }
    print(json.dumps(result, indent=2, allow_nan=False))
    return 0


def _extractor(args: argparse.Namespace, outputs: Path, device: "torch.device") -> "Extractor":
    """The requested extractor. Raises ConfigError for unofficial Inception weights unless they are allowed."""
    from stargan_lab.errors import ConfigError, OptionError
    from stargan_lab.evaluation.extractors import build_extractor
    from stargan_lab.registry import import_user_modules
    from stargan_lab.tracking.metrics import metric_name

    import_user_modules(imports_of(args))
    try:
        extractor = build_extractor(args.features, outputs, device, None, weights=args.weights, dims=args.dims)
    except OptionError as error:
        raise error.as_flag() from None
    if _verified(extractor) is False and not args.allow_unverified:
        name = metric_name("frechet", extractor.label).removeprefix("eval/")
        raise ConfigError(
            f"--weights: SHA-256 {extractor.sha256[:12]}… is not the official Inception weights, so the distance is not"
            f" FID; use --weights download, or add --allow-unverified to report it as {name}"
        )
    return extractor


def _verified(extractor: "Extractor") -> bool | None:
    """Whether the weights are the official ones; None for extractors without official weights."""
    return getattr(extractor, "verified", None)


def _protocol(extractor: "Extractor", dims: int, real: "FolderImages", fake: "FolderImages") -> dict[str, Any]:
    """Everything the distance depends on except the content of FAKE."""
    from stargan_lab.evaluation.protocol import VERSION

    return {
        "dims": dims,
        "distance": "frechet",
        "extractor": extractor.name,
        "generated": {"images": fake.count},
        "preprocessing": extractor.preprocessing,
        "quantization": "uint8",
        "real": {"images": real.count, "sha256": real.fingerprint},
        "sha256": extractor.sha256,
        "verified": _verified(extractor),
        "version": VERSION,
    }


def _notes(images: "FolderImages", dims: int, extractor: "Extractor") -> list[str]:
    """Caveats about one of the two sides."""
    if images.count is None:
        return [f"{images.path}: does not record its extractor; assuming features of {extractor.name!r}"]
    notes = []
    if images.count <= dims:
        notes.append(
            f"{images.path}: {images.count:,} images for {dims:,} features: the distance is biased upward;"
            " compare it only with distances from equally many images"
        )
    if images.high_bit_depth:
        count = f"{images.high_bit_depth:,} of {images.count:,} images have"
        notes.append(f"{images.path}: {count} more than 8 bits per channel; values above 255 are clipped")
    return notes

"""``stargan-lab translate``."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.cli.arguments import Commands, add_command, add_network, add_variadic
from stargan_lab.cli.open_network import open_network, title

if TYPE_CHECKING:
    from stargan_lab.runs.loaded_model import LoadedModel
    from stargan_lab.translation.requested_labels import Target

TO = (
    "comma-separated targets, one output each; + combines labels: Blond_Hair,Male+Young; Male=0 removes a label;"
    " write DATASET.LABEL if several datasets have the label"
)
EPILOG = """\
examples:
  stargan-lab translate 3f2a me.jpg photos/ --to Blond_Hair,Male+Young
  stargan-lab translate 3f2a me.jpg --to Male=0 --from Male,Black_Hair
  stargan-lab translate 3f2a me.jpg --to Young --imports my_components      a run with your own components
  stargan-lab translate 200000-G.ckpt me.jpg --to Young --keep-aspect --size 256"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "translate", "translate your own images", run, EPILOG)
    add_network(parser)
    add_variadic(parser, "images", nargs="+", metavar="IMAGE", help="image files and directories")
    parser.add_argument("--to", required=True, metavar="LABELS", help=TO)
    parser.add_argument(
        "--from",
        dest="source_labels",
        metavar="LABELS",
        help="comma-separated source labels; unlisted ones are 0 (default: predicted by the attribute classifier)",
    )
    parser.add_argument("--out", metavar="DIR", help="output directory (default: OUTPUTS/translations/NAME)")
    parser.add_argument("--size", type=int, metavar="PX", help="side of input and output (default: as in training)")
    parser.add_argument("--crop", type=int, metavar="PX", help="side of the center crop (default: the shorter side)")
    parser.add_argument(
        "--keep-aspect", action="store_true", help="do not crop; --size is the length of the shorter side"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Translate images; 1 if some could not be read."""
    from stargan_lab.console import say
    from stargan_lab.errors import ConfigError, counted
    from stargan_lab.runs.build import find_device
    from stargan_lab.runs.source_labels import SourceLabels
    from stargan_lab.translation.requested_labels import parse_targets
    from stargan_lab.translation.translate import Frame, find_images, translate_images

    outputs = Path(args.outputs)
    opened = open_network(args)
    targets = parse_targets(args.to, opened.layout)
    translator = opened.translator(find_device("--device", args.device))
    size = opened.image_size if args.size is None else args.size
    frame = Frame(size, translator.size_multiple, args.crop, args.keep_aspect)
    source_labels = SourceLabels(opened, frame, targets, args.source_labels)
    paths = find_images(args.images)
    out = Path(args.out).expanduser() if args.out else outputs / "translations" / opened.name
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {out} is not a directory")
    say(f"{title(opened)}; {counted(len(paths), 'image')} to {', '.join(target.name for target in targets)}")
    for name, crop in _training_crops(opened, targets) if frame.crop is None and not frame.keep_aspect else ():
        say(f"note: using the largest center square; {name} was trained with crop={crop}: use --crop {crop} to match")
    if frame.keep_aspect:
        say(f"resizing the shorter side to {frame.size} px and both sides to multiples of {frame.multiple} px")
    unread = translate_images(translator, paths, targets, frame, source_labels, out)
    if unread < len(paths):
        print(out / "strip.png")
    return 1 if unread else 0


def _training_crops(opened: "LoadedModel", targets: "Iterable[Target]") -> list[tuple[str, int]]:
    """The targets' datasets that were cropped in training, with the crop in px."""
    if opened.config is None:
        return []
    names = {opened.layout.specs[target.source].dataset for target in targets}
    crops = {name: source.options.get("crop") for name, source in opened.config.data.sources.items() if name in names}
    return [(name, crop) for name, crop in crops.items() if crop is not None]

"""``stargan-lab export``."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stargan_lab.cli.arguments import Commands, add_command, add_network
from stargan_lab.cli.open_network import open_network, title

if TYPE_CHECKING:
    from stargan_lab.runs.loaded_model import LoadedModel

WEIGHT_FILES = (".ckpt", ".pt", ".pth", ".onnx")

EPILOG = """\
examples:
  stargan-lab export 3f2a                      STEP-G.ckpt and STEP-D.ckpt for yunjey/stargan
  stargan-lab export 3f2a --format onnx
  stargan-lab export 200000-G.ckpt --format onnx --to generator.onnx"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "export", "export a run as reference checkpoints or ONNX", run, EPILOG)
    parser.add_argument(
        "--format",
        choices=["reference", "onnx"],
        default="reference",
        help="reference: yunjey/stargan checkpoints, of the generator alone if the discriminator is not StarGAN's"
        " (default); onnx: the generator",
    )
    parser.add_argument("--to", metavar="PATH", help="file or directory (default: OUTPUTS/exports/NAME)")
    add_network(parser)


def run(args: argparse.Namespace) -> int:
    """Write the networks and print their paths."""
    outputs = Path(args.outputs)
    opened = open_network(args)
    to = Path(args.to).expanduser() if args.to else outputs / "exports" / opened.name
    write = {"reference": _export_reference, "onnx": _export_onnx}[args.format]
    for path in write(opened, to):
        print(path)
    return 0


def _export_reference(opened: "LoadedModel", folder: Path) -> list[Path]:
    import torch

    from stargan_lab.checkpoints.export import reference_state
    from stargan_lab.console import say
    from stargan_lab.errors import ConfigError
    from stargan_lab.files import write_atomically

    if folder.suffix in WEIGHT_FILES or folder.is_file():
        raise ConfigError(f"--to: {folder}: the reference format needs a directory")
    states = {"G": reference_state(opened.generator, "generator", opened.image_size)}
    try:
        if opened.critic is None:
            raise ConfigError("the file has no discriminator")
        states["D"] = reference_state(opened.critic, "discriminator", opened.image_size)
    except ConfigError as error:
        say(f"note: {error}; exporting the generator alone, which is all that translation needs")
    if any(value.dtype == torch.float64 for value in opened.generator.state_dict().values()):
        say("note: float64 weights are rounded to float32, the reference's dtype")
    step = opened.step or 0
    paths = []
    for letter, state in states.items():
        paths.append(folder / f"{step}-{letter}.ckpt")
        write_atomically(paths[-1], partial(torch.save, state))
    resume = f"--resume_iters {step} or " if "D" in states else ""
    say(f"{title(opened)}; load it in yunjey/stargan with {resume}--test_iters {step}")
    flags = {"binary": "--attributes", "categorical": "--classes"}
    names = " ".join(f"{flags[spec.kind]} {','.join(spec.names)}" for spec in opened.layout.specs)
    say(f"the files do not store label names; for stargan-lab translate, add {names}")
    return paths


def _export_onnx(opened: "LoadedModel", to: Path) -> list[Path]:
    from stargan_lab.checkpoints.export import to_onnx
    from stargan_lab.console import say
    from stargan_lab.errors import ConfigError
    from stargan_lab.files import write_atomically

    path = to if to.suffix == ".onnx" else to / f"{opened.step or 0}-G.onnx"
    if to.suffix in set(WEIGHT_FILES) - {".onnx"}:
        raise ConfigError(f"--to: {to}: expected a directory or a file ending in .onnx")
    provenance = {"run": opened.name, "step": opened.step, "averaged": opened.averaged}
    content, difference = to_onnx(opened.generator, opened.layout, opened.image_size, provenance)
    write_atomically(path, lambda file: file.write(content))
    say(f"{title(opened)}; onnxruntime and torch outputs differ by at most {difference:.1e}")
    return [path]

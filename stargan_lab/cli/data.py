"""``stargan-lab data``."""

import argparse

from stargan_lab.cli.arguments import Commands, add_command, add_overrides

EPILOG = """\
make    generate missing datasets (default: data=synthfaces) and pack them
check   look for damaged, missing and duplicate images; the exit code is 1 if there are any
pack    crop and resize all images in advance; otherwise the first run does it

examples:
  stargan-lab data make data=synthfaces data.image_size=64 data.sources.faces.train=1000
  stargan-lab data check data=rafd data.sources.rafd.root=/data/RaFD
  stargan-lab data pack data.sources.celeba.root=/data/celeba"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "data", "generate, check or pack datasets", run, EPILOG)
    parser.add_argument("action", choices=["make", "check", "pack"], help="see below")
    add_overrides(parser, "overrides as for train, e.g. data=synthfaces")


def run(args: argparse.Namespace) -> int:
    """Prepare or check every dataset of a configuration; 1 if a check finds problems."""
    from stargan_lab.config import compose
    from stargan_lab.data.check import check
    from stargan_lab.runs.build import build_sources

    selects_data = any(override.startswith(("data=", "preset=")) for override in args.overrides)
    defaults = ["data=synthfaces"] if args.action == "make" and not selects_data else []
    config = compose([*defaults, *args.overrides], args.config_dir, rules=False)
    valid = True
    for source in build_sources(config):
        if args.action == "check":
            result = check(source)
            print(result.summary(), flush=True)  # before the next dataset's progress bar
            valid = valid and not result.problems
            continue
        source.prepare()
        for split in source.splits():
            print(f"{source.name}/{split}: {len(source.split(split)):,} images in {getattr(source, 'root', '')}")
    return 0 if valid else 1

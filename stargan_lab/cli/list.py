"""``stargan-lab list``."""

import argparse
import textwrap
from pathlib import Path

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_config_dir, add_variadic

EPILOG = """\
examples:
  stargan-lab list                               all components and keys
  stargan-lab list discriminator                 one component: its options, defaults, meanings and sources
  stargan-lab list discriminator.norm            the values of one option
  stargan-lab list ablations                     all ablations: presets, title, claim
  stargan-lab list norm imports=[my_norms]       include components that you registered
  stargan-lab list generator --config-dir conf   include your YAML files"""


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "list", "list every component and key, or explain one", run, EPILOG)
    words = add_variadic(
        parser,
        "words",
        nargs="*",
        metavar="[COMPONENT] [key=value]",
        help="a component or key, e.g. discriminator, or ablations; then overrides",
    )
    complete.attach(words, complete.components)
    parser.add_argument(
        "--format",
        choices=["text", "md"],
        default="text",
        help="text (default), or md for Markdown as in docs/components.md",
    )
    add_config_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Print an overview of all components, the details of one, or all ablations."""
    if args.words == ["ablations"]:
        print(_ablations())
        return 0
    from stargan_lab.cli.component_page import details, overview, page
    from stargan_lab.config import compose
    from stargan_lab.config.catalogue import axes, find
    from stargan_lab.errors import ConfigError

    names = [word for word in args.words if "=" not in word]
    if len(names) > 1:
        raise ConfigError(f"list: expected one component, got {' '.join(names)}; overrides are written key=value")
    config_dir = Path(args.config_dir) if args.config_dir else None
    components = axes(compose([word for word in args.words if "=" in word], config_dir), config_dir)
    if names:
        components = find(names[0], components)
    if args.format == "md":
        print(page(components), end="")
    else:
        print("\n\n".join(map(details, components)) if names else overview(components))
    return 0


def _ablations() -> str:
    """Name, presets, title and claim of each ablation; for an invalid file, what is wrong with it."""
    from stargan_lab.ablation.spec import available, load
    from stargan_lab.cli.component_page import WIDTH
    from stargan_lab.errors import ConfigError

    blocks = []
    for name in available():
        try:
            ablation = load(name)
        except ConfigError as error:
            blocks.append(f"{name}\n  {error}")
            continue
        presets = f"   (--preset {', '.join(ablation.presets)})" if ablation.presets else ""
        claim = textwrap.fill(ablation.claim, WIDTH, initial_indent="    ", subsequent_indent="    ")
        blocks.append(f"{name}{presets}\n  {ablation.title}\n{claim}")
    return "\n\n".join([*blocks, "Train one: stargan-lab sweep NAME"])

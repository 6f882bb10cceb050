"""``stargan-lab inspect``."""

import argparse
from pathlib import Path

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import (
    OF_RUN,
    Commands,
    add_command,
    add_config_dir,
    add_imports,
    add_outputs,
    add_variadic,
    imports_of,
)

EPILOG = """\
what to inspect:
  receptive_field     the region that a patch score of the discriminator sees: in theory, and the square around its
                      center with 95 % of the squared gradient, drawn over a face; for overrides without
                      discriminator.depth, at every depth
  label_sensitivity   how much each pixel of the generator's output depends on the label, by distance to the border;
                      for overrides, with zero and reflect padding and both conditionings

examples:
  stargan-lab inspect receptive_field                       untrained networks of preset=small
  stargan-lab inspect receptive_field discriminator.norm=layer data.image_size=128
  stargan-lab inspect receptive_field 3f2a                  the discriminator of a run
  stargan-lab inspect label_sensitivity generator.norm=layer
  stargan-lab inspect label_sensitivity 3f2a 9c01           the generators of two runs

Written to outputs/inspect/: a figure as SVG and PDF, and its numbers as JSON."""

SUBJECTS = ("receptive_field", "label_sensitivity")


def add_parser(commands: Commands) -> None:
    parser = add_command(commands, "inspect", "show receptive fields and label sensitivity of networks", run, EPILOG)
    parser.add_argument("subject", metavar="WHAT", choices=SUBJECTS, help=" or ".join(SUBJECTS))
    words = add_variadic(
        parser, "words", nargs="*", metavar="RUN_OR_KEY=VALUE", help="run ids (a prefix is enough), or Hydra overrides"
    )
    complete.attach(words, complete.runs_and_overrides)
    add_config_dir(parser)
    add_imports(parser, OF_RUN)
    add_outputs(parser, "directory of the runs, and of the figures in inspect/")


def run(args: argparse.Namespace) -> int:
    """Measure networks, draw and record what they see."""
    from stargan_lab.cli.jobs import show_plain_warnings
    from stargan_lab.errors import UnnamedModules
    from stargan_lab.inspection.run import inspect_label_sensitivity, inspect_receptive_field, report
    from stargan_lab.registry import import_user_modules

    show_plain_warnings()
    inspect = {"receptive_field": inspect_receptive_field, "label_sensitivity": inspect_label_sensitivity}
    outputs = Path(args.outputs)
    import_user_modules(imports_of(args))
    try:
        lines = inspect[args.subject](args.words, outputs, args.config_dir)
    except UnnamedModules as error:
        raise error.as_flag() from None
    report(lines, outputs, args.subject)
    return 0

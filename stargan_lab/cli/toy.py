"""``stargan-lab toy``."""

import argparse

from stargan_lab.cli import complete
from stargan_lab.cli.arguments import Commands, add_command, add_overrides

EPILOG = """\
Trains one critic per Lipschitz constraint against a fixed generator, which adds noise to the real points, and shows the
critics' value surfaces, the gradient norm at each layer and the weights. Then trains critics against a generator whose
points do not overlap the real ones, and shows whether its gradient vanishes as the critic improves: it does for
minimax, log(1 - D), and does not for vanilla, -log D, and wgan.

examples:
  stargan-lab toy swiss_roll                                weight clipping against the gradient penalty
  stargan-lab toy eight_gaussians adversarial=hinge steps=1000 seed=1
  stargan-lab toy swiss_roll constraints.gp.weight=10       options of a constraint
  stargan-lab toy swiss_roll '~constraints.clip_1e-3' '+constraints.free={kind: none}'
  stargan-lab toy swiss_roll critic.norm=layer critic.layers=6
  stargan-lab toy swiss_roll tracking.enabled=false         without MLflow

keys (all of them, with defaults and descriptions: conf/toy.yaml):
  steps, batch_size, seed, threads    updates per critic, points per update
  adversarial, optimizer              as in training; optimizer.d_lr is the critic's rate
  constraints.NAME.{kind,…}           any constraint of `stargan-lab list lipschitz`
  critic.{width,layers,norm,…}        any norm of `stargan-lab list discriminator.norm`
  vanishing.{losses,offset,steps}     the second part
  distribution.noise                  see `stargan-lab list distribution`

Written to outputs/toy/NAME/: toy.json and the figures as SVG and PDF."""


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "toy",
        "train critics on 2-D points: gradients under weight clipping and under the minimax loss",
        run,
        EPILOG,
    )
    name = parser.add_argument("name", metavar="NAME", help="swiss_roll, eight_gaussians or twentyfive_gaussians")
    complete.attach(name, complete.distributions)
    add_overrides(parser, "Hydra overrides of conf/toy.yaml")


def run(args: argparse.Namespace) -> int:
    """Train toy critics, draw and record them."""
    from stargan_lab.cli.jobs import show_plain_warnings
    from stargan_lab.config.toy import compose_toy
    from stargan_lab.errors import ConfigError

    if "=" in args.name:
        raise ConfigError(f"NAME: expected a distribution before {args.name} (see stargan-lab toy --help)")
    show_plain_warnings()
    config = compose_toy(args.name, args.overrides, args.config_dir)
    from stargan_lab.toy.run import run_toy  # imports torch

    run_toy(config)
    return 0

"""Load networks without a run folder, such as the reference's 200000-G.ckpt: sizes and labels from their shapes."""

from collections.abc import Sequence

import torch
from torch import nn

from stargan_lab.checkpoints.label_layout import reference_layout
from stargan_lab.checkpoints.reference_format import CriticSizes, GeneratorSizes, difference, sizes_of
from stargan_lab.checkpoints.weight_files import Checkpoint, Role, State, read_checkpoint, step_in_name
from stargan_lab.errors import ConfigError
from stargan_lab.runs.loaded_model import LoadedModel, load_network, use_average

REFERENCE_SIZE = 128
"""Default image side in px of the reference implementation."""


def load_by_shapes(
    checkpoint: Checkpoint, ema: bool | None, attributes: Sequence[str], classes: Sequence[str]
) -> LoadedModel:
    """Networks of StarGAN's shapes; the arguments and errors are those of ``runs.load.load_model``."""
    path, plain = checkpoint.path, checkpoint.run_id is None
    if plain and ema:
        raise ConfigError(f"{path}: --ema: the file has one network's weights and no average")
    averaged = not plain and use_average(checkpoint, ema)
    state = checkpoint.states["average"] if averaged else checkpoint.state("generator")
    sizes = sizes_of(state)
    if isinstance(sizes, CriticSizes):
        raise ConfigError(f"{path}: contains a discriminator; expected a generator such as 200000-G.ckpt")
    if sizes is None or (mismatch := difference(state, sizes.form())):
        reason = f"it {mismatch}" if sizes else "its first layer differs"
        raise ConfigError(f"{path}: does not match the StarGAN generator: {reason}")
    layout = reference_layout(sizes.label_width, attributes, classes)
    critic, image_size, notes = _find_critic(checkpoint)
    if not attributes and not classes:
        names = ", ".join(name for spec in layout.specs for name in spec.names)
        notes.append(f"assuming StarGAN's default labels: {names} (change them with --attributes and --classes)")
    return LoadedModel(
        name=path.name.removesuffix("".join(path.suffixes)),
        path=path,
        generator=_build(sizes, state, "generator", f"{path}: it"),
        critic=critic,
        layout=layout,
        image_size=image_size,
        step=step_in_name(path) if plain else checkpoint.step,
        averaged=averaged,
        notes=tuple(notes),
    )


def _find_critic(checkpoint: Checkpoint) -> tuple[nn.Module | None, int, list[str]]:
    """The discriminator, from the checkpoint or from the ``…-D.ckpt`` next to ``…-G.ckpt``; image side; notes.

    Only the discriminator determines the image size.
    """
    path = checkpoint.path.with_name(checkpoint.path.name.replace("-G.", "-D.", 1))
    state: State | None = None
    if checkpoint.run_id is not None:
        state = checkpoint.states["discriminator"]
    elif path != checkpoint.path and path.is_file():
        state = read_checkpoint(path).state("discriminator")
    sizes = sizes_of(state) if state is not None else None
    if state is None or not isinstance(sizes, CriticSizes) or difference(state, sizes.form()):
        return None, REFERENCE_SIZE, [f"the file does not record the image size; assuming {REFERENCE_SIZE} px"]
    return _build(sizes, state, "discriminator", f"{path}: it"), sizes.image_size, []


def _build(sizes: GeneratorSizes | CriticSizes, state: State, role: Role, what: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # the random weights are then replaced
        network = sizes.build()
    load_network(network, state, role, what)
    return network

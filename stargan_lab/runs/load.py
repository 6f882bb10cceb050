"""Load trained networks: of a run, by its id, folder or checkpoint, or of StarGAN, from its checkpoint files.

model = load_model("3f2a", Path("outputs"))
images = model.translator()(images, labels, 0)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import nn

from stargan_lab.checkpoints.label_layout import LABELS, read_layout, reference_layout
from stargan_lab.checkpoints.load_state import load_state
from stargan_lab.checkpoints.stargan_format import CriticSizes, GeneratorSizes, difference, sizes_of
from stargan_lab.checkpoints.weight_files import Checkpoint, Role, State, locate, read_checkpoint, step_in_name
from stargan_lab.config import RunConfig
from stargan_lab.config.validate import validate
from stargan_lab.errors import ConfigError, LabError, one_line
from stargan_lab.labels import LabelLayout
from stargan_lab.runs.build import build_layout, build_networks, build_sources
from stargan_lab.translation.translator import Translator

REFERENCE_SIZE = 128
"""Default image side in px of the reference implementation."""


@dataclass(frozen=True)
class LoadedModel:
    """Trained networks and what they were trained on.

    Attributes:
        name: run id, or the file's stem.
        generator, critic: float32, or float64 as trained, on the CPU; critic is None if the file has only a generator.
        image_size: side in px in training.
        step: discriminator updates, None if unknown.
        averaged: the generator has EMA weights.
        config: of a run, with the recorded dataset paths and the current outputs directory.
        notes: one line for each assumption about a file that does not record it.
    """

    name: str
    path: Path
    generator: nn.Module
    critic: nn.Module | None
    layout: LabelLayout
    image_size: int
    step: int | None = None
    averaged: bool = False
    config: RunConfig | None = None
    notes: tuple[str, ...] = ()

    def translator(self, device: torch.device | str = "cpu") -> Translator:
        """The generator in the precision and memory format of its training, so that results match the run's."""
        mixed = self.config is not None and self.config.trainer.precision == "bfloat16"
        generator = self.generator.to(device)
        if self.config is not None and self.config.trainer.channels_last:
            generator = generator.to(memory_format=torch.channels_last)
        return Translator(generator, self.layout, torch.device(device), mixed)


def load_model(
    text: str,
    outputs: Path,
    ema: bool | None = None,
    attributes: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> LoadedModel:
    """Load a run's last checkpoint, or a StarGAN generator file. A run's dataset is not needed.

    A checkpoint without its run folder can be loaded if its networks match StarGAN's.

    Args:
        text: run id (a prefix is enough), run folder, or weight file.
        ema: whether to use the generator's average; None uses it if there is one.
        attributes, classes: names of the labels, if the file does not record them; see ``reference_layout``.
    Raises:
        ConfigError, LabError: in one line.
    """
    checkpoint = read_checkpoint(locate(text, outputs))
    folder = checkpoint.path.parent.parent
    if checkpoint.run_id is None or not (folder / "config.yaml").is_file():
        return _load_by_shapes(checkpoint, ema, attributes, classes)
    if attributes or classes:
        raise ConfigError(f"--attributes, --classes: run {checkpoint.run_id} records its labels; omit them")
    return load_run(checkpoint, read_config(folder), ema)


def load_run(checkpoint: Checkpoint, config: RunConfig, ema: bool | None = None) -> LoadedModel:
    """The networks in the checkpoint of a run with this configuration; ``ema`` as for ``load_model``.

    Raises:
        ConfigError: the checkpoint does not fit the configuration, or has no average.
    """
    labels = checkpoint.path.parent.parent / LABELS
    layout = read_layout(labels) if labels.exists() else build_layout(build_sources(config))
    generator, critic = build_networks(config, layout)
    averaged = _use_average(checkpoint, ema)
    state = checkpoint.states["average" if averaged else "generator"]
    _load(generator, state, "generator", f"{checkpoint.path}: its generator")
    _load(critic, checkpoint.states["discriminator"], "discriminator", f"{checkpoint.path}: its discriminator")
    return LoadedModel(
        name=str(checkpoint.run_id),
        path=checkpoint.path,
        generator=generator,
        critic=critic,
        layout=layout,
        image_size=config.data.image_size,
        step=checkpoint.step,
        averaged=averaged,
        config=config,
    )


def _load_by_shapes(
    checkpoint: Checkpoint, ema: bool | None, attributes: Sequence[str], classes: Sequence[str]
) -> LoadedModel:
    path, plain = checkpoint.path, checkpoint.run_id is None
    if plain and ema:
        raise ConfigError(f"{path}: --ema: the file has one network's weights and no average")
    averaged = not plain and _use_average(checkpoint, ema)
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
    _load(network, state, role, what)
    return network


def _load(network: nn.Module, state: State, role: Role, what: str) -> None:
    """Load in the stored precision."""
    network.to(next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32))
    load_state(network, state, role, what)
    network.requires_grad_(False)


def _use_average(checkpoint: Checkpoint, ema: bool | None) -> bool:
    if ema and "average" not in checkpoint.states:
        raise ConfigError(f"{checkpoint.path}: --ema: the run has no average; it was trained with ema.decay=0")
    return "average" in checkpoint.states if ema is None else ema


def read_config(folder: Path) -> RunConfig:
    """A run's recorded configuration, with its current outputs directory and without initial weights.

    Keys that older records lack get the current defaults.

    Raises:
        LabError: the file is damaged; ConfigError: a component in it no longer exists.
    """
    path = folder / "config.yaml"
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise LabError(f"{path}: cannot be read ({one_line(error)})") from None
    if not isinstance(raw, dict):
        raise LabError(f"{path}: expected the configuration of a run")
    if folder.parent.name == "runs":
        raw["paths"] = {**raw.get("paths", {}), "outputs": str(folder.parent.parent)}
    raw["initial"] = {"generator": None, "discriminator": None}
    try:
        return validate(raw, rules=False)  # its rules were checked before training
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None

"""Finished networks from disk: a run's, by its id, folder or checkpoint, and the reference's, by their files.

opened = load_run(Path("outputs"), "3f2a")
images = opened.translator()(images, labels, 0)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from stargan_lab.checkpoints.files import Checkpoint, State, locate, read_checkpoint, step_in_name
from stargan_lab.checkpoints.label_layout import LABELS, read_layout, reference_layout
from stargan_lab.checkpoints.load_state import load_state
from stargan_lab.checkpoints.stargan_format import CriticSizes, GeneratorSizes, difference, sizes_of
from stargan_lab.config import RunConfig
from stargan_lab.config.compose import compose_raw
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.config.validate import validate
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.labels import LabelLayout
from stargan_lab.runs.build import build_layout, build_networks, build_sources
from stargan_lab.translation.translator import Translator

REFERENCE_SIZE = 128
"""Side in px that the reference trains at unless told otherwise."""


@dataclass(frozen=True)
class Opened:
    """Networks with everything known of them.

    Attributes:
        name: run id, or the file's name.
        generator, critic: float32 (float64 where trained so) on the CPU; a reference file holds one of them.
        layout: of the labels; image_size: px a side in training.
        step: critic updates, None where the file does not say.
        averaged: the generator's weights are the average of training.
        config: of a run, with its data's paths as they were and its outputs where they are now.
        notes: one line each on what had to be assumed.
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
        """Numbers as in the run's own scoring: under its precision and with its layout of memory."""
        mixed = self.config is not None and self.config.trainer.precision == "bfloat16"
        generator = self.generator.to(device)
        if self.config is not None and self.config.trainer.channels_last:
            generator = generator.to(memory_format=torch.channels_last)
        return Translator(generator, self.layout, torch.device(device), mixed)


def load_run(outputs: Path, run: str, ema: bool | None = None) -> Opened:
    """Open a run's last checkpoint.

    Args:
        run: id or its unique beginning, folder, or checkpoint.
        ema: the generator's average; None: where the run has one.
    Raises:
        ConfigError, LabError: in one line; no data of the run are needed.
    """
    stored = read_checkpoint(locate(run, outputs))
    if stored.plain:
        raise ConfigError(f"{stored.path}: a state dict alone, not a run's checkpoint")
    folder = stored.path.parent.parent
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"{stored.path}: its run's config.yaml is not in {folder}, so its networks are not known")
    config = read_config(folder)
    layout = read_layout(folder / LABELS) if (folder / LABELS).exists() else build_layout(build_sources(config))
    generator, critic = build_networks(config, layout)
    averaged = _takes_average(stored, ema)
    _load(generator, stored.parts["average" if averaged else "generator"], f"{stored.path}: its generator")
    _load(critic, stored.parts["discriminator"], f"{stored.path}: its discriminator", "discriminator")
    return Opened(
        name=str(stored.run_id),
        path=stored.path,
        generator=generator,
        critic=critic,
        layout=layout,
        image_size=config.data.image_size,
        step=stored.step,
        averaged=averaged,
        config=config,
    )


def open_networks(
    text: str,
    outputs: Path,
    ema: bool | None = None,
    attributes: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Opened:
    """Open what ``text`` names: a run (see ``load_run``) or a generator's file in the reference's form.

    A checkpoint that has lost its run's folder is opened too if its networks have the reference's form.

    Args:
        attributes, classes: the labels' names, where the file does not tell; see ``reference_layout``.
    """
    stored = read_checkpoint(locate(text, outputs))
    if not stored.plain and (stored.path.parent.parent / "config.yaml").is_file():
        if attributes or classes:
            raise ConfigError(f"--attributes, --classes: run {stored.run_id} knows its labels; leave them out")
        return load_run(outputs, str(stored.path), ema)
    return _by_shapes(stored, ema, attributes, classes)


def _by_shapes(stored: Checkpoint, ema: bool | None, attributes: Sequence[str], classes: Sequence[str]) -> Opened:
    averaged = not stored.plain and _takes_average(stored, ema)
    if stored.plain and ema:
        raise ConfigError(f"{stored.path}: --ema: one network's weights, with no average beside them")
    state = stored.parts["average"] if averaged else stored.state("generator")
    sizes = sizes_of(state)
    if isinstance(sizes, CriticSizes):
        raise ConfigError(f"{stored.path}: is a discriminator's; the generator's is wanted, such as 200000-G.ckpt")
    if sizes is None or (departs := difference(state, sizes.form())):
        reason = f"it {departs}" if sizes else "its first key is none of the reference's generator"
        raise ConfigError(f"{stored.path}: has not the form of the reference's generator: {reason}")
    layout = reference_layout(sizes.label_width, attributes, classes)
    generator = _of_sizes(sizes, state, f"{stored.path}: it")
    critic, image_size, notes = _critic_beside(stored)
    if not attributes and not classes:
        names = ", ".join(name for spec in layout.specs for name in spec.names)
        notes.append(f"labels are taken to be the reference's: {names} (--attributes and --classes name others)")
    return Opened(
        name=stored.path.name.removesuffix("".join(stored.path.suffixes)),
        path=stored.path,
        generator=generator,
        critic=critic,
        layout=layout,
        image_size=image_size,
        step=stored.step if stored.step is not None else step_in_name(stored.path),
        averaged=averaged,
        notes=tuple(notes),
    )


def _critic_beside(stored: Checkpoint) -> tuple[nn.Module | None, int, list[str]]:
    """The discriminator in the checkpoint or in the file beside ``…-G.ckpt``, which alone tells the images' size."""
    path = stored.path.with_name(stored.path.name.replace("-G.", "-D.", 1))
    state: State | None = None
    if not stored.plain:
        state = stored.parts["discriminator"]
    elif path != stored.path and path.is_file():
        state = read_checkpoint(path).state("discriminator")
    sizes = sizes_of(state) if state is not None else None
    if state is None or not isinstance(sizes, CriticSizes) or difference(state, sizes.form()):
        return None, REFERENCE_SIZE, [f"the file does not tell the images' size; taken to be {REFERENCE_SIZE} px"]
    return _of_sizes(sizes, state, f"{path}: it"), sizes.image_size, []


def _of_sizes(sizes: GeneratorSizes | CriticSizes, state: State, what: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # starting values are drawn, and then replaced
        network = sizes.build()
    _load(network, state, what, "discriminator" if isinstance(sizes, CriticSizes) else "generator")
    return network


def _load(network: nn.Module, state: State, what: str, role: Any = "generator") -> None:
    """Load in the precision the weights were kept in."""
    network.to(next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32))
    load_state(network, state, role, what)
    network.requires_grad_(False)


def _takes_average(stored: Checkpoint, ema: bool | None) -> bool:
    if ema and "average" not in stored.parts:
        raise ConfigError(f"{stored.path}: --ema: the run kept no average; it was trained with ema.decay=0")
    return "average" in stored.parts if ema is None else ema


def read_config(folder: Path) -> RunConfig:
    """A run's recorded configuration, its outputs being where the folder is now.

    Keys that older records lack get today's defaults; what the networks started from is not needed any more.

    Raises:
        LabError: the file is damaged; ConfigError: a component in it is not there any more.
    """
    path = folder / "config.yaml"
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise LabError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise LabError(f"{path}: expected the configuration of a run")
    if folder.parent.name == "runs":
        raw["paths"] = {**raw.get("paths", {}), "outputs": str(folder.parent.parent)}
    raw["initial"] = {"generator": None, "discriminator": None}
    try:
        return validate(_completed(raw), rules=False)  # that its parts go together was seen before it was trained
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _completed(raw: Mapping[str, Any]) -> dict[str, Any]:
    fixed = [key for key in RunConfig.model_fields if key not in (*COMPONENTS, "data")]
    if all(_is_whole(raw, key) for key in fixed):
        return dict(raw)
    from omegaconf import OmegaConf

    defaults: Any = OmegaConf.to_container(compose_raw([]), resolve=True)
    completed = dict(raw)
    for key in fixed:
        given = raw.get(key, defaults[key])
        completed[key] = {**defaults[key], **given} if isinstance(given, dict) else given
    return completed


def _is_whole(raw: Mapping[str, Any], key: str) -> bool:
    """Whether a key is there, and where it is a group all that belong to it."""
    fields = getattr(RunConfig.model_fields[key].annotation, "model_fields", {})
    given = raw.get(key)
    return key in raw and (not fields or (isinstance(given, dict) and fields.keys() <= given.keys()))

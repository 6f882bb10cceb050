"""From a configuration to objects. Networks and losses get arguments, never the configuration."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from stargan_lab.checkpoints.files import ROLES, last_hash
from stargan_lab.checkpoints.load_state import start_from
from stargan_lab.config import Component, RunConfig
from stargan_lab.config.identity import device_name
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sources import open_sources
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout
from stargan_lab.losses.objective import Objective
from stargan_lab.models.initialise import initialise
from stargan_lab.registry import family
from stargan_lab.runs.samples import check_named
from stargan_lab.seeding import seed_for
from stargan_lab.training.ema import Ema
from stargan_lab.training.loop import LoopPlan
from stargan_lab.training.updates import PRECISIONS, TrainState


def build_sources(config: RunConfig) -> list[ImageSource]:
    """The datasets, in the order of ``data.sources``; nothing is drawn or read yet."""
    sources = {name: source.flat("kind") for name, source in config.data.sources.items()}
    return open_sources(sources, config.data.image_size, Path(config.paths.outputs))


def check_surroundings(config: RunConfig) -> list[str]:
    """See that what a run needs is there, before anything is drawn, packed or written.

    Returns:
        The datasets' fingerprints; a folder's lists are read and its images hashed, once, for them.
    Raises:
        ConfigError: the device, the file of weights, the weights to start from, or a file to show in samples.
        DataError: a dataset.
    """
    pick_device(config)
    weights = config.evaluation.weights
    if weights not in (None, "download") and not Path(weights).expanduser().is_file():
        raise ConfigError(f"evaluation.weights: {weights} is no file; allowed: null, download, or a path")
    sources = build_sources(config)
    if config.initial.generator is not None or config.initial.discriminator is not None:
        build_networks(config, build_layout(sources))
    fingerprints = [source.fingerprint for source in sources]
    check_named(sources, config.trainer.sample_images)
    return fingerprints


def build_layout(sources: Sequence[ImageSource]) -> LabelLayout:
    return LabelLayout(tuple(source.spec for source in sources))


def build_networks(
    config: RunConfig, layout: LabelLayout | None = None, as_hashed: bool = False
) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator with the starting values that ``config.seed`` gives, float32 on the CPU.

    Where ``config.initial`` names weights, those; of a run those under training, not their average.

    Args:
        layout: of the labels; None opens the configuration's datasets to see.
        as_hashed: the weights to start from must still be those that this process made the run's id of.
    Raises:
        ConfigError: the weights to start from are not there, do not fit, or have changed.
    """
    layout = layout or build_layout(build_sources(config))
    with torch.random.fork_rng(devices=[]):  # one's own parts may draw their start themselves
        torch.manual_seed(seed_for(config.seed, "generator"))
        generator = _build("generator", config.generator, layout.generator_width)
        torch.manual_seed(seed_for(config.seed, "critic"))
        critic = _build("discriminator", config.discriminator, layout.critic_width, config.data.image_size)
    networks = initialise(generator, config.seed, "generator"), initialise(critic, config.seed, "critic")
    for role, network in zip(ROLES, networks, strict=True):
        named = getattr(config.initial, role)
        if named is not None:
            outputs = Path(config.paths.outputs)
            expected = last_hash(named, role, outputs) if as_hashed else None
            start_from(network, role, named, outputs, expected)
    return networks


def build_objective(config: RunConfig, layout: LabelLayout) -> Objective:
    adversarial = _build("adversarial", config.adversarial)
    lipschitz = _build("lipschitz", config.lipschitz)
    return Objective(
        layout,
        adversarial,
        lipschitz,
        cls=config.weights.cls,
        rec=config.weights.rec,
        targets=family("targets").get(config.targets),
        extra={name: (term.weight, _build("loss_term", term)) for name, term in config.terms.items() if term.weight},
    )


def build_train_state(config: RunConfig, layout: LabelLayout) -> TrainState:
    """Networks on their device, their optimisers and the average, before the first step."""
    device = pick_device(config)
    memory = torch.channels_last if config.trainer.channels_last else torch.contiguous_format
    generator, critic = (
        network.to(device, _parameter_dtype(config)).to(memory_format=memory)
        for network in build_networks(config, layout, as_hashed=True)
    )
    return TrainState(
        generator=generator,
        critic=critic,
        g_optimizer=_build("optimizer", config.optimizer, generator.parameters(), "generator"),
        d_optimizer=_build("optimizer", config.optimizer, critic.parameters(), "discriminator"),
        ema=Ema(generator, config.ema.decay),
        device=device,
        precision=config.trainer.precision,
        compile=config.trainer.compile,
    )


def build_loop_plan(config: RunConfig) -> LoopPlan:
    schedule, options = family("schedule").get(config.schedule.name), config.schedule.options
    trainer = config.trainer
    return LoopPlan(
        total_steps=config.total_steps,
        n_critic=config.n_critic,
        sources=len(config.data.sources),
        seed=config.seed,
        schedule=lambda iteration, total: schedule(iteration, total, **options),
        log_every=trainer.log_every,
        sample_every=trainer.sample_every,
        evaluate_every=trainer.evaluate_every,
        checkpoint_every=trainer.checkpoint_every,
    )


def pick_device(config: RunConfig) -> torch.device:
    """Raises ConfigError when the device asked for is not there."""
    asked = config.trainer.device
    return find_device("trainer.device", device_name(config) if asked == "auto" else asked)


def find_device(key: str, asked: str) -> torch.device:
    """The device that ``asked`` names: auto, cpu, cuda or cuda:N.

    Raises:
        ConfigError: it is none of these, or not there; names ``key`` and those that are.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", asked):
        raise ConfigError(f"{key}: expected auto, cpu, cuda or cuda:N, got {asked!r}")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return torch.device("cuda" if there else "cpu")
    if asked.startswith("cuda") and int(asked.partition(":")[2] or 0) >= there:
        gpus = f", cuda, {', '.join(f'cuda:{index}' for index in range(there))}" if there else ""
        raise ConfigError(f"{key}: {asked} is not available here; allowed: auto, cpu{gpus}")
    return torch.device(asked)


def _parameter_dtype(config: RunConfig) -> torch.dtype:
    return torch.float32 if config.trainer.precision == "bfloat16" else PRECISIONS[config.trainer.precision]


def _build(family_name: str, component: Component, *facts: object):  # type: ignore[no-untyped-def]
    return family(family_name).build(component.name, *facts, **component.options)

"""Build objects from a configuration. Networks and losses receive arguments, never the configuration."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from stargan_lab.checkpoints.load_state import start_from
from stargan_lab.checkpoints.weight_files import ROLES, Role
from stargan_lab.config import Component, RunConfig
from stargan_lab.config.rules import coupling
from stargan_lab.console import is_alone, quietly
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sources import open_sources
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout
from stargan_lab.losses.objective import Objective
from stargan_lab.models.initialize import initialize
from stargan_lab.models.twice import differentiated_once
from stargan_lab.registry import family
from stargan_lab.runs.samples import check_file_names
from stargan_lab.seeding import seed_for
from stargan_lab.training.distributed import ALONE, World
from stargan_lab.training.ema import Ema
from stargan_lab.training.loop import LoopPlan
from stargan_lab.training.optimizers import make_capturable
from stargan_lab.training.updates import Execution, TrainState, parameter_dtype
from stargan_lab.translation.translator import Translator


def build_sources(config: RunConfig) -> list[ImageSource]:
    """The datasets, in the order of ``data.sources``. No image is rendered or read."""
    sources = {name: source.flat("kind") for name, source in config.data.sources.items()}
    return open_sources(sources, config.data.image_size, Path(config.paths.outputs))


def check_prerequisites(config: RunConfig, here: bool = True) -> list[str]:
    """Check that everything a run needs exists, before anything is rendered, packed or written.

    Args:
        here: whether the run trains on this machine; otherwise another one's device is not checked.
    Returns:
        The datasets' fingerprints; for image directories this reads the label lists and hashes the images, once.
    Raises:
        ConfigError: the device, extractor weights, initial weights or an image file for the samples is missing.
        DataError: a dataset is missing or damaged.
    """
    if here:
        pick_device(config)
    weights = config.evaluation.weights
    if weights not in (None, "download") and not Path(weights).expanduser().is_file():
        raise ConfigError(f"evaluation.weights: no such file: {weights}; allowed: null, download, or a path")
    sources = build_sources(config)
    if config.initial.generator is not None or config.initial.discriminator is not None:
        build_networks(config, build_layout(sources))
    with quietly(config.quiet):  # hashing images shows a bar
        fingerprints = [source.fingerprint for source in sources]
        check_file_names(sources, config.trainer.sample_images)
    return fingerprints


def check_one_of_several(config: RunConfig) -> None:
    """Raises ConfigError unless one process trains the run: launchers start one for each of several runs."""
    if config.trainer.devices > 1 or not is_alone():
        raise ConfigError(
            "trainer.devices: must be 1, without torchrun, to train several runs; `stargan-lab train` without -m trains"
            " one run on several devices"
        )


def build_layout(sources: Sequence[ImageSource]) -> LabelLayout:
    """The labels of all datasets."""
    return LabelLayout(tuple(source.spec for source in sources))


def build_networks(
    config: RunConfig, layout: LabelLayout | None = None, initial_hashes: Mapping[Role, str] | None = None
) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, float32 on the CPU, initialized by ``config.seed`` or from ``config.initial``.

    If ``config.initial`` names a run, its raw weights are used, not its moving average.

    Args:
        layout: the label layout; None reads it from the configuration's datasets.
        initial_hashes: content hashes by role that the initial weights must have; None accepts any.
    Raises:
        ConfigError: the initial weights are missing, do not fit, or have other hashes.
    """
    layout = layout or build_layout(build_sources(config))
    with torch.random.fork_rng(devices=[]):  # user-defined networks may initialize themselves
        torch.manual_seed(seed_for(config.seed, "generator"))
        generator = _build("generator", config.generator, layout.generator_width)
        torch.manual_seed(seed_for(config.seed, "critic"))
        critic = _build("discriminator", config.discriminator, layout.critic_width, config.data.image_size)
    networks = initialize(generator, config.seed, "generator"), initialize(critic, config.seed, "critic")
    for role, network in zip(ROLES, networks, strict=True):
        if (weights := getattr(config.initial, role)) is not None:
            start_from(network, role, weights, Path(config.paths.outputs), (initial_hashes or {}).get(role))
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


def build_train_state(
    config: RunConfig,
    layout: LabelLayout,
    initial_hashes: Mapping[Role, str] | None = None,
    world: World = ALONE,
) -> TrainState:
    """Networks on their device, optimizers and average, before the first step; see ``build_networks``."""
    device, execution = pick_device(config), build_execution(config)
    memory = torch.channels_last if execution.channels_last else torch.contiguous_format
    generator, critic = (
        network.to(device, parameter_dtype(execution.precision)).to(memory_format=memory)
        for network in build_networks(config, layout, initial_hashes)
    )
    train_state = TrainState(
        generator=generator,
        critic=critic,
        g_optimizer=_build("optimizer", config.optimizer, generator.parameters(), "generator"),
        d_optimizer=_build("optimizer", config.optimizer, critic.parameters(), "discriminator"),
        ema=Ema(generator, config.ema.decay),
        device=device,
        execution=execution,
        world=world,
        plain_context=differentiated_once,
    )
    if train_state.records_steps:
        for optimizer in (train_state.g_optimizer, train_state.d_optimizer):
            make_capturable(optimizer, device)
    return train_state


def build_translator(train_state: TrainState, layout: LabelLayout, averaged: bool) -> Translator:
    """The generator in training, or its average if ``averaged`` and there is one."""
    network = (train_state.ema.network if averaged else None) or train_state.generator
    return Translator(network, layout, train_state.device, train_state.execution.precision == "bfloat16")


def build_execution(config: RunConfig) -> Execution:
    """How steps are computed, with no ``auto`` left; one pass only where the discriminator couples no samples."""
    trainer = config.trainer
    return Execution(
        precision=trainer.precision,
        discriminator_precision=trainer.discriminator_precision,
        compile=trainer.compile is True,
        channels_last=trainer.channels_last is True,
        joint_pass=trainer.joint_pass and not coupling(config, "discriminator"),
        cuda_graphs=trainer.cuda_graphs is True,
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
        diagnose_every=config.diagnostics.every if config.diagnostics.enabled else None,
    )


def pick_device(config: RunConfig) -> torch.device:
    """The training device. Raises ConfigError if it is not available."""
    return find_device("trainer.device", config.trainer.device)


def find_device(key: str, name: str) -> torch.device:
    """The device called ``name``: auto, cpu, cuda or cuda:N.

    Raises:
        ConfigError: not one of these, or not available; names ``key`` and the available devices.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ConfigError(f"{key}: expected auto, cpu, cuda or cuda:N, got {name!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= count:
        gpus = f", cuda, {', '.join(f'cuda:{index}' for index in range(count))}" if count else ""
        raise ConfigError(f"{key}: {name} is not available; allowed: auto, cpu{gpus}")
    return torch.device(name)


def _build(family_name: str, component: Component, *facts: object):  # type: ignore[no-untyped-def]
    return family(family_name).build(component.name, *facts, **component.options)

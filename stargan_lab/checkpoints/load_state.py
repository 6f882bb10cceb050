"""Put stored weights into a network, or say in one line why they do not fit and which keys would make them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from stargan_lab.checkpoints.files import COUNTER, ROLES, Role, State, digest, locate_start, read_checkpoint
from stargan_lab.checkpoints.stargan_format import Sizes, difference, in_reference_form, shapes_of, sizes_of
from stargan_lab.errors import ConfigError

DEFAULTS = {"generator": "generator=resnet", "discriminator": "discriminator=patchgan"}


def start_from(network: nn.Module, role: Role, text: str, outputs: Path, expected: str | None = None) -> nn.Module:
    """Load what ``initial.<role>`` names: a file, a run's folder or id. The weights alone, as the reference resumes.

    Of a run the weights under training are taken, not their average.

    Args:
        expected: the hash of the weights that the run's id was made of (``weights.content_hash``); None: any.
    Raises:
        ConfigError: in one line, what does not fit and the keys to set, or that the weights are not those expected.
    """
    key = f"initial.{role}"
    try:
        stored = read_checkpoint(locate_start(text, outputs))
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    state = stored.state(role)
    if expected is not None and digest(state) != expected:
        raise ConfigError(
            f"{key}: {stored.path}: its weights have changed since the run's id was made of them; start again once"
            " nothing writes to it"
        )
    load_state(network, state, role, f"{key}: {stored.path}")
    return network


def load_state(network: nn.Module, state: State, role: Role, what: str) -> None:
    """Load a state dict strictly, in the network's own dtype and device.

    Args:
        what: named first in a refusal.
    Raises:
        ConfigError: it does not fit, holds no floating-point weights, or values that are not finite.
    """
    own = network.state_dict()
    if reason := why_not(state, own, role):
        raise ConfigError(f"{what} {reason}")
    whole = next((key for key in own if own[key].is_floating_point() and not state[key].is_floating_point()), None)
    if whole is not None:
        kind = str(state[whole].dtype).removeprefix("torch.")
        raise ConfigError(f"{what} holds {kind} in {whole}; expected floating-point weights")
    broken = next((key for key, value in state.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise ConfigError(f"{what} holds values that are not finite, in {broken}")
    filled = {key: torch.zeros_like(own[key]) for key in own if key.endswith(COUNTER)} | dict(state)
    network.load_state_dict(filled)


def why_not(state: State, own: State, role: Role) -> str | None:
    """Why a state dict does not fit a network whose own is ``own``, as the end of a sentence; None when it fits."""
    departs = difference(state, shapes_of(own))
    found = sizes_of(state)
    if found is not None and found.role != role:
        other = next(r for r in ROLES if r != role)
        return f"is a {found.role}'s, not a {role}'s; did you mean initial.{other}?"
    if departs is None:
        return None
    expected = sizes_of(own)
    alike = in_reference_form(state, role) == in_reference_form(own, role)
    by_sizes = _by_sizes(found, expected) if alike and found and expected and expected.role == role else None
    return by_sizes or f"does not fit this configuration's {role}: it {departs}{_default(state, role)}"


def _default(state: State, role: Role) -> str:
    """Which configuration the reference's own files fit."""
    if not in_reference_form(state, role):
        return ""
    return f"; it is the reference's, which fits the group's default, {DEFAULTS[role]}, and no other norm"


def _by_sizes(found: Sizes, expected: Sizes) -> str | None:
    """Names the keys whose values differ; None when none does."""
    needed = {key: value for key, value in found.keys().items() if expected.keys()[key] != value}
    said = []
    if needed:
        given = " ".join(f"{key}={value}" for key, value in needed.items())
        said.append(f"needs {given} (here {_here(needed, expected)})")
    if found.label_width != expected.label_width:
        said.append(
            f"{'and ' if said else ''}takes labels of width {found.label_width}, but those of data.sources are"
            f" {expected.label_width} wide; choose as many attributes or classes"
        )
    return " ".join(said) or None


def _here(needed: Mapping[str, int], expected: Sizes) -> str:
    return ", ".join(str(expected.keys()[key]) for key in needed)

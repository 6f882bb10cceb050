"""Load weights into a network, or explain in one line why they do not fit and which keys to set."""

from pathlib import Path

import torch
from torch import nn

from stargan_lab.checkpoints.reference_format import Sizes, difference, in_reference_form, shapes_of, sizes_of
from stargan_lab.checkpoints.weight_files import COUNTER, ROLES, Role, State, digest, locate_initial, read_checkpoint
from stargan_lab.errors import ConfigError

DEFAULTS = {"generator": "generator=resnet", "discriminator": "discriminator=patchgan"}


def start_from(network: nn.Module, role: Role, text: str, outputs: Path, expected: str | None = None) -> nn.Module:
    """Load the weights named by ``initial.<role>``: a file, a run folder or id. Optimizers start from scratch.

    For a run, its raw weights are used, not its moving average.

    Args:
        expected: the ``content_hash`` that the weights must have; None accepts any.
    Raises:
        ConfigError: in one line; the weights do not fit, with the keys to set, or have another hash.
    """
    key = f"initial.{role}"
    try:
        checkpoint = read_checkpoint(locate_initial(text, outputs))
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    state = checkpoint.state(role)
    if expected is not None and digest(state) != expected:
        raise ConfigError(
            f"{key}: {checkpoint.path}: the weights have changed since the run id was computed; repeat the command"
            " when no process is writing to the file"
        )
    load_state(network, state, role, f"{key}: {checkpoint.path}")
    return network


def load_state(network: nn.Module, state: State, role: Role, what: str) -> None:
    """Load a state dict strictly, in the network's own dtype and device.

    Args:
        what: the start of an error message.
    Raises:
        ConfigError: keys or shapes do not fit, weights are integers, or values are not finite.
    """
    target = network.state_dict()
    if reason := _misfit(state, target, role):
        raise ConfigError(f"{what} {reason}")
    for key, value in target.items():
        if value.is_floating_point() and not state[key].is_floating_point():
            dtype = str(state[key].dtype).removeprefix("torch.")
            raise ConfigError(f"{what} has dtype {dtype} in {key}; expected floating-point weights")
    for key, value in state.items():
        if not value.isfinite().all():
            raise ConfigError(f"{what} has non-finite values in {key}")
    counters = {key: torch.zeros_like(value) for key, value in target.items() if key.endswith(COUNTER)}
    network.load_state_dict(counters | dict(state))


def _misfit(state: State, target: State, role: Role) -> str | None:
    """Why a state dict does not fit a network with the state dict ``target``, as the end of a sentence."""
    sizes, expected = sizes_of(state), sizes_of(target)
    if sizes is not None and sizes.role != role:
        other = next(r for r in ROLES if r != role)
        return f"contains a {sizes.role}, not a {role}; did you mean initial.{other}?"
    mismatch = difference(state, shapes_of(target))
    if mismatch is None:
        return None
    is_reference = in_reference_form(state, role)
    comparable = expected is not None and expected.role == role and is_reference == in_reference_form(target, role)
    if sizes and expected and comparable and (reason := _size_misfit(sizes, expected)):
        return reason
    hint = f"; it is StarGAN's {role}, which only fits {DEFAULTS[role]} with the default norm" if is_reference else ""
    return f"does not fit this configuration's {role}: it {mismatch}{hint}"


def _size_misfit(sizes: Sizes, expected: Sizes) -> str | None:
    """The keys to set, where sizes differ."""
    configured = expected.keys()
    needed = {key: value for key, value in sizes.keys().items() if configured[key] != value}
    reasons = []
    if needed:
        overrides = " ".join(f"{key}={value}" for key, value in needed.items())
        reasons.append(f"needs {overrides} (configured: {', '.join(str(configured[key]) for key in needed)})")
    if sizes.label_width != expected.label_width:
        reasons.append(
            f"takes {sizes.label_width} labels, but data.sources has {expected.label_width}; select the same number of"
            " attributes or classes"
        )
    return " and ".join(reasons) or None

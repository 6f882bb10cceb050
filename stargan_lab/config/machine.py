"""What ``auto`` means in the trainer's settings: the fastest on the machine at hand, by the figures in
docs/performance.md. A run records the values, never ``auto``, so that it is resumed and loaded with them anywhere.
"""

from typing import Any

from stargan_lab.config.rules import NETWORKS
from stargan_lab.config.run_identity import device_name
from stargan_lab.config.schema import RunConfig
from stargan_lab.registry import family

AUTOMATIC = ("precision", "discriminator_precision", "compile", "channels_last", "cuda_graphs", "autotune")
"""Keys under ``trainer`` that ``auto`` is replaced in; ``auto`` remains in ``device``, which cannot change a result."""

COMPILED_FROM = 20_000
"""Steps from which compiling pays off on a GPU: it takes about a minute and saved 3.7 ms per step of ``MEASURED``."""

MEASURED = {"image_size": 128, "batch_size": 16, "width": 64}
"""Sizes of the step for which compiling was measured. Smaller steps have less to save; how much is unknown."""


def with_machine_settings(config: RunConfig) -> RunConfig:
    """The configuration with every ``auto`` replaced, given the values of the other settings; see ``AUTOMATIC``."""
    trainer = config.trainer
    if not any(getattr(trainer, key) == "auto" for key in AUTOMATIC):
        return config
    fastest = _fastest_on_gpu if device_name(config) == "cuda" else _fastest_on_cpu
    return config.model_copy(update={"trainer": trainer.model_copy(update=fastest(config))})


def with_fastest_settings(config: RunConfig) -> RunConfig:
    """The configuration with ``auto`` in place of every setting in ``AUTOMATIC``, replaced, and with one joint pass."""
    fast = config.trainer.model_copy(update=dict.fromkeys(AUTOMATIC, "auto") | {"joint_pass": True})
    return with_machine_settings(config.model_copy(update={"trainer": fast}))


def _fastest_on_cpu(config: RunConfig) -> dict[str, Any]:
    """bfloat16 where the hardware computes with it. Compiling takes minutes, and channels-last is slower."""
    import torch

    half = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return {
        "precision": _unless_set(config, "precision", "bfloat16" if half else "float32"),
        "discriminator_precision": _unless_set(config, "discriminator_precision", "float32"),
        **{key: _unless_set(config, key, False) for key in ("compile", "channels_last", "cuda_graphs", "autotune")},
    }


def _fastest_on_gpu(config: RunConfig) -> dict[str, Any]:
    """bfloat16 unless the GPU emulates it; recorded steps where they can be recorded. Compiling was measured for long
    runs with the sizes in ``MEASURED`` and bfloat16, and channels-last is faster only with both.
    """
    precision = _unless_set(config, "precision", "bfloat16" if _bfloat16_on_gpu() else "float32")
    half = precision == "bfloat16"
    compiled = _unless_set(config, "compile", half and config.total_steps >= COMPILED_FROM and _measured_size(config))
    return {
        "precision": precision,
        "discriminator_precision": _unless_set(config, "discriminator_precision", "same"),
        "compile": compiled,
        "channels_last": _unless_set(config, "channels_last", half and compiled),
        "cuda_graphs": _unless_set(config, "cuda_graphs", _recordable(config)),
        "autotune": _unless_set(config, "autotune", True),
    }


def _unless_set(config: RunConfig, key: str, fastest: Any) -> Any:
    value = getattr(config.trainer, key)
    return fastest if value == "auto" else value


def _bfloat16_on_gpu() -> bool:
    """Whether the GPU computes with bfloat16 natively; assumed of a GPU on another machine."""
    import torch

    return not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)


def _measured_size(config: RunConfig) -> bool:
    """Whether a step is at least as large as the one in ``MEASURED``; a network without a width is not."""
    widths = [getattr(config, network).options.get("width") or 0 for network in NETWORKS]
    sizes = {"image_size": config.data.image_size, "batch_size": config.batch_size, "width": min(widths)}
    return all(sizes[key] >= MEASURED[key] for key in MEASURED)


def _recordable(config: RunConfig) -> bool:
    """Whether steps can be recorded: on one device, with an optimizer that has the option ``capturable``.

    A loss term that waits for the GPU prevents it too, but is noticed only by recording.
    """
    if config.trainer.devices > 1:
        return False
    import torch

    parameters = [torch.zeros(1, 1, 1, 1, requires_grad=True), torch.zeros(1, requires_grad=True)]
    build = family("optimizer").get(config.optimizer.name)
    optimizer = build(parameters, "discriminator", **config.optimizer.options)
    return all("capturable" in group for group in optimizer.param_groups)

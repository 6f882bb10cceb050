"""What ``auto`` means in the trainer's settings: the fastest on the machine at hand, by the figures in
docs/performance.md. A run records the values, never ``auto``, so that it is resumed and loaded with them anywhere.
"""

from typing import Any

from stargan_lab.config.schema import RunConfig

COMPILED_FROM = 20_000
"""Steps from which compiling pays off on a GPU: it takes about a minute and saves 3 to 4 ms per step at 128 px."""


def with_machine_settings(config: RunConfig) -> RunConfig:
    """The configuration with every ``auto`` replaced, except ``trainer.device``, whose value cannot change a result."""
    chosen = [key for key, value in config.trainer if value == "auto" and key != "device"]
    if not chosen:
        return config
    fastest = fastest_settings(config)
    trainer = config.trainer.model_copy(update={key: fastest[key] for key in chosen})
    return config.model_copy(update={"trainer": trainer})


def fastest_settings(config: RunConfig) -> dict[str, Any]:
    """The fastest value of each setting that has an ``auto``, by its key under ``trainer``."""
    import torch

    device = config.trainer.device
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        compiled = config.total_steps >= COMPILED_FROM
        settings = {"precision": "bfloat16", "discriminator_precision": "same"}
        return settings | {"compile": compiled, "channels_last": compiled}
    half = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return {
        "precision": "bfloat16" if half else "float32",
        "discriminator_precision": "float32",
        "compile": False,
        "channels_last": False,
    }

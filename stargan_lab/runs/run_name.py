"""The name of a run in the terminal, tables and MLflow."""

from stargan_lab.config import RunConfig


def run_name(config: RunConfig) -> str:
    """Its variants, or its generator, and the seed: ``layer · seed 1``.

    A multirun's variants are named by the keys that differ; see ``config.variant_name``.
    """
    variants = ", ".join(dict.fromkeys(config.tracking.ablations.values()))
    return titled(variants or config.generator.name, config.seed)


def titled(variant: str, seed: int) -> str:
    """``layer · seed 1``"""
    return f"{variant} · seed {seed}"

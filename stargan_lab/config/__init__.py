"""Configuration: schema, composition from Hydra's groups, validation, and the identity of a run."""

from stargan_lab.config.compose import compose
from stargan_lab.config.identity import run_id, training_identity
from stargan_lab.config.schema import Component, RunConfig

__all__ = ["Component", "RunConfig", "compose", "run_id", "training_identity"]

"""Configuration: the schema, composition from Hydra's groups, validation, and the identity of a run."""

from stargan_lab.config.compose import compose, resolve
from stargan_lab.config.run_identity import initial_hashes, run_id, training_identity
from stargan_lab.config.schema import Component, RunConfig

__all__ = ["Component", "RunConfig", "compose", "initial_hashes", "resolve", "run_id", "training_identity"]

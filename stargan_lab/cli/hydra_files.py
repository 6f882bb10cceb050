"""What Hydra writes and prints about a composition: no passwords."""

from copy import deepcopy

from omegaconf import DictConfig, ListConfig, OmegaConf, read_write

from stargan_lab.tracking.uri import masked


def without_passwords(composed: DictConfig) -> DictConfig:
    """A copy whose texts, such as ``tracking.uri`` and the overrides, have ``***`` for the passwords of URIs."""
    copied = deepcopy(composed)
    _mask(copied)
    return copied


def _mask(node: DictConfig | ListConfig) -> None:
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
            continue
        value = node[key]
        if isinstance(value, DictConfig | ListConfig):
            _mask(value)
        elif isinstance(value, str) and masked(value) != value:
            with read_write(node):
                node[key] = masked(value)

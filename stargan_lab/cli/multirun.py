"""``train -m`` as an ablation: its runs are named by the keys that differ, and a file in its directory lists them."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stargan_lab.config import RunConfig
from stargan_lab.config.compose import key_of
from stargan_lab.config.factors import factor, factors
from stargan_lab.config.variant_name import variant_name
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.files import read_json, write_json

RECORD = "multirun.json"
"""In Hydra's sweep directory, next to its ``multirun.yaml``."""


@dataclass(frozen=True)
class Multirun:
    """The runs of one ``train -m``.

    Attributes:
        name: the ablation under which the runs are tagged.
        by: the keys that were swept, other than ``seed``.
        runs: run ids.
    """

    name: str
    by: tuple[str, ...]
    runs: tuple[str, ...]

    def write(self, directory: Path) -> None:
        """Record it in Hydra's sweep directory, for ``report --multirun`` and ``ui --multirun``."""
        write_json(directory / RECORD, asdict(self))


def swept_keys(overrides: Sequence[Sequence[str]]) -> list[str]:
    """The keys, other than ``seed``, whose values differ between runs, given the overrides of each run."""
    jobs = [{key_of(override): override for override in job} for job in overrides]
    keys = dict.fromkeys(key for job in jobs for key in job if key != "seed")
    return [key for key in keys if len({job.get(key) for job in jobs}) > 1]


def tagged(directory: Path, swept: Sequence[str], config: RunConfig) -> RunConfig:
    """``config`` with its variant as a tag, and all swept keys among the logged params, defaults too."""
    variant = variant_name(values_of(config, swept)) or config.generator.name
    tracking = config.tracking
    changed = tracking.model_copy(
        update={
            "factors": tuple(dict.fromkeys([*tracking.factors, *map(factor, swept)])),
            "ablations": tracking.ablations | {name_of(directory): variant},
        }
    )
    return config.model_copy(update={"tracking": changed})


def name_of(directory: Path) -> str:
    """``multirun-2026-11-25-20-15-00`` for Hydra's default sweep directory."""
    name = "-".join(["multirun", *directory.parts[-2:]]).removesuffix("-sweep")
    return re.sub(r"[^\w.-]", "_", name)  # MLflow allows few characters in the names of tags


def values_of(config: RunConfig, keys: Sequence[str]) -> dict[str, str]:
    """Swept key -> value in YAML spelling; keys that are not in the configuration, e.g. ``preset``, are left out."""
    values = factors(config, keys)
    return {factor(key): values[factor(key)] for key in keys if factor(key) in values}


def multirun_directory(text: str, outputs: Path) -> Path:
    """Hydra's sweep directory of a multirun.

    Args:
        text: the directory, or ``latest`` for the last one in ``outputs/hydra``.
    Raises:
        ConfigError: there is none.
    """
    if text != "latest":
        if not (Path(text) / RECORD).is_file():
            raise ConfigError(f"--multirun: {text} has no {RECORD}; expected latest or Hydra's sweep directory")
        return Path(text)
    records = sorted((outputs / "hydra").glob(f"*/*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    if not records:
        raise ConfigError(f"--multirun latest: no multirun in {outputs / 'hydra'}; start one with train -m")
    return records[-1].parent


def read_multirun(directory: Path) -> Multirun:
    """The record in Hydra's sweep directory. Raises LabError if it is damaged."""
    path = directory / RECORD
    content = read_json(path)
    try:
        return Multirun(str(content["name"]), tuple(content["by"]), tuple(content["runs"]))
    except (KeyError, TypeError):
        raise LabError(f"{path}: expected a mapping with name, by and runs") from None

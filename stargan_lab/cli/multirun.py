"""``train -m`` as an ablation: its runs are named by the keys that differ, and a file in its directory lists them."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from stargan_lab.config import RunConfig
from stargan_lab.config.compose import key_of
from stargan_lab.config.factors import factor, factors
from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.config.variant_name import variant_name
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.files import is_file_name, read_json, write_json
from stargan_lab.tracking.uri import masked

if TYPE_CHECKING:
    from pandas import DataFrame

RECORD = "multirun.json"
"""In Hydra's sweep directory, next to its ``multirun.yaml``."""


@dataclass(frozen=True)
class Multirun:
    """The runs of one ``train -m``.

    Attributes:
        name: the ablation under which the runs are tagged.
        by: the keys that were swept, other than ``seed``.
        runs: run ids.
        choices: run id -> swept group -> choice, see ``swept_choices``; a run's own files do not contain them.
        command: the command that repeats or continues it; empty if it was not recorded.
    """

    name: str
    by: tuple[str, ...]
    runs: tuple[str, ...]
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    command: str = ""

    def write(self, directory: Path) -> None:
        """Record it in Hydra's sweep directory, for ``report --multirun`` and ``ui --multirun``."""
        write_json(directory / RECORD, asdict(self))


def command_of(hydra: DictConfig) -> str:
    """The ``train -m`` command with this ``hydra`` node; not its ``quiet``, which changes only what is printed."""
    overrides = [word for word in (*hydra.overrides.hydra, *hydra.overrides.task) if not word.startswith("hydra.mode=")]
    overrides = [word for word in overrides if key_of(word) != "quiet"]
    directories = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    flags = [part for directory in directories for part in ("--config-dir", directory)]
    return masked(shlex.join(["stargan-lab", "train", "-m", *flags, *overrides]))


def swept_keys(overrides: Sequence[Sequence[str]]) -> list[str]:
    """The keys, other than ``seed``, whose values differ between runs, given the overrides of each run."""
    jobs = [{key_of(override): override for override in job} for job in overrides]
    keys = dict.fromkeys(key for job in jobs for key in job if key != "seed")
    return [key for key in keys if len({job.get(key) for job in jobs}) > 1]


def swept_choices(hydra: DictConfig, swept: Sequence[str]) -> dict[str, str]:
    """Swept group -> its choice, e.g. ``preset`` -> ``tiny``, for the groups that set more than one component.

    Args:
        hydra: the ``hydra`` node of the run's composition.
    """
    choices = hydra.runtime.choices
    return {key: str(choices[key]) for key in swept if key in choices and key not in COMPONENTS}


def tagged(directory: Path, swept: Sequence[str], config: RunConfig, choices: Mapping[str, str]) -> RunConfig:
    """``config`` with its variant as a tag, and all swept keys among the logged params, defaults too."""
    variant = variant_name(values_of(config, swept, choices)) or config.generator.name
    tracking = config.tracking
    logged = [f"{key}={choices[key]}" if key in choices else factor(key) for key in swept]
    changed = tracking.model_copy(
        update={
            "factors": tuple(dict.fromkeys([*tracking.factors, *logged])),
            "ablations": tracking.ablations | {name_of(directory): variant},
        }
    )
    return config.model_copy(update={"tracking": changed})


def name_of(directory: Path) -> str:
    """``multirun-2026-11-25-20-15-00-123456`` for Hydra's default sweep directory."""
    name = "-".join(["multirun", *directory.parts[-2:]]).removesuffix("-sweep")
    return re.sub(r"[^\w.-]", "_", name)  # MLflow allows few characters in the names of tags


def values_of(config: RunConfig, keys: Sequence[str], choices: Mapping[str, str]) -> dict[str, str]:
    """Swept key, as ``factor`` spells it, -> value or, of a group in ``choices``, choice, in YAML spelling; keys that
    are in neither are left out.
    """
    values = factors(config, keys) | {key: as_yaml(choice) for key, choice in choices.items()}
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
    """The record in Hydra's sweep directory. Raises LabError if it is damaged, or names files outside of outputs."""
    path = directory / RECORD
    content = read_json(path)
    try:
        choices = {run_id: dict(chosen) for run_id, chosen in content.get("choices", {}).items()}
        command = str(content.get("command", ""))
        record = Multirun(content["name"], tuple(content["by"]), tuple(content["runs"]), choices, command)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise LabError(f"{path}: expected a mapping with name, by and runs") from None
    for key, names in (("name", [record.name]), ("runs", record.runs)):
        if wrong := [name for name in names if not is_file_name(name)]:
            raise LabError(f"{path}: {key}: {repr(wrong[0])[:60]} cannot be the name of a directory")
    if not all(isinstance(key, str) for key in record.by):
        raise LabError(f"{path}: by: expected a list of keys")
    return record


def runs_of(multirun: Multirun, outputs: Path) -> "DataFrame":
    """As ``load_runs``, in the multirun's order, with a column per group in ``choices``; ``data`` replaces the hash."""
    from stargan_lab.report.query import RECORD as FIRST
    from stargan_lab.report.query import load_runs

    runs = load_runs(outputs, f"run_id={','.join(multirun.runs)}")
    runs = runs.sort_values("run_id", key=lambda ids: ids.map(multirun.runs.index), ignore_index=True)
    for group in dict.fromkeys(group for chosen in multirun.choices.values() for group in chosen):
        chosen = [multirun.choices.get(run_id, {}).get(group) for run_id in runs["run_id"]]
        runs = runs.drop(columns=group, errors="ignore").copy()  # a copy is not fragmented
        runs.insert(len(FIRST), group, chosen)  # among the keys of the configuration
    return runs

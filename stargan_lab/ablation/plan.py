"""The cells of an ablation, variants x seeds, each with its overrides, validated configuration and run id."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stargan_lab.ablation.spec import Ablation
from stargan_lab.config import RunConfig
from stargan_lab.config.compose import key_of
from stargan_lab.config.composer import Composer
from stargan_lab.config.evaluation_overrides import as_override
from stargan_lab.config.run_identity import run_ids
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.runs.run_name import titled
from stargan_lab.tracking.metrics import lookup


@dataclass(frozen=True)
class Cell:
    """One run of an ablation: a variant with a seed."""

    variant: str
    seed: int
    overrides: tuple[str, ...]
    run_id: str
    config: RunConfig

    @property
    def title(self) -> str:
        return titled(self.variant, self.seed)


def plan(
    ablation: Ablation, extra: Sequence[str] = (), config_dir: Path | None = None, here: bool = True
) -> list[Cell]:
    """Every cell, ordered by variant, then seed.

    Args:
        extra: overrides for every cell; ``seed=3,4`` replaces the ablation's seeds.
        config_dir: directory with additional YAML files for the groups.
        here: whether the cells are trained on this machine; otherwise their device is not checked.
    Raises:
        ConfigError: a cell's configuration is invalid, or ``extra`` overrides a key that the variants set.
        DataError: a dataset is missing or damaged.
    """
    # Imports torch, which a report does not need.
    from stargan_lab.runs.build import check_one_of_several, check_prerequisites

    extra, seeds = _split_seeds(extra, ablation.seeds)
    varied = list(dict.fromkeys(key_of(o) for overrides in ablation.variants.values() for o in overrides))
    for override in extra:
        if key_of(override) in varied:
            raise ConfigError(f"{key_of(override)}: set by the variants of {ablation.name}; edit the ablation file")
    shown = f"tracking.factors=[{','.join(_factor(key) for key in varied)}]"
    cells, composer = [], Composer(config_dir)
    for variant, overrides in ablation.variants.items():
        merged = merge(*ablation.base, *overrides, *extra, shown)
        try:
            configs = composer.with_seeds(merged, seeds)
        except ConfigError as error:
            raise ConfigError(f"{ablation.name}, variant {variant}: {error}") from None
        for alike in _alike(configs):
            check_one_of_several(alike[0])
            for config, identity in zip(alike, run_ids(alike, check_prerequisites(alike[0], here)), strict=True):
                cells.append(Cell(variant, config.seed, merge(*merged, f"seed={config.seed}"), identity, config))
    _check_metrics(ablation)  # after the cells' imports have registered a user's metrics
    _refuse_duplicates(cells, ablation)
    return _tagged(cells, ablation)


def _alike(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Neighbors that share everything but the seed, so that their datasets need to be checked only once."""
    groups: list[list[RunConfig]] = []
    others = [key for key in RunConfig.model_fields if key != "seed"]
    for config in configs:
        if groups and all(getattr(config, key) is getattr(groups[-1][0], key) for key in others):
            groups[-1].append(config)
        else:
            groups.append([config])
    return groups


def merge(*overrides: str) -> tuple[str, ...]:
    """The overrides without those that a later one for the same key replaces; Hydra refuses a group set twice."""
    return tuple({key_of(override): override for override in overrides}.values())


def _check_metrics(ablation: Ablation) -> None:
    keys = ("primary", *("secondary" for _ in ablation.secondary))
    for key, metric in zip(keys, (ablation.primary, *ablation.secondary), strict=True):
        try:
            lookup(metric)
        except LabError as error:
            raise ConfigError(f"{ablation.name}: {key}: {error}") from None


def _tagged(cells: Sequence[Cell], ablation: Ablation) -> list[Cell]:
    """The cells with the ablation's tag, which lists all variants of a run, since cells can share one."""
    variants: dict[str, list[str]] = {}
    for cell in cells:
        variants.setdefault(cell.run_id, []).append(cell.variant)
    tagged = []
    for cell in cells:
        tag = {ablation.name: ", ".join(variants[cell.run_id])}
        tracking = cell.config.tracking
        tracking = tracking.model_copy(update={"ablations": {**tracking.ablations, **tag}})
        config = cell.config.model_copy(update={"tracking": tracking})
        tagged.append(
            replace(cell, config=config, overrides=(*cell.overrides, as_override("+tracking.ablations", tag)))
        )
    return tagged


def _split_seeds(extra: Sequence[str], default: Sequence[int]) -> tuple[list[str], list[int]]:
    """The overrides without ``seed=…``, and the seeds."""
    chosen = [o.partition("=")[2] for o in extra if key_of(o) == "seed"]
    others = [o for o in extra if key_of(o) != "seed"]
    if not chosen:
        return others, list(default)
    try:
        seeds = [int(text) for text in chosen[-1].split(",")]
    except ValueError:
        raise ConfigError(f"seed: expected comma-separated integers, got {chosen[-1]!r}") from None
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seed: duplicate seed in {chosen[-1]}")
    return others, seeds


def _factor(key: str) -> str:
    """The recorded parameter of an overridden key: ``lipschitz.name`` for ``lipschitz``, else the key."""
    return f"{key}.name" if key in COMPONENTS else key


def _refuse_duplicates(cells: Sequence[Cell], ablation: Ablation) -> None:
    """Raises ConfigError for two variants with the same configuration, which are one run under two names.

    Cells of a grid, and arms with their own baseline, may share a run unless one is compared with the other.
    """
    by_id: dict[str, Cell] = {}
    arms = {*ablation.matched, *ablation.matched.values()}
    for cell in cells:
        first = by_id.setdefault(cell.run_id, cell)
        pair = {first.variant, cell.variant}
        compared = any(pair == set(each) for each in ablation.matched.items())
        if first is not cell and (compared or not (ablation.factors or pair & arms)):
            raise ConfigError(
                f"{ablation.name}: variants {first.variant} and {cell.variant} have the same configuration;"
                " change or remove one"
            )

"""The plan of a sweep: an explicit list of cells, variant x seed, each with its overrides and its run id."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stargan_lab.ablation.spec import Ablation
from stargan_lab.config import RunConfig, compose, run_id
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.runs.build import check_surroundings
from stargan_lab.tracking.metrics import lookup


@dataclass(frozen=True)
class Cell:
    """One training of a sweep."""

    variant: str
    seed: int
    overrides: tuple[str, ...]
    run_id: str
    config: RunConfig

    @property
    def title(self) -> str:
        return f"{self.variant} · seed {self.seed}"


def plan(ablation: Ablation, extra: Sequence[str] = (), config_dir: Path | None = None) -> list[Cell]:
    """Every cell, seeds within variants, each configuration checked.

    Args:
        extra: overrides for every cell; ``seed=3,4`` replaces the ablation's seeds.
    Raises:
        ConfigError: a cell's configuration is refused, or ``extra`` sets what the variants differ in.
    """
    _known_metric(ablation)
    extra, seeds = _take_seeds(extra, ablation.seeds)
    varied = {_key(o): name for name, overrides in ablation.variants.items() for o in overrides}
    for override in extra:
        if _key(override) in varied:
            raise ConfigError(
                f"{_key(override)}: the variants of {ablation.name} differ in it; change the experiment file"
            )
    cells = []
    for variant, overrides in ablation.variants.items():
        for seed in seeds:
            tag = f"+tracking.ablations.{ablation.name}={_quoted(variant)}"
            shown = f"tracking.factors=[{','.join(_factor(key) for key in varied)}]"
            merged = _merge(ablation.base, overrides, extra, [f"seed={seed}", shown, tag])
            try:
                config = compose(merged, config_dir)
            except ConfigError as error:
                raise ConfigError(f"{ablation.name}, variant {variant}: {error}") from None
            identity = run_id(config, check_surroundings(config))
            cells.append(Cell(variant, seed, merged, identity, config))
    _refuse_twins(cells, ablation)
    return cells


def _known_metric(ablation: Ablation) -> None:
    """The primary metric must be one that is recorded, or all training would be for nothing."""
    try:
        lookup(ablation.primary)
    except LabError as error:
        raise ConfigError(f"{ablation.name}: primary: {error}") from None


def _take_seeds(extra: Sequence[str], default: Sequence[int]) -> tuple[list[str], list[int]]:
    """Split ``seed=…`` off the overrides."""
    chosen = [o.partition("=")[2] for o in extra if _key(o) == "seed"]
    others = [o for o in extra if _key(o) != "seed"]
    if not chosen:
        return others, list(default)
    try:
        seeds = [int(text) for text in chosen[-1].split(",")]
    except ValueError:
        raise ConfigError(f"seed: expected integers separated by commas, got {chosen[-1]!r}") from None
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seed: a seed stands twice in {chosen[-1]}")
    return others, seeds


def _merge(*lists: Sequence[str]) -> tuple[str, ...]:
    """Overrides in order; a later one of the same key replaces the earlier."""
    merged: dict[str, str] = {}
    for override in (o for overrides in lists for o in overrides):
        merged[_key(override)] = override
    return tuple(merged.values())


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _factor(key: str) -> str:
    """The key that tells which entry of a group was picked, e.g. ``lipschitz.name``; any other key is itself."""
    return f"{key}.name" if key in COMPONENTS else key


def _quoted(name: str) -> str:
    """A variant's name as a Hydra value, whatever characters it has."""
    return name if name.isidentifier() else "'" + name.replace("'", "\\'") + "'"


def _refuse_twins(cells: Sequence[Cell], ablation: Ablation) -> None:
    """Two variants with one configuration would be one run under two names."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        twin = seen.setdefault(cell.run_id, cell)
        if twin is not cell:
            raise ConfigError(f"{ablation.name}: variants {twin.variant} and {cell.variant} are the same configuration")

"""An ablation from existing runs: their variants are the combinations of the values of some keys."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.config.compose import compose_with, config_loader, to_plain
from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.recorded import changed_keys
from stargan_lab.config.schema import COMPONENTS
from stargan_lab.config.variant_name import variant_name
from stargan_lab.console import say
from stargan_lab.errors import ConfigError, LabError, nearest, unknown
from stargan_lab.registry import family
from stargan_lab.report.collect_runs import Cells
from stargan_lab.report.query import config_keys, differing
from stargan_lab.tracking.run_folder import RunFolder


def ablation_of(
    runs: DataFrame,
    by: Sequence[str],
    name: str,
    primary: str,
    baseline: str | None = None,
    seed_key: str = "seed",
    smallest_effect: float | None = None,
    sort: bool = False,
) -> tuple[Ablation, Cells]:
    """Group runs into variants.

    Args:
        runs: as ``report.query.load_runs`` returns them; variants are in their order, the baseline first.
        sort: order the variants by their values instead, numbers by size.
        by: the keys whose values define a variant.
        name: of the ablation.
        baseline: a variant, e.g. ``norm=none``; None: the one whose values are the configuration's defaults, or else
            the first.
        seed_key: the key whose values pair the runs.
        smallest_effect: the smallest difference that matters, in units of ``primary``; None: no equivalence.
    Raises:
        ConfigError: a key or the baseline is unknown, or the smallest effect is not a positive number.
        LabError: two runs of a variant have the same seed; the message names a key in which they differ.
    """
    if smallest_effect is not None and not 0 < smallest_effect < math.inf:
        raise ConfigError(f"--smallest-effect: expected a positive number, got {smallest_effect:g}")
    keys = _known_keys(runs, by, seed_key)
    runs = _with_seeds(runs, seed_key)
    settings = {
        run_id: {key: as_yaml(_value(row[key])) for key in keys} for run_id, row in runs.set_index("run_id").iterrows()
    }
    names = {run_id: variant_name(values) or "all" for run_id, values in settings.items()}
    variants = {names[run_id]: tuple(f"{k}={v}" for k, v in values.items()) for run_id, values in settings.items()}
    if baseline is not None and baseline not in variants:
        raise ConfigError(f"--baseline: {unknown('variant', baseline, variants)}")
    baseline = baseline or _default_variant(runs, settings, names)
    if sort:
        variants = dict(sorted(variants.items(), key=lambda item: [_in_order(setting) for setting in item[1]]))
    variants = {baseline: variants.pop(baseline), **variants}  # the baseline first
    cells = [(names[row["run_id"]], int(row[seed_key]), row["run_id"]) for _, row in runs.iterrows()]
    _check_unique(runs, cells, [*keys, seed_key])
    ablation = Ablation(
        name=name,
        title=f"{name}: {', '.join(by)}" if by else name,
        claim="",
        source="",
        base=_shared(runs, [*keys, seed_key]),
        baseline=baseline,
        variants=variants,
        seeds=tuple(sorted({seed for _, seed, _ in cells})),
        primary=primary,
        expected={},
        smallest_effect=smallest_effect,
    )
    return ablation, cells


def _in_order(setting: str) -> tuple[float, str]:
    """Sorts settings with a number by size, and before others."""
    try:
        return float(setting.partition("=")[2]), setting
    except ValueError:
        return math.inf, setting


def _shared(runs: DataFrame, keys: Sequence[str]) -> tuple[str, ...]:
    """The settings other than ``keys`` that all runs share and that are no defaults."""
    recorded = [path for folder in runs["folder"] if (path := RunFolder(folder).config_path).exists()]
    if not recorded:
        return ()
    differ = {*keys, *differing(runs)}
    changed = changed_keys(recorded[0].read_text())
    return tuple(f"{key}={as_yaml(value)}" for key, (value, _) in changed.items() if key not in differ)


def also_differing(runs: DataFrame, keys: Sequence[str], groups: Sequence[str] = ()) -> list[str]:
    """Configuration keys other than ``keys`` whose values differ between the runs.

    Args:
        groups: columns with the choices of whole groups, e.g. ``preset``; only runs with equal choices are compared,
            because a choice sets many keys.
    """
    skipped = {*keys, *(key.removesuffix(".name") for key in keys)}
    parts = [part for _, part in runs.groupby(list(groups))] if groups else [runs]
    found = dict.fromkeys(key for part in parts for key in differing(part))
    return [key for key in found if key not in skipped and not key.startswith("evaluation.")]


def _check_unique(runs: DataFrame, cells: Cells, keys: Sequence[str]) -> None:
    first: dict[tuple[str, int], str] = {}
    for variant, seed, run_id in cells:
        other = first.setdefault((variant, seed), run_id)
        if other != run_id:
            differing = also_differing(runs[runs["run_id"].isin([other, run_id])], keys)
            hint = f"; they differ in {', '.join(differing)}: add it to --by, or filter the runs" if differing else ""
            raise LabError(f"runs {other} and {run_id} are both {variant} with seed {seed}{hint}")


def _known_keys(runs: DataFrame, by: Sequence[str], seed_key: str) -> list[str]:
    """The columns of ``by``. Raises ConfigError if one of them or of the seed is missing."""
    known = config_keys(runs)
    keys = [key if key in known else key.removesuffix(".name") for key in by]
    for key in [*keys, seed_key]:
        if key not in known:
            raise ConfigError(f"{key}: no run has this key{nearest(key, known)}")
    return keys


def _with_seeds(runs: DataFrame, seed_key: str) -> DataFrame:
    """The runs without those that failed too early to have a seed. Raises ConfigError if a seed is not an integer."""
    for run_id in runs["run_id"][runs[seed_key].isna()]:
        say(f"warning: run {run_id} is left out: it failed before it recorded its {seed_key}")
    runs = runs[runs[seed_key].notna()]
    if not all(isinstance(_value(seed), int) for seed in runs[seed_key]):
        raise ConfigError(f"--seed-key {seed_key}: pairs runs by whole numbers, but its values are not")
    return runs


def _default_variant(runs: DataFrame, settings: dict[str, dict[str, str]], names: dict[str, str]) -> str:
    """The variant whose values are all defaults, else the first."""
    composed = compose_with(config_loader(), [])
    defaults, choices = to_plain(composed), composed.hydra.runtime.choices
    for run_id, values in settings.items():
        row = runs[runs["run_id"] == run_id].iloc[0]
        if all(as_yaml(_default(key, row, defaults, choices)) == value for key, value in values.items()):
            return names[run_id]
    return next(iter(names.values()))


def _default(key: str, row: Any, defaults: Any, choices: Mapping[str, str]) -> Any:
    """The default of a key: of a component's option, from its signature; of a group such as ``preset``, its choice;
    otherwise from the composed defaults.
    """
    group, _, option = key.partition(".")
    if group in COMPONENTS and not option:
        return defaults[group]["name"]
    if group in COMPONENTS:
        component = row.get(group)
        options = family(group).options(component) if component in family(group).names() else {}
        return options[option].default if option in options else None
    if key in choices:
        return choices[key]
    for part in key.split("."):
        defaults = defaults.get(part) if isinstance(defaults, dict) else None
    return defaults


def _value(value: Any) -> Any:
    """A cell of a DataFrame as it was in the configuration: whole numbers as int, NaN as null."""
    if isinstance(value, float):
        return None if value != value else int(value) if value.is_integer() else value
    return value.item() if hasattr(value, "item") else value

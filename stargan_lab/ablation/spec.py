"""Ablation files, ``experiments/NAME.yaml``: a claim, a baseline and the variants that are compared with it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from stargan_lab.errors import ConfigError, unknown
from stargan_lab.yaml_text import load_yaml

Outcome = Literal["better", "worse", "same", "unknown"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
TIMES = " × "
"""Joins the factors and levels of an interaction."""

Levels = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Factor -> level -> overrides."""


@dataclass(frozen=True)
class Ablation:
    """One ablation, with one of its presets.

    Attributes:
        name: file name without ``.yaml``, then ``.PRESET`` if the file has presets; identifies the group of runs.
        title, claim, source: text for reports; ``source`` cites where the claim comes from.
        base: overrides of every cell; those of the preset come last.
        baseline: name of the variant that the others are compared with.
        variants: name -> overrides on top of ``base``, in report order; for a grid, every cell.
        seeds: each variant is trained once per seed.
        primary: the metric that decides the verdict, e.g. ``eval/edit``.
        expected: variant -> what the claim predicts relative to the variant's baseline, on the primary metric; every
            variant except ``baseline``. For a grid also rows of ``contrasts`` -> the same.
        secondary: metrics to show next to the primary one.
        smallest_effect: smallest difference that matters, in units of the primary metric; None: not stated.
        matched: variant -> the variant it is compared with instead of ``baseline``.
        factors: for a grid, factor -> its levels; empty for named variants.
        baseline_levels: for a grid, factor -> level of the baseline.
        preset, presets: the selected preset, and all presets in the order of the file; empty if it has none.
        looks: number of seeds at the first and the last look of a sweep until all variants are decided; None for a
            single look. Not in the file: the sweep records it.
    """

    name: str
    title: str
    claim: str
    source: str
    base: tuple[str, ...]
    baseline: str
    variants: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    primary: str
    expected: Mapping[str, Outcome]
    secondary: tuple[str, ...] = ()
    smallest_effect: float | None = None
    matched: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    baseline_levels: Mapping[str, str] = field(default_factory=dict)
    preset: str = ""
    presets: tuple[str, ...] = ()
    looks: tuple[int, int] | None = None

    def varies_data(self) -> bool:
        """Whether variants are trained on different data or labels, so that they are scored on different ones too."""
        overrides = (override for each in self.variants.values() for override in each)
        return any(override.lstrip("+~").startswith(("data=", "data.")) for override in overrides)

    def ordered(self) -> list[str]:
        """The variants, the baseline first."""
        return sorted(self.variants, key=lambda variant: variant != self.baseline)

    def compared_with(self) -> dict[str, str]:
        """Variant -> the variant it is compared with; every variant except ``baseline``."""
        return {v: self.matched.get(v, self.baseline) for v in self.variants if v != self.baseline}

    def comparisons(self) -> dict[str, list[str]]:
        """Baseline -> variants compared with it; every variant except ``baseline`` is in exactly one list."""
        result: dict[str, list[str]] = {self.baseline: []}
        for variant, baseline in self.compared_with().items():
            result.setdefault(baseline, []).append(variant)
        return {baseline: variants for baseline, variants in result.items() if variants}

    def contrasts(self) -> dict[str, list[str]]:
        """For a grid, main effect or interaction -> its rows: ``norm`` -> ``norm=layer``, for each level but that of
        the baseline; ``norm × penalty`` -> ``norm=layer × penalty=none``, for each two such levels.
        """
        rows = {
            factor: [cell_name({factor: level}) for level in levels if level != self.baseline_levels[factor]]
            for factor, levels in self.factors.items()
        }
        pairs = {
            TIMES.join((one, other)): [TIMES.join(pair) for pair in product(rows[one], rows[other])]
            for one, other in combinations(rows, 2)
        }
        return rows | pairs


def cell_name(levels: Mapping[str, str]) -> str:
    """The variant of a grid with these levels, in the order of the factors: ``norm=layer penalty=gp``."""
    return " ".join(f"{factor}={level}" for factor, level in levels.items())


def grid_cells(levels: Levels) -> dict[str, tuple[str, ...]]:
    """Variant -> overrides, for the product of all factors' levels; the last factor varies fastest."""
    cells = {}
    for choice in product(*levels.values()):
        overrides = [levels[factor][level] for factor, level in zip(levels, choice, strict=True)]
        cells[cell_name(dict(zip(levels, choice, strict=True)))] = tuple(o for each in overrides for o in each)
    return cells


def folders() -> list[Path]:
    """Directories searched for ablations: ``./experiments``, then the packaged ones."""
    return [Path("experiments"), Path(str(files("stargan_lab.experiments")))]


def available() -> dict[str, Path]:
    """Ablation files by name; a file in ``./experiments`` overrides a packaged one of the same name."""
    paths = {path.stem: path for folder in reversed(folders()) for path in folder.glob("*.yaml")}
    return dict(sorted(paths.items()))


def load(name: str, preset: str | None = None) -> Ablation:
    """Read one ablation.

    Args:
        name: of the file, or ``NAME.PRESET``.
        preset: one of the file's presets; None: the one in ``name``, or else the file's first.
    Raises:
        ConfigError: names the file and the key.
    """
    from stargan_lab.ablation.validate import parse

    paths, stem, _ = available(), *name.rpartition(".")[::2]
    if name in paths:
        stem, chosen = name, preset
    elif stem in paths:
        chosen = name.removeprefix(f"{stem}.")
        if preset not in (None, chosen):
            raise ConfigError(f"--preset: {preset} contradicts {name}; name the preset once")
    else:
        raise ConfigError(unknown("ablation", name, paths))
    path = paths[stem]
    try:
        raw = load_yaml(path.read_text(), _UniqueKeyLoader)
    except (OSError, ValueError) as error:  # ValueError: also not UTF-8, or an invalid date
        raise ConfigError(f"{path}: invalid YAML: {' '.join(str(error).split())}") from None
    return parse(stem, path, raw, chosen)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Rejects duplicate keys; PyYAML silently uses the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (self.construct_object(key, deep=True) for key, _ in node.value):
            if isinstance(key, Hashable):  # others are refused below
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)

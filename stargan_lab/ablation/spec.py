"""Ablation files, ``experiments/NAME.yaml``: a claim, a baseline and the variants compared with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml

from stargan_lab.errors import ConfigError, unknown, unknown_key

OUTCOMES = ("better", "worse", "same", "unknown")
_KEYS = ("title", "claim", "source", "base", "baseline", "variants", "seeds", "primary", "expected")


@dataclass(frozen=True)
class Ablation:
    """One ablation.

    Attributes:
        name: file name without ``.yaml``.
        title, claim, source: text for reports; ``source`` cites where the claim comes from.
        base: overrides of every cell.
        baseline: name of the variant that the others are compared with.
        variants: name -> overrides on top of ``base``, in report order.
        seeds: each variant is trained once per seed.
        primary: the metric that decides the verdict, e.g. ``eval/edit``.
        expected: what the claim predicts for the variants relative to the baseline, on the primary metric.
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
    expected: Literal["better", "worse", "same", "unknown"]


def folders() -> list[Path]:
    """Directories searched for ablations: ``./experiments``, then the packaged ones."""
    return [Path("experiments"), Path(str(files("stargan_lab.experiments")))]


def available() -> dict[str, Path]:
    """Ablation files by name; a file in ``./experiments`` overrides a packaged one of the same name."""
    paths = {path.stem: path for folder in reversed(folders()) for path in folder.glob("*.yaml")}
    return dict(sorted(paths.items()))


def load(name: str) -> Ablation:
    """Read one ablation. Raises ConfigError, which names the file and the key."""
    paths = available()
    if name not in paths:
        raise ConfigError(unknown("ablation", name, paths))
    path = paths[name]
    try:
        raw = yaml.load(path.read_text(), _UniqueKeyLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or an invalid date
        raise ConfigError(f"{path}: invalid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected the keys {', '.join(_KEYS)}")
    return _parse(name, path, raw)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Rejects duplicate keys; PyYAML silently uses the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", node.start_mark)
        return super().construct_mapping(node, deep)


def _parse(name: str, path: Path, raw: dict[str, Any]) -> Ablation:
    for key in raw:
        if key not in _KEYS:
            raise ConfigError(f"{path}: {unknown_key(str(key), _KEYS)}")
    for key in ("claim", "baseline", "variants", "seeds", "primary"):
        if key not in raw or (raw[key] is None and key in ("claim", "primary")):
            raise ConfigError(f"{path}: {key}: missing")
    for key in ("title", "claim", "source", "baseline", "primary"):
        if isinstance(raw.get(key), list | dict):
            raise ConfigError(f"{path}: {key}: expected text, got {raw[key]!r}")
    variants = raw["variants"]
    if not isinstance(variants, dict) or len(variants) < 2:
        raise ConfigError(f"{path}: variants: expected at least two names, each with a list of overrides")
    if str(raw["baseline"]) not in map(str, variants):
        raise ConfigError(f"{path}: baseline: {unknown('variant', str(raw['baseline']), map(str, variants))}")
    seeds = raw["seeds"]
    if not isinstance(seeds, list) or not seeds or not all(type(s) is int and s >= 0 for s in seeds):
        raise ConfigError(f"{path}: seeds: expected a list of integers >= 0, got {seeds!r}")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"{path}: seeds: duplicate seed in {seeds!r}")
    expected = raw.get("expected", "unknown")
    if expected not in OUTCOMES:
        raise ConfigError(f"{path}: expected: {unknown('outcome', str(expected), OUTCOMES)}")
    return Ablation(
        name=name,
        title=str(raw.get("title", name)),
        claim=str(raw["claim"]).strip(),
        source=str(raw.get("source", "")).strip(),
        base=_overrides(path, "base", raw.get("base", [])),
        baseline=str(raw["baseline"]),
        variants={str(k): _overrides(path, f"variants.{k}", v) for k, v in variants.items()},
        seeds=tuple(seeds),
        primary=str(raw["primary"]),
        expected=expected,
    )


def _overrides(path: Path, key: str, value: Any) -> tuple[str, ...]:
    """A list of Hydra overrides, each ``key=value``."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(v, str) for v in value):
        raise ConfigError(
            f"{path}: {key}: expected a list of overrides such as [discriminator.norm=layer], got {value!r}"
        )
    if invalid := [v for v in value if "=" not in v and not v.startswith("~")]:
        raise ConfigError(f"{path}: {key}: {invalid[0]!r} is not a valid override, expected key=value")
    return tuple(value)

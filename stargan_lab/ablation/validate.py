"""Check the content of an ablation file and turn it into an ``Ablation``; every error is one line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stargan_lab.ablation.spec import OUTCOMES, Ablation, Outcome, cell_name, grid_cells
from stargan_lab.config.compose import parse_override
from stargan_lab.errors import ConfigError, name_problem, unknown, unknown_key

_NAMES = ("variants", "grid", "seeds", "primary", "secondary", "expected", "smallest_effect", "presets")
_KEYS = ("title", "claim", "source", "base", "baseline", *_NAMES)
_PRESET_KEYS = ("overrides", "variants", "seeds", "primary", "secondary", "smallest_effect")
_TAG = re.compile(r"[\w. -]+")
_TAG_RULE = "the name becomes part of a tag in MLflow, so only letters, digits, spaces and -_. are allowed"
_VARIANT_KEYS = ("overrides", "baseline")
_HYDRA_KEYS = ("hydra/launcher", "hydra.launcher.n_jobs")


def parse(name: str, path: Path, raw: Any, preset: str | None) -> Ablation:
    """The ablation in a file's content.

    Args:
        name: of the file, without ``.yaml``.
        raw: the content, as YAML gives it.
        preset: None selects the first.
    Raises:
        ConfigError: names the file, the key, and the nearest valid one.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected the keys {', '.join(_KEYS)}")
    return _File(path).ablation(name, raw, preset)


class _File:
    """The checks of one file, whose path starts every message."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ablation(self, name: str, raw: dict[str, Any], preset: str | None) -> Ablation:
        self._check_keys("", raw, _KEYS)
        if not _TAG.fullmatch(name):
            raise ConfigError(f"{self._path}: {_TAG_RULE}; rename the file")
        presets = {key: self._preset(key, value) for key, value in self._named("presets", raw.get("presets")).items()}
        if preset is not None and preset not in presets:
            problem = unknown("preset", preset, presets) if presets else f"the file has none; got {preset!r}"
            raise self._error("presets", problem)
        chosen = preset or next(iter(presets), "")
        scale = presets.get(chosen, {})
        base = (*self._overrides("base", raw.get("base", []), of_all=True), *scale.get("overrides", ()))
        raw = raw | {key: value for key, value in scale.items() if key not in ("overrides", "variants")}
        for key in ("claim", "baseline", "seeds", "primary"):
            if key not in raw or (raw[key] is None and key in ("claim", "primary")):
                raise self._error(key, "missing")
        for key in ("title", "claim", "source", "primary", *(["baseline"] if "grid" not in raw else [])):
            if isinstance(raw.get(key), list | dict):
                raise self._error(key, f"expected text, got {raw[key]!r}")
        variants = self._variants(raw)
        for each in presets:  # also those not chosen, so that a wrong name shows at once
            if not _TAG.fullmatch(each):
                raise self._error(f"presets.{each}", _TAG_RULE)
            replaced = self._replaced(f"presets.{each}", presets[each], variants)
            variants["variants"] = variants["variants"] | (replaced if each == chosen else {})
        ablation = Ablation(
            name=f"{name}.{chosen}" if chosen else name,
            title=str(raw.get("title", name)),
            claim=str(raw["claim"]).strip(),
            source=str(raw.get("source", "")).strip(),
            base=base,
            seeds=self._seeds("seeds", raw["seeds"]),
            primary=str(raw["primary"]),
            expected={},
            secondary=self._secondary("secondary", raw.get("secondary", []), str(raw["primary"])),
            smallest_effect=self._smallest_effect("smallest_effect", raw.get("smallest_effect")),
            preset=chosen,
            presets=tuple(presets),
            **variants,
        )
        return replace(ablation, expected=self._expected(raw.get("expected", "unknown"), ablation))

    def _variants(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The fields of ``Ablation`` that follow from the key ``variants`` or ``grid``, and from ``baseline``."""
        if ("variants" in raw) == ("grid" in raw):
            raise self._error("variants", "expected either variants or grid" if "grid" in raw else "missing")
        if "grid" in raw:
            return self._grid(raw["grid"], raw["baseline"])
        entries = raw["variants"]
        if not isinstance(entries, dict) or len(entries) < 2:
            raise self._error("variants", "expected at least two names, each with a list of overrides")
        entries, baseline = self._named("variants", entries), str(raw["baseline"])
        if baseline not in entries:
            raise self._error("baseline", unknown("variant", baseline, entries))
        variants, matched = {}, {}
        for variant, entry in entries.items():
            key = f"variants.{variant}"
            if isinstance(entry, dict):
                self._check_keys(f"{key}.", entry, _VARIANT_KEYS)
                if "baseline" in entry:
                    matched[variant] = self._own_baseline(key, variant, str(entry["baseline"]), entries, baseline)
                entry = entry.get("overrides", [])
            variants[variant] = self._overrides(key, entry)
        return {"variants": variants, "baseline": baseline, "matched": matched}

    def _own_baseline(self, key: str, variant: str, own: str, entries: Iterable[str], common: str) -> str:
        if variant == common:
            raise self._error(f"{key}.baseline", f"{variant} is the baseline of the other variants")
        others = [name for name in entries if name != variant]
        if own not in others:
            raise self._error(f"{key}.baseline", unknown("variant", own, others))
        return own

    def _grid(self, grid: Any, baseline: Any) -> dict[str, Any]:
        if not isinstance(grid, dict) or len(grid) < 2:
            raise self._error("grid", "expected at least two factors, each with a mapping of levels to overrides")
        levels = {}
        for factor, entries in self._named("grid", grid).items():
            if not isinstance(entries, dict) or len(entries) < 2:
                raise self._error(f"grid.{factor}", "expected at least two levels, each with a list of overrides")
            named = self._named(f"grid.{factor}", entries)
            levels[factor] = {level: self._overrides(f"grid.{factor}.{level}", value) for level, value in named.items()}
        if not isinstance(baseline, dict):
            raise self._error("baseline", f"expected a level of each factor of the grid, got {baseline!r}")
        chosen = {factor: str(level) for factor, level in self._named("baseline", baseline).items()}
        self._check_keys("baseline.", chosen, tuple(levels))
        for factor, named in levels.items():
            if chosen.get(factor) not in named:
                problem = unknown("level", chosen[factor], named) if factor in chosen else "missing"
                raise self._error(f"baseline.{factor}", problem)
        ordered = {factor: chosen[factor] for factor in levels}
        return {
            "variants": grid_cells(levels),
            "baseline": cell_name(ordered),
            "factors": {factor: tuple(named) for factor, named in levels.items()},
            "baseline_levels": ordered,
        }

    def _replaced(self, key: str, preset: Mapping[str, Any], variants: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """Variant -> overrides that replace the variant's own in a preset."""
        replaced = self._named(f"{key}.variants", preset.get("variants"))
        for variant in replaced:
            if "factors" in variants or variant not in variants["variants"]:
                allowed = variants["variants"]
                problem = "not allowed for a grid" if "factors" in variants else unknown("variant", variant, allowed)
                raise self._error(f"{key}.variants", problem)
        return {variant: self._overrides(f"{key}.variants.{variant}", value) for variant, value in replaced.items()}

    def _preset(self, name: str, value: Any) -> dict[str, Any]:
        """A preset as a mapping of ``overrides`` and the keys that it replaces; the file may have only the list."""
        key = f"presets.{name}"
        if not isinstance(value, dict):
            return {"overrides": self._overrides(key, value, of_all=True)}
        self._check_keys(f"{key}.", value, _PRESET_KEYS)
        if "seeds" in value:
            self._seeds(f"{key}.seeds", value["seeds"])
        self._smallest_effect(f"{key}.smallest_effect", value.get("smallest_effect"))
        self._secondary(f"{key}.secondary", value.get("secondary", []), "")
        if not isinstance(value.get("primary", ""), str):
            raise self._error(f"{key}.primary", f"expected text, got {value['primary']!r}")
        return value | {"overrides": self._overrides(f"{key}.overrides", value.get("overrides", []), of_all=True)}

    def _expected(self, value: Any, ablation: Ablation) -> dict[str, Outcome]:
        """Variant -> outcome; a single outcome applies to all, and variants that a mapping omits are unknown.

        For a grid also main effect or interaction -> outcome, which applies to all of its rows, or to one of them.
        """
        others = [variant for variant in ablation.variants if variant != ablation.baseline]
        contrasts = ablation.contrasts()
        rows = contrasts | {row: [row] for of_contrast in contrasts.values() for row in of_contrast}
        stated = self._named("expected", value) if isinstance(value, dict) else dict.fromkeys(others, value)
        for variant, outcome in stated.items():
            key = f"expected.{variant}" if isinstance(value, dict) else "expected"
            if variant not in (*others, *rows):
                allowed = [*others, *contrasts]
                raise self._error("expected", unknown("variant or contrast" if rows else "variant", variant, allowed))
            if outcome not in OUTCOMES:
                raise self._error(key, unknown("outcome", str(outcome), OUTCOMES))
        of_rows = {row: outcome for name, outcome in stated.items() for row in rows.get(name, ())}
        return {variant: stated.get(variant, "unknown") for variant in others} | of_rows

    def _seeds(self, key: str, seeds: Any) -> tuple[int, ...]:
        if not isinstance(seeds, list) or not seeds or not all(type(s) is int and s >= 0 for s in seeds):
            raise self._error(key, f"expected a list of integers >= 0, got {seeds!r}")
        if len(set(seeds)) < len(seeds):
            raise self._error(key, f"duplicate seed in {seeds!r}")
        return tuple(seeds)

    def _secondary(self, key: str, metrics: Any, primary: str) -> tuple[str, ...]:
        if not isinstance(metrics, list) or not all(isinstance(metric, str) for metric in metrics):
            raise self._error(key, f"expected a list of metrics such as [eval/leak], got {metrics!r}")
        for metric in metrics:
            if [*metrics, primary].count(metric) > 1:
                raise self._error(key, f"duplicate metric {metric!r}")
        return tuple(metrics)

    def _smallest_effect(self, key: str, value: Any) -> float | None:
        if value is not None and (type(value) not in (int, float) or not 0 < value < float("inf")):
            raise self._error(key, f"expected a number > 0, got {value!r}")
        return None if value is None else float(value)

    def _overrides(self, key: str, value: Any, of_all: bool = False) -> tuple[str, ...]:
        """A list of Hydra overrides, each ``key=value``; only those ``of_all`` runs may choose the launcher."""
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(v, str) for v in value):
            raise self._error(key, f"expected a list of overrides such as [discriminator.norm=layer], got {value!r}")
        if invalid := [v for v in value if "=" not in v and not v.startswith("~")]:
            raise self._error(key, f"{invalid[0]!r} is not a valid override, expected key=value")
        for override in value:
            self._check_hydra(key, override, of_all)
        return tuple(value)

    def _check_hydra(self, key: str, override: str, of_all: bool) -> None:
        """Refuse settings of Hydra that run commands or write elsewhere: the user of a file may not have read it."""
        if "hydra" not in override:
            return
        try:
            parsed = parse_override(override)
        except ConfigError as error:
            raise self._error(key, str(error)) from None
        target = parsed.key_or_group if parsed.package is None else f"{parsed.key_or_group}@{parsed.package}"
        if "hydra" not in re.split(r"[./@]", target):
            return
        if target not in _HYDRA_KEYS:
            allowed = f"only {' and '.join(_HYDRA_KEYS)} may be set, in base"
            raise self._error(key, f"{target}: of Hydra's keys, {allowed}; put others on the command line")
        if not of_all:
            raise self._error(key, f"{target}: is the same for all runs; set it in base or on the command line")

    def _named(self, key: str, value: Any) -> dict[str, Any]:
        """A mapping with names as keys, which YAML may have read as numbers; None is an empty one."""
        if not isinstance(value, dict | None):
            raise self._error(key, f"expected a mapping, got {value!r}")
        for name in value or {}:
            if isinstance(name, bool) or name is None:
                raise self._error(key, f"expected a name, but YAML reads it as {name!r}; put it in quotes")
            if problem := name_problem(str(name)):
                raise self._error(key, problem)
        return {str(name): item for name, item in (value or {}).items()}

    def _check_keys(self, prefix: str, raw: Mapping[Any, Any], allowed: Sequence[str]) -> None:
        for key in raw:
            if key not in allowed:
                raise ConfigError(f"{self._path}: {unknown_key(f'{prefix}{key}', allowed)}")

    def _error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(f"{self._path}: {key}: {problem}")

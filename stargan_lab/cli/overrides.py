"""Overrides of a half-typed command line: groups, their entries, keys and the values these take, from YAML and sources.

Near enough to Hydra's composition for names, and twenty times quicker; the command itself composes with Hydra.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from stargan_lab.cli import outline

FILES = ":files"
"""Instead of words: let the shell offer files."""

_PATHS = ("root", "outputs", "weights")
"""Last parts of keys that take a file or folder."""

_LAUNCHERS = {
    "hydra_joblib_launcher": ("joblib",),
    "hydra_submitit_launcher": ("submitit_local", "submitit_slurm"),
    "hydra_ray_launcher": ("ray", "ray_aws"),
    "hydra_rq_launcher": ("rq",),
}
"""Hydra's own launcher plugins, and the names they go by."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def value_of(words: Sequence[str], *names: str) -> str | None:
    """What ``--flag VALUE``, ``--flag=VALUE`` or ``key=VALUE`` gives."""
    for i, word in enumerate(words):
        for name in names:
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
            if word == name and i + 1 < len(words):
                return words[i + 1]
    return None


class Overrides:
    """Groups, keys and their values as the words so far make them up: groups' choices and presets are followed."""

    def __init__(self, words: Sequence[str]) -> None:
        given = value_of(words, "--config-dir", "-cd")
        self._roots = [*([Path(given).expanduser()] if given else []), Path(str(files("stargan_lab.conf")))]
        self._words = words
        self._chosen: dict[str, str] = {}
        self._config: dict[str, Any] = {}
        self._compose()

    def candidates(self, current: str) -> Iterator[str]:
        """Words that begin with ``current``, or would."""
        key, equals, value = current.partition("=")
        sign = re.match(r"[+~]*", key)[0]  # type: ignore[index]
        if not equals:
            yield from (sign + word for word in self._keys(key.removeprefix(sign)))
            return
        before, comma, _ = value.rpartition(",")
        for known in self._values(key.removeprefix(sign)):
            if known == FILES:
                yield FILES
            elif known not in before.split(","):
                yield f"{key}={before}{comma}{known}"

    def axes(self) -> Iterator[str]:
        """What ``list`` can be asked for."""
        yield from (f"{group}.{option}" for group, options in outline.references().items() for option in options)
        yield from (key for key in self._config if key != "hydra")
        yield "preset"

    def _keys(self, start: str) -> Iterator[str]:
        path = start.rpartition(".")[0]
        level: Any = self._config
        for part in path.split(".") if path else []:
            level = level.get(part) if isinstance(level, Mapping) else None
        if not path:
            yield from (f"{group}=" for group in self._groups())
            yield "hydra/launcher="
        for key, value in level.items() if isinstance(level, Mapping) else ():
            if key != "name" or path not in self._groups():
                whole = f"{path}.{key}" if path else str(key)
                yield f"{whole}." if isinstance(value, Mapping) and value else f"{whole}="

    def _values(self, key: str) -> Iterator[str]:
        above, _, last = key.rpartition(".")
        if key == "hydra/launcher":
            yield "basic"
            yield from (name for plugin, names in _LAUNCHERS.items() if _installed(plugin) for name in names)
        if key in self._groups():
            yield from self._files(key)
            return
        parts = outline.registered(self._own_modules())
        if last == "kind" or key == "evaluation.extractor":
            yield from parts["dataset" if last == "kind" else "extractor"]
        elif not above:  # a single key that takes a family's names is called like it
            yield from parts.get(key, ())
        if referred := outline.references().get(above, {}).get(last):
            yield from parts[referred]
        yield from parts.get(above, {}).get(self._chosen.get(above, ""), {}).get(last, ())
        if above.startswith("data.sources."):
            kind = self._at(f"{above}.kind")
            yield from parts["dataset"].get(str(kind), {}).get(last, ())
        yield from outline.schema().get(key, ())
        if last in _PATHS or above == "initial":
            yield FILES

    def _compose(self) -> None:
        """What Hydra's defaults lists come to, near enough for names of keys."""
        main = self._read("", "config")
        for default in main.pop("defaults", []):
            if isinstance(default, dict) and not str(next(iter(default))).startswith("override"):
                self._chosen |= {str(group): str(entry) for group, entry in default.items()}
        picked = {g: e for w in self._words for g, s, e in [w.partition("=")] if s and g in self._groups()}
        preset = self._preset(picked.get("preset", self._chosen.get("preset", "")), 0)
        self._chosen |= picked
        self._config = main
        for group in self._groups():
            if group != "preset" and group in self._chosen:
                self._config[group] = self._entry(group, self._chosen[group])
        _merge(self._config, preset)
        self._config.pop("hydra", None)

    def _entry(self, group: str, name: str, depth: int = 0) -> dict[str, Any]:
        """A group's entry with what it inherits from others of the group."""
        keys, inherited = self._read(group, name), dict[str, Any]()
        for default in keys.pop("defaults", []):
            if isinstance(default, str) and default != "_self_" and depth < 5:
                _merge(inherited, self._entry(group, default, depth + 1))
        return _merge(inherited, keys)

    def _preset(self, name: str, depth: int) -> dict[str, Any]:
        """A preset's keys; its choices of groups are noted, those it inherits from other presets first."""
        keys = self._read("preset", name)
        inherited: dict[str, Any] = {}
        for default in keys.pop("defaults", []):
            if isinstance(default, str) and default != "_self_" and depth < 5:
                _merge(inherited, self._preset(default, depth + 1))
            elif isinstance(default, dict):
                for group, entry in default.items():
                    self._chosen[str(group).removeprefix("override ").strip("/ ")] = str(entry)
        return _merge(inherited, keys)

    def _groups(self) -> list[str]:
        folders = (
            path for root in self._roots for path in root.glob("*/") if path.name not in ("hydra", "__pycache__")
        )
        return sorted({path.name for path in folders if any(path.glob("*.yaml"))})

    def _files(self, group: str) -> list[str]:
        return sorted({path.stem for root in self._roots for path in (root / group).glob("*.yaml")})

    def _read(self, group: str, name: str) -> dict[str, Any]:
        for root in self._roots:
            path = root / group / f"{name}.yaml"
            if path.is_file():
                read = yaml.load(path.read_text(), _LOADER)
                return read if isinstance(read, dict) else {}
        return {}

    def _own_modules(self) -> list[Path]:
        """Sources of the modules in ``imports=[…]``, as far as they lie in the current folder."""
        given = value_of(self._words, "imports", "++imports")
        names = given.strip("[]").split(",") if given else self._config.get("imports") or []
        paths = (Path(*str(name).strip("'\" ").split(".")).with_suffix(".py") for name in names if name)
        return [path.resolve() for path in paths if path.is_file()]

    def _at(self, key: str) -> Any:
        level: Any = self._config
        for part in key.split("."):
            level = level.get(part) if isinstance(level, Mapping) else None
        return level


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
    return into


def _installed(plugin: str) -> bool:
    return find_spec("hydra_plugins") is not None and find_spec(f"hydra_plugins.{plugin}") is not None

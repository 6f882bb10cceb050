"""Everything that can be swapped or set: axes, their entries and options, read off registries, schema and YAML files.

What an option means is said once: in the ``Args`` of its builder's docstring, or in the YAML file's comment.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel

from stargan_lab.config.option_help import as_yaml, described, heading, meanings, plain, yaml_comments
from stargan_lab.config.schema import COMPONENTS, REFERENCES, RunConfig
from stargan_lab.errors import ConfigError, unknown
from stargan_lab.registry import families, family

PLACES = {
    "dataset": "data.sources.NAME.kind",
    "extractor": "evaluation.extractor",
    "image_metric": "evaluation.metrics",
    "feature_metric": "evaluation.metrics",
    "targets": "targets",
}
"""Families that neither a group of the configuration nor ``REFERENCES`` places: the key that takes their names."""

_WHAT = {
    "preset": "Settings that belong together; a preset changes the defaults, and further keys change the preset.",
    "generator": "The network that translates images.",
    "generator.norm": "Norm after the generator's convolutions.",
    "generator.conditioning": "How the label reaches the generator.",
    "generator.output": "What brings the generator's last layer to [-1, 1].",
    "generator.padding": "What the generator's convolutions see beyond the border.",
    "discriminator": "Scores images as real or fake and classifies their labels.",
    "discriminator.norm": "Norm in the discriminator, after every stride-2 convolution but the first.",
    "discriminator.head": "What turns the discriminator's features into real/fake scores.",
    "adversarial": "The loss on real/fake scores.",
    "targets": "Which labels a training batch is translated to.",
    "lipschitz": "What keeps the critic Lipschitz.",
    "optimizer": "How weights follow gradients, of both networks.",
    "schedule": "The learning rate over the training.",
    "data": "The datasets, at which size; every dataset has a name of its own under data.sources.",
    "data.sources.NAME.kind": "What a dataset is read from or drawn by; NAME is the dataset's own, e.g. faces.",
    "evaluation.metrics": "Metrics of translated images, and of the features of translated and real images.",
    "evaluation.extractor": "The features of every distance beside those of the classifier's own.",
}


@dataclass(frozen=True)
class Option:
    """One setting: its key below the axis, its default as YAML (None: it must be set), what it takes and means."""

    key: str
    default: str | None
    takes: str
    meaning: str


@dataclass(frozen=True)
class Entry:
    """One thing an axis can be set to.

    Attributes:
        own: the user's module or folder it comes from, empty for ours.
        chosen: it is what the configuration has.
        file: there is a YAML file of its name in the group of its name.
    """

    name: str
    summary: str
    source: str = ""
    own: str = ""
    chosen: bool = False
    file: bool = True
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Axis:
    """Something that can be varied.

    Attributes:
        key: as a user sets it, e.g. ``generator.norm``.
        family: the registry behind it, or empty.
        summary: one line.
        entries: names it can be set to.
        options: numbers, switches and texts set below it; of a single key the key itself.
    """

    key: str
    family: str
    summary: str
    entries: tuple[Entry, ...] = ()
    options: tuple[Option, ...] = ()

    @property
    def names(self) -> set[str]:
        """What one may call it."""
        return {self.key, self.family, self.key.rpartition(".")[2]} - {"", "kind"}

    @property
    def option_names(self) -> set[str]:
        """Of itself and of its entries."""
        return {option.key for options in (self.options, *(e.options for e in self.entries)) for option in options}


def axes(config: RunConfig, config_dir: Path | None = None) -> list[Axis]:
    """Every axis, in the order of the configuration; entries that ``config`` uses are marked as chosen.

    Args:
        config: checked, so that modules with components of one's own are imported.
        config_dir: folder with further YAML files.
    """
    flat, groups = config.flat(), _groups(config_dir)
    found = [Axis("preset", "", _WHAT["preset"], _yaml_entries(groups["preset"]))]
    for key, annotation in get_type_hints(RunConfig, include_extras=True).items():
        if key in COMPONENTS:
            found.append(Axis(key, key, _what(key), _entries(key, {flat[key]["name"]}, groups[key])))
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(_section(key, annotation, flat[key], groups.get(key, {})))
        elif key not in PLACES.values():
            option = _option(key, flat[key], annotation, yaml_comments(_main()).get(key, ""))
            found.append(Axis(key, "", option.meaning, options=(option,)))
        for name, place in _placed(key):
            found.append(Axis(place, name, _what(place), _entries(name, _chosen(flat, place), None)))
    return found


def find(asked: str, known: Sequence[Axis]) -> list[Axis]:
    """The axes called ``asked``: by key, by family, by the last part of the key, or by one of its options.

    Raises:
        ConfigError: none is, with the nearest.
    """
    above, _, last = asked.rpartition(".")
    for matches in (
        [axis for axis in known if axis.key == asked],
        [axis for axis in known if asked in axis.names],
        [axis for axis in known if axis.key == above and last in axis.option_names],
    ):
        if matches:
            return matches
    raise ConfigError(unknown("axis", asked, {axis.key for axis in known}))


def _what(key: str) -> str:
    return _WHAT.get(key, "")


def _placed(key: str) -> Iterator[tuple[str, str]]:
    """Families whose names are set below ``key``, and where."""
    for option, name in REFERENCES.get(key, {}).items():
        yield name, f"{key}.{option}"
    for name, place in PLACES.items():
        if place.split(".")[0] == key and name in families():
            yield name, place


def unplaced() -> set[str]:
    """Families that no axis shows: none, unless a new one was forgotten here."""
    placed = {name for options in REFERENCES.values() for name in options.values()}
    return set(families()) - set(COMPONENTS) - placed - set(PLACES)


def _chosen(flat: Mapping[str, Any], place: str) -> set[str]:
    """The values that ``place`` has; NAME stands for every key."""
    levels: list[Any] = [flat]
    for part in place.split("."):
        below = [level for level in levels if isinstance(level, Mapping)]
        levels = [v for level in below for k, v in level.items() if part in (k, "NAME")]
    return {str(level) for level in levels}


def _entries(name: str, chosen: set[str], yamls: Mapping[str, Path] | None) -> tuple[Entry, ...]:
    registry, entries = family(name), []
    for entry in registry.names():
        module = registry.get(entry).__module__
        path = yamls.get(entry) if yamls is not None else None
        entries.append(
            Entry(
                entry,
                plain(registry.summary(entry)),
                registry.source(entry),
                own="" if module.split(".")[0] == "stargan_lab" else module,
                chosen=entry in chosen,
                file=yamls is None or path is not None,
                options=_options(name, entry, yaml_comments(path) if path else {}),
            )
        )
    return tuple(entries)


def _options(name: str, entry: str, comments: Mapping[str, str]) -> tuple[Option, ...]:
    known, referred = meanings(family(name).get(entry)), REFERENCES.get(name, {})
    options = []
    for key, parameter in family(name).options(entry).items():
        meaning = known.get(key) or comments.get(key, "")
        if same := re.match(r"as of ``(\w+)``", meaning):
            meaning = meanings(family(name).get(same.group(1))).get(key, meaning)
        takes = ", ".join(family(referred[key]).names()) if key in referred else described(parameter.annotation)
        default = None if parameter.default is inspect.Parameter.empty else as_yaml(parameter.default)
        options.append(Option(key, default, takes, plain(meaning)))
    return tuple(options)


def _section(key: str, model: type[BaseModel], values: Mapping[str, Any], yamls: Mapping[str, Path]) -> Axis:
    """A part of the configuration that is no component: its keys, and YAML files when there is a choice of them."""
    comments = {k: text for path in yamls.values() for k, text in yaml_comments(path).items()}
    comments |= {k.removeprefix(f"{key}."): text for k, text in yaml_comments(_main()).items() if f"{key}." in k}
    options = tuple(
        _option(option, values[option], annotation, comments.get(option, ""))
        for option, annotation in get_type_hints(model, include_extras=True).items()
        if not (isinstance(values[option], Mapping) and values[option])  # has axes of its own
    )
    alone = len(yamls) == 1
    summary = _what(key) or (heading(next(iter(yamls.values()))) if alone else "")
    return Axis(key, "", summary, () if alone else _yaml_entries(yamls), options)


def _option(key: str, value: Any, annotation: Any, meaning: str) -> Option:
    return Option(key, as_yaml(value), described(annotation), plain(meaning))


def _main() -> Path:
    return Path(str(files("stargan_lab.conf"))) / "config.yaml"


def _groups(config_dir: Path | None) -> dict[str, dict[str, Path]]:
    """Group -> entry -> YAML file, of ours and of ``config_dir``."""
    found: dict[str, dict[str, Path]] = {}
    for root in (_main().parent, *([config_dir] if config_dir else [])):
        for path in sorted(root.glob("*/*.yaml")):
            found.setdefault(path.parent.name, {})[path.stem] = path
    return found


def _yaml_entries(yamls: Mapping[str, Path]) -> tuple[Entry, ...]:
    ours = _main().parent
    own = {name: "" if path.is_relative_to(ours) else str(path.parent.parent) for name, path in yamls.items()}
    return tuple(Entry(name, heading(path), own=own[name]) for name, path in sorted(yamls.items()))

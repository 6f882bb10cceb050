"""Everything that can be configured: axes, components and options, from the registries, the schema and YAML files."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from stargan_lab.config.option_help import as_yaml, described, option_meanings
from stargan_lab.config.schema import Component, RunConfig, annotations
from stargan_lab.config.yaml_files import CONF, heading
from stargan_lab.errors import ConfigError, unknown
from stargan_lab.registry import families, family, referenced_families


@dataclass(frozen=True)
class Option:
    """One setting: its key below the axis, its default as YAML (None: required), allowed values and meaning."""

    key: str
    default: str | None
    takes: str
    meaning: str


@dataclass(frozen=True)
class Entry:
    """One value of an axis.

    Attributes:
        origin: the user's module or directory that defines it; empty for the package's own.
        selected: the configuration uses it.
        has_file: the configuration group has a YAML file for it.
        weight: of a loss term of every objective, which cannot be added: the key of its weight, or 1; else empty.
    """

    name: str
    summary: str
    source: str = ""
    origin: str = ""
    selected: bool = False
    has_file: bool = True
    weight: str = ""
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Axis:
    """A component, section or key of the configuration.

    Attributes:
        key: as in an override, e.g. ``generator.norm``.
        family: the registry of its entries, or empty.
        summary: one line.
        entries: the names it can be set to.
        options: settings below it; for a single key, the key itself.
        options_key: where the options of an entry are set.
        kind: what its entries are, if other axes have the same key; else empty.
    """

    key: str
    family: str
    summary: str
    entries: tuple[Entry, ...] = ()
    options: tuple[Option, ...] = ()
    options_key: str = ""
    kind: str = ""

    @property
    def title(self) -> str:
        """The key, with the kind of entries if there is one; unique."""
        return f"{self.key} ({self.kind})" if self.kind else self.key

    @property
    def names(self) -> set[str]:
        """Names that ``find`` accepts: the key, the key up to ``NAME``, the last part of that, and the family."""
        key = self.key.partition(".NAME")[0]
        return {self.key, key, key.rpartition(".")[2], self.family} - {""}


_OTHER_FAMILIES = {
    "distribution": "Real points of `stargan-lab toy NAME`, whose other keys are in conf/toy.yaml; unused in training."
}
"""Summaries of families that no key of a training run refers to."""


def axes(config: RunConfig, config_dir: Path | None = None) -> list[Axis]:
    """All axes in the order of the configuration; entries that ``config`` uses are marked as selected.

    Args:
        config: validated, so that the user's modules are imported.
        config_dir: directory with the user's YAML files.
    """
    flat, yamls = config.flat(), _group_files(config_dir)
    summary = "Bundles of settings. A preset changes the defaults; other overrides take precedence over it."
    result = [Axis("preset", "", summary, _yaml_entries(yamls["preset"]))]
    for key, annotation in annotations(RunConfig).items():
        description = RunConfig.model_fields[key].description or ""
        if annotation is Component:
            entries = _entries(key, {flat[key]["name"]}, yamls[key])
            result += [Axis(key, key, description, entries, options_key=key), *_nested(key, flat[key])]
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            result += _section(key, annotation, flat[key], yamls.get(key, {}))
        elif referenced_families(annotation):
            result += _referring(key, description, annotation, flat[key])
        else:
            option = Option(key, as_yaml(flat[key]), described(annotation), description)
            result.append(Axis(key, "", description, options=(option,)))
    shown = {axis.family for axis in result}
    return result + [
        Axis(name, name, _OTHER_FAMILIES.get(name, ""), _entries(name, set(), None), options_key=name)
        for name in families()
        if name not in shown
    ]


def find(name: str, axes: Sequence[Axis]) -> list[Axis]:
    """The axes with this key, family, last part of the key, or option.

    Raises:
        ConfigError: no axis matches; the message names the nearest.
    """
    parent, _, last = name.rpartition(".")
    for matches in (
        [axis for axis in axes if axis.key == name],
        [axis for axis in axes if name in axis.names],
        [
            axis
            for axis in axes
            for options in (axis.options, *(entry.options for entry in axis.entries))
            if axis.key == parent and any(option.key == last for option in options)
        ][:1],
    ):
        if matches:
            return matches
    raise ConfigError(unknown("component or key", name, {axis.key for axis in axes}))


def _section(key: str, model: type[BaseModel], values: Mapping[str, Any], yamls: Mapping[str, Path]) -> Iterator[Axis]:
    """A section of the schema, with the files of its group if there are several, then its fields that are axes."""
    hints, fields = annotations(model), model.model_fields
    options = tuple(
        Option(name, as_yaml(values[name]), described(hints[name]), fields[name].description or "")
        for name in fields
        if get_args(hints[name])[:1] != (dict[str, Component],)
    )
    entries = _yaml_entries(yamls) if len(yamls) > 1 else ()
    yield Axis(key, "", inspect.getdoc(model) or "", entries, options, key)
    for name, annotation in hints.items():
        yield from _referring(f"{key}.{name}", fields[name].description or "", annotation, values[name])


def _referring(key: str, summary: str, annotation: Any, value: Any) -> Iterator[Axis]:
    """One axis for each family that a field refers to; ``NAME`` stands for the keys of a mapping."""
    types = [member for base in get_args(annotation)[:1] for member in (base, *get_args(base))]
    referred = referenced_families(annotation)
    for referenced in referred:
        if dict[str, Component] in types:
            path, options_key, selected = f"{key}.NAME.kind", f"{key}.NAME", {item["kind"] for item in value.values()}
        elif any(get_origin(member) is dict for member in types):
            path, options_key, selected = f"{key}.NAME", f"{key}.NAME", set(value or ())
        else:
            path, options_key, selected = key, key.rpartition(".")[0], {str(value)}
        kind = f"{referenced.replace('_', ' ')}s" if len(referred) > 1 else ""
        entries = _entries(referenced, selected, None)
        yield Axis(path, referenced, _sentence(summary), entries, options_key=options_key, kind=kind)


def _nested(group: str, selected: Mapping[str, Any]) -> Iterator[Axis]:
    """Options of a group's components that name a component of another family, each once."""
    shown: set[str] = set()
    for name in (selected["name"], *family(group).names()):
        for option, referenced in family(group).references(name).items():
            if option not in shown:
                shown.add(option)
                key, summary = f"{group}.{option}", _sentence(option_meanings(group, name).get(option, ""))
                entries = _entries(referenced, {str(selected.get(option))}, None)
                yield Axis(key, referenced, summary, entries, options_key=f"{key}_options")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}." if text else ""


def _entries(name: str, selected: set[str], yamls: Mapping[str, Path] | None) -> tuple[Entry, ...]:
    registry = family(name)
    return tuple(
        Entry(
            entry,
            registry.summary(entry).replace("``", ""),
            registry.source(entry),
            "" if registry.shipped(entry) else registry.get(entry).__module__,
            entry in selected,
            yamls is None or entry in yamls,
            registry.facts(entry).get("weight", ""),
            _options(name, entry),
        )
        for entry in registry.names()
    )


def _options(name: str, entry: str) -> tuple[Option, ...]:
    texts = option_meanings(name, entry)
    return tuple(
        Option(
            key,
            None if parameter.default is inspect.Parameter.empty else as_yaml(parameter.default),
            described(parameter.annotation),
            texts.get(key, ""),
        )
        for key, parameter in family(name).options(entry).items()
    )


def _group_files(config_dir: Path | None) -> dict[str, dict[str, Path]]:
    """Group -> entry -> YAML file, of the package and of ``config_dir``."""
    groups: dict[str, dict[str, Path]] = {}
    for root in (CONF, *([config_dir] if config_dir else [])):
        for path in sorted(root.glob("*/*.yaml")):
            groups.setdefault(path.parent.name, {})[path.stem] = path
    return groups


def _yaml_entries(yamls: Mapping[str, Path]) -> tuple[Entry, ...]:
    return tuple(
        Entry(name, heading(path), origin="" if path.is_relative_to(CONF) else str(path.parent.parent))
        for name, path in sorted(yamls.items())
    )

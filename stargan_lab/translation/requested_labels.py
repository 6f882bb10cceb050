"""Parse target and source labels from the command line: ``Blond_Hair,Male+Young,Male=0``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stargan_lab.errors import ConfigError, unknown
from stargan_lab.labels import LabelLayout, LabelSpec, target_labels


@dataclass(frozen=True)
class Target:
    """The labels of one output, all of one dataset.

    Attributes:
        name: as written by the user, for file names.
        source: index of the dataset in the layout's ``specs``.
        changes: (label index, requested value).
        title: column title in an image grid.
    """

    name: str
    source: int
    changes: tuple[tuple[int, bool], ...]
    title: str

    def labels(self, source_labels: Tensor, spec: LabelSpec) -> Tensor:
        """(N, A) target labels for images with the given source labels; setting one clears the others of its group."""
        target = source_labels.clone()
        for index, value in self.changes:
            if spec.kind == "categorical" or (value and any(spec.names[index] in g for g in spec.groups)):
                target = target_labels(target, spec, index)
            else:
                target[:, index] = float(value)
        return target


def parse_targets(text: str, layout: LabelLayout) -> list[Target]:
    """``--to``: comma-separated outputs; ``+`` combines labels within one: a name, or ``name=0`` to remove it.

    A name that several datasets share is written ``dataset.name``. Names may contain ``+``, ``,`` and ``=``.

    Returns:
        One target for each distinct set of labels.
    Raises:
        ConfigError: an unknown label, with the nearest one, or mutually exclusive labels.
    """
    outputs: list[list[str]] = [[]]
    for atom, separator in _atoms(text, "+,", layout):
        outputs[-1].append(atom)
        if separator == ",":
            outputs.append([])
    distinct: dict[tuple[int, frozenset[tuple[int, bool]]], Target] = {}
    for target in (_target(atoms, layout) for atoms in outputs):
        distinct.setdefault((target.source, frozenset(target.changes)), target)
    return list(distinct.values())


def _atoms(text: str, separators: str, layout: LabelLayout) -> Iterator[tuple[str, str]]:
    """(label, separator after it, empty at the end) for each label in ``text``; known labels are never split."""
    names = [name for spec in layout.specs for label in spec.names for name in (label, f"{spec.dataset}.{label}")]
    known = sorted((f"{name}{value}" for name in names for value in ("", "=0", "=1")), key=len, reverse=True)
    label = re.compile(rf"\s*({'|'.join(map(re.escape, known))})\s*([{separators}]|$)")
    unknown_label = re.compile(rf"([^{separators}]*)([{separators}]|$)")
    position, separator = 0, separators
    while separator:
        match = label.match(text, position) or unknown_label.match(text, position)
        assert match is not None  # the second pattern matches anything
        position, separator = match.end(), match[2]
        yield match[1].strip(), separator


def _target(atoms: Sequence[str], layout: LabelLayout) -> Target:
    text = "+".join(atoms)
    labels = [_resolve(atom, layout, "--to") for atom in atoms]
    sources = {source for _, source, _, _ in labels}
    if len(sources) > 1:
        names = " and ".join(layout.specs[source].dataset for source in sorted(sources))
        raise ConfigError(f"--to: {text}: cannot combine labels of {names}")
    source = labels[0][1]
    changes = tuple((index, value) for _, _, index, value in labels)
    _check_consistent(f"--to: {text}", changes, layout.specs[source])
    name = "+".join(name if value else f"{name}=0" for name, _, _, value in labels)
    return Target(name, source, changes, " + ".join(name if value else f"no {name}" for name, _, _, value in labels))


def _check_consistent(what: str, changes: Sequence[tuple[int, bool]], spec: LabelSpec) -> None:
    indices = [index for index, _ in changes]
    if len(set(indices)) < len(indices):
        raise ConfigError(f"{what}: duplicate label")
    if spec.kind == "categorical":
        if len(changes) > 1 or not changes[0][1]:
            raise ConfigError(f"{what}: an image of {spec.dataset} has exactly one class; request only one")
        return
    positive = [spec.names[index] for index, value in changes if value]
    for group in spec.groups:
        exclusive = [name for name in positive if name in group]
        if len(exclusive) > 1:
            raise ConfigError(f"{what}: {' and '.join(exclusive)} are mutually exclusive")


def _resolve(atom: str, layout: LabelLayout, option: str) -> tuple[str, int, int, bool]:
    """(name as written, dataset index, label index, requested value)."""
    name, value, matches = atom, "1", _find(atom, layout)
    if not matches and "=" in atom:
        name, _, value = atom.rpartition("=")
        matches = _find(name, layout)
    if value not in ("0", "1"):
        raise ConfigError(f"{option}: {atom}: expected {name}, or {name}=0 to remove it")
    if len(matches) > 1:
        names = " or ".join(f"{layout.specs[source].dataset}.{name}" for source, _ in matches)
        raise ConfigError(f"{option}: several datasets have {name!r}; write {names}")
    if not matches:
        raise ConfigError(f"{option}: {unknown('label', name, [n for spec in layout.specs for n in spec.names])}")
    source, index = matches[0]
    return name, source, index, value == "1"


def _find(name: str, layout: LabelLayout) -> list[tuple[int, int]]:
    """(dataset index, label index) of every label called ``name``, otherwise of ``dataset.name``."""
    specs = list(enumerate(layout.specs))
    return [(source, spec.names.index(name)) for source, spec in specs if name in spec.names] or [
        (source, index)
        for source, spec in specs
        for index, label in enumerate(spec.names)
        if name == f"{spec.dataset}.{label}"
    ]


def parse_source_labels(text: str, layout: LabelLayout) -> list[Tensor]:
    """``--from``: comma-separated source labels of an image; unlisted ones are 0.

    Returns:
        (1, A) for each dataset.
    Raises:
        ConfigError: see ``parse_targets``.
    """
    labels = [torch.zeros(1, len(spec.names)) for spec in layout.specs]
    listed: dict[int, list[tuple[int, bool]]] = {}
    for atom in filter(None, (atom for atom, _ in _atoms(text, ",", layout))):
        _, source, index, value = _resolve(atom, layout, "--from")
        listed.setdefault(source, []).append((index, value))
        labels[source][0, index] = float(value)
    for source, changes in listed.items():
        _check_consistent(f"--from: {text}", changes, layout.specs[source])
    return labels

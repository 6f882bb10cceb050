"""What a person asks a picture to be translated to: ``Blond_Hair,Male+Young,Male=0``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stargan_lab.errors import ConfigError, unknown
from stargan_lab.labels import LabelLayout, LabelSpec, target_labels


@dataclass(frozen=True)
class Target:
    """One output: labels of one dataset to hold (True) or not (False).

    Attributes:
        name: as asked, for file names.
        source: which dataset, an index into the layout's ``specs``.
        wanted: (index of the label, whether it is to hold).
        title: in words, for a column of pictures.
    """

    name: str
    source: int
    wanted: tuple[tuple[int, bool], ...]
    title: str

    def labels(self, own: Tensor, spec: LabelSpec) -> Tensor:
        """(N, A) target labels of images whose own are ``own``; a label of a group clears the others of it."""
        target = own.clone()
        for index, holds in self.wanted:
            if spec.kind == "categorical" or (holds and any(spec.names[index] in g for g in spec.groups)):
                target = target_labels(target, spec, index)
            else:
                target[:, index] = float(holds)
        return target


def parse_targets(text: str, layout: LabelLayout) -> list[Target]:
    """``--to``: outputs apart by commas; in each, labels apart by ``+``: a name, or ``name=0`` for without.

    A name that several datasets have is written ``dataset.name``; one may itself hold ``+``, ``,`` and ``=``.

    Returns:
        One target for each set of labels, however often and in whatever words it was asked for.
    Raises:
        ConfigError: an unknown label, with the nearest one, or labels that exclude each other.
    """
    outputs: list[list[str]] = [[]]
    for atom, separator in _atoms(text, "+,", layout):
        outputs[-1].append(atom)
        if separator == ",":
            outputs.append([])
    found: dict[tuple[int, frozenset[tuple[int, bool]]], Target] = {}
    for target in (_target(atoms, layout) for atoms in outputs):
        found.setdefault((target.source, frozenset(target.wanted)), target)
    return list(found.values())


def _atoms(text: str, separators: str, layout: LabelLayout) -> Iterator[tuple[str, str]]:
    """The parts of a text and the separator after each, empty after the last; a known label is never taken apart."""
    names = [name for spec in layout.specs for label in spec.names for name in (label, f"{spec.dataset}.{label}")]
    known = sorted((f"{name}{value}" for name in names for value in ("", "=0", "=1")), key=len, reverse=True)
    label = re.compile(rf"\s*({'|'.join(map(re.escape, known))})\s*([{separators}]|$)")
    other = re.compile(rf"([^{separators}]*)([{separators}]|$)")
    place, separator = 0, separators
    while separator:
        found = label.match(text, place) or other.match(text, place)
        assert found is not None  # the second fits anything
        place, separator = found.end(), found[2]
        yield found[1].strip(), separator


def _target(atoms: Sequence[str], layout: LabelLayout) -> Target:
    text = "+".join(atoms)
    found = [_resolve(atom, layout, "--to") for atom in atoms]
    sources = {source for _, source, _, _ in found}
    if len(sources) > 1:
        names = " and ".join(layout.specs[source].dataset for source in sorted(sources))
        raise ConfigError(f"--to: {text}: labels of {names} cannot be asked for at once")
    source = found[0][1]
    wanted = tuple((index, holds) for _, _, index, holds in found)
    _refuse_contradiction(f"--to: {text}", wanted, layout.specs[source])
    name = "+".join(name if holds else f"{name}=0" for name, _, _, holds in found)
    return Target(name, source, wanted, " + ".join(name if holds else f"no {name}" for name, _, _, holds in found))


def _refuse_contradiction(what: str, wanted: Sequence[tuple[int, bool]], spec: LabelSpec) -> None:
    indices = [index for index, _ in wanted]
    if len(set(indices)) < len(indices):
        raise ConfigError(f"{what}: names a label twice")
    if spec.kind == "categorical":
        if len(wanted) > 1 or not wanted[0][1]:
            raise ConfigError(f"{what}: of {spec.dataset} exactly one class holds; name that one")
        return
    held = [spec.names[index] for index, holds in wanted if holds]
    for group in spec.groups:
        both = [name for name in held if name in group]
        if len(both) > 1:
            raise ConfigError(f"{what}: {' and '.join(both)} exclude each other")


def _resolve(atom: str, layout: LabelLayout, option: str) -> tuple[str, int, int, bool]:
    """(name as asked, dataset, label, whether it is to hold)."""
    name, value, places = atom, "1", _places(atom, layout)
    if not places and "=" in atom:
        name, _, value = atom.rpartition("=")
        places = _places(name, layout)
    if value not in ("0", "1"):
        raise ConfigError(f"{option}: {atom}: expected {name}, or {name}=0 for without")
    if len(places) > 1:
        full = " or ".join(f"{layout.specs[source].dataset}.{name}" for source, _ in places)
        raise ConfigError(f"{option}: several datasets have {name!r}; write {full}")
    if not places:
        raise ConfigError(f"{option}: {unknown('label', name, [n for spec in layout.specs for n in spec.names])}")
    source, index = places[0]
    return name, source, index, value == "1"


def _places(name: str, layout: LabelLayout) -> list[tuple[int, int]]:
    """(dataset, label) of every label of that name, else of the one that ``dataset.name`` names."""
    specs = list(enumerate(layout.specs))
    return [(source, spec.names.index(name)) for source, spec in specs if name in spec.names] or [
        (source, index)
        for source, spec in specs
        for index, label in enumerate(spec.names)
        if name == f"{spec.dataset}.{label}"
    ]


def parse_own(text: str, layout: LabelLayout) -> list[Tensor]:
    """``--from``: the labels a picture has, apart by commas, all others being 0; an empty text is none.

    Returns:
        (1, A) for each dataset.
    Raises:
        ConfigError: see ``parse_targets``.
    """
    own = [torch.zeros(1, len(spec.names)) for spec in layout.specs]
    held: dict[int, list[tuple[int, bool]]] = {}
    for atom in filter(None, (part for part, _ in _atoms(text, ",", layout))):
        _, source, index, holds = _resolve(atom, layout, "--from")
        held.setdefault(source, []).append((index, holds))
        own[source][0, index] = float(holds)
    for source, wanted in held.items():
        _refuse_contradiction(f"--from: {text}", wanted, layout.specs[source])
    return own

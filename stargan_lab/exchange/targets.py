"""What a person asks a picture to be translated to: ``Blond_Hair,Male+Young,Male=0``."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stargan_lab.batch import LabelLayout, LabelSpec, target_labels
from stargan_lab.errors import ConfigError, unknown


@dataclass(frozen=True)
class Target:
    """One output: labels of one dataset to hold (True) or not (False).

    Attributes:
        name: as asked, for file names.
        source: which dataset, an index into the layout's ``specs``.
        wanted: (index of the label, whether it is to hold).
    """

    name: str
    source: int
    wanted: tuple[tuple[int, bool], ...]

    @property
    def title(self) -> str:
        """In words, for a column of pictures."""
        atoms = self.name.split("+")
        return " + ".join(f"no {a.removesuffix('=0')}" if a.endswith("=0") else a for a in atoms)

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

    A name that several datasets have is written ``dataset.name``.

    Raises:
        ConfigError: an unknown label, with the nearest one, or labels that exclude each other.
    """
    return [_target(part.strip(), layout) for part in dict.fromkeys(text.split(","))]


def _target(text: str, layout: LabelLayout) -> Target:
    atoms = [atom.strip() for atom in text.split("+")]
    found = [_resolve(atom, layout, "--to") for atom in atoms]
    sources = {source for source, _, _ in found}
    if len(sources) > 1:
        names = " and ".join(layout.specs[source].dataset for source in sorted(sources))
        raise ConfigError(f"--to: {text}: labels of {names} cannot be asked for at once")
    source = found[0][0]
    wanted = tuple((index, holds) for _, index, holds in found)
    _refuse_contradiction(f"--to: {text}", wanted, layout.specs[source])
    return Target("+".join(atom.removesuffix("=1") for atom in atoms), source, wanted)


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


def _resolve(atom: str, layout: LabelLayout, option: str) -> tuple[int, int, bool]:
    """(dataset, label, whether it is to hold)."""
    name, _, value = atom.rpartition("=") if "=" in atom else (atom, "", "1")
    if value not in ("0", "1"):
        raise ConfigError(f"{option}: {atom}: expected {name}, or {name}=0 for without")
    places = [(s, spec.names.index(name)) for s, spec in enumerate(layout.specs) if name in spec.names]
    if len(places) > 1:
        full = " or ".join(f"{layout.specs[source].dataset}.{name}" for source, _ in places)
        raise ConfigError(f"{option}: several datasets have {name!r}; write {full}")
    if not places:
        places = [
            (s, spec.names.index(name.removeprefix(f"{spec.dataset}.")))
            for s, spec in enumerate(layout.specs)
            if name.startswith(f"{spec.dataset}.") and name.removeprefix(f"{spec.dataset}.") in spec.names
        ]
    if not places:
        raise ConfigError(f"{option}: {unknown('label', name, [n for spec in layout.specs for n in spec.names])}")
    source, index = places[0]
    return source, index, value == "1"


def parse_own(text: str, layout: LabelLayout) -> list[Tensor]:
    """``--from``: the labels a picture has, apart by commas, all others being 0; an empty text is none.

    Returns:
        (1, A) for each dataset.
    Raises:
        ConfigError: see ``parse_targets``.
    """
    own = [torch.zeros(1, len(spec.names)) for spec in layout.specs]
    held: dict[int, list[tuple[int, bool]]] = {}
    for atom in filter(None, (part.strip() for part in text.split(","))):
        source, index, holds = _resolve(atom, layout, "--from")
        held.setdefault(source, []).append((index, holds))
        own[source][0, index] = float(holds)
    for source, wanted in held.items():
        _refuse_contradiction(f"--from: {text}", wanted, layout.specs[source])
    return own

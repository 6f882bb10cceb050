"""The names of the labels a network takes, kept beside its weights, and those that the reference's files have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stargan_lab.errors import ConfigError, LabError
from stargan_lab.files import read_json, write_json
from stargan_lab.labels import LabelLayout, LabelSpec

LABELS = "labels.json"
CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
RAFD = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
"""The reference's defaults: attributes, the folders of its eight classes in order, colours that exclude each other."""


def as_plain(layout: LabelLayout) -> list[dict[str, Any]]:
    """For JSON: a mapping per dataset, in the order of their labels."""
    return [
        {
            "dataset": spec.dataset,
            "names": list(spec.names),
            "kind": spec.kind,
            "groups": [list(group) for group in spec.groups],
        }
        for spec in layout.specs
    ]


def write_layout(folder: Path, layout: LabelLayout) -> None:
    """Write ``folder/labels.json``, by which a run's networks can be used without its data."""
    write_json(folder / LABELS, as_plain(layout))


def read_layout(path: Path) -> LabelLayout:
    """Raises LabError when the file is damaged."""
    try:
        return LabelLayout(
            tuple(
                LabelSpec(
                    str(entry["dataset"]),
                    tuple(map(str, entry["names"])),
                    "categorical" if entry["kind"] == "categorical" else "binary",
                    tuple(tuple(map(str, group)) for group in entry["groups"]),
                )
                for entry in read_json(path)
            )
        )
    except (KeyError, TypeError):
        raise LabError(f"{path}: expected a list of datasets with their names, kind and groups") from None


def reference_layout(width: int, attributes: Sequence[str] = (), classes: Sequence[str] = ()) -> LabelLayout:
    """The layout of one of the reference's generators, which has no names in it.

    Args:
        width: K, of the labels it takes.
        attributes, classes: its labels in order, CelebA's and RaFD's; both for one trained on both datasets. Neither:
            the reference's own selection of that width, 5 attributes, 8 classes, or both.
    Raises:
        ConfigError: as many names are needed as the labels are wide.
    """
    if not attributes and not classes:
        defaults = {len(CELEBA): (CELEBA, ()), len(RAFD): ((), RAFD), len(CELEBA) + len(RAFD) + 2: (CELEBA, RAFD)}
        if width not in defaults:
            raise ConfigError(
                f"--attributes: the generator takes {width} labels and its file does not name them; name them, in"
                " their order"
            )
        attributes, classes = defaults[width]
    groups = (tuple(name for name in attributes if name in HAIR),)
    specs = []
    if attributes:
        specs.append(LabelSpec("celeba", tuple(attributes), "binary", tuple(g for g in groups if g)))
    if classes:
        specs.append(LabelSpec("rafd", tuple(classes), "categorical"))
    layout = LabelLayout(tuple(specs))
    names = [name for spec in specs for name in spec.names]
    if len(set(names)) < len(names):
        raise ConfigError(f"--attributes and --classes: expected different names, got {', '.join(names)}")
    if layout.generator_width != width:
        mask = " and a mask of 2" if len(specs) > 1 else ""
        raise ConfigError(
            f"--attributes and --classes: {len(names)} names{mask} given, but its labels are {width} wide"
        )
    return layout

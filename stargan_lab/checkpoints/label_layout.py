"""Label names: stored next to a run's weights, and the defaults of the reference implementation."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stargan_lab.errors import ConfigError, LabError
from stargan_lab.files import read_json, write_json
from stargan_lab.labels import LabelLayout, LabelSpec

LABELS = "labels.json"
CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
RAFD = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
"""The reference implementation's defaults: attributes, class directories in order, mutually exclusive hair colors."""


def as_plain(layout: LabelLayout) -> list[dict[str, Any]]:
    """For JSON: one mapping per dataset, in label order."""
    return [asdict(spec) for spec in layout.specs]


def write_layout(folder: Path, layout: LabelLayout) -> None:
    """Write ``folder/labels.json``, so that a run's networks can be used without its data."""
    write_json(folder / LABELS, as_plain(layout))


def read_layout(path: Path) -> LabelLayout:
    """Read ``labels.json``. Raises LabError if it is damaged."""
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
    """The labels of a StarGAN generator, whose file does not name them.

    Args:
        width: K, the length of its label vector.
        attributes, classes: label names in order, of CelebA and RaFD; both for a generator trained on both. Without
            names: the default 5 attributes, 8 classes, or both, whichever matches this width.
    Raises:
        ConfigError: the number of names does not match ``width``, or there are duplicates.
    """
    if not attributes and not classes:
        defaults = {len(CELEBA): (CELEBA, ()), len(RAFD): ((), RAFD), len(CELEBA) + len(RAFD) + 2: (CELEBA, RAFD)}
        if width not in defaults:
            raise ConfigError(
                f"--attributes: the file does not name the generator's {width} labels; list them in order"
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
        raise ConfigError(f"--attributes and --classes: duplicate names in {', '.join(names)}")
    if layout.generator_width != width:
        mask = " and a mask of 2" if len(specs) > 1 else ""
        raise ConfigError(
            f"--attributes and --classes: got {len(names)} names{mask}, but the label vector has length {width}"
        )
    return layout

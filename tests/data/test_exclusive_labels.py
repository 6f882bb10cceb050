"""Mutually exclusive labels: valid groups work, invalid ones are refused before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stargan_lab.data.celeba import HAIR, celeba
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.synthfaces.dataset import synthfaces
from stargan_lab.data.synthfaces.spec import SynthSpec
from stargan_lab.data.synthfaces.writer import make_synthfaces
from stargan_lab.errors import ConfigError
from stargan_lab.labels import target_labels

MakeFolder = Callable[..., Path]
COLORS = ("Black_Hair", "Blond_Hair", "Brown_Hair")


def open_celeba(root: Path, **options: Any) -> PackedSource:
    options = {"attributes": ("Black_Hair", "Blond_Hair", "Bald"), **options}
    return celeba("celeba", 16, root.parent / "outputs", root=str(root), **options)


def open_synthfaces(outputs: Path, **options: Any) -> PackedSource:
    return synthfaces("faces", 16, outputs, **{"train": 6, "valid": 0, "test": 12, **options})


def test_default_groups_follow_the_reference(make_folder: MakeFolder) -> None:
    """There, Gray_Hair is a hair color and Bald is not."""
    assert HAIR == (("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),)
    spec = open_celeba(make_folder()).spec
    assert spec.groups == (("Black_Hair", "Blond_Hair"),)
    labels = torch.tensor([[1.0, 0, 1]])
    assert target_labels(labels, spec, 1).tolist() == [[0, 1, 1]]
    assert target_labels(labels, spec, 2).tolist() == [[1, 0, 0]]


def test_groups_can_be_changed_without_changing_the_data(make_folder: MakeFolder) -> None:
    root = make_folder()
    source = open_celeba(root, exclusive=())
    source.prepare()
    assert source.fingerprint == open_celeba(root).fingerprint
    assert target_labels(torch.tensor([[1.0, 0, 0]]), source.spec, 1).tolist() == [[1, 1, 0]]
    source = open_celeba(root, exclusive=(("Bald", "Blond_Hair", "Wearing_Hat"), ("Male", "Young"), ()))
    source.prepare()
    assert source.spec.groups == (("Bald", "Blond_Hair"),)


def test_a_label_can_be_in_one_group_only(tmp_path: Path) -> None:
    for groups in ((("Bald", "Male"), ("Young", "Bald")), (("Bald", "Bald"),)):
        with pytest.raises(ConfigError, match=r"data\.sources\.celeba\.exclusive: 'Bald' appears twice"):
            open_celeba(tmp_path, exclusive=groups)


def test_unknown_labels_in_groups_are_refused(make_folder: MakeFolder) -> None:
    root = make_folder()
    groups = (("Black_Hair", "Blond_Hiar"),)
    with pytest.raises(ConfigError, match=r"celeba\.exclusive: .*'Blond_Hiar'; did you mean 'Blond_Hair'"):
        _ = open_celeba(root, exclusive=groups).fingerprint
    with pytest.raises(ConfigError, match=r"faces\.exclusive: .*'Blond_Hiar'; did you mean 'Blond_Hair'"):
        open_synthfaces(root.parent, exclusive=groups, attributes=COLORS)
    text = (root / "list_attr_celeba.txt").read_text()  # the attribute file may have names that CelebA lacks
    (root / "list_attr_celeba.txt").write_text(text.replace("Bald", "Antlers"))
    open_celeba(root, attributes=("Antlers", "Male"), exclusive=(("Antlers", "Male"),)).prepare()


@pytest.mark.parametrize("groups", [(COLORS[:2],), (COLORS[:1], COLORS[1:])])
def test_hair_colors_of_synthfaces_must_share_a_group(groups: tuple[tuple[str, ...], ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.sources\.faces\.exclusive: a SynthFaces face has at most one of"):
        open_synthfaces(tmp_path, exclusive=groups, attributes=(*COLORS, "Male"))
    assert list(tmp_path.iterdir()) == []


def test_hair_colors_of_synthfaces_opened_as_celeba_must_share_a_group(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SynthSpec(16, 6, 0, 4))
    with pytest.raises(ConfigError, match="has at most one of Black_Hair, Brown_Hair"):
        _ = open_celeba(root, attributes=("Brown_Hair", "Black_Hair"), exclusive=()).fingerprint
    open_celeba(root, attributes=("Brown_Hair", "Male"), exclusive=(), crop=None).prepare()


@pytest.mark.parametrize(
    ("attributes", "groups"),
    [
        (("Male", "Black_Hair"), ()),
        (("Brown_Hair", "Young", "Black_Hair"), ((*COLORS, "Young"),)),
    ],
)
def test_every_target_allowed_by_the_groups_can_be_rendered(
    attributes: tuple[str, ...], groups: tuple[tuple[str, ...], ...], tmp_path: Path
) -> None:
    source = open_synthfaces(tmp_path, attributes=attributes, exclusive=groups)
    images = source.split("test")
    assert source.ground_truth is not None
    for index in range(len(attributes)):
        targets = target_labels(images.labels, source.spec, index)
        assert source.ground_truth.redraw("test", range(len(images)), source.spec.names, targets).shape == (
            12,
            3,
            16,
            16,
        )

"""Labels that exclude each other: any grouping that makes sense works, and what cannot is refused before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stargan_lab.data.annotations import CELEBA_ATTRIBUTES
from stargan_lab.data.celeba import HAIR, celeba, synthfaces
from stargan_lab.data.packed_source import PackedSource
from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.synthfaces.dataset import SynthSpec, make_synthfaces
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout, target_labels

MakeFolder = Callable[..., Path]
COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair")


def opened(root: Path, **options: Any) -> PackedSource:
    options = {"attributes": ("Black_Hair", "Blond_Hair", "Bald"), **options}
    return celeba("celeba", 16, root.parent / "outputs", root=str(root), **options)


def drawn(outputs: Path, **options: Any) -> PackedSource:
    return synthfaces("faces", 16, outputs, **{"train": 6, "valid": 0, "test": 12, **options})


def test_hair_is_the_references(make_folder: MakeFolder) -> None:
    """Gray_Hair is a colour there, Bald is not."""
    assert HAIR == (("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),)
    spec = opened(make_folder()).spec
    assert spec.groups == (("Black_Hair", "Blond_Hair"),)
    own = torch.tensor([[1.0, 0, 1]])
    assert target_labels(own, spec, 1).tolist() == [[0, 1, 1]]
    assert target_labels(own, spec, 2).tolist() == [[1, 0, 0]]


def test_no_groups_and_own_groups(make_folder: MakeFolder) -> None:
    root = make_folder()
    source = opened(root, exclusive=())
    source.prepare()
    assert source.spec.groups == ()
    assert target_labels(torch.tensor([[1.0, 0, 0]]), source.spec, 1).tolist() == [[1, 1, 0]]
    source = opened(root, exclusive=(("Bald", "Blond_Hair", "Wearing_Hat"), ("Male", "Young"), ()))
    source.prepare()
    assert source.spec.groups == (("Bald", "Blond_Hair"),)


def test_groups_do_not_change_the_data(make_folder: MakeFolder) -> None:
    root = make_folder()
    assert opened(root, exclusive=()).fingerprint == opened(root).fingerprint


@pytest.mark.parametrize("groups", [(("Bald", "Male"), ("Young", "Bald")), (("Bald", "Bald"),)])
def test_a_label_is_in_one_group_at_most(groups: tuple[tuple[str, ...], ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.sources\.celeba\.exclusive: 'Bald' stands there twice"):
        opened(tmp_path, exclusive=groups)
    with pytest.raises(ConfigError, match=r"data\.sources\.faces\.exclusive: 'Bald' stands there twice"):
        drawn(tmp_path, exclusive=groups, attributes=("Male", "Young"))


def test_a_name_that_no_list_knows_is_refused(make_folder: MakeFolder) -> None:
    root = make_folder()
    groups = (("Black_Hair", "Blond_Hiar"),)
    with pytest.raises(
        ConfigError, match=r"data\.sources\.celeba\.exclusive: .*'Blond_Hiar'; did you mean 'Blond_Hair'"
    ):
        _ = opened(root, exclusive=groups).fingerprint
    with pytest.raises(
        ConfigError, match=r"data\.sources\.faces\.exclusive: .*'Blond_Hiar'; did you mean 'Blond_Hair'"
    ):
        drawn(root.parent, exclusive=groups, attributes=COLOURS)
    text = (root / "list_attr_celeba.txt").read_text()  # a list of one's own knows names that CelebA does not
    (root / "list_attr_celeba.txt").write_text(text.replace("Bald", "Antlers"))
    opened(root, attributes=("Antlers", "Male"), exclusive=(("Antlers", "Male"),)).prepare()


def test_celebas_forty() -> None:
    assert len(set(CELEBA_ATTRIBUTES)) == 40
    assert set(faces.ATTRIBUTES) | set(HAIR[0]) <= set(CELEBA_ATTRIBUTES)


@pytest.mark.parametrize("groups", [(), (COLOURS[:2],), (COLOURS[:1], COLOURS[1:]), (("Male", "Young"),)])
def test_a_drawn_face_has_one_hair_colour(groups: tuple[tuple[str, ...], ...], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.sources\.faces\.exclusive: a drawn face cannot have two of Black_Hair"
    ):
        drawn(tmp_path, exclusive=groups, attributes=(*COLOURS, "Male"))
    assert list(tmp_path.iterdir()) == []


def test_the_same_for_a_drawn_folder_opened_as_celeba(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SynthSpec(16, 6, 0, 4))
    with pytest.raises(ConfigError, match="a drawn face cannot have two of Black_Hair, Brown_Hair"):
        _ = opened(root, attributes=("Brown_Hair", "Black_Hair"), exclusive=()).fingerprint
    opened(root, attributes=("Brown_Hair", "Male"), exclusive=(), crop=None).prepare()


@pytest.mark.parametrize(
    ("attributes", "groups"),
    [
        (("Male", "Black_Hair"), ()),
        ((*COLOURS, "Young"), ((*COLOURS, "Gray_Hair"),)),
        ((*COLOURS, "Young"), ((*COLOURS, "Young"),)),
        (("Brown_Hair", "Oval_Face", "Black_Hair"), (COLOURS, ("Male", "Young"))),
    ],
)
def test_every_target_of_what_is_allowed_can_be_drawn(
    attributes: tuple[str, ...], groups: tuple[tuple[str, ...], ...], tmp_path: Path
) -> None:
    source = drawn(tmp_path, attributes=attributes, exclusive=groups)
    images = source.split("test")
    assert LabelLayout((source.spec,)).critic_width == len(attributes)
    assert source.ground_truth is not None
    for index in range(len(attributes)):
        asked = target_labels(images.labels, source.spec, index)
        assert source.ground_truth.images("test", range(len(images)), asked).shape == (12, 3, 16, 16)

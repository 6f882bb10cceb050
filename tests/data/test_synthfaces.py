"""Drawn datasets: written whole or not at all, never over anything else, and every answer redrawn to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stargan_lab import files
from stargan_lab.data.annotations import read_attributes, read_partition
from stargan_lab.data.celeba import celeba, synthfaces
from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.synthfaces import spec as synthspec
from stargan_lab.data.synthfaces.dataset import SynthFacesGroundTruth, SynthSpec, make_synthfaces, read_spec, renderer
from stargan_lab.data.transforms import read_image
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.labels import target_labels

SMALL = SynthSpec(size=32, train=12, valid=3, test=5, seed=4, difficulty=1.0)
POSED = SynthSpec(size=32, train=20, valid=8, test=9, seed=4, difficulty=1.0, form="rafd")
GLASSES = SynthSpec(size=32, train=12, valid=3, test=5, seed=4, difficulty=1.0, vary=("Smiling", "Eyeglasses"))


def opened(outputs: Path, image_size: int = 32, **options: Any) -> Any:
    sizes = {"train": 12, "valid": 3, "test": 5, "seed": 4, "difficulty": 1.0}
    return synthfaces("faces", image_size, outputs, **{**sizes, **options})


def test_written_in_celebas_form(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    listed = read_attributes(root / "list_attr_celeba.txt")
    assert listed.files == tuple(f"{i:06d}.png" for i in range(1, 21))
    assert sorted(path.name for path in (root / "images").iterdir()) == list(listed.files)
    assert list(read_partition(root / "list_eval_partition.txt").values()) == [0] * 12 + [1] * 3 + [2] * 5
    with Image.open(root / "images" / "000020.png") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
    assert read_spec(root) == SMALL
    assert {path.name for path in root.iterdir()} == {
        "images", "list_attr_celeba.txt", "list_eval_partition.txt", "synthfaces.json",
    }  # fmt: skip


def test_default_is_written_and_named_as_before_forms_and_further_attributes(tmp_path: Path) -> None:
    spec = SynthSpec(16, 9, 2, 4, 3, 0.25)
    make_synthfaces(tmp_path / "faces", spec)
    written = files.read_json(tmp_path / "faces" / "synthfaces.json")
    assert written == {"difficulty": 0.25, "seed": 3, "size": 16, "test": 4, "train": 9, "valid": 2, "version": 1}
    assert read_spec(tmp_path / "faces") == spec
    assert read_attributes(tmp_path / "faces" / "list_attr_celeba.txt").attributes == faces.CORE
    known = "fe7f3c236c7eecc57686779b5112fca40d30d4b033235d514b7e080abad6e681"
    assert SynthSpec(64, 8000, 500, 1000).fingerprint == known


def test_attributes_that_vary_have_columns_and_are_seen(tmp_path: Path) -> None:
    for name, spec in {"plain": SMALL, "glasses": GLASSES}.items():
        make_synthfaces(tmp_path / name, spec)
    listed = read_attributes(tmp_path / "glasses" / "list_attr_celeba.txt")
    assert listed.attributes == tuple(sorted((*faces.CORE, "Eyeglasses", "Smiling")))
    plain = read_attributes(tmp_path / "plain" / "list_attr_celeba.txt")
    assert np.array_equal(listed.columns(faces.CORE), plain.columns(faces.CORE))
    bare = listed.columns(["Eyeglasses", "Smiling"]).sum(1) == 0
    assert 0 < bare.sum() < len(bare)
    for file, same in zip(listed.files, bare, strict=True):
        one, other = (read_image(tmp_path / name / "images" / file, None, 32) for name in ("plain", "glasses"))
        assert np.array_equal(one, other) == same
    assert read_spec(tmp_path / "glasses") == GLASSES


def test_written_in_rafds_form(tmp_path: Path) -> None:
    root = tmp_path / "posed"
    make_synthfaces(root, POSED)
    assert {path.name for path in root.iterdir()} == {"train", "valid", "test", "synthfaces.json"}
    number = 0
    for which, count in zip(("train", "valid", "test"), POSED.counts, strict=True):
        assert sorted(path.name for path in (root / which).iterdir()) == list(faces.EXPRESSIONS)
        found = sorted((root / which).glob("*/*.png"), key=lambda path: path.name)
        assert [path.name for path in found] == [f"{number + i + 1:06d}.png" for i in range(count)]
        per_class = [len(list((root / which / name).iterdir())) for name in faces.EXPRESSIONS]
        assert count // 8 <= min(per_class) and max(per_class) <= -(-count // 8)
        number += count
    assert read_spec(root) == POSED
    make_synthfaces(tmp_path / "two", SynthSpec(size=16, train=8, valid=0, test=8, form="rafd"))
    assert not (tmp_path / "two" / "valid").exists()


def test_forms_share_no_identity_and_no_picture(tmp_path: Path) -> None:
    celeba_form = SynthSpec(size=32, train=20, valid=8, test=9, seed=4, difficulty=1.0)
    one, other = ({spec.identity(i) for i in range(spec.total)} for spec in (celeba_form, POSED))
    assert not one & other and len(one | other) == 2 * POSED.total
    skins = [spec.sample(range(spec.total)).factors["skin"] for spec in (celeba_form, POSED)]
    assert not np.isin(*skins).any()


def test_image_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    more = opened(tmp_path, train=20, valid=7, test=9)
    fewer = opened(tmp_path)
    for which in fewer.splits():
        n = len(fewer.split(which))
        assert torch.equal(fewer.split(which).images(range(n)), more.split(which).images(range(n)))
        assert torch.equal(fewer.split(which).labels, more.split(which).labels[:n])


def test_splits_share_no_identity() -> None:
    identities = [SMALL.identity(i) for i in range(SMALL.total)]
    assert len(set(identities)) == SMALL.total
    larger = SynthSpec(size=32, train=500, valid=500, test=500)
    by_split = [{larger.identity(i) for i in range(500 * k, 500 * k + 500)} for k in range(3)]
    assert not (by_split[0] & by_split[1] or by_split[0] & by_split[2] or by_split[1] & by_split[2])
    with pytest.raises(DataError, match="no image 21 among 20"):
        SMALL.identity(20)


def test_a_finished_one_is_left_alone_and_another_refused(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    before = (root / "images" / "000001.png").stat().st_mtime_ns
    make_synthfaces(root, SMALL)
    assert (root / "images" / "000001.png").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="holds something else"):
        make_synthfaces(root, SynthSpec(size=32, train=12, valid=3, test=6, seed=4, difficulty=1.0))
    own = tmp_path / "holiday"
    own.mkdir()
    (own / "photo.txt").write_text("mine")
    with pytest.raises(DataError, match="holiday: holds something else"):
        make_synthfaces(own, SMALL)
    assert (own / "photo.txt").read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    make_synthfaces(empty, SMALL)
    assert read_spec(empty) == SMALL


@pytest.mark.parametrize("spec", [SMALL, POSED, GLASSES], ids=["celeba", "rafd", "vary"])
def test_killed_while_drawing_leaves_nothing_half_made(
    spec: SynthSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "faces"
    stale = tmp_path / ".faces.partial-dead"  # as after a kill -9
    (stale / "images").mkdir(parents=True)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", stop)  # the very last step
        with pytest.raises(KeyboardInterrupt):
            make_synthfaces(root, spec)
    assert not root.exists()
    make_synthfaces(root, spec)
    assert {path.name for path in tmp_path.iterdir()} <= {"faces", ".faces.lock"}


@pytest.mark.parametrize(
    "image_size, size, crop", [(32, None, None), (32, 48, None), (24, 64, 50), (32, 32, 40), (32, 40, 32)]
)
def test_truth_gives_the_loaders_pixels_for_own_labels(image_size: int, size: int, crop: int, tmp_path: Path) -> None:
    source = opened(tmp_path, image_size, size=size, crop=crop, attributes=("Young", "Blond_Hair"))
    assert source.ground_truth is not None
    for which in source.splits():
        images = source.split(which)
        indices = list(range(len(images)))[::-1]
        own = source.ground_truth.images(which, indices, images.labels[indices])
        assert own.dtype == torch.uint8
        assert torch.equal(own, images.images(indices))


def drawn_as_files(root: Path, spec: SynthSpec) -> list[str]:
    """The test images as a loader lists them: class by class, or as numbered."""
    make_synthfaces(root, spec)
    if spec.form == "rafd":
        return [path.relative_to(root).as_posix() for path in sorted((root / "test").glob("*/*.png"))]
    return [f"{spec.train + spec.valid + i + 1:06d}.png" for i in range(spec.test)]


@pytest.mark.parametrize("size, crop", [(32, None), (24, None), (32, 40), (20, 28)])
@pytest.mark.parametrize("classes", [faces.EXPRESSIONS, ("sad", "happy", "angry")], ids=["all", "three"])
def test_truth_of_expressions_is_exact(size: int, crop: int | None, classes: tuple[str, ...], tmp_path: Path) -> None:
    listed = [name for name in drawn_as_files(tmp_path / "posed", POSED) if name.split("/")[1] in classes]
    ground_truth = SynthFacesGroundTruth(POSED, classes, crop, size, {"test": listed}.__getitem__)
    labels = torch.tensor([[float(name.split("/")[1] == one) for one in classes] for name in listed])
    loaded = np.stack([read_image(tmp_path / "posed" / name, crop, size) for name in listed])
    indices = list(range(len(listed)))[::-1]
    assert np.array_equal(ground_truth.images("test", indices, labels[indices]).numpy(), loaded[indices])
    sad = torch.eye(len(classes))[[classes.index("sad")] * len(listed)]
    right = ground_truth.images("test", indices, sad).numpy()
    held = labels[indices, classes.index("sad")] == 1
    changed = (right != loaded[indices]).any((1, 2, 3))
    assert np.array_equal(changed, ~held.numpy())
    assert (right == loaded[indices])[:, :, 0].all()  # the background does not move


def test_redraw_takes_any_mix_of_labels(tmp_path: Path) -> None:
    listed = drawn_as_files(tmp_path / "posed", POSED)
    ground_truth = SynthFacesGroundTruth(POSED, faces.EXPRESSIONS, None, 32, {"test": listed}.__getitem__)
    n = range(len(listed))
    loaded = np.stack([read_image(tmp_path / "posed" / name, None, 32) for name in listed])
    worn = ground_truth.redraw("test", n, ["Eyeglasses"], torch.ones(len(n), 1)).numpy()
    assert (worn != loaded).any((1, 2, 3)).all()
    assert np.array_equal(worn[:, :, 24:], loaded[:, :, 24:])  # the mouth and below
    assert np.array_equal(ground_truth.redraw("test", n, ["Eyeglasses"], torch.zeros(len(n), 1)).numpy(), loaded)
    both = ground_truth.redraw("test", n, ["Male", "angry"], torch.ones(len(n), 2))
    apart = ground_truth.redraw("test", n, ["angry", "Male"], torch.ones(len(n), 2))
    assert torch.equal(both, apart)
    assert not torch.equal(both, ground_truth.redraw("test", n, ["angry"], torch.ones(len(n), 1)))

    plain = SynthFacesGroundTruth(
        GLASSES, ("Smiling",), None, 32, {"test": drawn_as_files(tmp_path / "faces", GLASSES)}.__getitem__
    )
    posed = plain.redraw("test", range(5), ("neutral", "fearful"), torch.tensor([[0.0, 1.0]] * 5))
    kept = plain.redraw("test", range(5), ("neutral", "Smiling"), torch.tensor([[1.0, 0.0]] * 5))
    assert (posed != kept).flatten(1).any(1).all()
    assert torch.equal(kept, plain.images("test", range(5), torch.zeros(5, 1)))


def test_truth_draws_the_target_and_keeps_the_rest(tmp_path: Path) -> None:
    source = opened(tmp_path, difficulty=0.0)
    assert source.ground_truth is not None
    images = source.split("train")
    indices = range(len(images))
    black = target_labels(images.labels, source.spec, source.spec.names.index("Black_Hair"))
    drawn = source.ground_truth.images("train", indices, black).float()
    original = images.images(list(indices)).float()
    top = (slice(None), slice(None), slice(5, 8), slice(14, 18))  # the middle of the hair
    assert drawn[top].mean((1, 2, 3)).max() < 80
    held = images.labels[:, source.spec.names.index("Black_Hair")] == 1
    assert torch.equal(drawn[held], original[held])
    assert torch.equal(drawn[..., :2, :2], original[..., :2, :2])  # the background does not move
    with pytest.raises(DataError, match="two of"):
        source.ground_truth.images("train", [0], torch.ones(1, len(source.spec.names)))


def test_opened_as_celeba_it_has_the_same_images_and_truth(tmp_path: Path) -> None:
    drawn = opened(tmp_path)
    drawn.prepare()
    plain = celeba("faces", 32, tmp_path, root=str(drawn.root), attributes=drawn.spec.names, crop=None)
    images = plain.split("test")
    assert torch.equal(images.images([2, 0]), drawn.split("test").images([2, 0]))
    assert plain.ground_truth is not None
    assert torch.equal(plain.ground_truth.images("test", [2, 0], images.labels[[2, 0]]), images.images([2, 0]))


def test_another_renderer_version_is_not_taken_for_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    before = SMALL.fingerprint
    monkeypatch.setattr(synthspec, "RENDERER_VERSION", 99)
    assert SMALL.fingerprint != before
    with pytest.raises(DataError, match=r"drawn by version 1 of SynthFaces, this is 99"):
        make_synthfaces(root, SMALL)
    with pytest.raises(DataError, match="drawn by version 1"):
        _ = celeba("faces", 32, tmp_path, root=str(root), attributes=("Male",)).ground_truth


def test_fingerprint_needs_no_file_and_follows_the_spec(tmp_path: Path) -> None:
    base = opened(tmp_path).fingerprint
    assert list(tmp_path.iterdir()) == []
    assert opened(tmp_path / "other").fingerprint == base
    assert opened(tmp_path, difficulty=1).fingerprint == base
    for change in (
        {"seed": 5},
        {"train": 13},
        {"difficulty": 0.9},
        {"crop": 30},
        {"size": 64},
        {"attributes": ("Male",)},
    ):
        assert opened(tmp_path, **change).fingerprint != base


def test_bad_options_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.sources\.faces\.attributes: unknown attribute 'Mael'; did you mean 'Male'"
    ):
        opened(tmp_path, attributes=("Mael",))
    with pytest.raises(ConfigError, match="from 0 to 1"):
        SynthSpec(size=32, train=1, valid=0, test=0, difficulty=1.5)
    with pytest.raises(ConfigError, match="expected size"):
        SynthSpec(size=32, train=0, valid=0, test=0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"vary": ("Eyeglases",)}, "unknown optional attribute 'Eyeglases'; did you mean 'Eyeglasses'"),
        ({"vary": ("Male",)}, "unknown optional attribute 'Male'"),
        ({"vary": ("Bangs", "Bangs")}, "different optional attributes, got Bangs, Bangs"),
        ({"form": "raffd"}, "unknown form 'raffd'; did you mean 'rafd'"),
        ({"form": "rafd", "vary": ("Smiling",)}, "Smiling does not vary beside expressions"),
        ({"form": "rafd", "test": 7}, "test of 7 cannot show all 8 expressions; take at least 8"),
    ],
)
def test_forms_and_attributes_that_cannot_be_drawn_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthSpec(**{"size": 32, "train": 8, "valid": 0, "test": 8, **options})


def test_truth_of_unknown_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown label 'hapy'; did you mean 'happy'"):
        SynthFacesGroundTruth(POSED, ("hapy",), None, 32, lambda which: ["test/happy/000029.png"])
    ground_truth = SynthFacesGroundTruth(POSED, faces.EXPRESSIONS, None, 32, lambda which: ["test/happy/000029.png"])
    with pytest.raises(DataError, match="two of angry, contemptuous"):
        ground_truth.images("test", [0], torch.ones(1, 8))
    with pytest.raises(ConfigError, match="unknown label 'Smilling'"):
        ground_truth.redraw("test", [0], ["Smilling"], torch.ones(1, 1))


@pytest.mark.parametrize("spec, feature", [(POSED, "expressions"), (GLASSES, "Eyeglasses")], ids=["rafd", "vary"])
def test_a_feature_drawn_otherwise_changes_its_datasets_only(
    spec: SynthSpec, feature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_synthfaces(tmp_path / "drawn", spec)
    before, others = spec.fingerprint, SMALL.fingerprint
    monkeypatch.setitem(renderer.FEATURE_VERSIONS, feature, 2)
    assert spec.fingerprint != before and SMALL.fingerprint == others
    with pytest.raises(DataError, match=f"drawn with version 1 of {feature}, this is 2; remove it and draw it again"):
        read_spec(tmp_path / "drawn")


@pytest.mark.parametrize(
    "damage", [{"vary": 3}, {"vary": [1]}, {"features": ["Bangs"]}, {"form": 1}, {"hats": 2}, {"size": None}]
)
def test_damaged_description_is_named(damage: dict[str, Any], tmp_path: Path) -> None:
    files.write_json(tmp_path / "synthfaces.json", {**SMALL.description, **damage})
    with pytest.raises(DataError, match=r"synthfaces\.json: not a description of SynthFaces"):
        read_spec(tmp_path)


def test_order_of_what_varies_does_not_matter() -> None:
    turned = SynthSpec(size=32, train=12, valid=3, test=5, seed=4, difficulty=1.0, vary=("Eyeglasses", "Smiling"))
    assert turned == GLASSES and turned.fingerprint == GLASSES.fingerprint
    fingerprints = {spec.fingerprint for spec in (SMALL, POSED, GLASSES)}
    assert len(fingerprints) == 3


def test_empty_split_is_left_out(tmp_path: Path) -> None:
    source = opened(tmp_path, valid=0)
    assert source.splits() == ["train", "test"]
    assert np.isin(source.split("test").labels.numpy(), (0, 1)).all()

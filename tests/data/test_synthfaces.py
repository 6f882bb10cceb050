"""SynthFaces on disk: layouts, fingerprints, atomic generation, and ground truth equal to the loader's pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import read_image
from PIL import Image

from stargan_lab import files
from stargan_lab.data.celeba import celeba
from stargan_lab.data.celeba_annotations import read_attributes, read_partition
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.synthfaces import renderer
from stargan_lab.data.synthfaces import spec as spec_module
from stargan_lab.data.synthfaces.dataset import synthfaces
from stargan_lab.data.synthfaces.ground_truth import SynthFacesGroundTruth
from stargan_lab.data.synthfaces.identity import CORE, EXPRESSIONS
from stargan_lab.data.synthfaces.spec import SynthSpec, read_spec
from stargan_lab.data.synthfaces.writer import make_synthfaces
from stargan_lab.errors import ConfigError, DataError
from stargan_lab.files.partial import machine_tag
from stargan_lab.labels import target_labels

SMALL = SynthSpec(size=32, train=12, valid=3, test=5, seed=4, difficulty=1.0)
POSED = SynthSpec(size=32, train=20, valid=8, test=9, seed=4, difficulty=1.0, form="rafd")
GLASSES = SynthSpec(size=32, train=12, valid=3, test=5, seed=4, difficulty=1.0, vary=("Smiling", "Eyeglasses"))


def open_synthfaces(outputs: Path, image_size: int = 32, **options: Any) -> PackedSource:
    sizes = {"train": 12, "valid": 3, "test": 5, "seed": 4, "difficulty": 1.0}
    return synthfaces("faces", image_size, outputs, **{**sizes, **options})


def test_celeba_layout(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    listed = read_attributes(root / "list_attr_celeba.txt")
    assert listed.files == tuple(f"{i:06d}.png" for i in range(1, 21))
    assert listed.attributes == CORE
    assert sorted(path.name for path in (root / "images").iterdir()) == list(listed.files)
    assert list(read_partition(root / "list_eval_partition.txt").values()) == [0] * 12 + [1] * 3 + [2] * 5
    with Image.open(root / "images" / "000020.png") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
    assert read_spec(root) == SMALL
    assert {path.name for path in root.iterdir()} == {
        "images", "list_attr_celeba.txt", "list_eval_partition.txt", "synthfaces.json",
    }  # fmt: skip


def test_golden_description_and_fingerprint(tmp_path: Path) -> None:
    spec = SynthSpec(16, 9, 2, 4, 3, 0.25)
    make_synthfaces(tmp_path / "faces", spec)
    written = files.read_json(tmp_path / "faces" / "synthfaces.json")
    assert written == {"difficulty": 0.25, "seed": 3, "size": 16, "test": 4, "train": 9, "valid": 2, "version": 1}
    golden = "fe7f3c236c7eecc57686779b5112fca40d30d4b033235d514b7e080abad6e681"
    assert SynthSpec(64, 8000, 500, 1000).fingerprint == golden


def test_optional_attributes_get_columns_and_pixels(tmp_path: Path) -> None:
    for name, spec in {"plain": SMALL, "glasses": GLASSES}.items():
        make_synthfaces(tmp_path / name, spec)
    listed = read_attributes(tmp_path / "glasses" / "list_attr_celeba.txt")
    assert listed.attributes == tuple(sorted((*CORE, "Eyeglasses", "Smiling")))
    plain = read_attributes(tmp_path / "plain" / "list_attr_celeba.txt")
    assert np.array_equal(listed.columns(CORE), plain.columns(CORE))
    bare = listed.columns(["Eyeglasses", "Smiling"]).sum(1) == 0
    assert 0 < bare.sum() < len(bare)
    for file, same in zip(listed.files, bare, strict=True):
        one, other = (read_image(tmp_path / name / "images" / file, None, 32) for name in ("plain", "glasses"))
        assert np.array_equal(one, other) == same
    assert read_spec(tmp_path / "glasses") == GLASSES


def test_rafd_layout(tmp_path: Path) -> None:
    root = tmp_path / "posed"
    make_synthfaces(root, POSED)
    assert {path.name for path in root.iterdir()} == {"train", "valid", "test", "synthfaces.json"}
    number = 0
    for which, count in zip(("train", "valid", "test"), POSED.counts, strict=True):
        assert sorted(path.name for path in (root / which).iterdir()) == list(EXPRESSIONS)
        names = sorted(path.name for path in (root / which).glob("*/*.png"))
        assert names == [f"{number + i + 1:06d}.png" for i in range(count)]
        per_class = [len(list((root / which / name).iterdir())) for name in EXPRESSIONS]
        assert count // 8 <= min(per_class) and max(per_class) <= -(-count // 8)
        number += count
    assert read_spec(root) == POSED
    make_synthfaces(tmp_path / "two", SynthSpec(size=16, train=8, valid=0, test=8, form="rafd"))
    assert not (tmp_path / "two" / "valid").exists()


def test_splits_and_forms_share_no_identity() -> None:
    specs = [SynthSpec(size=32, train=500, valid=500, test=500, form=form) for form in ("celeba", "rafd")]
    assert len({spec.identity(i) for spec in specs for i in range(spec.total)}) == 3000
    skins = [spec.sample(range(37)).factors["skin"] for spec in specs]
    assert not np.isin(*skins).any()
    with pytest.raises(DataError, match="image 21 of 20 does not exist"):
        SMALL.identity(20)


def test_images_do_not_depend_on_their_number(tmp_path: Path) -> None:
    more, fewer = open_synthfaces(tmp_path, train=20, valid=7, test=9), open_synthfaces(tmp_path)
    for which in fewer.splits():
        n = len(fewer.split(which))
        assert torch.equal(fewer.split(which).images(range(n)), more.split(which).images(range(n)))
        assert torch.equal(fewer.split(which).labels, more.split(which).labels[:n])


def test_existing_files_are_never_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    before = (root / "images" / "000001.png").stat().st_mtime_ns
    make_synthfaces(root, SMALL)
    assert (root / "images" / "000001.png").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="something other than the requested SynthFaces"):
        make_synthfaces(root, SynthSpec(size=32, train=12, valid=3, test=6, seed=4, difficulty=1.0))
    holiday, empty = tmp_path / "holiday", tmp_path / "empty"
    holiday.mkdir()
    (holiday / "photo.txt").write_text("mine")
    with pytest.raises(DataError, match="holiday: contains something other"):
        make_synthfaces(holiday, SMALL)
    assert (holiday / "photo.txt").read_text() == "mine"
    empty.mkdir()
    make_synthfaces(empty, SMALL)
    assert read_spec(empty) == SMALL


@pytest.mark.parametrize("spec", [SMALL, POSED], ids=["celeba", "rafd"])
def test_interrupted_generation_leaves_nothing(
    spec: SynthSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "faces"
    (tmp_path / f".faces.partial-{machine_tag()}-0.dead" / "images").mkdir(parents=True)  # as after kill -9

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", stop)  # the last step
        with pytest.raises(KeyboardInterrupt):
            make_synthfaces(root, spec)
    assert not root.exists()
    make_synthfaces(root, spec)
    assert {path.name for path in tmp_path.iterdir()} <= {"faces", ".faces.lock"}


@pytest.mark.parametrize("image_size, size, crop", [(32, None, None), (24, 64, 50), (32, 32, 40), (32, 40, 32)])
def test_ground_truth_for_source_labels_equals_the_loader(
    image_size: int, size: int | None, crop: int | None, tmp_path: Path
) -> None:
    source = open_synthfaces(tmp_path, image_size, size=size, crop=crop, attributes=("Young", "Blond_Hair"))
    assert source.ground_truth is not None
    for which in source.splits():
        images = source.split(which)
        indices = list(range(len(images)))[::-1]
        redrawn = source.ground_truth.redraw(which, indices, source.spec.names, images.labels[indices])
        assert redrawn.dtype == torch.uint8
        assert torch.equal(redrawn, images.images(indices))


def write_files(root: Path, spec: SynthSpec) -> list[str]:
    """Generate ``spec``; the test files as a loader lists them."""
    make_synthfaces(root, spec)
    if spec.form == "rafd":
        return [path.relative_to(root).as_posix() for path in sorted((root / "test").glob("*/*.png"))]
    return [f"{spec.train + spec.valid + i + 1:06d}.png" for i in range(spec.test)]


@pytest.mark.parametrize("size, crop", [(32, None), (20, 28)])
@pytest.mark.parametrize("classes", [EXPRESSIONS, ("sad", "happy", "angry")], ids=["all", "three"])
def test_ground_truth_of_expressions(size: int, crop: int | None, classes: tuple[str, ...], tmp_path: Path) -> None:
    listed = [name for name in write_files(tmp_path / "posed", POSED) if name.split("/")[1] in classes]
    ground_truth = SynthFacesGroundTruth(POSED, crop, size, {"test": listed}.__getitem__)
    labels = torch.tensor([[float(name.split("/")[1] == one) for one in classes] for name in listed])
    loaded = np.stack([read_image(tmp_path / "posed" / name, crop, size) for name in listed])
    indices = list(range(len(listed)))[::-1]
    assert np.array_equal(ground_truth.redraw("test", indices, classes, labels[indices]).numpy(), loaded[indices])
    sad = torch.eye(len(classes))[[classes.index("sad")] * len(listed)]
    redrawn = ground_truth.redraw("test", indices, classes, sad).numpy()
    changed = (redrawn != loaded[indices]).any((1, 2, 3))
    assert np.array_equal(changed, labels[indices, classes.index("sad")].numpy() == 0)
    assert (redrawn == loaded[indices])[:, :, 0].all()  # the background does not change


def test_redraw_takes_labels_of_either_form(tmp_path: Path) -> None:
    listed = write_files(tmp_path / "posed", POSED)
    ground_truth = SynthFacesGroundTruth(POSED, None, 32, {"test": listed}.__getitem__)
    n = range(len(listed))
    loaded = np.stack([read_image(tmp_path / "posed" / name, None, 32) for name in listed])
    glasses = ground_truth.redraw("test", n, ["Eyeglasses"], torch.ones(len(n), 1)).numpy()
    assert (glasses != loaded).any((1, 2, 3)).all()
    assert np.array_equal(glasses[:, :, 24:], loaded[:, :, 24:])  # the mouth and below
    assert np.array_equal(ground_truth.redraw("test", n, ["Eyeglasses"], torch.zeros(len(n), 1)).numpy(), loaded)
    both = ground_truth.redraw("test", n, ["Male", "angry"], torch.ones(len(n), 2))
    assert torch.equal(both, ground_truth.redraw("test", n, ["angry", "Male"], torch.ones(len(n), 2)))
    assert not torch.equal(both, ground_truth.redraw("test", n, ["angry"], torch.ones(len(n), 1)))

    listed = write_files(tmp_path / "faces", GLASSES)
    plain = SynthFacesGroundTruth(GLASSES, None, 32, {"test": listed}.__getitem__)
    fearful = plain.redraw("test", range(5), ("neutral", "fearful"), torch.tensor([[0.0, 1.0]] * 5))
    neutral = plain.redraw("test", range(5), ("neutral", "Smiling"), torch.tensor([[1.0, 0.0]] * 5))
    assert (fearful != neutral).flatten(1).any(1).all()
    assert torch.equal(neutral, plain.redraw("test", range(5), ("Smiling",), torch.zeros(5, 1)))


def test_ground_truth_renders_the_target_and_nothing_else(tmp_path: Path) -> None:
    source = open_synthfaces(tmp_path, difficulty=0.0)
    assert source.ground_truth is not None
    images, column = source.split("train"), source.spec.names.index("Black_Hair")
    indices = range(len(images))
    targets = target_labels(images.labels, source.spec, column)
    redrawn, original = (
        source.ground_truth.redraw("train", indices, source.spec.names, targets).float(),
        images.images(indices).float(),
    )
    hair = (slice(None), slice(None), slice(5, 8), slice(14, 18))
    assert redrawn[hair].mean((1, 2, 3)).max() < 80
    unchanged = images.labels[:, column] == 1
    assert torch.equal(redrawn[unchanged], original[unchanged])
    assert torch.equal(redrawn[..., :2, :2], original[..., :2, :2])  # the background does not change
    with pytest.raises(DataError, match="at most one of"):
        source.ground_truth.redraw("train", [0], source.spec.names, torch.ones(1, len(source.spec.names)))


def test_opened_as_celeba_synthfaces_keep_images_and_ground_truth(tmp_path: Path) -> None:
    source = open_synthfaces(tmp_path)
    source.prepare()
    plain = celeba("faces", 32, tmp_path, root=str(source.root), attributes=source.spec.names, crop=None)
    images = plain.split("test")
    assert torch.equal(images.images([2, 0]), source.split("test").images([2, 0]))
    assert plain.ground_truth is not None
    assert torch.equal(
        plain.ground_truth.redraw("test", [2, 0], plain.spec.names, images.labels[[2, 0]]), images.images([2, 0])
    )


def test_fingerprint_needs_no_files_and_depends_on_the_options(tmp_path: Path) -> None:
    base = open_synthfaces(tmp_path).fingerprint
    assert list(tmp_path.iterdir()) == []
    assert open_synthfaces(tmp_path / "other", difficulty=1).fingerprint == base
    changes = {"seed": 5, "train": 13, "difficulty": 0.9, "crop": 30, "size": 64, "attributes": ("Male",)}
    for name, value in changes.items():
        assert open_synthfaces(tmp_path, **{name: value}).fingerprint != base, name
    reordered = SynthSpec(size=32, train=12, valid=3, test=5, seed=4, difficulty=1.0, vary=("Eyeglasses", "Smiling"))
    assert reordered.fingerprint == GLASSES.fingerprint
    assert len({spec.fingerprint for spec in (SMALL, POSED, GLASSES)}) == 3


def test_a_new_renderer_version_invalidates_all_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "faces"
    make_synthfaces(root, SMALL)
    before = SMALL.fingerprint
    monkeypatch.setattr(spec_module, "RENDERER_VERSION", 99)
    assert SMALL.fingerprint != before
    with pytest.raises(
        DataError, match=r"rendered by SynthFaces version 1, expected 99; delete the directory to generate it again"
    ):
        make_synthfaces(root, SMALL)
    with pytest.raises(DataError, match="rendered by SynthFaces version 1"):
        _ = celeba("faces", 32, tmp_path, root=str(root), attributes=("Male",)).ground_truth


@pytest.mark.parametrize("spec, feature", [(POSED, "expressions"), (GLASSES, "Eyeglasses")], ids=["rafd", "vary"])
def test_a_new_feature_version_invalidates_only_datasets_with_the_feature(
    spec: SynthSpec, feature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_synthfaces(tmp_path / "faces", spec)
    before, plain = spec.fingerprint, SMALL.fingerprint
    monkeypatch.setitem(renderer.FEATURE_VERSIONS, feature, 2)
    assert spec.fingerprint != before and SMALL.fingerprint == plain
    with pytest.raises(
        DataError, match=f"rendered with {feature} version 1, expected 2; delete the directory to generate it again"
    ):
        read_spec(tmp_path / "faces")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"difficulty": 1.5}, "difficulty must be between 0 and 1, got 1.5"),
        ({"train": 0, "test": 0}, "size must be at least 8, counts and seed at least 0"),
        ({"vary": ("Eyeglases",)}, "unknown optional attribute 'Eyeglases'; did you mean 'Eyeglasses'"),
        ({"vary": ("Bangs", "Bangs")}, "duplicate optional attribute in Bangs, Bangs"),
        ({"form": "raffd"}, "unknown form 'raffd'; did you mean 'rafd'"),
        ({"form": "rafd", "vary": ("Smiling",)}, "Smiling cannot vary in a dataset of expressions"),
        ({"form": "rafd", "test": 7}, "test=7 is less than one image per expression; set 8 or more"),
    ],
)
def test_invalid_specs_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthSpec(**{"size": 32, "train": 8, "valid": 0, "test": 8, **options})


def test_unknown_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"faces\.attributes: unknown attribute 'Mael'; did you mean 'Male'"):
        open_synthfaces(tmp_path, attributes=("Mael",))
    ground_truth = SynthFacesGroundTruth(POSED, None, 32, lambda which: ["test/happy/000029.png"])
    with pytest.raises(DataError, match="at most one of angry, contemptuous"):
        ground_truth.redraw("test", [0], EXPRESSIONS, torch.ones(1, 8))
    with pytest.raises(ConfigError, match="unknown label 'Smilling'; did you mean 'Smiling'"):
        ground_truth.redraw("test", [0], ["Smilling"], torch.ones(1, 1))


@pytest.mark.parametrize("damage", [{"vary": [1]}, {"features": ["Bangs"]}, {"hats": 2}, {"size": None}])
def test_damaged_descriptions_are_named(damage: dict[str, Any], tmp_path: Path) -> None:
    files.write_json(tmp_path / "synthfaces.json", {**SMALL.description, **damage})
    with pytest.raises(DataError, match=r"synthfaces\.json: not a valid SynthFaces description"):
        read_spec(tmp_path)

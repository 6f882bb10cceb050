"""Synthetic attributes and expressions: each as a dataset, and several together."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from stargan_lab import compose
from stargan_lab.data.check import check
from stargan_lab.data.image_folder import image_folder
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.sampling import load_batch
from stargan_lab.data.sources import open_sources
from stargan_lab.data.synthfaces.dataset import synthexpressions, synthfaces
from stargan_lab.data.synthfaces.identity import EXPRESSIONS, OPTIONAL
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout, target_labels
from stargan_lab.runs.build import build_layout, build_networks, build_sources


def open_expressions(outputs: Path, image_size: int = 16, **options: Any) -> PackedSource:
    return synthexpressions("expressions", image_size, outputs, **{"train": 16, "valid": 0, "test": 8, **options})


def test_expressions_have_labels_and_ground_truth(tmp_path: Path) -> None:
    source = open_expressions(tmp_path, 32, size=40, crop=36)
    assert (source.spec.names, source.spec.kind) == (EXPRESSIONS, "categorical")
    before = source.fingerprint
    assert list(tmp_path.iterdir()) == []
    source.prepare()
    assert source.splits() == ["train", "test"]
    assert source.split("train").labels.sum(0).tolist() == [2] * 8
    test = source.split("test")
    assert test.labels.tolist() == torch.eye(8).tolist()
    assert source.ground_truth is not None
    indices = [5, 0, 3]
    assert torch.equal(
        source.ground_truth.redraw("test", indices, source.spec.names, test.labels[indices]), test.images(indices)
    )
    targets = target_labels(test.labels, source.spec, 4)
    assert not torch.equal(
        source.ground_truth.redraw("test", range(8), source.spec.names, targets), test.images(range(8))
    )
    assert open_expressions(tmp_path / "other", 32, size=40, crop=36).fingerprint == before
    assert check(source).problems == {}


def test_selected_expressions_share_the_generated_folder(tmp_path: Path) -> None:
    every = open_expressions(tmp_path)
    every.prepare()
    fingerprints = {every.fingerprint}
    for classes in (("sad", "angry"), ("angry", "sad")):
        source = open_expressions(tmp_path, classes=classes)
        train = source.split("train")
        assert source.root == every.root
        assert train.labels.shape == (4, 2)
        assert source.ground_truth is not None
        assert torch.equal(
            source.ground_truth.redraw("train", range(4), source.spec.names, train.labels), train.images(range(4))
        )
        fingerprints.add(source.fingerprint)
    assert len(fingerprints) == 3


def test_opened_as_image_folder_expressions_keep_their_ground_truth(tmp_path: Path) -> None:
    source = open_expressions(tmp_path)
    source.prepare()
    plain = image_folder("tree", 16, tmp_path, root=str(source.root), classes=("surprised", "happy"))
    images = plain.split("test")
    assert [Path(name).parts[1] for name in images.names] == ["surprised", "happy"]
    assert plain.ground_truth is not None
    assert torch.equal(
        plain.ground_truth.redraw("test", [1, 0], plain.spec.names, images.labels[[1, 0]]), images.images([1, 0])
    )


@pytest.mark.parametrize("vary", [*list(combinations(OPTIONAL, 2))[::9], OPTIONAL])
def test_only_the_selected_optional_attributes_vary(vary: tuple[str, ...], tmp_path: Path) -> None:
    names = ("Male", *reversed(vary), "Black_Hair")
    source = synthfaces("faces", 16, tmp_path, attributes=names, train=64, valid=0, test=2)
    train = source.split("train")
    assert source.spec.names == names
    assert train.labels.shape == (64, len(names))
    assert 0 < train.labels.mean(0).min() <= train.labels.mean(0).max() < 1
    assert source.ground_truth is not None
    absent = [name for name in OPTIONAL if name not in vary]
    redrawn = source.ground_truth.redraw("train", range(64), absent, torch.zeros(64, len(absent)))
    assert torch.equal(redrawn, train.images(range(64)))
    other = synthfaces("faces", 16, tmp_path, attributes=("Black_Hair", *vary), train=64, valid=0, test=2)
    assert other.root == source.root  # the images depend neither on the order nor on the core attributes selected


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.sources\.expressions\.classes: .*'hapy'; did you mean 'happy'"):
        open_expressions(tmp_path, classes=("hapy", "sad"))
    with pytest.raises(ConfigError, match="valid=3 is less than one image per expression; set 8 or more"):
        open_expressions(tmp_path, valid=3)
    with pytest.raises(ConfigError, match=r"data\.sources\.expressions\.classes: .*at least 2"):
        compose(["data=joint", "data.sources.expressions.classes=[sad]"])
    with pytest.raises(ConfigError, match=r"data\.sources\.expressions\.test: .*at least 8"):
        compose(["data=joint", "data.sources.expressions.test=3"])


SMALL = [f"data.sources.{name}.{key}" for name in ("faces", "expressions") for key in ("train=24", "valid=8", "test=8")]


def test_two_datasets_give_batches_and_labels_for_the_networks(tmp_path: Path) -> None:
    config = compose(["data=joint", *SMALL, f"paths.outputs={tmp_path}", "data.image_size=64"])
    sources = build_sources(config)
    for source in sources:
        source.prepare()
    layout = build_layout(sources)
    assert [source.name for source in sources] == ["faces", "expressions"]
    assert (layout.critic_width, layout.generator_width) == (6 + 8, 6 + 8 + 2)
    for index, source in enumerate(sources):
        train, labels = source.split("train"), []
        for iteration in range(6):
            batch = load_batch(train, index, 8, 3, iteration, source.flip)
            assert batch.images.shape == (8, 3, 64, 64)
            assert batch.images.abs().max() <= 1
            label = layout.generator_label(batch.labels, index)
            assert torch.equal(label[:, layout.span(index)], batch.labels)
            assert label[:, 14:].tolist() == [[1 - index, index]] * 8
            labels.append(batch.labels)
        assert torch.equal(torch.cat(labels).sum(0), 2 * train.labels.sum(0))  # each of the 24 images twice
    generator, discriminator = build_networks(config, layout)
    batch = load_batch(sources[1].split("train"), 1, 2, 0, 0, True)
    with torch.no_grad():
        assert generator(batch.images, layout.generator_label(batch.labels, 1)).shape == (2, 3, 64, 64)
        assert discriminator(batch.images)[1].shape[1] == 14


def test_data_both_has_the_crops_of_the_reference() -> None:
    """Its RaFD images are 256 px wide, so their shorter side is its crop of 256 px."""
    config = compose(["data=both"])
    options = {name: source.options for name, source in config.data.sources.items()}
    assert {name: option["crop"] for name, option in options.items()} == {"celeba": 178, "rafd": None}
    assert config.data.image_size == 128


def test_three_datasets_together(tmp_path: Path) -> None:
    sources = open_sources(
        {
            "a": {"kind": "synthexpressions", "train": 8, "valid": 0, "test": 8, "classes": ("sad", "happy")},
            "b": {"kind": "synthfaces", "train": 8, "valid": 0, "test": 4, "attributes": ("Eyeglasses", "Young")},
            "c": {"kind": "synthexpressions", "train": 16, "valid": 8, "test": 8, "seed": 1},
        },
        16,
        tmp_path,
    )
    for source in sources:
        source.prepare()
    assert LabelLayout(tuple(source.spec for source in sources)).generator_width == 2 + 2 + 8 + 3
    assert len({source.fingerprint for source in sources}) == 3
    assert [len(source.split("train")) for source in sources] == [2, 8, 16]

"""Drawn attributes and drawn expressions: each as a dataset, and both of them together."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stargan_lab import compose
from stargan_lab.data.celeba import synthfaces
from stargan_lab.data.image_folder import image_folder, synthexpressions
from stargan_lab.data.packed_source import PackedSource
from stargan_lab.data.sampling import load_batch
from stargan_lab.data.sources import open_sources
from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.validate import check
from stargan_lab.errors import ConfigError
from stargan_lab.labels import LabelLayout, target_labels
from stargan_lab.runs.build import build_layout, build_networks, build_sources


def expressions(outputs: Path, image_size: int = 16, **options: Any) -> PackedSource:
    return synthexpressions("expressions", image_size, outputs, **{"train": 16, "valid": 0, "test": 8, **options})


def test_drawn_expressions(tmp_path: Path) -> None:
    source = expressions(tmp_path, 32, size=40, crop=36)
    assert (source.spec.names, source.spec.kind) == (faces.EXPRESSIONS, "categorical")
    before = source.fingerprint
    assert list(tmp_path.iterdir()) == []
    source.prepare()
    assert source.splits() == ["train", "test"]
    assert source.split("train").labels.sum(0).tolist() == [2] * 8
    test = source.split("test")
    assert test.labels.tolist() == torch.eye(8).tolist()
    assert source.ground_truth is not None
    indices = [5, 0, 3]
    assert torch.equal(source.ground_truth.images("test", indices, test.labels[indices]), test.images(indices))
    asked = target_labels(test.labels, source.spec, 4)
    assert not torch.equal(source.ground_truth.images("test", range(8), asked), test.images(range(8)))
    assert expressions(tmp_path / "other", 32, size=40, crop=36).fingerprint == before
    assert check(source).problems == {}


def test_some_expressions_in_any_order_share_the_drawn_folder(tmp_path: Path) -> None:
    all_eight = expressions(tmp_path)
    all_eight.prepare()
    seen = {all_eight.fingerprint}
    for classes in (("sad", "angry"), ("angry", "sad"), ("happy", "neutral", "fearful")):
        source = expressions(tmp_path, classes=classes)
        train = source.split("train")
        assert source.root == all_eight.root
        assert train.labels.shape == (2 * len(classes), len(classes))
        assert LabelLayout((source.spec,)).generator_width == len(classes)
        assert source.ground_truth is not None
        rows = range(len(train))
        assert torch.equal(source.ground_truth.images("train", rows, train.labels), train.images(rows))
        seen.add(source.fingerprint)
    assert len(seen) == 4


def test_opened_as_a_tree_it_has_the_same_images_and_truth(tmp_path: Path) -> None:
    drawn = expressions(tmp_path)
    drawn.prepare()
    plain = image_folder("tree", 16, tmp_path, root=str(drawn.root), classes=("surprised", "happy"))
    images = plain.split("test")
    assert [Path(name).parts[1] for name in images.names] == ["surprised", "happy"]
    assert plain.ground_truth is not None
    assert torch.equal(plain.ground_truth.images("test", [1, 0], images.labels[[1, 0]]), images.images([1, 0]))


@pytest.mark.parametrize("vary", [*combinations(faces.OPTIONAL[:4], 2), faces.OPTIONAL, ()])
def test_the_optional_attributes_selected_are_those_that_vary(vary: tuple[str, ...], tmp_path: Path) -> None:
    names = ("Male", *reversed(vary), "Black_Hair")
    source = synthfaces("faces", 16, tmp_path, attributes=names, train=64, valid=0, test=2)
    train = source.split("train")
    assert source.spec.names == names
    assert train.labels.shape == (64, len(names))
    assert 0 < train.labels.mean(0).min() <= train.labels.mean(0).max() < 1
    assert source.ground_truth is not None
    absent = [name for name in faces.OPTIONAL if name not in vary]
    own = source.ground_truth.redraw("train", range(64), absent, torch.zeros(64, len(absent)))
    assert torch.equal(own, train.images(range(64)))
    other = synthfaces("faces", 16, tmp_path, attributes=("Black_Hair", *vary), train=64, valid=0, test=2)
    assert other.root == source.root  # neither the order nor the core attributes that are selected change what is drawn


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.sources\.expressions\.classes: .*'hapy'; did you mean 'happy'"):
        expressions(tmp_path, classes=("hapy", "sad"))
    with pytest.raises(ConfigError, match=r"data\.sources\.expressions\.classes: expected two or more"):
        expressions(tmp_path, classes=("sad", "sad"))
    with pytest.raises(ConfigError, match="valid of 3 cannot show all 8"):
        expressions(tmp_path, valid=3)
    with pytest.raises(ConfigError, match=r"data\.sources\.expressions\.classes: .*at least 2"):
        compose(["data=joint", "data.sources.expressions.classes=[sad]"])
    with pytest.raises(ConfigError, match=r"data\.sources\.expressions\.test: .*at least 8"):
        compose(["data=joint", "data.sources.expressions.test=3"])


SMALL = [f"data.sources.{name}.{key}" for name in ("faces", "expressions") for key in ("train=24", "valid=8", "test=8")]


def test_both_together_are_served_in_batches(tmp_path: Path) -> None:
    config = compose(["data=joint", *SMALL, f"paths.outputs={tmp_path}", "data.image_size=64"])
    sources = build_sources(config)
    for source in sources:
        source.prepare()
    layout = build_layout(sources)
    assert [source.name for source in sources] == ["faces", "expressions"]
    assert (layout.critic_width, layout.generator_width) == (6 + 8, 6 + 8 + 2)
    served = []
    for iteration in range(6):
        for index, source in enumerate(sources):
            batch = load_batch(source.split("train"), index, 8, 3, iteration, source.flip)
            assert batch.images.shape == (8, 3, 64, 64)
            assert batch.images.abs().max() <= 1
            width = len(source.spec.names)
            assert batch.labels.shape == (8, width)
            label = layout.generator_label(batch.labels, index)
            assert torch.equal(label[:, layout.span(index)], batch.labels)
            assert label[:, 14:].tolist() == [[1 - index, index]] * 8
            served.append((index, batch.labels))
    seen = [torch.cat([labels for i, labels in served if i == index]) for index in (0, 1)]
    for index, source in enumerate(sources):  # 6 batches of 8: each of the 24 training images twice
        assert torch.equal(seen[index].sum(0), 2 * source.split("train").labels.sum(0))
    assert (seen[1].sum(1) == 1).all()
    generator, critic = build_networks(config, layout)
    batch = load_batch(sources[1].split("train"), 1, 2, 0, 0, True)
    with torch.no_grad():
        planes = layout.generator_label(batch.labels, 1)
        assert generator(batch.images, planes).shape == (2, 3, 64, 64)
        assert critic(batch.images)[1].shape[1] == 14


def test_the_references_both_has_its_crops() -> None:
    config = compose(["data=both"])
    options = {name: source.options for name, source in config.data.sources.items()}
    assert {name: option["crop"] for name, option in options.items()} == {"celeba": 178, "rafd": 256}
    assert config.data.image_size == 128


def test_two_trees_and_a_list_at_once(tmp_path: Path) -> None:
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
    layout = LabelLayout(tuple(source.spec for source in sources))
    assert layout.generator_width == 2 + 2 + 8 + 3
    assert len({source.fingerprint for source in sources}) == 3
    assert [len(source.split("train")) for source in sources] == [2, 8, 16]
    assert np.isin(sources[2].split("valid").labels.numpy(), (0, 1)).all()

"""Batch order: every image once per epoch, as a pure function of seed, source and iteration."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stargan_lab.data import sampling
from stargan_lab.data.sampling import batch_indices, flips, load_batch
from stargan_lab.data.synthfaces.dataset import synthfaces
from stargan_lab.data.transforms import to_float


@pytest.mark.parametrize("n, batch_size", [(10, 3), (5, 16)])
def test_every_epoch_contains_each_image_once(n: int, batch_size: int) -> None:
    batches = [batch_indices(n, batch_size, 1, 0, i) for i in range(4 * n)]
    assert {len(batch) for batch in batches} == {batch_size}
    stream = [index for batch in batches for index in batch]
    epochs = [stream[i : i + n] for i in range(0, len(stream) - n + 1, n)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs[:10]}) > 8


def test_order_of_calls_does_not_matter() -> None:
    forward = [batch_indices(50, 8, 3, 1, i) for i in range(30)]
    sampling._order.cache_clear()
    assert [batch_indices(50, 8, 3, 1, i) for i in reversed(range(30))] == forward[::-1]


def test_global_random_generators_are_neither_read_nor_changed() -> None:
    np.random.seed(0)
    torch.manual_seed(0)
    first = batch_indices(500, 16, 0, 0, 9), flips(16, 0, 0, 9)
    state = torch.get_rng_state()
    np.random.seed(1)
    sampling._order.cache_clear()
    assert batch_indices(500, 16, 0, 0, 9) == first[0]
    assert torch.equal(flips(16, 0, 0, 9), first[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_depend_on_seed_source_and_iteration() -> None:
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (11, 1, 0), (1, 11, 0)]
    assert len({tuple(batch_indices(1000, 16, *key)) for key in keys}) == len(keys)
    assert len({tuple(flips(64, *key).tolist()) for key in keys}) == len(keys)


def test_permutations_are_uniform() -> None:
    firsts = np.bincount([batch_indices(6, 6, seed, 0, 0)[0] for seed in range(6000)], minlength=6)
    assert np.abs(firsts - 1000).max() < 130
    share = torch.cat([flips(16, 0, 0, i) for i in range(2000)]).float().mean()
    assert abs(share - 0.5) < 0.015


def test_an_epoch_is_permuted_once_however_many_sources_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling._order.cache_clear()
    permuted, bits = [], sampling._bits
    monkeypatch.setattr(sampling, "_bits", lambda *args: permuted.append(args[2:4]) or bits(*args))
    for iteration in range(10):  # 1.6 epochs
        for source in range(20):
            batch_indices(50, 8, 0, source, iteration)
    assert sorted(permuted) == [(source, epoch) for source in range(20) for epoch in range(2)]


def test_golden_order() -> None:
    assert batch_indices(10, 10, 0, 0, 0) == [0, 1, 6, 2, 5, 3, 4, 8, 7, 9]
    assert flips(8, 0, 0, 0).int().tolist() == [0, 1, 1, 1, 0, 1, 0, 0]


def test_load_batch_combines_images_labels_and_flips(tmp_path: Path) -> None:
    images = synthfaces("faces", 32, tmp_path, train=10, valid=0, test=2, difficulty=1.0).split("train")
    indices, flipped = batch_indices(10, 8, 5, 2, 3), flips(8, 5, 2, 3)
    assert 0 < flipped.sum() < 8
    batch = load_batch(images, 2, 8, 5, 3, flip=True)
    plain = load_batch(images, 2, 8, 5, 3, flip=False)
    assert batch.source == 2
    assert torch.equal(batch.labels, images.labels[indices])
    assert torch.equal(plain.images, to_float(images.images(indices)))
    for i in range(8):
        expected = plain.images[i].flip(-1) if flipped[i] else plain.images[i]
        assert torch.equal(batch.images[i], expected)
    part = load_batch(images, 2, 8, 5, 3, flip=True, rows=slice(4, 8))
    assert torch.equal(part.images, batch.images[4:]) and torch.equal(part.labels, batch.labels)

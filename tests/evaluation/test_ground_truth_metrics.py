import math

import pytest
import torch
from torch import Tensor

from stargan_lab.evaluation.metrics.ground_truth import (
    change_mask,
    edit_score,
    gallery_distances,
    identity_rank_score,
    identity_score,
    leak_score,
)


def row(*values: float) -> Tensor:
    """One gray image of one line, (1, 3, 1, W)."""
    return torch.tensor(values).expand(1, 3, 1, -1).clone()


def test_change_is_more_than_one_gray_level_in_some_channel() -> None:
    for level in range(255):  # whichever way k/255 is rounded
        x, t = row(level / 255), row((level + 1) / 255)
        assert not change_mask(x, t).any()
    x, t = row(0.2, 0.2), row(0.2, 0.2)
    t[0, 1, 0, 1] += 2 / 255
    assert change_mask(x, t).flatten().tolist() == [False, True]


def test_edit_by_hand() -> None:
    x, t = row(0.0, 0.5, 1.0), row(0.4, 0.5, 0.6)  # requested: 0.4 + 0.4
    assert edit_score(x, t, t).item() == pytest.approx(1)
    assert edit_score(x, x, t).item() == pytest.approx(0)
    assert edit_score(x, row(0.3, 0.9, 0.7), t).item() == pytest.approx(
        1 - (0.1 + 0.1) / 0.8
    )  # the middle pixel is not in M
    assert edit_score(x, row(1.0, 0.5, 0.0), t).item() == pytest.approx(1 - 1.2 / 0.8)  # worse than no change


def test_edit_is_undefined_if_nothing_should_change() -> None:
    x = row(0.1, 0.2)
    assert math.isnan(edit_score(x, row(0.9, 0.9), x).item())


def test_leak_by_hand() -> None:
    x, t = row(0.0, 0.5, 1.0), row(0.4, 0.5, 1.0)
    assert leak_score(x, t, t).item() == 0
    assert leak_score(x, row(0.9, 0.6, 0.7), t).item() == pytest.approx((0.1 + 0.3) / 2)
    assert leak_score(x, row(0.9, 0.9, 0.9), x).item() == pytest.approx(
        (0.9 + 0.4 + 0.1) / 3
    )  # empty M: the entire image
    assert math.isnan(leak_score(row(0.0), row(0.0), row(1.0)).item())


def test_scores_are_per_image() -> None:
    x, t = torch.cat([row(0.0, 0.0)] * 2), torch.cat([row(1.0, 0.0)] * 2)
    y = torch.cat([row(1.0, 0.2), row(0.5, 0.0)])
    assert edit_score(x, y, t).tolist() == pytest.approx([1, 0.5])
    assert leak_score(x, y, t).tolist() == pytest.approx([0.2, 0])


GALLERY = torch.cat([row(0.0, 0.0), row(1.0, 1.0), row(1.0, 0.0)])
OUTPUTS = torch.cat([row(0.1, 0.2), row(0.9, 0.3), row(0.9, 0.3), row(0.4, 0.4)])
"""From near to far: 0 2 1; 2 1 0; 2 1 0; 0 2 1."""


def test_identity_by_hand() -> None:
    distances = gallery_distances(OUTPUTS, GALLERY)
    assert identity_score(distances, torch.tensor([0, 2, 1, 1])).tolist() == [1, 1, 0, 0]
    assert identity_rank_score(distances, torch.tensor([0, 2, 1, 1])).tolist() == [1, 1, 0.5, 0]


def test_distances_are_squared_gray_levels() -> None:
    levels = torch.arange(256, dtype=torch.float64).expand(1, 3, 1, -1) / 255
    assert gallery_distances(levels, torch.cat([levels, levels.flip(-1)])).tolist() == [
        [0, 3 * sum((255 - 2 * level) ** 2 for level in range(256))]
    ]


def test_identity_counts_a_tie_as_correct_and_its_rank_as_half() -> None:
    gallery = torch.cat([row(0.0), row(1.0), row(1.0)])
    distances = gallery_distances(row(1.0), gallery)
    assert identity_score(distances, torch.tensor([2])).tolist() == [1]
    assert identity_rank_score(distances, torch.tensor([2])).tolist() == [0.75]  # one farther, one tied, of two


def test_identity_rank_at_chance() -> None:
    equal = torch.ones(1, 100)
    assert identity_rank_score(equal, torch.tensor([7])).tolist() == [0.5]
    order = torch.arange(100.0).expand(100, -1)  # every identity is the correct one once
    assert identity_rank_score(order, torch.arange(100)).mean().item() == pytest.approx(0.5)
    assert identity_rank_score(order, torch.arange(100))[[0, 1, 99]].tolist() == pytest.approx([1, 98 / 99, 0])


def test_identity_rank_needs_another_identity() -> None:
    assert identity_rank_score(torch.ones(1, 1), torch.tensor([0])).isnan().all()

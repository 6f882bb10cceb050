import math

import pytest
import torch
from torch import Tensor

from stargan_lab.evaluation.ground_truth_scores import edit, identity, leak, to_change


def row(*values: float) -> Tensor:
    """One grey image of one line, (1, 3, 1, W)."""
    return torch.tensor(values).expand(1, 3, 1, -1).clone()


def test_change_is_more_than_one_grey_level_in_some_channel() -> None:
    for level in range(255):  # whichever way k/255 is rounded
        x, t = row(level / 255), row((level + 1) / 255)
        assert not to_change(x, t).any()
    x, t = row(0.2, 0.2), row(0.2, 0.2)
    t[0, 1, 0, 1] += 2 / 255
    assert to_change(x, t).flatten().tolist() == [False, True]


def test_edit_by_hand() -> None:
    x, t = row(0.0, 0.5, 1.0), row(0.4, 0.5, 0.6)  # asked: 0.4 + 0.4
    assert edit(x, t, t).item() == pytest.approx(1)
    assert edit(x, x, t).item() == pytest.approx(0)
    assert edit(x, row(0.3, 0.9, 0.7), t).item() == pytest.approx(1 - (0.1 + 0.1) / 0.8)  # the middle pixel is not in M
    assert edit(x, row(1.0, 0.5, 0.0), t).item() == pytest.approx(1 - 1.2 / 0.8)  # worse than doing nothing


def test_edit_has_no_value_where_nothing_is_asked() -> None:
    x = row(0.1, 0.2)
    assert math.isnan(edit(x, row(0.9, 0.9), x).item())


def test_leak_by_hand() -> None:
    x, t = row(0.0, 0.5, 1.0), row(0.4, 0.5, 1.0)
    assert leak(x, t, t).item() == 0
    assert leak(x, row(0.9, 0.6, 0.7), t).item() == pytest.approx((0.1 + 0.3) / 2)
    assert leak(x, row(0.9, 0.9, 0.9), x).item() == pytest.approx((0.9 + 0.4 + 0.1) / 3)  # empty M: the whole image
    assert math.isnan(leak(row(0.0), row(0.0), row(1.0)).item())


def test_scores_are_per_image() -> None:
    x, t = torch.cat([row(0.0, 0.0)] * 2), torch.cat([row(1.0, 0.0)] * 2)
    y = torch.cat([row(1.0, 0.2), row(0.5, 0.0)])
    assert edit(x, y, t).tolist() == pytest.approx([1, 0.5])
    assert leak(x, y, t).tolist() == pytest.approx([0.2, 0])


def test_identity_by_hand() -> None:
    gallery = torch.cat([row(0.0, 0.0), row(1.0, 1.0), row(1.0, 0.0)])
    y = torch.cat([row(0.1, 0.2), row(0.9, 0.3), row(0.9, 0.3), row(0.4, 0.4)])
    assert identity(y, gallery, torch.tensor([0, 2, 1, 1])).tolist() == [1, 1, 0, 0]


def test_identity_counts_a_tie_as_right() -> None:
    gallery = torch.cat([row(0.0), row(1.0), row(1.0)])
    assert identity(row(1.0), gallery, torch.tensor([2])).tolist() == [1]

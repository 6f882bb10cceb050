import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from stargan_lab.evaluation.features import Sample
from stargan_lab.evaluation.frechet_distance import Moments, frechet_distance, pooled_distance
from stargan_lab.evaluation.metrics import kid
from stargan_lab.evaluation.metrics.frechet import frechet_at_infinity
from stargan_lab.evaluation.metrics.inputs import FeaturePair
from stargan_lab.evaluation.metrics.kid import kernel_distance
from stargan_lab.evaluation.metrics.precision_recall import precision_recall
from stargan_lab.evaluation.metrics.selection import select


def normal(n: int, dims: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, dims)) * scale + shift).astype(np.float32)


def sample(rows: np.ndarray) -> Sample:
    moments = Moments.empty(rows.shape[1])
    moments.update(rows)
    return Sample(rows, moments)


def distances(translated: Sample, real: Sample) -> dict[str, float]:
    """All shipped metrics that the numbers of images allow."""
    pair = FeaturePair(translated, real)
    metrics = [m for m in select(None) if m.family == "feature_metric" and not m.has("pooled")]
    return {m.name: value for m in metrics if (value := m.value(pair)) is not None}


def test_kid_by_hand() -> None:
    # D = 1, k = (xy + 1)³; with 4 per side every subset has 2: always 0, 0 against 1, 1
    a, b = np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32)
    # within: 1 and 8; across: 1
    assert kernel_distance(sample(a), sample(b)) == (pytest.approx(1 + 8 - 2), 0)


@pytest.mark.parametrize(("n", "m", "size", "block"), [(90, 70, 35, 32), (2400, 2100, 1000, 1000)])
def test_kid_equals_torch_fidelity(n: int, m: int, size: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid, "BLOCK", block)
    a, b = normal(n, 7), normal(m, 7, 0.3, seed=1)
    theirs = kid_features_to_metric(
        *(torch.from_numpy(part.astype(np.float64)) for part in (a, b)),
        kid_subsets=10,
        kid_subset_size=size,
        rng_seed=kid.SEED,
        verbose=False,
    )
    mean, spread = kernel_distance(sample(a), sample(b), subsets=10)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9) and spread > 0


def test_kid_is_unbiased() -> None:
    values = [
        kernel_distance(sample(normal(40, 5, seed=i)), sample(normal(60, 5, seed=1000 + i)))[0] for i in range(60)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    assert min(values) < 0 < max(values)


def test_precision_and_recall_by_hand() -> None:
    # On a line, with 3 neighbors, the balls around 0, 1, 2, 3 have radius 3 or 2 and contain 0.5, ….
    real = np.array([[0.0], [1], [2], [3]], np.float32)
    near, far = np.array([[0.5], [1.5], [2.5], [1.1]], np.float32), np.array([[50.0], [51], [52], [53]], np.float32)
    assert precision_recall(sample(near), sample(real)) == (1, 1)
    assert precision_recall(sample(far), sample(real)) == (0, 0)
    half = np.concatenate([near, far])
    assert precision_recall(sample(half), sample(real))[0] == 0.5


def test_precision_and_recall_by_definition() -> None:
    translated, real = normal(60, 3, 0.5, 0.7), normal(80, 3, seed=1)

    def within(points: np.ndarray, others: np.ndarray) -> float:
        gaps = np.linalg.norm(others[:, None].astype(float) - others[None], axis=2)
        radii = np.sort(gaps, axis=1)[:, 3]  # the nearest is the point itself
        return float((np.linalg.norm(points[:, None].astype(float) - others[None], axis=2) <= radii).any(1).mean())

    assert precision_recall(sample(translated), sample(real)) == pytest.approx(
        (within(translated, real), within(real, translated))
    )


def test_a_few_modes_have_precision_and_no_recall() -> None:
    real = normal(200, 4)
    collapsed = real[:1] + normal(200, 4, scale=1e-3, seed=2)
    precision, recall = precision_recall(sample(collapsed), sample(real))
    assert precision == 1 and recall < 0.02


def test_extrapolation_is_closer_to_the_true_distance() -> None:
    dims, ground_truth = 24, 24 * 0.1**2
    all_images, extrapolated = [], []
    for seed in range(10):
        a, b = sample(normal(300, dims, seed=seed)), sample(normal(400, dims, 0.1, seed=100 + seed))
        all_images.append(a.moments.distance(b.moments))
        extrapolated.append(frechet_at_infinity(a, b, all_images[-1]))
    assert np.mean(all_images) > 3 * ground_truth  # bias of finite samples
    assert abs(np.mean(extrapolated) - ground_truth) < 0.15 * (np.mean(all_images) - ground_truth)


def test_extrapolation_recovers_a_line_in_one_over_n(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moments, "distance", lambda self, other: 5 + 700 / self.n)
    a, b = sample(np.zeros((800, 1), np.float32)), sample(np.zeros((1600, 1), np.float32))
    assert frechet_at_infinity(a, b, 5 + 700 / 800) == pytest.approx(5, abs=1e-3)  # shares are rounded to images


def test_metrics_that_need_more_images_are_left_out() -> None:
    def kinds(n: int) -> set[str]:
        return set(distances(sample(normal(n, 3)), sample(normal(50, 3, seed=1))))

    assert kinds(2) == {"frechet"}
    assert kinds(4) == {"frechet", "kid", "kid_spread", "precision", "recall"}
    assert kinds(16) == kinds(4) | {"frechet_infinity"}


def test_deterministic_and_independent_of_global_generators() -> None:
    a, b = sample(normal(50, 6)), sample(normal(40, 6, seed=1))
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert distances(a, b) == distances(a, b)
    assert torch.equal(before, torch.get_rng_state()) and (np.random.get_state()[1] == numpys).all()


def test_pooled_domains_have_equal_weight() -> None:
    parts = [normal(30, 4, 0, seed=0), normal(900, 4, 3, seed=1)]
    others = [normal(500, 4, 1, seed=2), normal(20, 4, 3, seed=3)]
    found = pooled_distance([(sample(a).moments, sample(b).moments) for a, b in zip(parts, others, strict=True)])

    def mixture(sides: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        weights = np.concatenate([np.full(len(side), 0.5 / len(side)) for side in sides])
        rows = np.concatenate(sides).astype(float)
        mean = weights @ rows
        within = sum(np.cov(side.astype(float), rowvar=False) for side in sides) / 2
        between = sum(np.outer(gap, gap) for gap in (side.astype(float).mean(0) - mean for side in sides)) / 2
        return mean, within + between

    assert found == pytest.approx(frechet_distance(*mixture(parts), *mixture(others)), rel=1e-9)

"""Components of variance by hand and in simulation, correlation of pairs, smallest detectable difference."""

from math import nan, sqrt

import numpy as np
import pytest
from numpy.random import default_rng
from pandas import DataFrame
from scipy import stats

from stargan_lab.errors import LabError
from stargan_lab.report.variance import INPUT, Components, components, pair_correlation, smallest_detectable


def evaluations(*rows: tuple) -> DataFrame:
    return DataFrame(rows, columns=list(INPUT))


def test_two_runs_with_two_evaluations_by_hand() -> None:
    # run means 2 and 7; within: 2 + 2 squares over 2 degrees of freedom: 2; between: 2 (2.5² + 2.5²) / 1 = 25
    rows = [("a", 1, 1, 100, 1.0), ("a", 1, 2, 100, 3.0), ("a", 2, 3, 100, 6.0), ("a", 2, 4, 100, 8.0)]
    assert components(evaluations(*rows), "fid") == Components(100, (25 - 2) / 2, 2.0, None, 13.5)
    # both runs evaluated with seeds 1 and 2: the evaluation effect is common to them, the runs differ by exactly 5
    shared = [(*row[:2], seed, *row[3:]) for row, seed in zip(rows, (1, 2, 1, 2), strict=True)]
    assert components(evaluations(*shared), "fid") == Components(100, 12.5, 2.0, None, 14.5)


def test_what_is_not_identifiable_is_none() -> None:
    once = [("a", 1, 1, 100, 1.0), ("a", 2, 1, 100, 3.0), ("a", 3, 1, 100, nan)]
    assert components(evaluations(*once), "fid") == Components(100, None, None, None, 2.0)
    one_run = [("a", 1, 1, 100, 1.0), ("a", 1, 2, 100, 3.0), ("b", 1, 1, 100, 9.0)]
    assert components(evaluations(*one_run), "fid") == Components(100, None, 2.0, None, None)
    assert components(evaluations(*once[:1]), "fid") == Components(100, None, None, None, None)


def test_simulated_components_are_recovered() -> None:
    """Training sd 3, evaluation sd 1, sample size sd 2 at 400 images; the mean depends on variant and size."""
    random, rows = default_rng(0), []
    for variant in range(3):
        for run in range(100):
            trained = 10 * variant + 3 * random.standard_normal()
            for images in (25, 100, 400):
                for seed in range(4):
                    noise = random.standard_normal() + 2 * sqrt(400 / images) * random.standard_normal()
                    rows.append((f"v{variant}", run, (run, seed), images, trained + 500 / images + noise))
    found = components(evaluations(*rows), "fid")
    assert found.images == 400
    assert (found.training_seed, found.sample_size) == (pytest.approx(9, rel=0.15), pytest.approx(4, rel=0.15))
    assert found.evaluation_seed == pytest.approx(1, abs=0.6) and found.total == pytest.approx(14, rel=0.1)


def test_unequal_repeats_do_not_bias_the_training_seed() -> None:
    random, found = default_rng(1), []
    for _ in range(100):
        rows = []
        for run in range(8):
            trained = random.standard_normal()
            rows += [("a", run, (run, seed), 10, trained + 2 * random.standard_normal()) for seed in range(1 + run)]
        found.append(components(evaluations(*rows), "fid"))
    assert np.mean([one.evaluation_seed for one in found]) == pytest.approx(4, rel=0.05)
    assert np.mean([one.training_seed for one in found]) == pytest.approx(1.1, abs=0.25)  # a little above 1: cut at 0


def test_errors_are_one_line() -> None:
    row = ("a", 1, 1, 100, 1.0)
    with pytest.raises(LabError, match=r"^fid: no column 'images'; columns: variant, training_seed, "):
        components(evaluations(row).drop(columns="images"), "fid")
    with pytest.raises(LabError, match=r"^fid: two values for variant a, training_seed 1, evaluation_seed 1, images 1"):
        components(evaluations(row, row), "fid")
    with pytest.raises(LabError, match=r"^fid: no finite value$"):
        components(evaluations((*row[:4], nan)), "fid")


def test_pair_correlation() -> None:
    base, new = [1.0, 2.0, 3.0, 4.0, nan], [2.0, 1.0, 4.0, 3.0, 9.0]  # covariance 3 / 3, variances 5 / 3
    reference, values = dict(enumerate(base)), dict(enumerate(new))
    assert pair_correlation(values, reference) == pytest.approx(0.6)
    assert pair_correlation({0: 2.0, 1: 1.0}, reference) is None
    assert pair_correlation(dict.fromkeys(values, 1.0), reference) is None
    assert pair_correlation({}, reference) is None


def test_smallest_detectable_difference_has_the_power() -> None:
    sample = [1.0, -1.0, 2.0, nan, 0.5, 0.0]
    found = smallest_detectable(sample, 0.05, 2)
    assert found is not None
    deviation, limit = np.nanstd(sample, ddof=1), stats.t.isf(0.0125, 4)
    shift = found * sqrt(5) / deviation
    assert stats.nct.sf(limit, 4, shift) + stats.nct.cdf(-limit, 4, shift) == pytest.approx(0.8, abs=1e-6)
    assert smallest_detectable([1.0], 0.05, 1) is None and smallest_detectable([1.0, 1.0], 0.05, 1) is None
    assert smallest_detectable([0.0, 1.0], 1e-4, 1) > 1e3  # type: ignore[operator]

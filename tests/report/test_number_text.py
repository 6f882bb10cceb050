"""Numbers are rounded by their spread."""

import math

import pytest
from pandas import Series

from stargan_lab.report.number_text import difference, interval, shown
from stargan_lab.report.tables import mean_and_deviation
from stargan_lab.tracking.metrics import lookup

PSNR = lookup("eval/psnr")  # two decimals


def test_mean_and_sample_standard_deviation() -> None:
    # mean 5; squared deviations 9 + 1 + 16 = 26; sqrt(26 / 2) = 3.606
    assert mean_and_deviation(Series([2.0, 4.0, None, 9.0]), PSNR) == "5.0 ± 3.6 (3)"
    assert mean_and_deviation(Series([7.0]), PSNR) == "7.00 (1)"
    assert mean_and_deviation(Series([], dtype=float), PSNR) == "–"
    assert mean_and_deviation(Series([3.0, 3.0]), PSNR) == "3.00 ± 0.00 (2)"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([567.3, 2276.8], "1422 ± 1209 (2)"),
        ([0.1230, 0.1232], "0.12310 ± 0.00014 (2)"),
        ([10.0, 10.5], "10.25 ± 0.35 (2)"),
        ([1e-9, 3e-9], "0.000000 ± 0.000000 (2)"),
    ],
)
def test_two_significant_digits_of_the_spread(values: list[float], text: str) -> None:
    assert mean_and_deviation(Series(values), PSNR) == text


def test_intervals() -> None:
    assert interval(-0.0404, 0.3738, PSNR) == "[-0.04, +0.37]"
    assert difference(0.16667, -0.0404, 0.3738, PSNR) == "+0.17"
    assert interval(math.nan, math.nan, PSNR) == "–"
    assert interval(-math.inf, math.inf, PSNR) == "[−∞, ∞]"
    assert [shown(-0.001, 2), shown(-0.001, 2, signed=True), shown(math.nan, 2)] == ["0.00", "0.00", "–"]

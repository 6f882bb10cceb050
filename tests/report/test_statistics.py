"""Verdicts: numbers by hand, rules, and error rates in simulated ablations; ``pytest -s`` prints the rates.

The tests marked slow repeat the simulations with more ablations; docs/statistics.md shows what they print.
"""

import re
from math import isnan, nan, sqrt
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from pandas import DataFrame
from scipy import stats
from score_noise import NOISE, simulated
from statsmodels.stats.weightstats import DescrStatsW

from stargan_lab.errors import LabError
from stargan_lab.report.power import power, seeds_for
from stargan_lab.report.statistics import COLUMNS, interval, verdicts

ABLATIONS = 5_000
"""The number that docs/statistics.md states."""
SLOW = pytest.param(ABLATIONS, marks=pytest.mark.slow)


def scores(**variants: list[float]) -> DataFrame:
    """A row per variant and seed; seeds count from 0."""
    rows = [(variant, seed, value) for variant, values in variants.items() for seed, value in enumerate(values)]
    return DataFrame(rows, columns=["variant", "seed", "value"])


def compared(frame: DataFrame, **options: object) -> DataFrame:
    return verdicts(frame, "base", "edit", **{"higher_is_better": True, **options})  # type: ignore[arg-type]


def verdict(frame: DataFrame, **options: object) -> str:
    return compared(frame, **options)["verdict"].item()


def test_paired_t_test_of_one_variant_by_hand() -> None:
    frame = scores(base=[1, 2, 3, 4], new=[2, 4, 4, 6])  # differences 1 2 1 2: mean 1.5, sd sqrt(1 / 3)
    row = compared(frame).iloc[0]
    half = 3.182446305284263 * sqrt(1 / 3) / 2  # t quantile for 3 degrees of freedom
    assert list(row.index) == list(COLUMNS) and (row.variant, row.n, row.effect) == ("new", 4, 1.5)
    assert (row.ci_low, row.ci_high) == pytest.approx((1.5 - half, 1.5 + half))
    assert row.p_value == row.p_adjusted == pytest.approx(0.013846832988859)  # t = 3 sqrt(3)
    assert row.verdict == "better" and verdict(frame, higher_is_better=False) == "worse"
    # noncentral t with ratio 2.598: 3 pairs have power 0.63, 4 have 0.92
    assert row.seeds_needed == 4


def test_several_variants_agree_with_statsmodels() -> None:
    frame = simulated(default_rng(1), "normal", [0.0, 1.0, 4.0], 6)
    table = compared(frame, smallest_effect=3.0).set_index("variant")
    values = frame.pivot(index="seed", columns="variant", values="value")
    for variant, row in table.iterrows():
        other = DescrStatsW(values[variant] - values["base"])
        assert (row.ci_low, row.ci_high) == pytest.approx(other.tconfint_mean(0.05 / 3))
        assert row.p_adjusted == pytest.approx(min(1, 3 * other.ttest_mean()[1]))
        if row.p_adjusted >= 0.05:
            assert (row.verdict == "equivalent") == (other.ttost_mean(-3, 3)[0] < 0.05 / 3)
    assert table["verdict"].tolist() == ["equivalent", "equivalent", "better"]


def test_missing_pairs_and_failures_of_the_baseline_only_remove_pairs() -> None:
    frame = scores(base=[1, 2, 3, nan, 9], new=[2, 4, 4, 6])
    row = compared(frame).iloc[0]
    assert (row.n, row.effect, row.failures, row.verdict) == (3, pytest.approx(4 / 3), 0, "undecided")
    assert compared(frame).attrs["baseline_failures"] == 1
    assert verdict(scores(base=[nan, nan], new=[1, 2])) == "undecided"


def test_a_variant_with_failed_runs_is_never_better_or_equivalent() -> None:
    base = [0.0, 0.1, 0.2, 0.3, 0.4]
    better, worse = [5.0, 5.2, 5.1, 5.4], [-5.0, -5.2, -5.1, -5.4]
    assert verdict(scores(base=base, new=[*better, 5.3])) == "better"
    row = compared(scores(base=base, new=[*better, nan])).iloc[0]
    assert (row.verdict, row.failures, row.n) == ("undecided", 1, 4) and row.p_adjusted < 0.05
    assert verdict(scores(base=base, new=[*worse, nan])) == "worse"
    same = [0.01, 0.1, 0.21, 0.3]
    assert verdict(scores(base=base, new=[*same, 0.4]), smallest_effect=1) == "equivalent"
    assert verdict(scores(base=base, new=[*same, np.inf]), smallest_effect=1) == "undecided"
    assert verdict(scores(base=base[:4], new=[*worse[:2], nan, nan])) == "failed"
    row = compared(scores(base=base[:2], new=[nan, nan])).iloc[0]
    assert (row.verdict, row.n) == ("failed", 0) and isnan(row.effect)


def test_one_and_two_seeds() -> None:
    row = compared(scores(base=[1.0], new=[2.0])).iloc[0]
    assert (row.n, row.effect, row.verdict) == (1, 1, "undecided")
    assert all(isnan(row[column]) for column in ("ci_low", "ci_high", "p_value", "p_adjusted"))
    row = compared(scores(base=[0.0, 0.0], new=[1.0, 2.0])).iloc[0]
    half = 12.706204736174698 * 0.5  # sd sqrt(1 / 2), divided by sqrt(2)
    assert (row.ci_low, row.ci_high, row.verdict) == (pytest.approx(1.5 - half), pytest.approx(1.5 + half), "undecided")


def test_equal_differences_give_no_estimate_of_noise() -> None:
    base = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    row = compared(scores(base=base, new=base)).iloc[0]
    assert (row.effect, row.ci_low, row.ci_high, row.p_adjusted, row.verdict) == (0, 0, 0, 1, "undecided")
    assert verdict(scores(base=base, new=base), smallest_effect=0.01) == "equivalent"
    shifted = [value + 0.7 for value in base]  # equal up to rounding
    row = compared(scores(base=base[:5], new=shifted[:5])).iloc[0]  # sign test: 2 / 2**5 > 0.05
    assert (row.p_value, row.ci_low, row.ci_high, row.verdict) == (0.0625, -np.inf, np.inf, "undecided")
    row = compared(scores(base=base, new=shifted)).iloc[0]
    assert (row.p_value, row.ci_low, row.verdict) == (0.03125, pytest.approx(0.7), "better")


def test_a_significant_difference_has_precedence_over_equivalence() -> None:
    frame = scores(base=[0, 0, 0, 0], new=[0.10, 0.11, 0.12, 0.11])
    assert verdict(frame, smallest_effect=1.0) == "better"


def random_frame(random: Generator) -> DataFrame:
    """Scores of any size, sometimes rounded, with failed and missing runs."""
    frame = simulated(random, str(random.choice(list(NOISE))), list(random.normal(0, 3, random.integers(1, 6))), 6)
    frame["value"] *= 10.0 ** random.integers(-6, 7)
    if random.random() < 0.3:
        frame["value"] = np.round(frame["value"])
    frame.loc[random.random(len(frame)) < 0.1, "value"] = nan
    keep = random.random(len(frame)) < random.uniform(0.4, 1)
    keep[0] = True
    return frame[keep]


def check_consistent(table: DataFrame, higher_is_better: bool, smallest_effect: float) -> None:
    for row in table.itertuples():
        excludes_zero = row.ci_low > 0 or row.ci_high < 0
        assert excludes_zero == (row.p_adjusted < 0.05)
        assert not row.ci_low > row.effect and not row.ci_high < row.effect
        if row.verdict in ("better", "worse"):
            assert excludes_zero and (row.verdict == "better") == ((row.effect > 0) == higher_is_better)
        else:
            assert not excludes_zero or row.failures
        if row.verdict == "equivalent":
            assert abs(row.effect) < smallest_effect
        if row.verdict in ("better", "equivalent"):
            assert row.failures == 0


def test_interval_p_value_and_verdict_never_contradict() -> None:
    random, seen = default_rng(2), set()
    for _ in range(500):
        frame, higher = random_frame(random), bool(random.random() < 0.5)
        table = compared(frame, higher_is_better=higher, smallest_effect=2.0)
        check_consistent(table, higher, 2.0)
        seen |= set(table["verdict"])
    assert seen == {"better", "worse", "equivalent", "undecided", "failed"}


def test_nor_do_they_where_the_interval_ends_at_zero() -> None:
    random, signs = default_rng(3), set()
    for _ in range(200):
        frame = simulated(random, "normal", [0.0, 0.0], 5)
        frame.loc[frame["variant"] == "v1", "value"] -= compared(frame)["ci_low"][0]
        table = compared(frame)
        check_consistent(table, True, 1.0)
        assert table["p_adjusted"][0] == pytest.approx(0.05)
        signs.add(table["verdict"][0])
    assert signs == {"better", "undecided"}


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (scores(bases=[1], new=[1]), {}, "edit: unknown baseline 'base'; did you mean 'bases'? allowed: bases, new"),
        (scores(base=[1]).drop(columns="seed"), {}, "edit: no column 'seed'; columns: variant, value"),
        (scores(base=[1]).iloc[[0, 0]], {}, "edit: variant 'base': duplicate seed 0"),
        (scores(base=["high"]), {}, "edit: variant 'base', seed 0: not a number: 'high'"),  # type: ignore[list-item]
        (scores(base=[1]), {"alpha": 5}, "edit: alpha must be between 0 and 1, got 5"),
        (scores(base=[1]), {"smallest_effect": 0}, "edit: smallest_effect must be a positive number, got 0"),
    ],
)
def test_errors_are_one_line(frame: DataFrame, options: dict, message: str) -> None:
    with pytest.raises(LabError) as error:
        compared(frame, **options)
    assert str(error.value) == message


def test_without_variants_the_table_is_empty() -> None:
    assert list(compared(scores(base=[1, 2]))) == list(COLUMNS) and compared(scores(base=[1, 2])).empty


def test_the_docs_state_the_number_of_simulated_ablations() -> None:
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text()
    stated = set(re.findall(r"\(([\d,]+) ablations\)|smallest_effect` \(([\d,]+)\)|2 variants \(([\d,]+)\)", text))
    assert {number for numbers in stated for number in numbers if number} == {f"{ABLATIONS:,}"}


@pytest.mark.parametrize("ablations", [700, SLOW])
@pytest.mark.parametrize("noise", NOISE)
def test_false_differences(noise: str, ablations: int) -> None:
    """No variant differs: 2 to 6 variants, 3 to 10 seeds."""
    random, false = default_rng(4), 0
    for _ in range(ablations):
        table = compared(simulated(random, noise, [0.0] * random.integers(2, 7), random.integers(3, 11)))
        false += table["verdict"].isin(["better", "worse"]).any()
    print(f"\n{noise}, {ablations} ablations without a difference: {false / ablations:.4f} with a false verdict")
    assert false / ablations <= 0.06


@pytest.mark.parametrize("ablations", [350, SLOW])
@pytest.mark.parametrize("noise", NOISE)
def test_simultaneous_coverage(noise: str, ablations: int) -> None:
    """True differences of any size; one run in twenty fails."""
    random, covered = default_rng(5), 0
    for _ in range(ablations):
        effects = random.normal(0, 2, random.integers(2, 7))
        frame = simulated(random, noise, list(effects), random.integers(4, 11))
        frame.loc[random.random(len(frame)) < 0.05, "value"] = nan
        table = compared(frame)
        covered += not ((table["ci_low"] > effects) | (table["ci_high"] < effects)).any()
    print(f"\n{noise}, {ablations} ablations: {covered / ablations:.4f} with all intervals over the true differences")
    assert covered / ablations >= 0.94


@pytest.mark.parametrize("ablations", [400, SLOW])
def test_false_equivalence(ablations: int) -> None:
    """Every true difference is exactly the smallest effect; with none and little noise, equivalence is found.

    The noise is the worst for this rule: with less, the difference is significant, with more, nothing is decided.
    """
    random, false, true = default_rng(6), 0, 0
    for _ in range(ablations):
        frame = simulated(random, "normal", [1.0] * random.integers(1, 4), random.integers(3, 11), 0.6)
        false += (compared(frame, smallest_effect=1)["verdict"] == "equivalent").any()
        true += verdict(simulated(random, "normal", [0.0], 8, 0.2), smallest_effect=1) == "equivalent"
    print(f"\n{ablations} ablations at the smallest effect: {false / ablations:.4f} with a false equivalence")
    assert false / ablations <= 0.06 and true / ablations > 0.9


@pytest.mark.parametrize("ablations", [500, SLOW])
def test_power_is_that_of_the_noncentral_t(ablations: int) -> None:
    """Two variants, six seeds, a difference of 2 against noise of sd sqrt(2): ratio sqrt(2), level 0.025."""
    random = default_rng(7)
    found = [(compared(simulated(random, "normal", [2, -2], 6))["verdict"] != "undecided") for _ in range(ablations)]
    measured, limit = np.mean(found), stats.t.isf(0.0125, 5)
    theory = stats.nct.sf(limit, 5, sqrt(12)) + stats.nct.cdf(-limit, 5, sqrt(12))
    print(f"\n{ablations} ablations: power {measured:.4f}, in theory {theory:.4f}")
    assert float(power(sqrt(2), 6, 0.025)) == pytest.approx(theory, abs=1e-6)
    assert measured == pytest.approx(theory, abs=0.04 if ablations < 1000 else 0.02)


def test_skewed_noise_of_one_side_is_the_known_limit() -> None:
    """Exponential noise of the variant, a baseline with little noise, five seeds: the interval covers too rarely."""
    random = default_rng(9)
    samples = random.exponential(1, (10_000, 5)) - 1 - 0.1 * random.standard_normal((10_000, 5))
    intervals = np.array([interval(sample, 0.05) for sample in samples])
    missed = ((intervals[:, 0] > 0) | (intervals[:, 1] < 0)).mean()
    print(f"\nskewed noise, 10,000 samples: {missed:.4f} of the intervals miss the true difference")
    assert 0.06 < missed < 0.15


def test_rounded_scores_and_two_seeds() -> None:
    """Equal differences other than 0 are frequent; a t-test that took them for certain would be wrong each time."""
    random, false, equal = default_rng(8), 0, 0
    samples = np.round(random.standard_normal((20_000, 2, 2)) + random.standard_normal((20_000, 1, 2)))
    pairs = samples[:, 1] - samples[:, 0]
    certain = ((pairs[:, 0] == pairs[:, 1]) & (pairs[:, 0] != 0)).mean()
    print(f"\nscores rounded to their standard deviation, two seeds: {certain:.4f} with equal differences other than 0")
    for _ in range(500):
        frame = simulated(random, "normal", [0.0], 2)
        frame["value"] = np.round(frame["value"])
        row = compared(frame).iloc[0]
        false += row.verdict != "undecided"
        equal += row.ci_high == np.inf
    assert false == 0 and equal / 500 == pytest.approx(certain, abs=0.05)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 3.0, 30.0])
def test_seeds_for_is_the_first_number_with_the_power(ratio: float) -> None:
    seeds = seeds_for(ratio, lambda pairs: 0.01)
    assert seeds is not None and power(ratio, seeds, 0.01) >= 0.8
    assert seeds == 2 or power(ratio, seeds - 1, 0.01) < 0.8


def test_seeds_needed_follow_the_smallest_effect() -> None:
    frame = scores(base=[0, 0, 0, 0], new=[1.0, -1.0, 1.0, -1.0])  # effect 0, sd sqrt(4 / 3)
    assert compared(frame)["seeds_needed"].isna().all()
    assert compared(frame, smallest_effect=sqrt(4 / 3))["seeds_needed"].item() == seeds_for(1, lambda pairs: 0.05) == 10

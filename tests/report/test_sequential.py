"""Error rates over all looks of simulated sweeps; ``pytest -s`` prints them."""

import numpy as np
import pytest
from numpy.random import default_rng
from pandas import DataFrame
from scipy.special import stdtr
from score_noise import NOISE, simulated

from stargan_lab.errors import LabError
from stargan_lab.report.sequential import Looks
from stargan_lab.report.statistics import Correction, verdicts

LOOKS = Looks(3, 10)


def at_look(frame: DataFrame, seeds: int, **options: float) -> DataFrame:
    seen = frame[frame["seed"] < seeds]
    return verdicts(seen, "base", "edit", higher_is_better=True, looks=LOOKS, **options)


def sweep(frame: DataFrame) -> tuple[DataFrame, int]:
    """The verdicts when all are decided or the seeds are used up, and the number of seeds."""
    for seeds in range(LOOKS.first, LOOKS.last + 1):
        table = at_look(frame, seeds)
        if (table["verdict"] != "undecided").all():
            break
    return table, seeds


def p_by_look(differences: np.ndarray) -> np.ndarray:
    """Paired t-tests after each look: [..., seeds] to [..., looks]."""
    columns = []
    for pairs in range(LOOKS.first, LOOKS.last + 1):
        seen = differences[..., :pairs]
        t = seen.mean(-1) * np.sqrt(pairs) / seen.std(-1, ddof=1)
        columns.append(2 * stdtr(pairs - 1, -np.abs(t)))
    return np.stack(columns, axis=-1)


def levels(alpha: float, variants: int) -> np.ndarray:
    level = Correction(alpha, variants, LOOKS).level
    return np.array([level(pairs) for pairs in range(LOOKS.first, LOOKS.last + 1)])


def test_levels_of_all_looks_together_have_the_given_error_rate() -> None:
    p = p_by_look(default_rng(10).standard_normal((100_000, LOOKS.last)))
    for alpha, variants in ((0.05, 1), (0.05, 5), (0.2, 2)):
        limits = levels(alpha, variants)
        assert (p < limits).any(1).mean() == pytest.approx(alpha / variants, rel=0.07)
        assert (np.diff(limits) > 0).all() and limits[-1] < alpha / variants
    uncorrected = (p < 0.05).any(1).mean()
    print(f"\n100,000 sweeps of one variant, uncorrected: {uncorrected:.4f} with a false verdict at any look")
    assert uncorrected > 0.12


def test_one_look_is_the_fixed_plan() -> None:
    correction = Correction(0.05, 3, Looks(6, 6))
    assert correction.level(6) == pytest.approx(0.05 / 3, rel=0.03)
    assert correction.adjust(0.01, 6) == pytest.approx(0.03, rel=0.03)


@pytest.mark.parametrize("variants", [1, 2, 5])
@pytest.mark.parametrize("noise", NOISE)
def test_false_verdicts_over_all_looks(noise: str, variants: int) -> None:
    """No variant differs; a verdict at any look counts. The next test shows that these are the verdicts."""
    scores = NOISE[noise](default_rng(11), (20_000, variants + 1, LOOKS.last))
    false = (p_by_look(scores[:, 1:] - scores[:, :1]) < levels(0.05, variants)).any((1, 2)).mean()
    print(f"\n{noise}, 20,000 sweeps, {variants} variants, 3 to 10 seeds: {false:.4f} with a false verdict at any look")
    assert false <= 0.06


@pytest.mark.parametrize("sweeps", [40, pytest.param(800, marks=pytest.mark.slow)])
def test_verdicts_at_each_look_are_those_of_the_levels(sweeps: int) -> None:
    random, false, decided = default_rng(16), 0, 0
    for index in range(sweeps):
        effect = 2.0 * (index % 2)  # every other sweep has differences
        frame = simulated(random, "normal", [effect, -effect], LOOKS.last)
        scores = frame["value"].to_numpy().reshape(3, LOOKS.last)
        expected = p_by_look(scores[1:] - scores[0]) < levels(0.05, 2)[None]
        tables = [at_look(frame, seeds) for seeds in range(LOOKS.first, LOOKS.last + 1)]
        found = np.array([table["verdict"] != "undecided" for table in tables]).T
        assert (found == expected).all()
        decided += bool(effect) and found.any()
        false += not effect and found.any()
    print(f"\n{sweeps // 2} sweeps without a difference: {2 * false / sweeps:.4f} with a false verdict at any look")
    standard_error = np.sqrt(0.05 * 0.95 / (sweeps / 2))
    assert decided > sweeps / 4 and 2 * false / sweeps <= 0.05 + 3 * standard_error


def test_a_sweep_stops_early_at_a_large_difference() -> None:
    random = default_rng(12)
    results = [sweep(simulated(random, "normal", [5.0, -5.0], LOOKS.last)) for _ in range(40)]
    right = [table["verdict"].tolist() == ["better", "worse"] for table, _ in results]
    assert np.mean(right) > 0.9 and np.mean([seeds for _, seeds in results]) < 7


def test_interval_p_value_and_verdict_never_contradict_at_any_look() -> None:
    random, seen = default_rng(13), set()
    for _ in range(40):
        frame = simulated(random, "normal", [0.0, 2.5, -2.5], LOOKS.last)
        frame.loc[random.random(len(frame)) < 0.05, "value"] = np.nan
        for seeds in (2, 3, 5, 10):
            for row in at_look(frame, seeds, smallest_effect=1.0).itertuples():
                excludes_zero = row.ci_low > 0 or row.ci_high < 0
                assert excludes_zero == (row.p_adjusted < 0.05)
                assert excludes_zero or row.verdict not in ("better", "worse")
                assert row.n >= LOOKS.first or row.verdict in ("undecided", "failed")
                seen.add(row.verdict)
    assert {"better", "worse", "undecided"} <= seen


def test_before_the_first_look_nothing_is_decided() -> None:
    frame = simulated(default_rng(14), "normal", [1000.0], 2)
    row = at_look(frame, 2).iloc[0]
    assert (row.ci_low, row.ci_high, row.p_adjusted, row.verdict) == (-np.inf, np.inf, 1, "undecided")


def test_a_plan_names_its_limits() -> None:
    with pytest.raises(LabError, match=r"^looks from 5 to 3 seeds: need 2 <= first <= last <= 100$"):
        Looks(5, 3)
    frame = simulated(default_rng(15), "normal", [0.0], 11)
    with pytest.raises(LabError, match=r"^edit: variant 'v1' has 11 seeds, but the plan ends at 10$"):
        at_look(frame, 11)

"""The rule of a sweep until decided: which variants go on, when it ends, and how often it is wrong (``pytest -s``)."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng
from pandas import DataFrame
from scipy.special import stdtrit
from score_noise import NOISE, simulated
from scored import row

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.collect_runs import as_frame
from stargan_lab.report.content import content_of
from stargan_lab.report.effects import effects
from stargan_lab.report.looks import count, look_title, note, obstacle, to_train
from stargan_lab.report.pages import report_text
from stargan_lab.report.sequential import Looks
from stargan_lab.report.statistics import Correction

EDIT = "eval/edit"
CODES = {"better": 1, "worse": -1, "equivalent": 2, "undecided": 0}
BASE = {0: 0.1, 1: 0.3, 2: 0.2, 3: 0.4, 4: 0.0}
BETTER = {seed: value + 0.5 + 0.001 * seed for seed, value in BASE.items()}
UNCLEAR = {seed: value + (-1) ** seed * 0.1 for seed, value in BASE.items()}


def of(ablation: Ablation, *variants: str, **changes: object) -> Ablation:
    named = {variant: () for variant in ("none", *variants)}
    return replace(ablation, **{"variants": named, "looks": (3, 5), "expected": {}, **changes})  # type: ignore[arg-type]


def frame(seeds: int, **variants: Mapping[int, float]) -> DataFrame:
    """The runs with the first seeds; a NaN is a failed run."""
    return as_frame(
        row(name, seed, status="finished" if value == value else "failed", protocol="p1", **{EDIT: value})
        for name, values in variants.items()
        for seed, value in values.items()
        if seed < seeds
    )


def going_on(ablation: Ablation, runs: DataFrame) -> list[str]:
    return to_train(ablation, runs, effects(ablation, runs, ablation.primary))


def counts(ablation: Ablation, runs: DataFrame) -> dict[str, tuple[str, int, int]]:
    """Variant -> verdict, pairs, failures."""
    rows = effects(ablation, runs, ablation.primary).itertuples()
    return {row.variant: (row.verdict, row.n, row.failures) for row in rows}


def test_undecided_variants_go_on_with_their_baseline(ablation: Ablation) -> None:
    two = of(ablation, "good", "unclear")
    runs = frame(3, none=BASE, good=BETTER, unclear=UNCLEAR)
    assert going_on(two, runs) == ["none", "unclear"]
    assert (look_title(two, runs), count(effects(two, runs, EDIT))) == ("look 1 of 3", "1 of 2 verdicts")
    assert counts(two, runs) == {"good": ("better", 3, 0), "unclear": ("undecided", 3, 0)}
    assert going_on(of(ablation, "good"), runs) == []


def test_a_decided_variant_keeps_its_pairs_while_others_go_on(ablation: Ablation) -> None:
    two = of(ablation, "good", "unclear")
    first = {seed: BETTER[seed] for seed in range(3)}
    runs = frame(5, none=BASE, good=first, unclear=UNCLEAR)
    assert look_title(two, runs) == "look 3 of 3"
    assert counts(two, runs) == {"good": ("better", 3, 0), "unclear": ("undecided", 5, 0)}
    assert note(two, runs).startswith("sequential: look 3 of 3 (one look per number of seeds from 3 to 5);")
    assert note(two, runs) in report_text(content_of(two, runs))
    assert "sequential" not in report_text(content_of(replace(two, looks=None), runs))


def test_a_variant_that_others_are_compared_with_goes_on_for_them(ablation: Ablation) -> None:
    matched = of(ablation, "good", "unclear", matched={"unclear": "good"})
    runs = frame(3, none=BASE, good=BETTER, unclear={s: v + (-1) ** s * 0.1 for s, v in BETTER.items()})
    assert going_on(matched, runs) == ["good", "unclear"]


def test_failed_runs_do_not_go_on_forever(ablation: Ablation) -> None:
    one, nan = of(ablation, "unclear"), float("nan")
    some = frame(3, none=BASE, unclear={**UNCLEAR, 1: nan})
    assert counts(one, some) == {"unclear": ("undecided", 2, 1)} and going_on(one, some) == []
    most = frame(3, none=BASE, unclear=dict.fromkeys(range(3), nan))
    assert counts(one, most) == {"unclear": ("failed", 0, 3)} and going_on(one, most) == []
    assert going_on(one, frame(3, none={**BASE, 1: nan}, unclear=UNCLEAR)) == ["none", "unclear"]
    assert going_on(one, frame(4, none={**BASE, 1: nan, 2: nan}, unclear=UNCLEAR)) == []


def test_a_run_without_a_result_is_an_obstacle(ablation: Ablation) -> None:
    one, runs = of(ablation, "unclear"), frame(3, none=BASE, unclear=UNCLEAR)
    assert obstacle(one, runs) == ""
    assert obstacle(replace(one, primary="eval/leak"), runs) == "run none0 finished without eval/leak"
    runs.loc[5, "status"] = "interrupted"
    assert obstacle(one, runs) == "1 run not finished; repeat the command to continue"


def test_secondary_metrics_and_main_effects_use_the_looks_too(ablation: Ablation) -> None:
    one, runs = of(ablation, "good"), frame(3, none=BASE, good=BETTER).assign(**{"eval/leak": lambda t: -t[EDIT]})
    for metric in (EDIT, "eval/leak"):
        wide, narrow = (effects(each, runs, metric).iloc[0] for each in (one, replace(one, looks=None)))
        assert wide["ci_high"] - wide["ci_low"] > 1.2 * (narrow["ci_high"] - narrow["ci_low"])


def swept(ablation: Ablation, scores: DataFrame) -> DataFrame:
    """The verdicts of a sweep until decided whose runs would have these scores: at least 3 seeds and at most 10."""
    variants = [name for name in scores["variant"].unique()]
    ablation = of(ablation, *variants[1:], variants={name: () for name in variants}, baseline="base", looks=(3, 10))
    runs = scores.rename(columns={"value": EDIT}).assign(status="finished")
    runs["descriptions"] = [{}] * len(runs)
    seen, going = runs[runs["seed"] < 3], variants
    for seed in range(3, 10):
        if not (going := going_on(ablation, seen)):
            break
        seen = runs.loc[seen.index.union(runs.index[(runs["seed"] == seed) & runs["variant"].isin(going)])]
    return effects(ablation, seen, EDIT)


def by_rule(scores: np.ndarray, smallest: float) -> tuple[np.ndarray, np.ndarray]:
    """The same in numpy: the verdict at which each variant stops, and its pairs.

    Args:
        scores: of the baseline and then the variants, [sweeps, 1 + variants, seeds]; the first look is at 3 seeds.
        smallest: the smallest effect; 0: no equivalence.
    Returns:
        1 better, -1 worse, 2 equivalent, 0 undecided; and the pairs; each [sweeps, variants].
    """
    last = scores.shape[2]
    correction = Correction(0.05, scores.shape[1] - 1, Looks(3, last))
    differences = scores[:, 1:] - scores[:, :1]
    verdict = np.zeros(differences.shape[:2], int)
    pairs = np.full_like(verdict, last)
    for seeds in range(3, last + 1):
        mean = differences[..., :seeds].mean(-1)
        error = differences[..., :seeds].std(-1, ddof=1) / np.sqrt(seeds)
        level, going = correction.level(seeds), verdict == 0
        different = np.abs(mean) > stdtrit(seeds - 1, 1 - level / 2) * error
        equivalent = ~different & (np.abs(mean) + stdtrit(seeds - 1, 1 - level) * error < smallest)
        verdict[going] = np.where(different, np.sign(mean), 2 * equivalent)[going]
        pairs[going & (verdict != 0)] = seeds
    return verdict, pairs


@pytest.mark.parametrize("sweeps", [12, pytest.param(120, marks=pytest.mark.slow)])
def test_the_simulated_rule_is_the_one_of_the_code(ablation: Ablation, sweeps: int) -> None:
    random, seen = default_rng(19), set()
    ablation = replace(ablation, smallest_effect=1.5)
    for _ in range(sweeps):
        scores = simulated(random, "normal", [0.0, random.normal(0, 6), 1.5], 10, 0.7)
        table = swept(ablation, scores)
        verdict, pairs = by_rule(scores["value"].to_numpy().reshape(1, 4, 10), 1.5)
        assert table["verdict"].map(CODES).tolist() == verdict[0].tolist()
        assert table["n"].tolist() == pairs[0].tolist()
        seen |= set(table["verdict"])
    assert seen == set(CODES)


@pytest.mark.parametrize("last", [10, 20])
@pytest.mark.parametrize("variants", [1, 2, 5])
@pytest.mark.parametrize("noise", NOISE)
def test_false_differences_of_the_rule(noise: str, variants: int, last: int) -> None:
    """No variant differs."""
    verdict, pairs = by_rule(NOISE[noise](default_rng(17), (20_000, variants + 1, last)), 0)
    false = (verdict != 0).any(1).mean()
    print(f"\n{noise}, 20,000 sweeps, {variants} variants, 3 to {last} seeds: {false:.4f} with a false verdict")
    assert false <= 0.06 and pairs.max() == last and pairs.min() < 6


@pytest.mark.parametrize("variants", [1, 3])
def test_false_equivalence_of_the_rule(variants: int) -> None:
    """Every true difference is exactly the smallest effect; with none and little noise, equivalence is found.

    The noise is the worst for this rule: with less, the difference is significant, with more, nothing is decided.
    """
    random = default_rng(18)
    rates = {}
    for scale in (0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2):
        scores = scale * random.standard_normal((20_000, variants + 1, 10))
        scores[:, 1:] += 1
        rates[scale] = (by_rule(scores, 1)[0] == 2).any(1).mean()
    worst = max(rates, key=lambda scale: rates[scale])
    print(f"\n20,000 sweeps, {variants} variants at the smallest effect: at most {rates[worst]:.4f} falsely equivalent")
    assert rates[worst] <= 0.06 and 0.4 < worst < 1.2
    assert (by_rule(0.2 * random.standard_normal((1000, 2, 10)), 1)[0] == 2).mean() > 0.9

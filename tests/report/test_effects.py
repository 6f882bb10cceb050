"""Effects and verdicts of an ablation, worked out by hand, and the sentences that state them."""

from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame
from scored import row

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report import effects as effects_module
from stargan_lab.report.collect_runs import as_frame
from stargan_lab.report.effects import ALPHA, INTERVAL, effect_table, effects, sentences


def said(ablation: Ablation, runs: DataFrame) -> list[str]:
    return sentences(ablation, runs, effects(ablation, runs, ablation.primary))


def test_the_interval_is_named_after_its_level() -> None:
    assert INTERVAL == "95% interval" and ALPHA == 0.05
    package = Path(effects_module.__file__).parent
    sources = [*package.rglob("*.py"), *package.rglob("*.j2")]
    assert len(sources) > 20 and not [path.name for path in sources if "95%" in path.read_text()]


def test_effects_by_hand(ablation: Ablation, runs: DataFrame) -> None:
    table = effects(ablation, runs, "eval/edit").set_index("variant")
    # instance: differences .2 .1 .2, mean 1/6, sd .057735; Student's t with 2 degrees of freedom at .0125: 6.2053
    instance = table.loc["instance"]
    assert instance["effect"] == pytest.approx(1 / 6)
    assert (instance["ci_low"], instance["ci_high"]) == pytest.approx((-0.040172, 0.373506), abs=1e-5)
    assert (instance["p_value"], instance["p_adjusted"]) == pytest.approx((0.037750, 0.075500), abs=1e-5)
    assert (instance["n"], instance["verdict"], instance["baseline"]) == (3, "undecided", "none")
    layer = table.loc["layer"]  # seed 3 failed
    assert (layer["n"], layer["failures"], layer["effect"]) == (2, 1, pytest.approx(-0.05))


def test_an_unfinished_run_is_missing_and_not_a_failure(ablation: Ablation, runs: DataFrame) -> None:
    runs.loc[8, "status"] = "interrupted"
    assert effects(ablation, runs, "eval/edit").set_index("variant").loc["layer", "failures"] == 0


def test_a_variant_without_runs_is_undecided_and_not_failed(ablation: Ablation, runs: DataFrame) -> None:
    table = effects(ablation, runs[runs["variant"] != "layer"], "eval/edit").set_index("variant")
    assert (table.loc["layer", "verdict"], table.loc["layer", "n"], table.loc["layer", "failures"]) == (
        "undecided",
        0,
        0,
    )
    assert table.loc["instance", "n"] == 3
    alone = effects(ablation, runs[runs["variant"] == "layer"], "eval/edit")
    assert list(alone["verdict"]) == ["undecided"] * 2 and list(alone["baseline"]) == ["none"] * 2


def many(ablation: Ablation, effect: float) -> tuple[Ablation, DataFrame]:
    """Six seeds whose differences are ``effect`` plus or minus 0.01."""
    noise = [0.01, -0.01] * 3
    rows = [row("none", seed, **{"eval/edit": 0.5 + seed}) for seed in range(6)]
    rows += [row("layer", seed, **{"eval/edit": 0.5 + seed + effect + noise[seed]}) for seed in range(6)]
    variants = {name: ablation.variants[name] for name in ("none", "layer")}
    smaller = replace(ablation, variants=variants, seeds=tuple(range(6)), expected={"layer": "better"})
    return smaller, as_frame([each | {"protocol": "p1"} for each in rows])


@pytest.mark.parametrize(
    ("effect", "expected", "sentence"),
    [
        (
            0.3,
            "better",
            "layer is better than none (Δ edit +0.300, 95% interval [+0.289, +0.311], n = 6, protocol p1).",
        ),
        (
            -0.3,
            "worse",
            "layer is worse than none (Δ edit -0.300, 95% interval [-0.311, -0.289], n = 6, protocol p1).",
        ),
    ],
)
def test_sentences_name_effect_interval_n_and_protocol(
    ablation: Ablation, effect: float, expected: str, sentence: str
) -> None:
    ablation, runs = many(ablation, effect)
    answers = {"better": "Expected: better; confirmed.", "worse": "Expected: better; contradicted."}
    assert said(ablation, runs) == [f"{sentence} {answers[expected]}"]


def test_equivalence_needs_a_smallest_effect(ablation: Ablation) -> None:
    ablation, runs = many(ablation, 0.0)
    assert said(ablation, runs)[0].startswith("layer vs. none is undecided")
    ablation = replace(ablation, smallest_effect=0.05, expected={"layer": "same"})
    assert said(ablation, runs)[0].startswith("layer is equivalent to none (Δ edit 0.000")
    assert said(ablation, runs)[0].endswith("Expected: same; confirmed.")


@pytest.mark.parametrize(("effect", "verdict"), [(0.03, "better"), (-0.03, "worse")])
def test_a_difference_within_the_smallest_effect_is_said_to_be_small(
    ablation: Ablation, effect: float, verdict: str
) -> None:
    """The interval is 0.03 ± 0.011."""
    ablation, runs = many(ablation, effect)
    for smallest, small in ((0.05, True), (0.04, False)):
        ablation = replace(ablation, smallest_effect=smallest)
        table = effects(ablation, runs, "eval/edit")
        assert list(table["verdict"]) == [verdict]
        cell = effect_table(ablation, runs, "eval/edit", table).loc["layer", "verdict"]
        assert cell == verdict + (", by less than 0.05" if small else "")
        addition = ", but by less than the smallest effect of interest (0.05)" if small else ""
        assert said(ablation, runs)[0].startswith(f"layer is {verdict} than none{addition} (Δ edit ")


def test_table_and_sentence_say_how_many_seeds_an_undecided_variant_needs(ablation: Ablation) -> None:
    """To detect 0.008 and 0.001 at noise of 0.011: about 17 seeds, and more than 100."""
    for smallest, needed in ((0.008, "about 17"), (0.001, "more than 100")):
        small, runs = many(replace(ablation, smallest_effect=smallest), 0.0)
        table = effects(small, runs, "eval/edit")
        assert effect_table(small, runs, "eval/edit", table).loc["layer", "seeds needed"] == needed
        assert f"undecided; {needed} seeds in total are needed to decide it (" in said(small, runs)[0]
    decided, runs = many(replace(ablation, smallest_effect=0.001), 0.3)
    table = effects(decided, runs, "eval/edit")
    assert table["seeds_needed"].notna().all()
    assert effect_table(decided, runs, "eval/edit", table).loc["layer", "seeds needed"] == "–"


def test_a_lower_distance_is_better(ablation: Ablation) -> None:
    ablation, runs = many(ablation, -0.3)
    runs["eval/frechet_classifier"] = runs["eval/edit"]
    ablation = replace(ablation, primary="eval/frechet_classifier")
    assert said(ablation, runs)[0].startswith("layer is better than none")


def test_variants_with_their_own_baseline_are_corrected_together(ablation: Ablation, runs: DataFrame) -> None:
    alone = effects(ablation, runs, "eval/edit").set_index("variant")
    matched = replace(ablation, matched={"layer": "instance"})
    table = effects(matched, runs, "eval/edit").set_index("variant")
    assert list(table["baseline"]) == ["none", "instance"]
    assert table.loc["instance", "p_adjusted"] == pytest.approx(alone.loc["instance", "p_adjusted"])
    assert table.loc["instance", "ci_low"] == pytest.approx(alone.loc["instance", "ci_low"])
    assert table.loc["layer", "effect"] == pytest.approx(-0.2)  # .4 - .7 and .6 - .7
    assert "compared with" in effect_table(matched, runs, "eval/edit", table.reset_index())


def test_a_variant_without_any_run_has_no_pairs(ablation: Ablation, runs: DataFrame) -> None:
    runs = runs[runs["variant"] != "layer"]
    table = effect_table(ablation, runs, "eval/edit", effects(ablation, runs, "eval/edit"))
    assert list(table.loc["layer", ["pairs", "95% interval"]]) == ["0", "–"]

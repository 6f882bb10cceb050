"""Main effects and interactions of a grid, computed by hand."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from pandas import DataFrame
from scored import row

from stargan_lab.ablation.spec import Ablation, grid_cells
from stargan_lab.report.collect_runs import as_frame
from stargan_lab.report.effects import effects, grid_tables, sentences
from stargan_lab.report.factorial import NO_INTERACTION, interactions, main_effects


def grid(factors: dict[str, tuple[str, ...]], baseline: dict[str, str]) -> Ablation:
    variants = grid_cells({factor: {level: () for level in levels} for factor, levels in factors.items()})
    return Ablation(
        name="grid",
        title="",
        claim="",
        source="",
        base=(),
        baseline=" ".join(f"{factor}={level}" for factor, level in baseline.items()),
        variants=variants,
        seeds=(0, 1),
        primary="eval/edit",
        expected={},
        factors=factors,
        baseline_levels=baseline,
    )


def effect(frame: DataFrame, variant: str, baseline: str) -> list[float]:
    """Paired differences per seed."""
    table = frame.pivot(index="seed", columns="variant", values="value")
    return list(table[variant] - table[baseline])


def test_two_by_two_by_hand() -> None:
    """Penalty helps by 4 without a norm and by 1 with it, in seed 0; by 2 and 6 in seed 1."""
    ablation = grid({"norm": ("none", "instance"), "penalty": ("none", "gp")}, {"norm": "none", "penalty": "none"})
    values = DataFrame([[1.0, 5.0, 3.0, 4.0], [0.0, 2.0, 1.0, 7.0]], index=[0, 1], columns=list(ablation.variants))
    assert list(values) == [
        "norm=none penalty=none",
        "norm=none penalty=gp",
        "norm=instance penalty=none",
        "norm=instance penalty=gp",
    ]
    found = main_effects(ablation, values)
    assert effect(found["norm"], "norm=instance", "norm=none") == [0.5, 3.0]  # (2 - 1) / 2, (1 + 5) / 2
    assert effect(found["penalty"], "penalty=gp", "penalty=none") == [2.5, 4.0]  # (4 + 1) / 2, (2 + 6) / 2
    (frame,) = interactions(ablation, values).values()
    assert effect(frame, "norm=instance × penalty=gp", NO_INTERACTION) == [-3.0, 4.0]  # 1 - 4, 6 - 2


def test_baselines_need_not_come_first_and_swapping_one_flips_the_sign() -> None:
    factors = {"norm": ("none", "instance"), "penalty": ("none", "gp")}
    ablation = grid(factors, {"norm": "none", "penalty": "gp"})
    values = DataFrame([[1.0, 5.0, 3.0, 4.0]], index=[7], columns=list(ablation.variants))
    (frame,) = interactions(ablation, values).values()
    assert effect(frame, "norm=instance × penalty=none", NO_INTERACTION) == [3.0]
    assert set(frame["seed"]) == {7}


def test_additive_factors_have_their_effects_and_no_interaction() -> None:
    factors = {"a": ("0", "1", "2"), "b": ("0", "1"), "c": ("0", "1")}
    ablation = grid(factors, dict.fromkeys(factors, "0"))
    add = {"a": {"0": 0, "1": 3, "2": -1}, "b": {"0": 0, "1": 10}, "c": {"0": 0, "1": 100}}
    row = [sum(add[f][level] for f, level in zip(factors, cell, strict=True)) for cell in product(*factors.values())]
    values = DataFrame([row], index=[0], columns=list(ablation.variants), dtype=float)
    for factor, frame in main_effects(ablation, values).items():
        for level in factors[factor][1:]:
            assert effect(frame, f"{factor}={level}", f"{factor}=0") == [pytest.approx(add[factor][level])]
    found = interactions(ablation, values)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(np.allclose(frame["value"], 0) for frame in found.values())
    assert sorted(set(found["a", "b"]["variant"])) == ["a=1 × b=1", "a=2 × b=1", NO_INTERACTION]
    values["a=2 b=1 c=1"] += 8  # in one of the two levels of c
    frame = interactions(ablation, values)["a", "b"]
    assert effect(frame, "a=2 × b=1", NO_INTERACTION) == [pytest.approx(4)]


def test_seeds_without_every_cell_are_left_out() -> None:
    ablation = grid({"a": ("0", "1"), "b": ("0", "1")}, {"a": "0", "b": "0"})
    values = DataFrame([[1.0, 2, 3, 4], [1, 2, 3, None]], index=[0, 1], columns=list(ablation.variants))
    assert set(main_effects(ablation, values)["a"]["seed"]) == {0}
    (frame,) = interactions(ablation, values.iloc[1:]).values()
    assert frame.empty


def test_a_failed_cell_fails_its_levels_for_that_seed() -> None:
    ablation = grid({"a": ("0", "1"), "b": ("0", "1")}, {"a": "0", "b": "0"})
    rows = [
        row(v, seed, status="failed" if (v, seed) == ("a=1 b=0", 1) else "finished", **{"eval/edit": float(seed)})
        for v in ablation.variants
        for seed in range(3)
    ]
    tables = grid_tables(replace(ablation, primary="eval/edit"), as_frame(rows), "eval/edit")
    assert tables["Main effect of a, relative to 0"].loc["a=1", "verdict"] == "undecided (1 failed)"
    assert tables["Main effect of b, relative to 0"].loc["b=1", "pairs"] == "2"  # b=0 failed for that seed
    assert tables["Interaction of a and b, relative to 0 and 0"].loc["a=1 × b=1", "verdict"] == "undecided (1 failed)"


def test_verdicts_on_contrasts_use_the_smallest_effect_and_what_is_expected() -> None:
    """The penalty has no effect without a norm and one of 0.3 with it, up to noise of 0.002."""
    ablation = replace(
        grid({"norm": ("none", "instance"), "penalty": ("none", "gp")}, {"norm": "none", "penalty": "none"}),
        smallest_effect=0.05,
        expected={"norm=instance × penalty=gp": "better", "norm=instance": "worse"},
    )
    noise = np.random.default_rng(0).normal(0, 0.002, (6, 4))
    rows = [
        row(v, seed, protocol="p1", **{"eval/edit": 0.5 + 0.3 * (v == "norm=instance penalty=gp") + noise[seed, index]})
        for index, v in enumerate(ablation.variants)
        for seed in range(6)
    ]
    runs = as_frame(rows)
    tables = grid_tables(ablation, runs, "eval/edit")
    interaction = tables["Interaction of norm and penalty, relative to none and none"]
    assert list(interaction.loc["norm=instance × penalty=gp", ["verdict", "expected"]]) == ["better", "better"]
    assert "expected" not in tables["Main effect of penalty, relative to none"]
    said = sentences(ablation, runs, effects(ablation, runs, "eval/edit"))[len(ablation.variants) - 1 :]
    assert [text.partition(" (Δ")[0] for text in said] == [
        "norm=instance (averaged over penalty) is better than norm=none",
        "penalty=gp (averaged over norm) is better than penalty=none",
        "The effect of norm=instance with penalty=gp is better than that with penalty=none",
    ]
    assert ", n = 6, protocol p1). Expected: better; confirmed." in said[2] and "[+0.2" in said[2]
    assert said[0].endswith("Expected: worse; contradicted.") and said[1].endswith("protocol p1).")
    flat = runs.assign(**{"eval/edit": runs["eval/edit"] - 0.3 * (runs["variant"] == "norm=instance penalty=gp")})
    verdict = {name: table["verdict"].iloc[0] for name, table in grid_tables(ablation, flat, "eval/edit").items()}
    assert set(verdict.values()) == {"equivalent"}  # without a smallest effect, they would be undecided

"""Presets, arms with their own baseline, grids, secondary metrics and expectations per variant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stargan_lab.ablation.execute import distinct, dry_run, status_table
from stargan_lab.ablation.plan import plan
from stargan_lab.ablation.spec import Ablation, load
from stargan_lab.cli.main import main
from stargan_lab.errors import ConfigError

NAMED: dict[str, Any] = {
    "claim": "Clipping is worse.",
    "base": ["preset=tiny"],
    "baseline": "gp",
    "variants": {
        "gp": ["lipschitz=gp"],
        "gp, rmsprop": ["lipschitz=gp", "optimizer=rmsprop"],
        "clip": {"overrides": ["lipschitz=clip", "optimizer=rmsprop"], "baseline": "gp, rmsprop"},
        "none": {"overrides": ["lipschitz=none"]},
    },
    "seeds": [0, 1, 2],
    "primary": "eval/edit",
    "secondary": ["eval/leak", "eval/edit/Male"],
    "expected": {"clip": "worse", "none": "same"},
    "smallest_effect": 0.05,
}
GRID: dict[str, Any] = {
    "claim": "A norm replaces the penalty.",
    "base": ["preset=tiny"],
    "grid": {
        "norm": {"none": ["discriminator.norm=none"], "layer": ["discriminator.norm=layer"]},
        "penalty": {"gp": ["lipschitz=gp"], "clip": ["lipschitz=clip", "optimizer=rmsprop"]},
    },
    "baseline": {"penalty": "gp", "norm": "none"},
    "seeds": [0],
    "primary": "eval/edit",
    "expected": {"norm=layer penalty=gp": "same"},
}
SCALED = NAMED | {
    "presets": {
        "small": ["preset=quickstart", "total_steps=50"],
        "large": {
            "overrides": ["preset=small"],
            "variants": {"none": ["lipschitz=none", "n_critic=3"]},
            "seeds": [7],
            "primary": "eval/accuracy",
            "secondary": [],
            "smallest_effect": 1,
        },
    }
}


@pytest.fixture
def loaded(here: Path):
    def load_content(content: dict[str, Any], preset: str | None = None, name: str = "mine") -> Ablation:
        (here / "experiments").mkdir(exist_ok=True)
        (here / "experiments" / "mine.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load(name, preset)

    return load_content


def test_variants_may_have_their_own_baseline(loaded) -> None:
    ablation = loaded(NAMED)
    assert ablation.variants["clip"] == ("lipschitz=clip", "optimizer=rmsprop")
    assert ablation.comparisons() == {"gp": ["gp, rmsprop", "none"], "gp, rmsprop": ["clip"]}


def test_expectations_metrics_and_smallest_effect(loaded) -> None:
    ablation = loaded(NAMED)
    assert ablation.expected == {"gp, rmsprop": "unknown", "clip": "worse", "none": "same"}
    assert ablation.secondary == ("eval/leak", "eval/edit/Male") and ablation.smallest_effect == 0.05
    assert loaded(NAMED | {"expected": "worse"}).expected == dict.fromkeys(("gp, rmsprop", "clip", "none"), "worse")


def test_expectations_about_the_contrasts_of_a_grid(loaded) -> None:
    expected = {"penalty": "same", "norm × penalty": "worse"}
    assert loaded(GRID | {"expected": expected}).expected == {
        **dict.fromkeys(("norm=none penalty=clip", "norm=layer penalty=gp", "norm=layer penalty=clip"), "unknown"),
        "penalty=clip": "same",
        "norm=layer × penalty=clip": "worse",
    }
    one_row = loaded(GRID | {"expected": {"norm=layer × penalty=clip": "better"}})
    assert one_row.expected["norm=layer × penalty=clip"] == "better" and "penalty=clip" not in one_row.expected
    assert set(loaded(GRID | {"expected": "same"}).expected) == set(one_row.variants) - {one_row.baseline}


def test_grid_is_the_product_of_its_factors(loaded) -> None:
    ablation = loaded(GRID)
    assert list(ablation.variants.items()) == [
        ("norm=none penalty=gp", ("discriminator.norm=none", "lipschitz=gp")),
        ("norm=none penalty=clip", ("discriminator.norm=none", "lipschitz=clip", "optimizer=rmsprop")),
        ("norm=layer penalty=gp", ("discriminator.norm=layer", "lipschitz=gp")),
        ("norm=layer penalty=clip", ("discriminator.norm=layer", "lipschitz=clip", "optimizer=rmsprop")),
    ]
    assert ablation.baseline == "norm=none penalty=gp"
    assert ablation.factors == {"norm": ("none", "layer"), "penalty": ("gp", "clip")}
    assert ablation.baseline_levels == {"norm": "none", "penalty": "gp"}
    assert ablation.expected["norm=layer penalty=gp"] == "same"
    cells = plan(ablation)
    assert [cell.config.optimizer.name for cell in cells] == ["adam", "rmsprop"] * 2
    assert len(distinct(cells)) == 4


def test_preset_sets_scale_and_name(loaded) -> None:
    first = loaded(SCALED)
    assert (first.name, first.preset, first.presets) == ("mine.small", "small", ("small", "large"))
    assert first.base == ("preset=tiny", "preset=quickstart", "total_steps=50")
    assert (first.seeds, first.primary) == ((0, 1, 2), "eval/edit")
    large = loaded(SCALED, "large")
    assert large == load("mine.large") == load("mine.large", "large")
    assert (large.name, large.seeds, large.primary, large.secondary) == ("mine.large", (7,), "eval/accuracy", ())
    assert large.smallest_effect == 1.0
    assert large.variants["none"] == ("lipschitz=none", "n_critic=3") and first.variants["none"] == ("lipschitz=none",)


def test_runs_of_two_presets_have_different_tags_and_ids(loaded) -> None:
    small, large = plan(loaded(SCALED), ["seed=7"]), plan(loaded(SCALED, "large"))
    assert [cell.config.tracking.ablations for cell in small] == [{"mine.small": cell.variant} for cell in small]
    assert [cell.config.tracking.ablations for cell in large] == [{"mine.large": cell.variant} for cell in large]
    assert not {cell.run_id for cell in small} & {cell.run_id for cell in large}
    assert {cell.config.total_steps for cell in small} == {50}  # the preset's override comes after the base's


def test_sweep_selects_a_preset_and_prints_it(loaded, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(SCALED)
    assert main(["sweep", "mine", "--dry-run", "seed=0"]) == 0
    output = capsys.readouterr()
    assert "preset small (available: small, large)" in output.err
    assert "total_steps=50" in output.out
    assert main(["sweep", "mine", "--preset", "large", "--dry-run"]) == 0
    output = capsys.readouterr()
    assert "preset large" in output.err and output.out.count("preset=small") == 4


SAME = GRID | {
    "grid": {"depth": {"1": ["discriminator.depth=1"], "2": []}, "norm": GRID["grid"]["norm"]},
    "baseline": {"depth": "2", "norm": "none"},
    "expected": "unknown",
}
"""With depth 1 no layer has a norm, so two cells are one run."""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_equal_cells_of_a_grid_are_one_run_with_both_names(loaded) -> None:
    cells = plan(loaded(SAME))
    one, other = (cell for cell in cells if "depth=1" in cell.variant)
    assert one.run_id == other.run_id
    both = {"mine": "depth=1 norm=none, depth=1 norm=layer"}
    assert one.config.tracking.ablations == other.config.tracking.ablations == both
    assert [cell.variant for cell in distinct(cells)] == [
        "depth=1 norm=none",
        "depth=2 norm=none",
        "depth=2 norm=layer",
    ]
    *lines, left = dry_run(cells).splitlines()
    assert len(lines) == 4 and left.startswith("3 runs left")
    assert status_table(cells).endswith("3 planned")


def test_equal_arms_may_share_a_run_unless_they_are_compared(loaded) -> None:
    variants = {"gp": [], "rms": ["optimizer=rmsprop"], "again": {"baseline": "rms", "overrides": ["lipschitz=gp"]}}
    cells = plan(loaded(NAMED | {"variants": variants, "expected": "same"}), ["seed=0"])
    assert cells[0].run_id == cells[2].run_id and cells[0].config.tracking.ablations == {"mine": "gp, again"}
    variants |= {"again": {"baseline": "rms", "overrides": ["optimizer=rmsprop"]}}
    with pytest.raises(ConfigError, match="mine: variants rms and again have the same configuration"):
        plan(loaded(NAMED | {"variants": variants, "expected": "same"}), ["seed=0"])


def _variants(**changes: Any) -> dict[str, Any]:
    return NAMED | {"variants": NAMED["variants"] | changes}


def _preset(value: Any) -> dict[str, Any]:
    return NAMED | {"presets": {"small": value}}


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "both forms": (NAMED | {"grid": GRID["grid"]}, ["variants: expected either variants or grid"]),
    "key of a variant": (_variants(none={"override": []}), ["variants.none.override: unknown key", "'overrides'"]),
    "own baseline": (_variants(none={"baseline": "gb"}), ["variants.none.baseline: unknown variant 'gb'", "'gp'"]),
    "itself as baseline": (_variants(none={"baseline": "none"}), ["variants.none.baseline: unknown variant 'none'"]),
    "baseline's baseline": (_variants(gp={"baseline": "none"}), ["variants.gp.baseline: gp is the baseline"]),
    "boolean name": (_variants(**{"x": []}) | {"variants": {True: [], "gp": []}}, ["variants", "True", "quotes"]),
    "expected for another name": (
        NAMED | {"expected": {"clib": "worse"}},
        ["expected: unknown variant 'clib'", "clip"],
    ),
    "expected for another contrast": (
        GRID | {"expected": {"norm x penalty": "worse"}},
        ["expected: unknown variant or contrast 'norm x penalty'", "did you mean 'norm × penalty'?"],
    ),
    "expected for the baseline": (NAMED | {"expected": {"gp": "same"}}, ["expected: unknown variant 'gp'"]),
    "expected outcome": (NAMED | {"expected": {"clip": "wors"}}, ["expected.clip: unknown outcome", "'worse'"]),
    "secondary": (NAMED | {"secondary": "eval/leak"}, ["secondary: expected a list of metrics"]),
    "primary twice": (NAMED | {"secondary": ["eval/edit"]}, ["secondary: duplicate metric 'eval/edit'"]),
    "no effect": (NAMED | {"smallest_effect": 0}, ["smallest_effect: expected a number > 0, got 0"]),
    "effect as text": (NAMED | {"smallest_effect": "small"}, ["smallest_effect", "'small'"]),
    "factor without levels": (GRID | {"grid": {"a": {"1": []}, "b": {}}}, ["grid.a: expected at least two levels"]),
    "one factor": (GRID | {"grid": {"norm": GRID["grid"]["norm"]}}, ["grid: expected at least two factors"]),
    "level": (GRID | {"grid": GRID["grid"] | {"x": {"1": [], "2": ["y"]}}}, ["grid.x.2: 'y'", "key=value"]),
    "baseline as text": (GRID | {"baseline": "norm=none"}, ["baseline: expected a level of each factor"]),
    "baseline's factor": (GRID | {"baseline": {"nrom": "none"}}, ["baseline.nrom: unknown key", "'norm'"]),
    "baseline's level": (GRID | {"baseline": {"norm": "lyer"}}, ["baseline.norm: unknown level 'lyer'", "'layer'"]),
    "baseline incomplete": (GRID | {"baseline": {"norm": "none"}}, ["baseline.penalty: missing"]),
    "presets as list": (NAMED | {"presets": ["small"]}, ["presets: expected a mapping"]),
    "preset's name": (NAMED | {"presets": {"it's": []}}, ["presets.it's: the name becomes part of a tag in MLflow"]),
    "preset's override": (_preset(["preset"]), ["presets.small: 'preset'", "key=value"]),
    "preset's key": (_preset({"seed": [1]}), ["presets.small.seed: unknown key", "'seeds'"]),
    "preset's seeds": (_preset({"seeds": [1, 1]}), ["presets.small.seeds: duplicate seed"]),
    "preset's effect": (_preset({"smallest_effect": -1}), ["presets.small.smallest_effect: expected a number > 0"]),
    "preset's variant": (_preset({"variants": {"clib": []}}), ["presets.small.variants: unknown variant", "'clip'"]),
    "preset of a grid": (
        GRID | {"presets": {"s": {"variants": {"norm": []}}}},
        ["presets.s.variants: not allowed for a grid"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_file_is_refused_in_one_line(loaded, case: str) -> None:
    content, expected = BAD[case]
    with pytest.raises(ConfigError) as caught:
        loaded(content)
    message = str(caught.value)
    assert "\n" not in message
    for part in [str(Path("experiments", "mine.yaml")), *expected]:
        assert part in message, message


HYDRA = (
    "hydra.launcher.setup=['touch pwned']",
    "++hydra.launcher.setup=['touch pwned']",
    "hydra.sweep.dir=/elsewhere",
    "hydra={sweep: {dir: /elsewhere}}",
    "+hydra.callbacks.mine={_target_: os.abort}",
    "hydra.searchpath=[file:///elsewhere]",
    "hydra/sweeper=basic",
    "hydra/launcher@hydra.sweep=joblib",
    "+optimizer@hydra.launcher=adam",
    "~hydra.launcher",
)
PLACES: dict[str, Any] = {
    "base": lambda override: NAMED | {"base": ["preset=tiny", override]},
    "variants.none": lambda override: NAMED | {"variants": NAMED["variants"] | {"none": [override]}},
    "grid.norm.layer": lambda override: GRID | {"grid": GRID["grid"] | {"norm": {"none": [], "layer": [override]}}},
    "presets.small": lambda override: SCALED | {"presets": {"small": [override]}},
    "presets.large.overrides": lambda override: SCALED | {"presets": {"large": {"overrides": [override]}}},
    "presets.large.variants.none": lambda override: SCALED | {"presets": {"large": {"variants": {"none": [override]}}}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("override", HYDRA)
def test_a_file_sets_none_of_hydras_keys_but_the_launcher(loaded, place: str, override: str) -> None:
    """Others can run shell commands in a job, or write outside the outputs directory."""
    with pytest.raises(ConfigError) as caught:
        loaded(PLACES[place](override))
    message = str(caught.value)
    assert f"mine.yaml: {place}: hydra" in message or f"mine.yaml: {place}: optimizer@hydra" in message
    assert message.endswith(
        "only hydra/launcher and hydra.launcher.n_jobs may be set, in base; put others on the command line"
    )


def test_a_file_may_choose_a_launcher(loaded) -> None:
    chosen = ("hydra/launcher=submitit_slurm", "hydra.launcher.n_jobs=2", "paths.outputs=hydra")
    assert loaded(NAMED | {"base": list(chosen)}).base == chosen


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("override", ["hydra/launcher=basic", "hydra.launcher.n_jobs=2", "++hydra.launcher.n_jobs=2"])
def test_a_variant_may_not_choose_a_launcher(loaded, place: str, override: str) -> None:
    """It would have no effect: one launcher trains all runs."""
    if "variants" not in place and "grid" not in place:
        loaded(PLACES[place](override))
        return
    with pytest.raises(ConfigError) as caught:
        loaded(PLACES[place](override))
    target = override.lstrip("+").partition("=")[0]
    problem = f"{target}: is the same for all runs; set it in base or on the command line"
    assert str(caught.value) == f"{Path('experiments', 'mine.yaml')}: {place}: {problem}"


def test_a_file_name_that_no_tag_may_have_is_refused(here: Path) -> None:
    (here / "experiments").mkdir()
    (here / "experiments" / "it's.yaml").write_text(yaml.safe_dump(NAMED))
    with pytest.raises(ConfigError, match=r"it's\.yaml: the name becomes part of a tag in MLflow.*; rename the file$"):
        load("it's")


@pytest.mark.parametrize(
    ("content", "name", "preset", "expected"),
    [
        (SCALED, "mine", "lagre", ["mine.yaml: presets: unknown preset 'lagre'; did you mean 'large'?"]),
        (SCALED, "mine.lagre", None, ["mine.yaml: presets: unknown preset 'lagre'; did you mean 'large'?"]),
        (SCALED, "mine.small", "large", ["--preset: large contradicts mine.small"]),
        (NAMED, "mine", "large", ["mine.yaml: presets: the file has none; got 'large'"]),
        (NAMED, "yours.large", None, ["unknown ablation 'yours.large'"]),
    ],
)
def test_wrong_preset_is_refused_in_one_line(loaded, content, name, preset, expected) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(content, preset, name)
    for part in expected:
        assert part in str(caught.value)


def test_unknown_secondary_metric_is_refused(loaded) -> None:
    with pytest.raises(ConfigError, match=r"mine: secondary: metric 'eval/laek' .*'eval/leak'"):
        plan(loaded(NAMED | {"secondary": ["eval/laek"]}), ["seed=0"])


def test_list_shows_every_ablation_and_what_is_wrong_with_a_file(loaded, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(SCALED)
    Path("experiments", "broken.yaml").write_text("claim: c\n")
    assert main(["list", "ablations"]) == 0
    blocks = dict(block.split("\n", 1) for block in capsys.readouterr().out.split("\n\n") if "\n" in block)
    assert blocks["mine   (--preset small, large)"] == "  mine\n    Clipping is worse."
    assert "broken.yaml: baseline: missing" in blocks["broken"]
    assert "Discriminator norm on SynthFaces" in blocks["quickstart"]

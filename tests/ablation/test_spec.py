"""Ablation files: one-line errors, files in ./experiments, and the plan of cells."""

from pathlib import Path
from typing import Any

import pytest
import stargan_lab.experiments
import yaml

from stargan_lab.ablation.plan import plan
from stargan_lab.ablation.spec import Ablation, available, load
from stargan_lab.errors import ConfigError

PACKAGED = sorted(path.stem for path in Path(next(iter(stargan_lab.experiments.__path__))).glob("*.yaml"))

GOOD: dict[str, Any] = {
    "title": "A title",
    "claim": "Layer norm is better.\n",
    "source": "somebody",
    "base": ["preset=tiny"],
    "baseline": "plain",
    "variants": {"plain": ["discriminator.norm=none"], "layer": ["discriminator.norm=layer"]},
    "seeds": [3, 0],
    "primary": "eval/edit",
    "expected": "better",
}


def write(folder: Path, content: str | bytes | dict[str, Any], name: str = "mine") -> Path:
    path = folder / "experiments" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, dict):
        content = yaml.safe_dump(content, sort_keys=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in GOOD.items() if k != key}


def test_reads_every_key(here: Path) -> None:
    write(here, GOOD)
    assert load("mine") == Ablation(
        name="mine",
        title="A title",
        claim="Layer norm is better.",
        source="somebody",
        base=("preset=tiny",),
        baseline="plain",
        variants={"plain": ("discriminator.norm=none",), "layer": ("discriminator.norm=layer",)},
        seeds=(3, 0),
        primary="eval/edit",
        expected={"layer": "better"},
    )


def test_optional_keys_have_defaults(here: Path) -> None:
    short = {key: GOOD[key] for key in ("claim", "baseline", "variants", "seeds", "primary")}
    write(here, short)
    ablation = load("mine")
    assert (ablation.title, ablation.source, ablation.base, ablation.expected) == ("mine", "", (), {"layer": "unknown"})


def test_variants_keep_the_order_of_the_file_and_may_be_empty(here: Path) -> None:
    write(here, GOOD | {"variants": {"z": [], "plain": ["seed=1"], "a": ["~imports"]}})
    assert list(load("mine").variants.items()) == [("z", ()), ("plain", ("seed=1",)), ("a", ("~imports",))]


BAD: dict[str, tuple[str | bytes | dict[str, Any], list[str]]] = {
    "not a mapping": ("just text", ["expected the keys", "claim"]),
    "broken YAML": ("claim: [a\nvariants: {", ["invalid YAML"]),
    "not UTF-8": (b"claim: \xff\xfe", ["invalid YAML"]),
    "impossible date": ("title: 2024-02-31\n" + yaml.safe_dump(without("title")), ["invalid YAML"]),
    "unknown key": (GOOD | {"varaints": {}}, ["varaints: unknown key", "did you mean 'variants'?", "allowed: title"]),
    "number as key": (GOOD | {7: 1}, ["7: unknown key", "allowed: title, claim"]),
    "no claim": (without("claim"), ["claim: missing"]),
    "no seeds": (without("seeds"), ["seeds: missing"]),
    "empty primary": (GOOD | {"primary": None}, ["primary: missing"]),
    "list of variants": (GOOD | {"variants": ["plain"]}, ["variants: expected at least two"]),
    "one variant": (GOOD | {"variants": {"plain": []}}, ["variants: expected at least two"]),
    "unknown baseline": (GOOD | {"baseline": "plian"}, ["baseline", "'plian'", "did you mean 'plain'?", "layer"]),
    "list as baseline": (GOOD | {"baseline": ["plain"]}, ["baseline: expected text"]),
    "one seed without a list": (GOOD | {"seeds": 3}, ["seeds: expected a list of integers"]),
    "negative seed": (GOOD | {"seeds": [-1]}, ["seeds: expected a list of integers"]),
    "boolean seed": (GOOD | {"seeds": [True]}, ["seeds: expected a list of integers"]),
    "duplicate seed": (GOOD | {"seeds": [0, 1, 0]}, ["seeds: duplicate seed in [0, 1, 0]"]),
    "unknown outcome": (GOOD | {"expected": "bettr"}, ["expected", "'bettr'", "'better'", "worse", "same", "unknown"]),
    "text as base": (GOOD | {"base": "preset=tiny"}, ["base", "a list of overrides", "'preset=tiny'"]),
    "number as override": (GOOD | {"base": [3]}, ["base", "a list of overrides"]),
    "invalid override": (
        GOOD | {"variants": {"plain": [], "layer": ["discriminator.norm"]}},
        ["variants.layer", "'discriminator.norm'", "key=value"],
    ),
    "duplicate variant": (
        "claim: c\nbaseline: a\nseeds: [0]\nprimary: eval/edit\nvariants:\n  a: []\n  b: [seed=1]\n  b: [n_critic=1]\n",
        ["duplicate key 'b'"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_file_is_refused_in_one_line(here: Path, case: str) -> None:
    content, expected = BAD[case]
    write(here, content)
    with pytest.raises(ConfigError) as caught:
        load("mine")
    message = str(caught.value)
    assert "\n" not in message
    for part in [str(Path("experiments", "mine.yaml")), *expected]:
        assert part in message, message


@pytest.mark.parametrize("name", ["quikstart", "../experiments/quickstart"])
def test_unknown_ablation_suggests_the_nearest(here: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="unknown ablation") as caught:
        load(name)
    assert "quickstart" in str(caught.value) and "\n" not in str(caught.value)


def test_local_files_are_added_and_override_packaged_ones(here: Path) -> None:
    assert list(available()) == PACKAGED
    write(here, GOOD)
    assert list(available()) == sorted([*PACKAGED, "mine"])
    packaged = load("quickstart")
    write(here, GOOD | {"title": "My own"}, "quickstart")
    assert load("quickstart").title == "My own" != packaged.title
    assert available()["quickstart"] == Path("experiments", "quickstart.yaml")


def test_plan_is_variants_by_seeds(here: Path) -> None:
    write(here, GOOD)
    cells = plan(load("mine"))
    assert [(cell.variant, cell.seed) for cell in cells] == [("plain", 3), ("plain", 0), ("layer", 3), ("layer", 0)]
    assert [cell.config.discriminator.options["norm"] for cell in cells] == ["none", "none", "layer", "layer"]
    assert [cell.config.seed for cell in cells] == [3, 0, 3, 0]
    assert len({cell.run_id for cell in cells}) == 4
    assert cells[0].title == "plain · seed 3"


def test_command_line_overrides_apply_to_every_cell(here: Path) -> None:
    write(here, GOOD)
    cells = plan(load("mine"), ["total_steps=7", "seed=5,1"])
    assert [cell.seed for cell in cells] == [5, 1, 5, 1]
    assert all(cell.config.total_steps == 7 for cell in cells)


@pytest.mark.parametrize(
    ("changes", "extra", "expected"),
    [
        ({}, ["discriminator.norm=group"], ["discriminator.norm: set by the variants of mine"]),
        ({}, ["seed=a"], ["seed", "'a'"]),
        ({}, ["seed=1,1"], ["seed: duplicate seed in 1,1"]),
        (
            {"variants": {"plain": [], "same": []}},
            [],
            ["mine", "plain and same have the same configuration; change or remove one"],
        ),
        ({"variants": {"plain": [], "bad": ["n_critc=3"]}}, [], ["mine, variant bad", "n_critc", "'n_critic'"]),
        ({"primary": "eval/edti"}, [], ["primary", "'eval/edti'", "'eval/edit'"]),
    ],
)
def test_invalid_plan_is_refused(here: Path, changes: dict[str, Any], extra: list[str], expected: list[str]) -> None:
    write(here, GOOD | changes)
    with pytest.raises(ConfigError) as caught:
        plan(load("mine"), extra)
    assert "\n" not in str(caught.value)
    for part in expected:
        assert part in str(caught.value), str(caught.value)


def test_variant_names_may_contain_any_character(here: Path) -> None:
    names = ["plain", "it's 5·2^d − 2, {odd}", "with = and , and $x", "null"]
    variants = {name: [f"n_critic={n}"] for n, name in enumerate(names, 1)}
    write(here, GOOD | {"variants": variants})
    cells = plan(load("mine"), ["seed=0"])
    assert [cell.config.tracking.ablations["mine"] for cell in cells] == names


def test_readme_example_can_be_planned(here: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = [part.split("```")[0] for part in readme.split("```yaml\n")[1:]]
    (here / "experiments").mkdir()
    (here / "experiments" / "mine.yaml").write_text(block)
    assert [cell.variant for cell in plan(load("mine"))] == ["planes"] * 3 + ["adain"] * 3

"""Experiment files: what is wrong is told in one line, one's own hide the shipped, every shipped one can be planned."""

from pathlib import Path
from typing import Any

import pytest
import stargan_lab.experiments
import yaml

from stargan_lab.ablation.plan import plan
from stargan_lab.ablation.spec import Ablation, available, load
from stargan_lab.errors import ConfigError
from stargan_lab.tracking.metrics import lookup

SHIPPED = sorted(path.stem for path in Path(next(iter(stargan_lab.experiments.__path__))).glob("*.yaml"))

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


def test_a_file_as_it_is_read(here: Path) -> None:
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
        expected="better",
    )


def test_what_may_be_left_out(here: Path) -> None:
    short = {key: GOOD[key] for key in ("claim", "baseline", "variants", "seeds", "primary")}
    write(here, short)
    found = load("mine")
    assert (found.title, found.source, found.base, found.expected) == ("mine", "", (), "unknown")


def test_variants_stay_in_the_order_of_the_file_and_may_be_empty(here: Path) -> None:
    write(here, GOOD | {"variants": {"z": [], "plain": ["seed=1"], "a": ["~imports"]}})
    assert list(load("mine").variants.items()) == [("z", ()), ("plain", ("seed=1",)), ("a", ("~imports",))]


BAD: dict[str, tuple[str | bytes | dict[str, Any], list[str]]] = {
    "no mapping": ("just text", ["expected the keys", "claim"]),
    "empty": ("", ["expected the keys"]),
    "a list": ("- a\n- b\n", ["expected the keys"]),
    "broken YAML": ("claim: [a\nvariants: {", ["not readable as YAML"]),
    "tabs": ("claim:\n\t- a", ["not readable as YAML"]),
    "not UTF-8": (b"claim: \xff\xfe", ["not readable as YAML"]),
    "an impossible date": ("title: 2024-02-31\n" + yaml.safe_dump(without("title")), ["YAML"]),
    "unknown key": (GOOD | {"varaints": {}}, ["'varaints'", "did you mean 'variants'?", "allowed: title, claim"]),
    "unknown key, nothing near": (GOOD | {"zzz": 1}, ["'zzz'", "allowed: title, claim"]),
    "a number as key": (GOOD | {7: 1}, ["7", "allowed: title, claim"]),
    **{f"no {key}": (without(key), [repr(key), "missing"]) for key in ("claim", "baseline", "variants", "primary")},
    "no seeds": (without("seeds"), ["'seeds'", "missing"]),
    "empty claim": (GOOD | {"claim": None}, ["claim"]),
    "empty primary": (GOOD | {"primary": None}, ["primary"]),
    "variants is a list": (GOOD | {"variants": ["plain"]}, ["variants", "mapping of at least two"]),
    "one variant": (GOOD | {"variants": {"plain": []}}, ["variants", "at least two"]),
    "no variants": (GOOD | {"variants": None}, ["variants", "at least two"]),
    "unknown baseline": (GOOD | {"baseline": "plian"}, ["baseline", "'plian'", "did you mean 'plain'?", "layer"]),
    "a list as baseline": (GOOD | {"baseline": ["plain"]}, ["baseline"]),
    "a mapping as baseline": (GOOD | {"baseline": {"plain": 1}}, ["baseline"]),
    "no baseline's name": (GOOD | {"baseline": None}, ["baseline", "allowed: layer, plain"]),
    **{
        f"seeds {seeds!r}": (GOOD | {"seeds": seeds}, ["seeds", "integers of at least 0"])
        for seeds in (3, [], "0,1", [1.5], [-1], [True], ["0"], None, {0: 1})
    },
    "a seed twice": (GOOD | {"seeds": [0, 1, 0]}, ["seeds", "twice"]),
    "unknown outcome": (GOOD | {"expected": "bettr"}, ["expected", "'bettr'", "'better'", "worse", "same", "unknown"]),
    "a list as outcome": (GOOD | {"expected": ["better"]}, ["expected"]),
    "base is text": (GOOD | {"base": "preset=tiny"}, ["base", "a list of overrides", "'preset=tiny'"]),
    "base is empty": (GOOD | {"base": None}, ["base", "a list of overrides"]),
    "base is a mapping": (GOOD | {"base": {"preset": "tiny"}}, ["base", "a list of overrides"]),
    "an override is a number": (GOOD | {"base": [3]}, ["base", "a list of overrides"]),
    "no override": (GOOD | {"base": ["preset"]}, ["base", "'preset'", "key=value"]),
    "a variant's override": (
        GOOD | {"variants": {"plain": [], "layer": ["discriminator.norm"]}},
        ["variants.layer", "'discriminator.norm'", "key=value"],
    ),
    "a variant is text": (
        GOOD | {"variants": {"plain": [], "layer": "a=1"}},
        ["variants.layer", "a list of overrides"],
    ),
    "a variant is a mapping": (
        GOOD | {"variants": {"plain": [], "layer": {"discriminator.norm": "layer"}}},
        ["variants.layer", "a list of overrides"],
    ),
    "a variant twice": (
        "claim: c\nbaseline: a\nseeds: [0]\nprimary: eval/edit\nvariants:\n  a: []\n  b: [seed=1]\n  b: [n_critic=1]\n",
        ["b"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gets_one_line(here: Path, case: str) -> None:
    content, said = BAD[case]
    write(here, content)
    with pytest.raises(ConfigError) as caught:
        load("mine")
    message = str(caught.value)
    assert "\n" not in message
    for part in [str(Path("experiments", "mine.yaml")), *said]:
        assert part in message, message


@pytest.mark.parametrize("name", ["quikstart", "", "../experiments/quickstart", "quickstart.yaml"])
def test_an_unknown_experiment_gets_the_nearest(here: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="unknown experiment") as caught:
        load(name)
    assert "quickstart" in str(caught.value) and "\n" not in str(caught.value)


def test_ones_own_stand_beside_the_shipped_and_hide_them(here: Path) -> None:
    assert list(available()) == SHIPPED
    write(here, GOOD)
    assert list(available()) == sorted([*SHIPPED, "mine"])
    shipped = load("quickstart")
    write(here, GOOD | {"title": "My own"}, "quickstart")
    assert load("quickstart").title == "My own" != shipped.title
    assert available()["quickstart"] == Path("experiments", "quickstart.yaml")


def test_only_yaml_files_count(here: Path) -> None:
    write(here, GOOD).with_suffix(".yml").write_text("x")
    (here / "experiments" / "README.md").write_text("x")
    assert list(available()) == sorted([*SHIPPED, "mine"])


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_can_be_planned(here: Path, name: str) -> None:
    ablation = load(name)
    cells = plan(ablation, ["seed=0"])
    assert [cell.variant for cell in cells] == list(ablation.variants)
    assert len({cell.run_id for cell in cells}) == len(cells)
    assert all(cell.config.tracking.ablations == {name: cell.variant} for cell in cells)
    assert all(cell.config.seed == 0 for cell in cells)
    assert list(here.iterdir()) == []  # planning draws and writes nothing


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_experiment_says_what_it_claims(here: Path, name: str) -> None:
    ablation = load(name)
    assert len(ablation.claim) > 20 and ablation.source and ablation.title != name
    assert len(ablation.seeds) >= 3  # fewer cannot decide anything
    assert lookup(ablation.primary).direction != "none"  # a verdict needs a better and a worse


def test_the_plan_is_variants_by_seeds(here: Path) -> None:
    write(here, GOOD)
    cells = plan(load("mine"))
    assert [(cell.variant, cell.seed) for cell in cells] == [("plain", 3), ("plain", 0), ("layer", 3), ("layer", 0)]
    assert [cell.config.discriminator.options["norm"] for cell in cells] == ["none", "none", "layer", "layer"]
    assert [cell.config.seed for cell in cells] == [3, 0, 3, 0]
    assert len({cell.run_id for cell in cells}) == 4
    assert cells[0].title == "plain · seed 3"


def test_overrides_of_the_command_line_reach_every_cell(here: Path) -> None:
    write(here, GOOD)
    cells = plan(load("mine"), ["total_steps=7", "seed=5,1"])
    assert [cell.seed for cell in cells] == [5, 1, 5, 1]
    assert all(cell.config.total_steps == 7 for cell in cells)


@pytest.mark.parametrize(
    ("changes", "extra", "said"),
    [
        ({}, ["discriminator.norm=group"], ["discriminator.norm", "variants of mine differ in it"]),
        ({}, ["seed=a"], ["seed", "'a'"]),
        ({"variants": {"plain": [], "same": []}}, [], ["mine", "plain and same are the same configuration"]),
        ({"variants": {"plain": [], "bad": ["n_critc=3"]}}, [], ["mine, variant bad", "n_critc", "'n_critic'"]),
        ({"base": ["preset=tinny"]}, [], ["variant plain", "'tiny'"]),
        ({"primary": "eval/edti"}, [], ["primary", "'eval/edti'", "'eval/edit'"]),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    here: Path, changes: dict[str, Any], extra: list[str], said: list[str]
) -> None:
    write(here, GOOD | changes)
    with pytest.raises(ConfigError) as caught:
        plan(load("mine"), extra)
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value), str(caught.value)


def test_a_variants_name_may_be_anything(here: Path) -> None:
    names = ["plain", "it's 5·2^d − 2, {odd}", "with = and , and $x"]
    variants = {name: [f"n_critic={n}"] for n, name in enumerate(names, 1)}
    write(here, GOOD | {"variants": variants})
    cells = plan(load("mine"), ["seed=0"])
    assert [cell.config.tracking.ablations["mine"] for cell in cells] == names


def test_the_readmes_example_can_be_planned(here: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = [part.split("```")[0] for part in readme.split("```yaml\n")[1:]]
    (here / "experiments").mkdir()
    (here / "experiments" / "mine.yaml").write_text(block)
    assert [cell.variant for cell in plan(load("mine"))] == ["planes"] * 3 + ["adain"] * 3

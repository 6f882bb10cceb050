"""``list``: every axis, entry and option, what each means, and the page made of it."""

import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from stargan_lab import compose
from stargan_lab.cli.component_page import COMMAND, WIDTH, details, overview, page
from stargan_lab.cli.main import main
from stargan_lab.config import catalogue
from stargan_lab.config.catalogue import Axis, Option, axes, find
from stargan_lab.config.option_help import as_yaml, described, meanings, yaml_comments
from stargan_lab.config.schema import COMPONENTS, RunConfig
from stargan_lab.errors import ConfigError
from stargan_lab.registry import families, family

PAGE = Path(__file__).parents[2] / "docs" / "components.md"
ENTRIES = [(name, entry) for name in families() for entry in family(name).names()]

OWN = '''\
"""Parts of one's own."""

from stargan_lab.registry import family


@family("adversarial").register("{name}", source="a notebook")
class Mine:
    """Scores that count twice.

    Args:
        factor: how often.
        slope, offset: of the line
            they lie on.
    """

    def __init__(self, *, factor: float = 2.0, slope: float = 1.0, offset: float = 0.0) -> None: ...
'''


@pytest.fixture(scope="module")
def known() -> list[Axis]:
    return axes(compose())


@pytest.fixture
def own(here: Path) -> Iterator[str]:
    """The name of a module in the current folder that registers an adversarial loss of the same name."""
    name = "mine_of_the_catalogue"
    (here / f"{name}.py").write_text(OWN.format(name=name))
    path = list(sys.path)
    yield name
    sys.path[:] = path
    sys.modules.pop(name, None)
    family("adversarial")._entries.pop(name, None)


def test_every_family_and_every_key_has_an_axis(known: list[Axis]) -> None:
    assert catalogue.unplaced() == set(), "say in catalogue.PLACES or schema.REFERENCES which key takes these names"
    assert set(families()) <= {axis.family for axis in known}
    assert set(RunConfig.model_fields) | {"preset"} <= {axis.key for axis in known}
    assert {"discriminator.norm", "generator.norm", "evaluation.extractor"} <= {axis.key for axis in known}


def test_every_leaf_of_the_configuration_is_shown(known: list[Axis]) -> None:
    shown = overview(known)
    config = compose().flat()
    for section in ("weights", "ema", "trainer", "evaluation", "tracking", "paths"):
        for key in config[section]:
            assert f"{section}.{key}" in shown
    for key in ("seed", "n_critic", "data.image_size"):
        assert f"  {key}=" in shown


def test_every_name_axis_says_what_it_is(known: list[Axis]) -> None:
    for axis in known:
        if axis.entries:
            assert axis.summary, axis.key
            assert all(entry.summary for entry in axis.entries), axis.key


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_every_option_of_every_component_has_a_meaning(known: list[Axis], name: str, entry: str) -> None:
    """Said in the ``Args`` of the builder's docstring, or as a comment in the component's YAML file."""
    (axis,) = (axis for axis in known if axis.family == name)
    (found,) = (e for e in axis.entries if e.name == entry)
    assert [option.key for option in found.options] == list(family(name).options(entry))
    assert [option.key for option in found.options if not option.meaning] == []


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_a_docstring_names_no_option_that_is_not_there(name: str, entry: str) -> None:
    builder = family(name).get(entry)
    assert set(meanings(builder)) - set(inspect.signature(builder).parameters) == set()


def test_the_page_is_what_the_code_says(known: list[Axis]) -> None:
    assert PAGE.read_text() == page(known), f"docs/components.md is not up to date: {COMMAND}"


def test_the_page_holds_every_entry_and_option(known: list[Axis]) -> None:
    text = page(known)
    for axis in known:
        for entry in axis.entries:
            assert f"| `{entry.name}`" in text
            for option in entry.options:
                assert f"| `{option.key}` |" in text
    assert max(map(len, overview(known).splitlines())) <= WIDTH


@pytest.mark.parametrize("format", ["text", "md"])
def test_the_text_fits_the_terminal(known: list[Axis], format: str) -> None:
    if format == "text":
        for axis in known:
            assert max(map(len, details(axis).splitlines())) <= WIDTH
    else:
        assert all(line == line.rstrip() for line in page(known).splitlines())


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ("generator.norm", {"generator.norm"}),
        ("critic_norm", {"discriminator.norm"}),
        ("norm", {"generator.norm", "discriminator.norm"}),
        ("dataset", {"data.sources.NAME.kind"}),
        ("extractor", {"evaluation.extractor"}),
        ("n_critic", {"n_critic"}),
        ("trainer", {"trainer"}),
        ("ema.decay", {"ema"}),
        ("lipschitz.reduction", {"lipschitz"}),
    ],
)
def test_an_axis_is_found_by_what_one_calls_it(known: list[Axis], asked: str, keys: set[str]) -> None:
    assert {axis.key for axis in find(asked, known)} == keys


def test_an_unknown_axis_gets_the_nearest(known: list[Axis]) -> None:
    with pytest.raises(ConfigError, match="unknown axis 'discriminater'; did you mean 'discriminator'"):
        find("discriminater", known)


def test_details_state_default_range_meaning_and_source(known: list[Axis]) -> None:
    lines = [line.strip() for line in details(*find("lipschitz", known)).splitlines()]
    assert "samples=1   integer, 1 to 64" in lines
    assert lines[lines.index("one_sided=false   true, false") + 1].startswith("penalise only norms above 1")
    assert any(line.startswith("Source: Gulrajani et al. 2017") for line in lines)
    assert "gp *" in lines


def test_the_command_prints_an_overview_an_axis_and_the_page(
    known: list[Axis], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, text in (
        (["list"], overview(known) + "\n"),
        (["list", "schedule"], details(*find("schedule", known)) + "\n"),
        (["list", "--format", "md"], page(known)),
    ):
        assert main(arguments) == 0
        assert capsys.readouterr().out == text
    assert list(here.iterdir()) == []


def test_the_command_marks_what_overrides_choose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "generator.padding", "generator.padding=reflect"]) == 0
    assert "  reflect *\n" in capsys.readouterr().out


def test_parts_of_ones_own_are_listed_as_such(own: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "adversarial", f"imports=[{own}]"]) == 0
    text = capsys.readouterr().out
    assert f"  {own}   yours, from {own}; without a YAML file it is set by adversarial.name={own}" in text
    assert "Scores that count twice." in text and "Source: a notebook" in text
    assert "slope=1.0   number\n          of the line they lie on" in text
    folder = here / "conf" / "adversarial"
    folder.mkdir(parents=True)
    (folder / f"{own}.yaml").write_text(f"# Mine.\nname: {own}\nfactor: 2.0\n")
    assert main(["list", "adversarial", f"imports=[{own}]", "--config-dir", "conf"]) == 0
    assert "without a YAML file" not in capsys.readouterr().out
    assert main(["list", f"imports=[{own}]"]) == 0
    assert f"{own} (yours)" in capsys.readouterr().out


def test_a_preset_of_ones_own_is_listed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "conf" / "preset").mkdir(parents=True)
    (here / "conf" / "preset" / "mine.yaml").write_text("# @package _global_\n# Twice as long.\ntotal_steps: 4\n")
    assert main(["list", "preset", "--config-dir", "conf"]) == 0
    assert "  mine   yours, from conf\n    Twice as long.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "lipshitz"], "'lipschitz'"),
        (["list", "norm", "head"], "one axis, got norm head"),
        (["list", "imports=[no_such_module]"], "no_such_module"),
        (["list", "norm", "--format", "pdf"], "pdf"),
    ],
)
def test_what_list_refuses(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(arguments)
    except SystemExit as left:
        code = int(left.code or 0)
    out, err = capfd.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and said in err


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "integer"),
        (bool, "true, false"),
        (bool | None, "true, false, or null"),
        (Literal["sum", "mean"], "sum, mean"),
        (Annotated[int, Field(ge=1, le=64)], "integer, 1 to 64"),
        (Annotated[int, Field(ge=1, le=1)], "integer, 1"),
        (Annotated[float, Field(gt=0, le=1)], "number, above 0, at most 1"),
        (Annotated[int, Field(ge=0, lt=2**63)], "integer, at least 0"),
        (Annotated[int, Field(ge=8)] | None, "integer, at least 8, or null"),
        (tuple[str, ...], "list of text"),
        (bool | tuple[int, ...], "true, false, or list of integers"),
    ],
)
def test_a_type_in_words(annotation: object, words: str) -> None:
    assert described(annotation) == words


def test_every_annotation_can_be_described(known: list[Axis]) -> None:
    shown = [option for axis in known for option in _all_options(axis)]
    assert len(shown) > 50
    assert [option for option in shown if "[" in option.takes or "typing" in option.takes] == []


def _all_options(axis: Axis) -> list[Option]:
    return [*axis.options, *(option for entry in axis.entries for option in entry.options)]


def test_values_as_yaml() -> None:
    assert [as_yaml(v) for v in (None, True, "x", 1e-4, (1, 2), (("a",),), {})] == [
        "null",
        "true",
        "x",
        "0.0001",
        "[1, 2]",
        "[[a]]",
        "{}",
    ]


def test_comments_of_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("# Heading.\na: 1 # first\nb:\n  c: 2 # below\n# above\nd: 'no # comment'\ne: 3\n")
    found = yaml_comments(path)
    assert found == {"a": "first", "b": "", "b.c": "below", "d": "above", "e": ""}


def test_components_are_those_of_the_schema() -> None:
    hints = typing.get_type_hints(RunConfig)
    assert [key for key in hints if getattr(hints[key], "__name__", "") == "Component"] == list(COMPONENTS)

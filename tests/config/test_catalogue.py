"""``list``: all axes with their components, options and meanings, in the terminal and as a page."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from stargan_lab import compose
from stargan_lab.cli.component_page import WIDTH, details, overview, page
from stargan_lab.cli.main import main
from stargan_lab.config.catalogue import Axis, axes, find
from stargan_lab.config.option_help import as_yaml, described, meanings
from stargan_lab.config.schema import RunConfig
from stargan_lab.errors import ConfigError
from stargan_lab.registry import Ref, families, family

USER_MODULE = '''\
"""A user's loss."""

from stargan_lab.registry import family


@family("adversarial").register("{name}", source="a notebook")
class Mine:
    """Twice the scores.

    Args:
        factor: multiplies the scores.
        slope, offset: of the
            regression line.
    """

    def __init__(self, *, factor: float = 2.0, slope: float = 1.0, offset: float = 0.0) -> None: ...
'''


@pytest.fixture(scope="module")
def all_axes() -> list[Axis]:
    return axes(compose())


@pytest.fixture
def user_loss(here: Path) -> Iterator[str]:
    """The name of a module in the current folder that registers an adversarial loss of the same name."""
    name = "user_loss_for_list"
    (here / f"{name}.py").write_text(USER_MODULE.format(name=name))
    path = list(sys.path)
    yield name
    sys.path[:] = path
    sys.modules.pop(name, None)
    family("adversarial")._entries.pop(name, None)


def test_every_family_and_key_is_listed_with_a_meaning(all_axes: list[Axis]) -> None:
    assert set(families()) <= {axis.family for axis in all_axes}
    assert set(RunConfig.model_fields) | {"preset"} <= set().union(*(axis.names for axis in all_axes))
    assert [axis.key for axis in all_axes if not axis.summary] == []
    options = [
        (axis.key, o) for axis in all_axes for os in (axis.options, *(e.options for e in axis.entries)) for o in os
    ]
    assert len(options) > 50
    assert [(key, o.key) for key, o in options if not o.meaning] == [], "add it to the builder's Args"
    assert [(key, o.takes) for key, o in options if "[" in o.takes or "typing" in o.takes] == []


def test_docstrings_describe_only_existing_parameters() -> None:
    for name in families():
        for entry in family(name).names():
            builder = family(name).get(entry)
            assert family(name).summary(entry).endswith("."), (name, entry)
            assert set(meanings(builder)) <= set(inspect.signature(builder).parameters), (name, entry)


def test_overview_shows_every_key_of_the_configuration(all_axes: list[Axis]) -> None:
    text, config = overview(all_axes), compose().flat()
    for section in ("weights", "ema", "trainer", "evaluation", "tracking", "paths"):
        assert all(f"{section}.{key}" in text for key in config[section])
    assert all(f"  {key}=" in text for key in ("seed", "n_critic", "data.image_size"))
    for shown in (text, *map(details, all_axes)):
        assert max(map(len, shown.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("generator.norm", {"generator.norm"}),
        ("norm", {"generator.norm", "discriminator.norm"}),
        ("dataset", {"data.sources.NAME.kind"}),
        ("n_critic", {"n_critic"}),
        ("lipschitz.reduction", {"lipschitz"}),
    ],
)
def test_find_an_axis(all_axes: list[Axis], name: str, keys: set[str]) -> None:
    assert {axis.key for axis in find(name, all_axes)} == keys


def test_titles_tell_axes_of_one_key_apart(all_axes: list[Axis]) -> None:
    titles = [axis.title for axis in all_axes]
    assert len(set(titles)) == len(titles)
    headings = [line for line in page(all_axes).splitlines() if line.startswith("#")]
    assert len(set(headings)) == len(headings)
    assert {"## evaluation.metrics.NAME (image metrics)", "## evaluation.metrics.NAME (feature metrics)"} <= {*headings}
    assert "image metrics: accuracy," in overview(all_axes)
    assert details(find("feature_metric", all_axes)[0]).startswith("evaluation.metrics.NAME (feature metrics)   (")


def test_terms_of_every_objective_are_told_from_those_that_can_be_added(all_axes: list[Axis]) -> None:
    (terms,) = find("terms", all_axes)
    row = overview([terms]).splitlines()[1].split()
    assert " ".join(row).startswith("terms.NAME r1, total_variation; in every objective: d_cls, d_fake, d_gp")
    assert "classification loss of real images. In every objective; weight: weights.cls. |" in page([terms])
    assert " ".join(details(terms).split()).count("In every objective; weight: ") == 7


def test_find_suggests_the_nearest_name(all_axes: list[Axis]) -> None:
    with pytest.raises(ConfigError, match="'discriminater'; did you mean 'discriminator'"):
        find("discriminater", all_axes)


def test_details_show_default_range_meaning_and_source(all_axes: list[Axis]) -> None:
    lines = [line.strip() for line in details(*find("lipschitz", all_axes)).splitlines()]
    assert "samples=1   integer, 1 to 64" in lines
    assert (
        lines[lines.index("one_sided=false   true, false") + 1] == meanings(family("lipschitz").get("gp"))["one_sided"]
    )
    assert any(line.startswith("Source: Gulrajani et al. 2017") for line in lines)
    assert "gp *" in lines
    norm = details(*find("discriminator.norm", all_axes))
    assert "discriminator.norm_options={OPTION: VALUE}" in norm and "groups=null   integer, at least 1, or null" in norm


def test_list_prints_overview_details_and_page(
    all_axes: list[Axis], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, text in (
        (["list"], overview(all_axes) + "\n"),
        (["list", "schedule"], details(*find("schedule", all_axes)) + "\n"),
        (["list", "--format", "md"], page(all_axes)),
    ):
        assert main(arguments) == 0
        assert capsys.readouterr().out == text
    assert main(["list", "generator.padding", "generator.padding=reflect"]) == 0
    assert "  reflect *\n" in capsys.readouterr().out
    assert list(here.iterdir()) == []


def test_list_shows_user_components(user_loss: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["list", "adversarial", f"imports=[{user_loss}]"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"  {user_loss}   yours, from {user_loss}; no YAML file; select it with adversarial.name={user_loss}" in text
    assert "Twice the scores." in text and "Source: a notebook" in text
    assert "slope=1.0   number\n          of the regression line" in text
    folder = here / "conf" / "adversarial"
    folder.mkdir(parents=True)
    (folder / f"{user_loss}.yaml").write_text(f"# Mine.\nname: {user_loss}\nfactor: 2.0\n")
    assert main([*command, "--config-dir", "conf"]) == 0
    assert "no YAML file" not in capsys.readouterr().out
    assert main(["list", f"imports=[{user_loss}]"]) == 0
    assert f"{user_loss} (yours)" in capsys.readouterr().out


def test_list_shows_user_presets(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "conf" / "preset").mkdir(parents=True)
    (here / "conf" / "preset" / "mine.yaml").write_text("# @package _global_\n# Twice as long.\ntotal_steps: 4\n")
    assert main(["list", "preset", "--config-dir", "conf"]) == 0
    assert "  mine   yours, from conf\n    Twice as long.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "lipshitz"], "'lipschitz'"),
        (["list", "norm", "head"], "got norm head"),
        (["list", "imports=[no_such_module]"], "no_such_module"),
    ],
)
def test_list_refuses_in_one_line(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ") and message in err


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool | None, "true, false, or null"),
        (Literal["sum", "mean"], "sum, mean"),
        (Annotated[int, Field(ge=1, le=64)], "integer, 1 to 64"),
        (Annotated[float, Field(gt=0, le=1)], "number, above 0, at most 1"),
        (Annotated[int, Field(ge=0, lt=2**63)], "integer, at least 0"),
        (bool | tuple[int, ...], "true, false, or list of integers"),
        (Annotated[str, Ref("head")] | None, "global, patch, or null"),
        (Annotated[dict[str, bool], Ref("head")] | None, "mapping, or null"),
    ],
)
def test_types_in_words(annotation: object, words: str) -> None:
    assert described(annotation) == words


def test_values_as_yaml() -> None:
    values = (None, True, "x", 1e-4, (1, 2), (("a",),), {})
    assert [as_yaml(v) for v in values] == ["null", "true", "x", "0.0001", "[1, 2]", "[[a]]", "{}"]

"""Registries: duplicates and unknown names are refused, options are read off signatures, homes load by themselves."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest

import stargan_lab
from stargan_lab.errors import ConfigError
from stargan_lab.registry import Registry, families, family

ENTRIES = [(name, entry) for name in families() for entry in family(name).names()]


@pytest.fixture
def shapes() -> Registry:
    registry = Registry("critic_norm", None)

    @registry.register("square", source="Euclid, book I")
    def square(side: float, *, scale: float = 1.0, kind: Literal["full", "empty"] = "full") -> float:
        """Area of a square.

        Second paragraph.
        """
        return side * side * scale

    @registry.register("circle")
    class Circle:
        def __init__(self, radius: int, *, centre: Annotated[tuple[int, ...], "pixels"] = (0, 0)) -> None:
            self.radius = radius
            self.centre = centre

    return registry


def test_register_build_list(shapes: Registry) -> None:
    assert shapes.names() == ["circle", "square"]
    assert shapes.build("square", 3.0, scale=2.0) == 18.0
    assert shapes.build("circle", 4, centre=(1, 1)).centre == (1, 1)
    assert shapes.summary("square") == "Area of a square."
    assert shapes.summary("circle") == ""
    assert (shapes.source("square"), shapes.source("circle")) == ("Euclid, book I", "")


def test_options_are_the_keyword_only_parameters(shapes: Registry) -> None:
    assert {name: p.default for name, p in shapes.options("square").items()} == {"scale": 1.0, "kind": "full"}
    assert shapes.options("circle")["centre"].annotation == Annotated[tuple[int, ...], "pixels"]


def test_a_decorated_builder_stays_itself(shapes: Registry) -> None:
    def mine() -> int:
        return 3

    assert shapes.register("mine")(mine) is mine
    assert shapes.get("mine") is mine


def test_a_duplicate_is_refused_and_the_first_stays(shapes: Registry) -> None:
    first = shapes.get("square")
    with pytest.raises(ValueError, match=f"critic_norm 'square' is registered already, by {first.__module__}"):
        shapes.register("square")(lambda side: side)
    assert shapes.get("square") is first
    assert shapes.names() == ["circle", "square"]


def test_an_unknown_name_gets_the_nearest(shapes: Registry) -> None:
    for ask in (shapes.get, shapes.build, shapes.options, shapes.summary):
        with pytest.raises(ConfigError) as caught:
            ask("sqare")
        assert str(caught.value) == "unknown critic norm 'sqare'; did you mean 'square'? allowed: circle, square"
    with pytest.raises(ConfigError, match="unknown critic norm 'zzz'; allowed: circle, square"):
        shapes.get("zzz")


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(ConfigError, match="allowed: none"):
        Registry("norm", None).get("instance")


def test_a_family_that_does_not_exist() -> None:
    with pytest.raises(KeyError):
        family("no_such_family")


def test_every_family_has_entries_and_is_one_object() -> None:
    for name in families():
        assert family(name).names(), name
        assert family(name) is family(name)
        assert family(name).names() == sorted(family(name).names())


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_every_entry_is_typed_and_has_a_default_or_is_required(name: str, entry: str) -> None:
    for option, parameter in family(name).options(entry).items():
        assert parameter.annotation is not inspect.Parameter.empty, option


def test_a_look_up_loads_the_home_in_a_fresh_process() -> None:
    """Nothing is imported before the first look-up; one look-up is enough."""
    code = (
        "import sys; from stargan_lab.registry import family;"
        "assert 'torch' not in sys.modules;"
        "print(','.join(family('schedule').names()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ",".join(family("schedule").names())


def test_no_registered_name_is_branched_on() -> None:
    """What a component does is in its builder: no other module compares with a component's name."""
    axes = ("generator", "discriminator", "norm", "critic_norm", "conditioning", "output", "padding", "head")
    names = {entry for axis in axes for entry in family(axis).names()} - {"none"}
    package = Path(stargan_lab.__file__).parent
    offenders = []
    for room in ("models", "losses", "training"):
        for path in sorted((package / room).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Compare):
                    compared = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                    offenders += [f"{path.name}:{node.lineno} {value!r}" for value in compared & names]
    assert offenders == []

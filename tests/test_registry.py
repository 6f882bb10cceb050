"""Registries: registration, look-up, options from signatures, loading on first use."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest

import stargan_lab
from stargan_lab.errors import ConfigError
from stargan_lab.registry import Ref, Registry, family, referenced_families


@pytest.fixture
def shapes() -> Registry:
    registry = Registry("discriminator_norm", None)

    @registry.register("square", source="Euclid, book I", traits=["convex"])
    def square(side: float, *, scale: float = 1.0, kind: Literal["full", "empty"] = "full") -> float:
        """Area of a square.

        Second paragraph.
        """
        return side * side * scale

    @registry.register("circle")
    class Circle:
        def __init__(
            self, radius: int, *, center: tuple[int, ...] = (0, 0), frame: Annotated[str, Ref("head")] | None = None
        ) -> None:
            self.radius = radius
            self.center = center

    return registry


def test_look_up_and_build(shapes: Registry) -> None:
    assert shapes.names() == ["circle", "square"]
    assert shapes.in_order() == ["square", "circle"]
    assert shapes.build("square", 3.0, scale=2.0) == 18.0
    assert shapes.build("circle", 4, center=(1, 1)).center == (1, 1)
    assert (shapes.summary("square"), shapes.source("square")) == ("Area of a square.", "Euclid, book I")
    assert (shapes.summary("circle"), shapes.source("circle")) == ("", "")
    assert shapes.has("square", "convex") and not shapes.has("circle", "convex")
    assert not shapes.shipped("square") and family("head").shipped("patch")


def test_options_and_references_come_from_the_signature(shapes: Registry) -> None:
    assert {name: p.default for name, p in shapes.options("square").items()} == {"scale": 1.0, "kind": "full"}
    assert shapes.references("circle") == {"frame": "head"}
    assert referenced_families(dict[str, tuple[Annotated[str, Ref("norm")], ...]] | None) == ["norm"]
    assert referenced_families(dict[str, Literal["norm"]]) == []


def test_the_decorator_returns_the_builder(shapes: Registry) -> None:
    def mine(side: float) -> int:
        return 3

    assert shapes.register("mine")(mine) is mine is shapes.get("mine")


def test_a_duplicate_is_refused_and_the_first_entry_stays(shapes: Registry) -> None:
    first = shapes.get("square")
    with pytest.raises(ValueError, match=f"discriminator norm 'square' is already registered by {first.__module__}"):
        shapes.register("square")(lambda side: side)
    assert shapes.get("square") is first


def test_an_unknown_name_gets_the_nearest(shapes: Registry) -> None:
    for method in (shapes.get, shapes.options, shapes.source):
        with pytest.raises(ConfigError) as caught:
            method("sqare")
        assert str(caught.value) == "unknown discriminator norm 'sqare'; did you mean 'square'? allowed: circle, square"
    with pytest.raises(ConfigError, match="allowed: none"):
        Registry("norm", None).get("instance")


def test_builders_that_cannot_be_configured_are_refused() -> None:
    def positional(channels: int, affine: bool, eps: float) -> None: ...
    def too_few(channels: int) -> None: ...
    def untyped(channels: int, affine: bool, *, eps=1.0) -> None: ...  # type: ignore[no-untyped-def]

    for builder, message in (
        (positional, r"option 'eps' is positional; put options after a \*: \(channels, affine, \*, eps\)"),
        (too_few, r"takes \(channels\), expected \(channels, affine\)"),
        (untyped, "option 'eps' has no type annotation"),
    ):
        with pytest.raises(ValueError, match=message):
            family("norm").register("mine")(builder)
    with pytest.raises(ValueError, match="cannot declare unti"):
        family("norm").register("mine", unti="px")
    assert "mine" not in family("norm").names()


def test_the_first_look_up_imports_the_family_in_a_fresh_process() -> None:
    code = (
        "import sys; from stargan_lab.registry import family;"
        "assert 'torch' not in sys.modules;"
        "print(','.join(family('schedule').names()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ",".join(family("schedule").names())


def test_no_code_branches_on_a_components_name() -> None:
    """What a component does is defined by its builder: no other module compares with its name."""
    groups = ("generator", "discriminator", "norm", "discriminator_norm", "conditioning", "output", "padding", "head")
    names = {entry for group in groups for entry in family(group).names()} - {"none"}
    offenders = []
    for package in ("models", "losses", "training", "config"):
        for path in sorted((Path(stargan_lab.__file__).parent / package).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Compare):
                    compared = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)} & names
                    offenders += [f"{path.name}:{node.lineno} {value!r}" for value in compared]
    assert offenders == []

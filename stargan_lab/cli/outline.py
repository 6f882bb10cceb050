"""Registered names and the few values their options take, read off the sources without importing them.

For completion at the shell's prompt, where importing torch would take seconds. What is not written as a literal is not
seen; a test compares with the registries.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

Values = Mapping[str, tuple[str, ...]]
"""Option -> what it can be set to, where these are few and known."""

_PACKAGE = Path(__file__).parents[1]


def registered(further: Iterable[Path] = ()) -> dict[str, dict[str, Values]]:
    """Family -> entry -> its options' values, of the package and of ``further`` source files."""
    found: dict[str, dict[str, Values]] = {}
    for module in (*_sources(), *(m for path in further if (m := _parse(path)) is not None)):
        for name, entry, builder in _registrations(module):
            found.setdefault(name, {})[entry] = _options(builder, module)
    return found


def schema() -> dict[str, tuple[str, ...]]:
    """Dotted key -> values, of the configuration's own keys (``config/schema.py``)."""
    module = _parse(_PACKAGE / "config" / "schema.py") or ast.Module([], [])
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    return dict(_fields(classes, "RunConfig", module))


def references() -> Mapping[str, Mapping[str, str]]:
    """``schema.REFERENCES``: group -> option -> the family whose names it takes."""
    module = _parse(_PACKAGE / "config" / "schema.py") or ast.Module([], [])
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "REFERENCES" and node.value is not None:
            value: Mapping[str, Mapping[str, str]] = ast.literal_eval(node.value)
            return value
    return {}


@cache
def _sources() -> tuple[ast.Module, ...]:
    paths = sorted(_PACKAGE.rglob("*.py"))
    return tuple(m for path in paths if ".register(" in path.read_text() and (m := _parse(path)) is not None)


@cache
def _parse(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_text())
    except (OSError, SyntaxError, ValueError):
        return None


def _registrations(module: ast.Module) -> Iterator[tuple[str, str, ast.AST | None]]:
    """(family, entry, builder) of ``@FAMILY.register("entry")``, of ``FAMILY.register("entry")(builder)``, and of calls
    of a function that registers under a name made of its arguments."""
    owners = {t.id: f for n in module.body if isinstance(n, ast.Assign) and (f := _family(n.value)) for t in _names(n)}
    definitions = {n.name: n for n in module.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for call in node.decorator_list:
                yield from _entry(call, owners, {}, node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call, given = node.value, node.value.args
            called = definitions.get(call.func.id) if isinstance(call.func, ast.Name) else None
            if isinstance(called, ast.FunctionDef):
                bound = dict(zip([argument.arg for argument in called.args.args], given, strict=False))
                for inner in ast.walk(called):
                    yield from _entry(inner, owners, bound, None)
            else:
                built = given[0] if given else None
                yield from _entry(
                    call.func, owners, {}, definitions.get(built.id) if isinstance(built, ast.Name) else None
                )


def _entry(
    call: ast.AST, owners: Mapping[str, str], bound: Mapping[str, ast.expr], builder: ast.AST | None
) -> Iterator[tuple[str, str, ast.AST | None]]:
    """What ``call`` files, if it is a ``register`` whose name can be told; ``bound`` are names with known values."""
    if (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "register"
        and call.args
    ):
        owner = call.func.value
        name = owners.get(owner.id) if isinstance(owner, ast.Name) else _family(owner)
        entry = _constant(call.args[0], bound)
        if name and entry is not None:
            yield name, str(entry), builder


def _constant(node: ast.AST, bound: Mapping[str, ast.expr]) -> object:
    """The value of a literal, a bound name, or ``a if b == c else d`` of such; None when it cannot be told."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in bound:
            return _constant(bound[name], {})
        case ast.IfExp(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]), body=yes, orelse=no):
            return _constant(yes if _constant(left, bound) == _constant(right, bound) else no, bound)
    return None


def _names(node: ast.Assign) -> list[ast.Name]:
    return [target for target in node.targets if isinstance(target, ast.Name)]


def _family(node: ast.expr) -> str | None:
    """``"norm"`` for ``family("norm")``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "family" and node.args:
        return str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else None
    return None


def _options(builder: ast.AST | None, module: ast.Module) -> Values:
    if isinstance(builder, ast.ClassDef):
        methods = (n for n in builder.body if isinstance(n, ast.FunctionDef))
        builder = next((n for n in methods if n.name == "__init__"), None)
    if not isinstance(builder, ast.FunctionDef):
        return {}
    return {argument.arg: _values(argument.annotation, module) for argument in builder.args.kwonlyargs}


def _fields(
    classes: Mapping[str, ast.ClassDef], name: str, module: ast.Module
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in classes[name].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            key, annotation = node.target.id, node.annotation
            if isinstance(annotation, ast.Name) and annotation.id in classes and annotation.id != "Component":
                yield from ((f"{key}.{below}", values) for below, values in _fields(classes, annotation.id, module))
            else:
                yield key, _values(annotation, module)


def _values(annotation: ast.expr | None, module: ast.Module) -> tuple[str, ...]:
    """Of a bool and of a Literal, alone or with None; empty for anything else."""
    match annotation:
        case ast.Name(id="bool"):
            return ("true", "false")
        case ast.Constant(value=None):
            return ("null",)
        case ast.Name(id=alias):
            found = _meaning(alias, module)
            return _values(*found) if found else ()
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _values(left, module) + _values(right, module)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return tuple(str(n.value) for n in ast.walk(choices) if isinstance(n, ast.Constant))
    return ()


def _meaning(alias: str, module: ast.Module) -> tuple[ast.expr, ast.Module] | None:
    """What a type's short name stands for and where: here, or in the module of ours it is imported from."""
    for node in module.body:
        if isinstance(node, ast.Assign) and any(target.id == alias for target in _names(node)):
            return node.value, module
        if isinstance(node, ast.ImportFrom) and node.module and alias in (name.name for name in node.names):
            path = _PACKAGE.parent.joinpath(*node.module.split(".")).with_suffix(".py")
            defined = _parse(path) if path.is_relative_to(_PACKAGE) else None
            return _meaning(alias, defined) if defined else None
    return None

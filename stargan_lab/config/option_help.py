"""Allowed values and meanings of options, from annotations and docstrings."""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from stargan_lab.registry import Ref, family


def described(annotation: Any) -> str:
    """A type and its range in words, e.g. ``integer, 1 to 64`` or ``number, above 0, or null``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        base, *metadata = arguments
        referenced = [item.family for item in metadata if isinstance(item, Ref)]
        if referenced and get_origin(base) is not dict:
            return ", ".join(name for each in referenced for name in family(each).names())
        constraints = [c for item in metadata if isinstance(item, FieldInfo) for c in item.metadata]
        return described(base) + _range(constraints)
    if origin in (Union, types.UnionType):
        parts = [described(a) for a in arguments if a is not type(None)]
        return ", or ".join(parts + ["null"] * (type(None) in arguments))
    if origin is Literal:
        return ", ".join(as_yaml(a) for a in arguments)
    if origin is tuple:
        return "list of " + re.sub(r"^(integer|number|string|list)\b", r"\1s", described(arguments[0]))
    if origin is dict:
        return "mapping"
    return _TYPES.get(annotation, getattr(annotation, "__name__", str(annotation)))


_TYPES: dict[Any, str] = {bool: "true, false", int: "integer", float: "number", str: "string"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}


def _range(constraints: list[Any]) -> str:
    bounds = {name: getattr(c, name) for c in constraints for name in _BOUNDS if getattr(c, name, None) is not None}
    text = ""
    if "ge" in bounds and "le" in bounds:
        low, high = bounds.pop("ge"), bounds.pop("le")
        text = f", {low} to {high}" if low != high else f", {low}"
    return text + "".join(f", {_BOUNDS[name]} {bound}" for name, bound in bounds.items() if bound != 2**63)


def as_yaml(value: Any) -> str:
    """A value as written in YAML or on the command line."""
    text = yaml.safe_dump(_lists(value), default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple | list) else value


def meanings(builder: Callable[..., Any]) -> dict[str, str]:
    """Argument -> text in the ``Args`` section of the builder's docstring; ``a, b: text`` applies to both."""
    texts: dict[str, str] = {}
    for documented in (getattr(builder, "__init__", None), builder) if inspect.isclass(builder) else (builder,):
        section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", inspect.getdoc(documented) or "", re.MULTILINE)
        for block in re.split(r"\n(?=    \S)", section.group(1).rstrip()) if section else []:
            names, _, text = block.partition(":")
            texts |= {name.strip(): plain(" ".join(text.split())) for name in names.split(",")}
    return texts


def option_meanings(family_name: str, name: str) -> Mapping[str, str]:
    """Option -> meaning. A docstring that says only ``as in NAME`` gets the text of that component of the family."""
    texts = meanings(family(family_name).get(name))
    for option, text in texts.items():
        if other := re.match(r"as (?:of|in|for) (\w+)\.?$", text):
            texts[option] = meanings(family(family_name).get(other[1])).get(option, text)
    return texts


def plain(text: str) -> str:
    """Docstring text in YAML's terms, without markup and final period."""
    return re.sub(r"\bNone\b", "null", text.replace("``", "")).strip().removesuffix(".")

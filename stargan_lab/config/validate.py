"""From plain nested dicts to a checked RunConfig; every refusal is one line that names the key and what is allowed."""

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from stargan_lab.config.rules import check_rules
from stargan_lab.config.schema import (
    COMPONENTS,
    REFERENCES,
    Component,
    DataConfig,
    Model,
    RunConfig,
    TermConfig,
    Weight,
    options_model,
)
from stargan_lab.errors import ConfigError, nearest, unknown
from stargan_lab.registry import family

M = TypeVar("M", bound=BaseModel)


def validate(raw: Mapping[str, Any], rules: bool = True) -> RunConfig:
    """Check a composed configuration, and unless ``rules`` is off that its parts go together.

    Raises:
        ConfigError: in one line, the first thing that is wrong.
    """
    raw = dict(raw)
    raw.pop("preset", None)
    import_user_modules(raw.get("imports", ()))
    _check_keys(raw, RunConfig, "")
    for key in COMPONENTS:
        if key in raw:
            raw[key] = _component(key, raw[key], key, "name")
    if isinstance(raw.get("data"), Mapping):
        raw["data"] = _data(raw["data"])
    raw["terms"] = _terms(raw.get("terms"))
    if isinstance(raw.get("evaluation"), Mapping):
        raw["evaluation"] = _evaluation(raw["evaluation"])
    config = _model(RunConfig, raw, "")
    _at("targets", lambda: family("targets").get(config.targets))
    if rules:
        check_rules(config)
    return config


def import_user_modules(names: Any) -> None:
    """Import the modules named in ``imports``, from the current folder too, so that their components register."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"imports: expected a list of module names such as [my_norms], got {names!r}")
    here = str(Path.cwd())
    if names and here not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # a user's module can fail in any way, and says so in one line
            raise ConfigError(f"imports: cannot import {name!r} ({' '.join(str(error).split())})") from None
        if sys.modules[name].__file__ is None:
            raise ConfigError(f"imports: {name!r} is a folder without __init__.py; name a module in it, or add one")


def _data(raw: Mapping[str, Any]) -> dict[str, Any]:
    _check_keys(raw, DataConfig, "data")
    sources = raw.get("sources")
    if not isinstance(sources, Mapping):
        raise ConfigError(f"data.sources: expected a mapping of a name to a dataset, got {sources!r}")
    built = {str(k): _component("dataset", v, f"data.sources.{k}", "kind") for k, v in sources.items()}
    return {**raw, "sources": built}


def _evaluation(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of the extractor and of the metrics."""
    checked, extractor, path = dict(raw), raw.get("extractor"), "evaluation.extractor_options"
    if isinstance(extractor, str):
        _at("evaluation.extractor", lambda: family("extractor").get(extractor))
    if (options := raw.get("extractor_options")) is not None:
        if not isinstance(options, Mapping) or extractor is None:
            raise ConfigError(f"{path}: expected options of evaluation.extractor={extractor!r}, got {options!r}")
        if keys := [key for key in ("weights", "dims") if key in options]:
            raise ConfigError(f"{path}.{keys[0]}: set evaluation.{keys[0]} instead")
        schema = options_model("extractor", extractor)
        others = {key: raw[key] for key in ("weights", "dims") if raw.get(key) and key in schema.model_fields}
        model = _model(schema, _tuples({**options, **others}), path)
        checked["extractor_options"] = {key: getattr(model, key) for key in options}
    if isinstance(raw.get("metrics"), Mapping):
        checked["metrics"] = {str(name): _metric(str(name), given) for name, given in raw["metrics"].items()}
    return checked


def _metric(name: str, given: Any) -> Any:
    """The checked options of one metric, or whether it is computed."""
    families = ("image_metric", "feature_metric")
    family_name = next((each for each in families if name in family(each).names()), None)
    path = f"evaluation.metrics.{name}"
    if family_name is None:
        raise ConfigError(f"{path}: {unknown('metric', name, (m for each in families for m in family(each).names()))}")
    if isinstance(given, bool):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path}: expected options, true or false, got {given!r}")
    return _model(options_model(family_name, name), _tuples(given), path).model_dump(exclude_unset=True)


def _component(family_name: str, raw: Any, path: str, name_key: str) -> Component:
    """Check one component's name and options; missing options take the builder's defaults."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path}: expected {name_key} and options, got {raw!r}")
    options = dict(raw)
    name = options.pop(name_key, None)
    if not isinstance(name, str):
        what = "missing" if name is None else f"expected a name, got {name!r}"
        raise ConfigError(f"{path}.{name_key}: {what}; allowed: {', '.join(family(family_name).names())}")
    _at(f"{path}.{name_key}", lambda: family(family_name).get(name))
    schema = options_model(family_name, name)
    checked = _model(schema, _tuples(options), path)
    for option, referred in REFERENCES.get(family_name, {}).items():
        if option in schema.model_fields:
            _at(f"{path}.{option}", partial(family(referred).get, getattr(checked, option)))
    return Component(name=name, options=checked.model_dump())


def _terms(raw: Any) -> dict[str, TermConfig]:
    """Check the loss terms to add, sorted by name, so that the order in a file does not change a sum."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping) or not all(isinstance(options, Mapping) for options in raw.values()):
        raise ConfigError(f"terms: expected a mapping such as {{total_variation: {{weight: 0.0001}}}}, got {raw!r}")
    return {name: _term(name, raw[name]) for name in sorted(map(str, raw))}


def _term(name: str, raw: Mapping[str, Any]) -> TermConfig:
    registry = family("loss_term")
    allowed = [known for known in registry.names() if not registry.has(known, "standard")]
    if name not in allowed:
        standard = "in every objective already, see weights and lipschitz.weight; allowed: " + ", ".join(allowed)
        raise ConfigError(
            f"terms.{name}: {standard if name in registry.names() else unknown('loss term', name, allowed)}"
        )
    if getattr(registry.get(name), "network", None) not in ("generator", "discriminator"):
        raise ConfigError(f"terms.{name}: its class needs network = 'generator' or 'discriminator'")
    if "weight" in registry.options(name):
        raise ConfigError(f"terms.{name}: an option cannot be called weight, which is the factor of the term")
    schema = create_model(f"terms_{name}", __base__=options_model("loss_term", name), weight=(Weight, ...))
    options = _model(schema, _tuples(raw), f"terms.{name}").model_dump()
    return TermConfig(name=name, weight=options.pop("weight"), options=options)


def _tuples(value: Any) -> Any:
    """Lists as tuples, at any depth: frozen data."""
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _check_keys(raw: Mapping[str, Any], model: type[BaseModel], path: str) -> None:
    """Refuse an unknown key at this level before its values are looked at."""
    prefix = f"{path}." if path else ""
    for key in raw:
        if key not in model.model_fields:
            allowed = list(model.model_fields)
            hint = nearest(str(key), allowed)
            raise ConfigError(f"{prefix}{key}: unknown key{hint or ';'} allowed: {', '.join(allowed)}")


def _model(model: type[M], raw: Mapping[str, Any], path: str) -> M:
    _check_keys(raw, model, path)
    try:
        return model.model_validate(_tuples(raw) if model is RunConfig else raw)
    except ValidationError as error:
        raise ConfigError(_one_line(error, model, path)) from None


def _one_line(error: ValidationError, model: type[BaseModel], path: str) -> str:
    """The first of pydantic's complaints as ``key: what is wrong, what was given``."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    keys, level = [], model
    for part in where:  # a union adds its members' names to the location: stop where the schema does
        if not (isinstance(level, type) and issubclass(level, BaseModel) and part in level.model_fields):
            if part.isdigit() or first["type"] == "extra_forbidden":
                keys.append(part)
            continue
        keys.append(part)
        inner = level.model_fields[part].annotation
        level = inner if isinstance(inner, type) and issubclass(inner, Model) else type(None)  # type: ignore[assignment]
    key = ".".join([path, *keys] if path else keys)
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "extra_forbidden" and isinstance(level, type) and issubclass(level, BaseModel):
        allowed = list(level.model_fields)
        return f"{key}: unknown key{nearest(where[-1], allowed) or ';'} allowed: {', '.join(allowed)}"
    messages = {_plain(e["msg"]) for e in error.errors() if e["loc"][:1] == first["loc"][:1]}
    given = (
        first["input"] if isinstance(first["input"], (str, int, float, bool, list, tuple, type(None))) else "a mapping"
    )
    return f"{key}: expected {' or '.join(sorted(messages))}, got {given!r}"


_PLAIN = {
    "Input should be ": "",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid tuple": "a list",
    "Tuple should have at least 1 item after validation, not 0": "a list of at least one",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "String should match pattern '^(auto|cpu|cuda(:\\d+)?)$'": "auto, cpu, cuda or cuda:N",
}


def _plain(message: str) -> str:
    """pydantic's wording in YAML's terms."""
    for theirs, ours in _PLAIN.items():
        message = message.replace(theirs, ours)
    return message


def _at(path: str, look_up: Callable[[], Any]) -> None:
    """Run a registry look-up; its refusal gets the key in front."""
    try:
        look_up()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None

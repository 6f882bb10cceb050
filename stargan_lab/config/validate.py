"""Validate nested dicts as a RunConfig; every error is one line with the key and the allowed values."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from stargan_lab.config.machine import with_machine_settings
from stargan_lab.config.rules import check_rules
from stargan_lab.config.schema import (
    COMPONENTS,
    Component,
    DataConfig,
    Model,
    RunConfig,
    TermConfig,
    Weight,
    annotations,
    options_model,
)
from stargan_lab.errors import ConfigError, name_problem, unknown, unknown_key
from stargan_lab.registry import family, import_user_modules, referenced_families

M = TypeVar("M", bound=BaseModel)


def validate(raw: Mapping[str, Any], rules: bool = True) -> RunConfig:
    """Check a composed configuration.

    Args:
        rules: also check that the components are compatible.
    Raises:
        ConfigError: the first error, in one line.
    """
    raw = dict(raw)
    raw.pop("preset", None)
    import_user_modules(raw.get("imports", ()))
    _check_keys(raw, RunConfig, "")
    for key in COMPONENTS:
        if key in raw:
            raw[key] = validate_component(key, raw[key], key, "name")
    if isinstance(raw.get("data"), Mapping):
        raw["data"] = _data(raw["data"])
    raw["terms"] = _terms(raw.get("terms"))
    if isinstance(raw.get("evaluation"), Mapping):
        raw["evaluation"] = _evaluation(raw["evaluation"])
    config = with_machine_settings(validate_model(RunConfig, raw))
    if rules:
        check_rules(config)
    return config


def _data(raw: Mapping[str, Any]) -> dict[str, Any]:
    _check_keys(raw, DataConfig, "data")
    sources = raw.get("sources")
    if not isinstance(sources, Mapping):
        raise ConfigError(f"data.sources: expected a mapping of names to datasets, got {sources!r}")
    for name in map(str, sources):
        problem = name_problem(name)
        if problem or "/" in name:  # it is part of metrics' names
            raise ConfigError(f"data.sources: {problem or f'a name cannot contain a slash, got {name!r}'}")
    components = {str(k): validate_component("dataset", v, f"data.sources.{k}", "kind") for k, v in sources.items()}
    return {**raw, "sources": components}


def _evaluation(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of the extractor and of the metrics."""
    checked, extractor, path = dict(raw), raw.get("extractor"), "evaluation.extractor_options"
    if isinstance(extractor, str):
        _check_name("extractor", extractor, "evaluation.extractor")
    if (options := raw.get("extractor_options")) is not None:
        if not isinstance(options, Mapping) or extractor is None:
            raise ConfigError(f"{path}: expected options of evaluation.extractor={extractor!r}, got {options!r}")
        if keys := [key for key in ("weights", "dims") if key in options]:
            raise ConfigError(f"{path}.{keys[0]}: set evaluation.{keys[0]} instead")
        schema = options_model("extractor", extractor)
        others = {key: raw[key] for key in schema.model_fields if key in ("weights", "dims") and raw.get(key)}
        model = _model(schema, {**options, **others}, path)
        checked["extractor_options"] = {key: getattr(model, key) for key in options}
    if isinstance(raw.get("metrics"), Mapping):
        checked["metrics"] = {str(name): _metric(str(name), given) for name, given in raw["metrics"].items()}
    return checked


def _metric(name: str, given: Any) -> Any:
    """The validated options of one metric, or whether it is computed."""
    families = ("image_metric", "feature_metric")
    family_name = next((each for each in families if name in family(each).names()), None)
    path = f"evaluation.metrics.{name}"
    if family_name is None:
        raise ConfigError(f"{path}: {unknown('metric', name, (m for each in families for m in family(each).names()))}")
    if isinstance(given, bool):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path}: expected options, true or false, got {given!r}")
    return _model(options_model(family_name, name), given, path).model_dump(exclude_unset=True)


def validate_component(family_name: str, raw: Any, path: str, name_key: str) -> Component:
    """Check a component's name and options, and fill in the defaults of its builder."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path}: expected {name_key} and options, got {raw!r}")
    options = dict(raw)
    name = options.pop(name_key, None)
    if not isinstance(name, str):
        problem = "missing" if name is None else f"expected a name, got {name!r}"
        raise ConfigError(f"{path}.{name_key}: {problem}; allowed: {', '.join(family(family_name).names())}")
    _check_name(family_name, name, f"{path}.{name_key}")
    options = _model(options_model(family_name, name), options, path).model_dump()
    for option, referenced in family(family_name).references(name).items():
        _check_reference(referenced, option, options, path)
    return Component(name=name, options=options)


def validate_model(model: type[M], raw: Mapping[str, Any]) -> M:
    """``raw`` as ``model``, with the registry names in its own fields checked; components are checked before."""
    config = _model(model, raw, "")
    _check_schema_references(config, "")
    return config


def _check_schema_references(model: BaseModel, path: str) -> None:
    """Check the registry names in the schema's own fields."""
    values = {key: getattr(model, key) for key in type(model).model_fields}
    for key, annotation in annotations(type(model)).items():
        if isinstance(values[key], Model):
            _check_schema_references(values[key], key)
        elif isinstance(values[key], str):
            for referenced in referenced_families(annotation):
                _check_reference(referenced, key, values, path)


def _check_reference(referenced: str, option: str, options: Mapping[str, Any], path: str) -> None:
    """Check an option that is a name of a family, and the options given for that component."""
    key, options_key = _join(path, option), f"{option}_options"
    name = options[option]
    if name is None:
        return
    _check_name(referenced, name, key)
    schema = options_model(referenced, name)
    if options_key in options:
        _model(schema, options[options_key] or {}, _join(path, options_key))
    elif required := [field for field, info in schema.model_fields.items() if info.is_required()]:
        raise ConfigError(f"{key}: {name} has a required option {required[0]}, but there is no key {key}_options")


def _check_name(family_name: str, name: str, key: str) -> None:
    try:
        family(family_name).get(name)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _terms(raw: Any) -> dict[str, TermConfig]:
    """Check the loss terms to add, sorted by name, so that their order in a file does not affect the sum."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping) or not all(isinstance(options, Mapping) for options in raw.values()):
        raise ConfigError(f"terms: expected a mapping such as {{total_variation: {{weight: 0.0001}}}}, got {raw!r}")
    return {name: _term(name, raw[name]) for name in sorted(map(str, raw))}


def standard_term_refusal(name: str) -> str | None:
    """Why the loss term ``name`` cannot be added, if it is one of every objective; else None."""
    if name not in family("loss_term").names() or name in (allowed := _addable_terms()):
        return None
    weight = family("loss_term").facts(name)["weight"]
    set_by = f"set {weight} instead" if "." in weight else f"its weight is {weight}"
    return f"terms.{name}: already part of every objective; {set_by}; allowed: {', '.join(allowed)}"


def _addable_terms() -> list[str]:
    terms = family("loss_term")
    return [name for name in terms.names() if "weight" not in terms.facts(name)]


def _term(name: str, raw: Mapping[str, Any]) -> TermConfig:
    registry = family("loss_term")
    if refusal := standard_term_refusal(name):
        raise ConfigError(refusal)
    if name not in (allowed := _addable_terms()):
        raise ConfigError(f"terms.{name}: {unknown('loss term', name, allowed)}")
    if getattr(registry.get(name), "network", None) not in ("generator", "discriminator"):
        raise ConfigError(f"terms.{name}: its class must set network = 'generator' or 'discriminator'")
    if "weight" in registry.options(name):
        raise ConfigError(f"terms.{name}: an option cannot be called weight, which is the term's factor")
    schema = create_model(f"terms_{name}", __base__=options_model("loss_term", name), weight=(Weight, ...))
    options = _model(schema, raw, f"terms.{name}").model_dump()
    return TermConfig(name=name, weight=options.pop("weight"), options=options)


def _tuples(value: Any) -> Any:
    """Lists as tuples, at any depth, so that the data are immutable."""
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _check_keys(raw: Mapping[str, Any], model: type[BaseModel], path: str) -> None:
    """Reject unknown keys on this level before any value is checked."""
    for key in raw:
        if key not in model.model_fields:
            raise ConfigError(unknown_key(_join(path, str(key)), model.model_fields))


def _model(model: type[M], raw: Mapping[str, Any], path: str) -> M:
    _check_keys(raw, model, path)
    try:
        return model.model_validate(_tuples(raw))
    except ValidationError as error:
        raise ConfigError(_one_line(error, model, path)) from None


def _one_line(error: ValidationError, model: type[BaseModel], path: str) -> str:
    """The first of pydantic's errors as ``key: expected …, got …``."""
    first = error.errors()[0]
    keys: list[str] = []
    level: Any = model
    for part in map(str, first["loc"]):  # pydantic adds the members of a union to the location; skip these
        if isinstance(level, type) and issubclass(level, BaseModel) and part in level.model_fields:
            keys.append(part)
            level = level.model_fields[part].annotation
        elif part.isdigit() or first["type"] == "extra_forbidden":
            keys.append(part)
    key = ".".join([path, *keys] if path else keys)
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "extra_forbidden":
        return unknown_key(key, level.model_fields)
    messages = {e["msg"] for e in error.errors() if e["loc"][:1] == first["loc"][:1]}
    for original, plain in _PLAIN.items():
        messages = {message.replace(original, plain) for message in messages}
    value = first["input"] if not isinstance(first["input"], Mapping) else "a mapping"
    return f"{key}: expected {' or '.join(sorted(messages))}, got {value!r}"


_PLAIN = {
    "Input should be ": "",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "a string",
    "a valid tuple": "a list",
    "a valid dictionary": "a mapping",
    "Tuple should have at least 1 item after validation, not 0": "a non-empty list",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "String should match pattern '^(auto|cpu|cuda(:\\d+)?)$'": "auto, cpu, cuda or cuda:N",
}
"""pydantic's messages in YAML's terms."""

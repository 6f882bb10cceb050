"""Registries of components, one per family, e.g. all generators or all norms.

``family("norm")`` returns a registry; its first lookup imports the module that defines the family. The keyword-only
parameters of a builder are the component's options: their annotations, defaults and ``Args:`` are the only source for
validation, YAML files and documentation. Values known only at run time (number of labels, image size) are positional
parameters. Register your own components from any module listed in ``imports``.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, get_args

from stargan_lab.errors import ConfigError, one_line, unknown

T = TypeVar("T", bound=Callable[..., Any])

_MODULES = {
    "generator": "stargan_lab.models.generators",
    "discriminator": "stargan_lab.models.discriminators",
    "norm": "stargan_lab.models.norms",
    "discriminator_norm": "stargan_lab.models.norms",
    "conditioning": "stargan_lab.models.conditioning",
    "output": "stargan_lab.models.blocks",
    "padding": "stargan_lab.models.blocks",
    "head": "stargan_lab.models.discriminators",
    "adversarial": "stargan_lab.losses.adversarial",
    "lipschitz": "stargan_lab.losses.lipschitz",
    "loss_term": "stargan_lab.losses.terms",
    "targets": "stargan_lab.losses.target_labels",
    "optimizer": "stargan_lab.training.optimizers",
    "schedule": "stargan_lab.training.schedules",
    "dataset": "stargan_lab.data.sources",
    "extractor": "stargan_lab.evaluation.extractors",
    "image_metric": "stargan_lab.evaluation.metrics",
    "feature_metric": "stargan_lab.evaluation.metrics",
    "distribution": "stargan_lab.toy.distributions",
}

_DISPLAY = ("direction", "unit", "decimals", "main")
_FACTS: Mapping[str, tuple[str, ...]] = {
    "extractor": ("labels",),
    "image_metric": (*_DISPLAY, "version", "uses", "needs", "excludes"),
    "feature_metric": (*_DISPLAY, "version"),
    "loss_term": (*_DISPLAY, "weight"),
}
"""What an entry of a family may declare in addition to source and traits; each family's module explains its own."""


@dataclass(frozen=True)
class Ref:
    """Marks an option whose value names a component of a family: ``norm: Annotated[str, Ref("norm")] = "instance"``.

    A second option called ``<option>_options``, a mapping or None, holds the options of the selected component.
    """

    family: str


def referenced_families(annotation: Any) -> list[str]:
    """The families that an annotation refers to by ``Ref``, also inside a union or a container."""
    if isinstance(annotation, Ref):
        return [annotation.family]
    return [name for argument in get_args(annotation) for name in referenced_families(argument)]


class Registry:
    """The builders of one family by name.

    Example::

        @family("norm").register("mine")
        def mine(channels: int, affine: bool, *, eps: float = 1e-5) -> nn.Module: ...
    """

    def __init__(self, name: str, module: str | None) -> None:
        self.name = name
        self._label = name.replace("critic", "discriminator").replace("_", " ")
        self._module = module
        self._loaded = module is None
        self._entries: dict[str, Callable[..., Any]] = {}
        self._sources: dict[str, str] = {}
        self._traits: dict[str, frozenset[str]] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}

    def register(self, name: str, source: str = "", traits: Collection[str] = (), **facts: Any) -> Callable[[T], T]:
        """Decorator that registers a builder under ``name``.

        Args:
            source: the paper or code it follows.
            traits: properties that rules check instead of names; the family's module lists them.
            facts: other properties that the family lets an entry declare, e.g. ``unit`` and ``direction`` of a metric.
        Raises:
            ValueError: the name is already registered, the builder's parameters cannot be configured, or the family
                does not define a fact.
        """
        if extra := sorted(set(facts) - set(_FACTS.get(self.name, ()))):
            raise ValueError(f"{self._label} {name!r}: cannot declare {extra[0]}")

        def add(builder: T) -> T:
            self._load()  # the package's entries come first
            existing = self._entries.get(name)
            if existing is not None:
                raise ValueError(f"{self._label} {name!r} is already registered by {existing.__module__}")
            self._check_parameters(name, builder)
            self._entries[name] = builder
            self._sources[name] = source
            self._traits[name] = frozenset(traits)
            self._facts[name] = facts
            return builder

        return add

    def get(self, name: str) -> Callable[..., Any]:
        """The builder registered as ``name``. Raises ConfigError with the nearest name."""
        self._load()
        if name not in self._entries:
            raise ConfigError(unknown(self._label, str(name), self._entries))
        return self._entries[name]

    def build(self, name: str, *args: Any, **options: Any) -> Any:
        """Call the builder registered as ``name``."""
        return self.get(name)(*args, **options)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.in_order())

    def in_order(self) -> list[str]:
        """All names in order of registration, the package's first."""
        self._load()
        return list(self._entries)

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters of ``name``: its options."""
        return dict(_options(self.get(name)))

    def references(self, name: str) -> dict[str, str]:
        """Options of ``name`` whose values name components of a family: option -> family."""
        return dict(_references(self.get(name)))

    def summary(self, name: str) -> str:
        """First line of the builder's docstring."""
        return (inspect.getdoc(self.get(name)) or "").split("\n", 1)[0]

    def source(self, name: str) -> str:
        """The paper or code that ``name`` follows, or an empty string."""
        self.get(name)
        return self._sources[name]

    def has(self, name: str, trait: str) -> bool:
        """Whether ``name`` was registered with ``trait``."""
        self.get(name)
        return trait in self._traits[name]

    def facts(self, name: str) -> Mapping[str, Any]:
        """The other properties that ``name`` was registered with."""
        self.get(name)
        return self._facts[name]

    def shipped(self, name: str) -> bool:
        """Whether ``name`` is part of this package."""
        return _is_shipped(self.get(name))

    def _check_parameters(self, name: str, builder: Callable[..., Any]) -> None:
        """Raise ValueError unless positional parameters match the package's entries and all options have a type."""
        positional = _positional(builder)
        expected = next((_positional(b) for b in self._entries.values() if _is_shipped(b)), positional)
        if len(positional) > len(expected):
            misplaced = positional[len(expected)]
            raise ValueError(
                f"{self._label} {name!r}: option {misplaced!r} is positional; put options after a *:"
                f" ({', '.join([*expected, '*', misplaced])})"
            )
        if len(positional) < len(expected):
            raise ValueError(
                f"{self._label} {name!r}: takes ({', '.join(positional)}), expected ({', '.join(expected)})"
            )
        for parameter in inspect.signature(builder).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation is parameter.empty:
                raise ValueError(
                    f"{self._label} {name!r}: option {parameter.name!r} has no type annotation;"
                    f" add one, e.g. {parameter.name}: float"
                )

    def _load(self) -> None:
        if not self._loaded and self._module is not None:
            self._loaded = True  # before the import, because the module uses its own registry
            import_module(self._module)


def _positional(builder: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(builder).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _is_shipped(builder: Callable[..., Any]) -> bool:
    return builder.__module__.split(".")[0] == __package__


_FAMILIES: dict[str, Registry] = {name: Registry(name, module) for name, module in _MODULES.items()}


def family(name: str) -> Registry:
    """The registry of one family. Raises KeyError for an unknown family."""
    return _FAMILIES[name]


def families() -> list[str]:
    """Names of all families."""
    return list(_FAMILIES)


def import_user_modules(names: Any) -> None:
    """Import the modules listed in ``imports``, also from the current directory, to register their components.

    Raises:
        ConfigError: a module cannot be imported.
    """
    here = str(Path.cwd())
    if not_imported(names) and here not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        try:
            import_module(name)
        except Exception as error:  # a user module can raise anything
            raise ConfigError(f"imports: cannot import {name!r} ({one_line(error)})") from None
        if getattr(sys.modules[name], "__file__", "") is None:
            raise ConfigError(f"imports: {name!r} is a directory without __init__.py; add one, or name a module in it")


def not_imported(names: Any) -> list[str]:
    """Those of the modules listed in ``imports`` that this process has not imported.

    Raises:
        ConfigError: not a list of names.
    """
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"imports: expected a list of module names such as [my_norms], got {names!r}")
    return [name for name in names if sys.modules.get(name) is None]


@cache
def _options(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters; cached, as the cells of an ablation share their builders."""
    parameters = inspect.signature(builder, eval_str=True).parameters.values()
    return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


@cache
def _references(builder: Callable[..., Any]) -> dict[str, str]:
    families = {key: referenced_families(option.annotation) for key, option in _options(builder).items()}
    return {key: referenced[0] for key, referenced in families.items() if referenced}

"""Registries: one per family of components, filled by the module that is the family's home.

``family("norm")`` returns the registry; its first look-up imports the home, so that a name can be checked without the
caller importing torch first. What a component can be configured with is its keyword-only parameters; facts known only
at run time (number of labels, image size) come positionally. Register your own from any module named in ``imports``.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any, TypeVar

from stargan_lab.errors import ConfigError, unknown

T = TypeVar("T", bound=Callable[..., Any])

_HOMES = {
    "generator": "stargan_lab.models.generators",
    "discriminator": "stargan_lab.models.discriminators",
    "norm": "stargan_lab.models.norms",
    "critic_norm": "stargan_lab.models.norms",
    "conditioning": "stargan_lab.models.conditioning",
    "output": "stargan_lab.models.blocks",
    "padding": "stargan_lab.models.blocks",
    "head": "stargan_lab.models.discriminators",
    "adversarial": "stargan_lab.losses.adversarial",
    "lipschitz": "stargan_lab.losses.lipschitz",
    "loss_term": "stargan_lab.losses.terms",
    "targets": "stargan_lab.losses.targets",
    "optimizer": "stargan_lab.training.optimizers",
    "schedule": "stargan_lab.training.schedules",
    "dataset": "stargan_lab.data.sources",
    "extractor": "stargan_lab.evaluation.extractors",
    "image_metric": "stargan_lab.evaluation.metrics",
    "feature_metric": "stargan_lab.evaluation.metrics",
}

_CHOSEN_BY_NAME = ("norm", "critic_norm", "conditioning", "output", "padding", "head", "targets")
"""Families whose entries are the value of another component's key and so have no keys of their own."""


_DISPLAY = ("direction", "unit", "decimals", "main")
_FACTS: Mapping[str, tuple[str, ...]] = {
    "loss_term": _DISPLAY,
    "extractor": ("labels",),
    "image_metric": (*_DISPLAY, "version", "uses", "needs", "excludes"),
    "feature_metric": (*_DISPLAY, "version"),
}
"""What an entry of a family may declare beside its source and traits; the family's module explains each."""


class Registry:
    """Names to builders of one family. Refuses a duplicate; an unknown name gets the nearest one.

    Example::

        @family("norm").register("mine")
        def mine(channels: int, affine: bool) -> nn.Module: ...
    """

    def __init__(self, name: str, home: str | None) -> None:
        self.name = name
        self._home = home
        self._loaded = home is None
        self._entries: dict[str, Callable[..., Any]] = {}
        self._sources: dict[str, str] = {}
        self._traits: dict[str, frozenset[str]] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}

    def register(self, name: str, source: str = "", traits: Collection[str] = (), **facts: Any) -> Callable[[T], T]:
        """Decorator that files a builder under ``name``.

        Args:
            source: the paper or code it follows.
            traits: what other parts have to know of it, so that no rule asks for a name; the home lists a family's.
            facts: what the family lets an entry declare, e.g. ``unit`` and ``direction`` of a metric.
        Raises:
            ValueError: the name is taken by another builder, what the builder takes could not be configured, or the
                family has no such fact.
        """
        if extra := sorted(set(facts) - set(_FACTS.get(self.name, ()))):
            raise ValueError(f"{self.name.replace('_', ' ')} {name!r}: cannot declare {extra[0]}")

        def file(builder: T) -> T:
            self._load()  # first, so that ours are there before anybody else's come
            taken = self._entries.get(name)
            if taken is not None:
                raise ValueError(f"{self.name} {name!r} is registered already, by {taken.__module__}")
            self._check(name, builder)
            self._entries[name] = builder
            self._sources[name] = source
            self._traits[name] = frozenset(traits)
            self._facts[name] = facts
            return builder

        return file

    def get(self, name: str) -> Callable[..., Any]:
        """The builder filed under ``name``. Raises ConfigError that names the nearest right one."""
        self._load()
        if name not in self._entries:
            raise ConfigError(unknown(self.name.replace("_", " "), str(name), self._entries))
        return self._entries[name]

    def build(self, name: str, *args: Any, **options: Any) -> Any:
        """Call the builder filed under ``name``."""
        return self.get(name)(*args, **options)

    def names(self) -> list[str]:
        self._load()
        return sorted(self._entries)

    def in_order(self) -> list[str]:
        """Names in the order of registration: ours first, as tables show them."""
        self._load()
        return list(self._entries)

    def shipped(self, name: str) -> bool:
        """Whether the entry is part of this package. Raises ConfigError for an unknown name."""
        return self.get(name).__module__.split(".")[0] == __package__

    def facts(self, name: str) -> Mapping[str, Any]:
        """What the entry declared. Raises ConfigError for an unknown name."""
        self.get(name)
        return self._facts[name]

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters of ``name``: what a configuration may set."""
        parameters = inspect.signature(self.get(name), eval_str=True).parameters.values()
        return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def summary(self, name: str) -> str:
        """First line of the builder's docstring."""
        return (inspect.getdoc(self.get(name)) or "").split("\n", 1)[0]

    def source(self, name: str) -> str:
        self._load()
        return self._sources[name]

    def has(self, name: str, trait: str) -> bool:
        """Whether the entry was registered with ``trait``. Raises ConfigError for an unknown name."""
        self.get(name)
        return trait in self._traits[name]

    def _check(self, name: str, builder: Callable[..., Any]) -> None:
        """Refuse what a configuration could not set as it was meant; the family's own entries are the pattern."""
        parameters, what = inspect.signature(builder).parameters.values(), f"{self.name.replace('_', ' ')} {name!r}"
        places = _positional(builder)
        pattern = next((b for b in self._entries.values() if b.__module__.split(".")[0] == __package__), None)
        facts = _positional(pattern) if pattern is not None else places
        if len(places) > len(facts):
            wanted = ", ".join([*facts, "*", places[len(facts)]])
            raise ValueError(
                f"{what}: option {places[len(facts)]!r} is positional; options come behind a *: ({wanted})"
            )
        if len(places) < len(facts):
            raise ValueError(f"{what}: takes ({', '.join(places)}), expected ({', '.join(facts)}) positionally")
        for option in parameters:
            if option.kind is option.KEYWORD_ONLY and self is _FAMILIES.get(self.name) and self.name in _CHOSEN_BY_NAME:
                raise ValueError(
                    f"{what}: option {option.name!r} could not be set, as a {self.name.replace('_', ' ')} is chosen by"
                    " name alone; give each value a name of its own"
                )
            if option.kind is option.KEYWORD_ONLY and option.annotation is option.empty:
                raise ValueError(
                    f"{what}: option {option.name!r} has no annotation; write its type, e.g. {option.name}: float"
                )

    def _load(self) -> None:
        if not self._loaded and self._home is not None:
            self._loaded = True  # first, since the home looks at its own registry while it is imported
            import_module(self._home)


def _positional(builder: Callable[..., Any]) -> list[str]:
    """The facts a builder takes."""
    parameters = inspect.signature(builder).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


_FAMILIES: dict[str, Registry] = {name: Registry(name, home) for name, home in _HOMES.items()}


def family(name: str) -> Registry:
    """The registry of one family, by name. Raises KeyError for a family that does not exist."""
    return _FAMILIES[name]


def families() -> list[str]:
    return list(_FAMILIES)

"""Completions for argcomplete: overrides, ablations and run ids, read from file names and YAML.

Imports neither torch nor Hydra, because the shell calls this on every Tab.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

Completer = Callable[..., Iterable[str]]
"""(prefix, the arguments parsed so far, …) → candidates; argcomplete drops those without the prefix."""


def attach(action: argparse.Action, completer: Completer) -> None:
    """Let argcomplete complete ``action`` with ``completer``."""
    action.completer = completer  # type: ignore[attr-defined]


def print_completions(parser: argparse.ArgumentParser) -> None:
    """Print the completions of the command line in the environment, and exit."""
    import argcomplete

    class Finder(argcomplete.CompletionFinder):
        def collect_completions(self, active_parsers: Any, parsed_args: Any, cword_prefix: str) -> Any:
            """Also completes words after flags, where argparse considers a variadic argument complete."""
            active = active_parsers[-1]
            if not active.active_actions:
                variadic = active.get_default("variadic")
                active.active_actions = [action for action in active._actions if action.dest == variadic]
            return super().collect_completions(active_parsers, parsed_args, cword_prefix)

    Finder()(parser, always_complete_options=False)


def ablations(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    from stargan_lab.ablation.spec import available

    return available()


def distributions(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    return [path.stem for root in _roots(parsed_args) for path in (root / "distribution").glob("*.yaml")]


def presets(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Presets of the ablation named on the command line."""
    from stargan_lab.ablation.spec import load
    from stargan_lab.errors import ConfigError

    try:
        return load(parsed_args.name).presets
    except ConfigError:
        return ()


def run_ids(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    outputs = Path(parsed_args.outputs).expanduser()
    return [path.parent.name for path in outputs.glob("runs/[!.]*/config.yaml")]


def runs_and_evaluation(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    return [*run_ids(prefix, parsed_args), *(word for word in overrides(prefix, parsed_args) if "evaluation." in word)]


def runs_and_overrides(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    return [*run_ids(prefix, parsed_args), *overrides(prefix, parsed_args)]


def components(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Top-level groups and keys by name, ``ablations``, and overrides."""
    names = {key.partition("=")[0].partition(".")[0] for key in _keys(_roots(parsed_args))}
    return [*names, "ablations", *overrides(prefix, parsed_args)]


def overrides(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """``group=`` and dotted ``key=``, level by level; after ``group=``, its entries, also in a comma-separated list."""
    roots = _roots(parsed_args)
    key, equals, value = prefix.partition("=")
    if equals:
        chosen, comma, _last = value.rpartition(",")
        return [f"{key}={chosen}{comma}{path.stem}" for root in roots for path in (root / key).glob("*.yaml")]
    keys = {name for name in _keys(roots) if name.startswith(prefix)}
    next_level = {name[: name.find(".", len(prefix)) + 1] or name for name in keys}
    return next_level if len(next_level) > 1 else keys


def _roots(parsed_args: argparse.Namespace) -> list[Path]:
    user = getattr(parsed_args, "config_dir", None)
    return [Path(str(files("stargan_lab.conf"))), *([Path(user).expanduser()] if user else [])]


def _keys(roots: Iterable[Path]) -> Iterator[str]:
    """Every ``group=`` and every dotted ``key=`` that some YAML file sets."""
    from stargan_lab.yaml_text import load_yaml

    for root in roots:
        for path in (*root.glob("config.yaml"), *root.glob("*/*.yaml")):
            group = path.parent.name if path.parent != root else ""
            if group:
                yield f"{group}="
            try:
                text = path.read_text()
                content = load_yaml(text)
            except (OSError, ValueError):  # e.g. while it is being edited
                continue
            package = "" if "@package _global_" in text else group
            yield from (f"{key}=" for key in _dotted(content, package))


def _dotted(value: Any, prefix: str) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield from [prefix] if prefix else []
        return
    for key, below in value.items():
        if key not in ("defaults", "hydra"):
            yield from _dotted(below, f"{prefix}.{key}" if prefix else str(key))

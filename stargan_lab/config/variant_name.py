"""How variants of multiruns are named."""

from collections.abc import Mapping


def variant_name(values: Mapping[str, str]) -> str:
    """A short name for a combination of values, e.g. ``norm=instance bias=false``; empty without values.

    Args:
        values: key -> value in YAML spelling; a key is shortened to its last component if no other one ends alike.
    """
    short = [key.removesuffix(".name").rpartition(".")[2] for key in values]
    names = [name if short.count(name) == 1 else key for name, key in zip(short, values, strict=True)]
    return " ".join(f"{name}={value}" for name, value in zip(names, values.values(), strict=True))

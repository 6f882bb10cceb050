"""Read untrusted YAML: no tag runs code, and small files stay small in memory."""

from typing import Any

import yaml

LARGEST = 1_000_000
"""Number of values that a text may stand for, with aliases expanded."""
FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str, loader: Any = FAST) -> Any:
    """The content of a YAML text.

    Args:
        loader: a subclass of yaml's SafeLoader or CSafeLoader.
    Raises:
        ValueError: in one line; invalid YAML, a tag that is not plain data, aliases that refer to themselves or stand
            for more than ``LARGEST`` values, or too many levels.
    """
    try:
        check_aliases(text, loader)
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("too many levels") from None


def check_aliases(text: str, loader: Any = FAST) -> None:
    """Raises ValueError for aliases that refer to themselves or stand for too many values; also yaml.YAMLError."""
    if "&" not in text:
        return
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = LARGEST + 1  # until it is known: an alias below the node refers to itself
            below = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = (part for each in below for part in (each if isinstance(each, tuple) else (each,)))
            sizes[id(node)] = 1 + sum(map(size, parts))
        return sizes[id(node)]

    node = yaml.compose(text, loader)
    if node is not None and size(node) > LARGEST:
        raise ValueError(f"its aliases refer to themselves or stand for more than {LARGEST:,} values")

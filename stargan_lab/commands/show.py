"""``list``, ``doctor`` and ``completion``: what there is, what this machine has, and the shell's help."""

import argparse
from pathlib import Path

from stargan_lab.catalogue import axes, find
from stargan_lab.completion import SCRIPT
from stargan_lab.config import compose
from stargan_lab.errors import ConfigError
from stargan_lab.listing import details, overview, page


def list_(parsed: argparse.Namespace) -> int:
    """Print every axis, or what there is to know of one."""
    asked = [word for word in parsed.words if "=" not in word]
    if len(asked) > 1:
        raise ConfigError(f"list takes one axis, got {' '.join(asked)}; overrides have the form key=value")
    config_dir = Path(parsed.config_dir) if parsed.config_dir else None
    known = axes(compose([word for word in parsed.words if "=" in word], config_dir), config_dir)
    if asked:
        known = find(asked[0], known)
    if parsed.format == "md":
        print(page(known), end="")
    else:
        print("\n\n".join(map(details, known)) if asked else overview(known))
    return 0


def completion(parsed: argparse.Namespace) -> int:
    """Print the shell's part, for ``eval``."""
    print(SCRIPT, end="")
    return 0

"""``list``, ``doctor`` and ``completion``: what there is, what this machine has, and the shell's help."""

import argparse
import json
import textwrap
from dataclasses import asdict
from pathlib import Path

from stargan_lab.cli.completion import SCRIPT
from stargan_lab.cli.component_page import details, overview, page
from stargan_lab.config import compose
from stargan_lab.config.catalogue import axes, find
from stargan_lab.errors import ConfigError


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


def doctor(parsed: argparse.Namespace) -> int:
    """Say what there is and what to do next; 1 when something keeps the configuration from running."""
    from stargan_lab.cli.doctor import Asked, examine, next_steps

    config, asked = compose(parsed.overrides, parsed.config_dir), Asked(parsed.overrides, parsed.config_dir)
    findings = examine(config, asked)
    steps = next_steps(findings, asked, Path(config.paths.outputs))
    if parsed.json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings], "next": steps}, indent=2))
    else:
        width = max(len(finding.about) for finding in findings)
        for finding in findings:
            print(f"{finding.level:<7}  {finding.about:<{width}}  {finding.text}")
        print("\nwhat to do next")
        print(textwrap.indent("\n".join(steps), "  "))
    return 1 if any(finding.level == "problem" for finding in findings) else 0

"""``data``: draw, check, pack."""

import argparse

from stargan_lab.config import compose
from stargan_lab.data.validate import check
from stargan_lab.runs.build import build_sources


def data(parsed: argparse.Namespace) -> int:
    """Draw or pack every source of a configuration, or look it through; 1 when a check finds problems."""
    picks_data = any(o.startswith(("data=", "preset=")) for o in parsed.overrides)
    drawn_by_default = [] if picks_data or parsed.action != "make" else ["data=synthfaces"]
    config = compose([*drawn_by_default, *parsed.overrides], parsed.config_dir, rules=False)
    sound = True
    for source in build_sources(config):
        if parsed.action == "check":
            found = check(source)
            print(found.summary(), flush=True)  # above the next source's progress bar
            sound = sound and not found.problems
            continue
        source.prepare()
        for name in source.splits():
            print(f"{source.name}/{name}: {len(source.split(name)):,} images in {getattr(source, 'root', '')}")
    return 0 if sound else 1

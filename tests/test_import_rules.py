"""Which room of the house may import which: data flows one way."""

import ast
from pathlib import Path

import pytest

import stargan_lab

PACKAGE = Path(stargan_lab.__file__).parent
BASE = {"errors"}  # anybody may raise what a person can act on

MAY_IMPORT = {
    "errors": set(),
    "randomness": set(),
    "registry": set(),
    "batch": set(),
    "files": set(),
    "ablation": set(),
    "weights": {"files", "tracking"},
    "config": {"registry", "files", "weights"},
    "data": {"registry", "batch", "files", "randomness"},
    "models": {"registry", "randomness"},
    "losses": {"registry", "batch"},
    "training": {"registry", "batch", "files", "losses", "randomness"},
    "evaluation": {"registry", "batch", "files", "randomness"},
    "tracking": {"files"},
    "exchange": {"registry", "batch", "files", "training", "models", "weights"},
    "ledger": {"files", "tracking"},
    "console": set(),
    "provenance": {"files"},
    "pictures": set(),
    "samples": {"batch", "files", "randomness", "pictures"},
    "factory": {
        "config",
        "registry",
        "batch",
        "randomness",
        "data",
        "models",
        "losses",
        "training",
        "exchange",
        "samples",
        "weights",
    },
    "loading": {"config", "batch", "exchange", "factory", "weights"},
    "translation": {"batch", "console", "data", "exchange", "files", "pictures", "samples"},
    "recording": {"config", "batch", "files", "evaluation", "tracking", "training", "provenance"},
    "assessment": {"config", "batch", "files", "evaluation", "tracking"},
    "trial": {"config", "batch", "files", "data", "losses", "training", "evaluation", "tracking", "factory", "exchange"}
    | {"assessment", "console", "recording", "randomness", "samples", "weights"},
    "running": {"config", "tracking", "ledger", "factory", "trial", "console", "recording", "provenance"},
    "rescoring": {"config", "batch", "files", "tracking", "ledger", "factory", "loading", "assessment", "recording"}
    | {"console", "randomness", "weights"},
    "sweep": {"config", "ledger", "running", "factory", "ablation", "console", "tracking"},
    "guide": {"config", "registry", "ablation", "data", "evaluation", "files", "ledger", "provenance", "tracking"}
    | {"weights"},
    "report": {"tracking", "factory", "ablation", "files", "ledger", "pictures", "evaluation"},
}
ANYTHING = {"app", "cli", "commands", "__init__", "__main__"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports hide the room"
            names = [node.module] if node.module != "stargan_lab" else [f"stargan_lab.{a.name}" for a in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("stargan_lab.")}
    return rooms


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = room_of(path)
    if room in ANYTHING:
        return
    assert room in MAY_IMPORT, f"{room} is no room of the house: say what it may import"
    assert imported_rooms(path) - MAY_IMPORT[room] - BASE - {room} == set()


def test_the_rule_can_fail(tmp_path: Path) -> None:
    offender = tmp_path / "offender.py"
    offender.write_text("from stargan_lab.tracking.store import Store\nimport stargan_lab.report\n")
    assert imported_rooms(offender) == {"tracking", "report"}


def test_the_packages_in_setup_cfg_are_those_of_the_tree() -> None:
    from configparser import ConfigParser

    root = Path(__file__).parents[1]
    parser = ConfigParser()
    parser.read(root / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    plugin = PACKAGE / "sweep" / "hydra_plugin"
    folders = {p.parent for p in PACKAGE.rglob("*.py") if p.parent != plugin}
    found = {".".join(("stargan_lab", *f.relative_to(PACKAGE).parts)) for f in folders}
    assert listed == found | {"stargan_lab.conf", "stargan_lab.experiments", "hydra_plugins.stargan_lab"}

"""Which package may import which. A permission that no module uses fails too, so the table is the architecture."""

import ast
from configparser import ConfigParser
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import stargan_lab

PACKAGE = Path(stargan_lab.__file__).parent

MAY_IMPORT: dict[str, set[str]] = {
    "console": set(),
    "figures": {"files"},
    "files": set(),
    "labels": set(),
    "registry": set(),
    "seeding": set(),
    "yaml_text": set(),
    "models": {"registry", "seeding"},
    "losses": {"labels", "registry"},
    "training": {"labels", "losses", "registry", "seeding"},
    "data": {"console", "files", "labels", "registry"},
    "tracking": {"files", "registry", "yaml_text"},
    "evaluation": {"checkpoints", "console", "data", "files", "labels", "registry", "seeding", "tracking", "training"},
    "checkpoints": {"files", "labels", "models", "registry", "tracking", "training"},
    "translation": {"console", "data", "figures", "files", "labels"},
    "config": {"checkpoints", "files", "registry", "yaml_text"},
    "runs": {"checkpoints", "config", "console", "data", "evaluation", "figures", "files", "labels", "losses"}
    | {"models", "registry", "seeding", "tracking", "training", "translation"},
    "ablation": {"config", "console", "runs", "tracking", "yaml_text"},
    "report": {
        "ablation",
        "config",
        "console",
        "evaluation",
        "figures",
        "files",
        "registry",
        "tracking",
    },
    "cli": {"ablation", "checkpoints", "config", "console", "data", "evaluation", "files", "registry", "report", "runs"}
    | {"inspection", "toy", "tracking", "translation", "yaml_text"},
    "inspection": {"config", "console", "data", "figures", "files", "labels", "runs"},
    "toy": {"config", "console", "figures", "files", "losses", "models", "registry", "runs", "seeding", "tracking"}
    | {"training"},
    "__main__": {"cli"},
}
"""Besides ``errors``, which every module may import."""


def imports_of(path: Path) -> set[str]:
    """Modules of this project that a file imports, anywhere in it."""
    return modules_in(ast.parse(path.read_text()), path)


def modules_in(tree: ast.Module, path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: use absolute imports"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in modules if name.startswith("stargan_lab.")}


def package_of(module: str) -> str:
    return module.split(".")[1]


def test_each_package_imports_exactly_what_it_may() -> None:
    imported: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found = {package_of(module) for module in imports_of(path)} - {name, "__version__", "errors"}
        imported.setdefault(name, set()).update(found)
    assert {name: found for name, found in imported.items() if found} == {k: v for k, v in MAY_IMPORT.items() if v}


def test_imports_between_packages_have_no_cycle() -> None:
    remaining = {name: set(imported) for name, imported in MAY_IMPORT.items()}
    while remaining:
        leaves = {name for name, imported in remaining.items() if not imported & remaining.keys()}
        assert leaves, f"import cycle among {sorted(remaining)}"
        remaining = {name: imported for name, imported in remaining.items() if name not in leaves}


def test_imports_between_modules_have_no_cycle() -> None:
    """So that every module can be imported first. Imports inside functions and for type checking don't count."""
    graph = {module_name(path): imported_on_load(path) for path in PACKAGE.rglob("*.py")}
    assert len(graph) > 100
    assert_acyclic(graph)


def test_a_cycle_of_modules_is_found() -> None:
    with pytest.raises(CycleError):
        assert_acyclic({"a.b": {"a.c"}, "a.c": {"a.d.name"}, "a.d": {"a.b"}})


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_on_load(path: Path) -> set[str]:
    """What a module imports when it is loaded: ``package.module`` or ``package.module.name``."""
    tree = ast.parse(path.read_text())
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If):
            checks_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            node.body = [ast.Pass()] if not isinstance(node, ast.If) or checks_types else node.body
    return modules_in(tree, path)


def assert_acyclic(graph: dict[str, set[str]]) -> None:
    """Raises CycleError, which lists the modules of a cycle."""
    TopologicalSorter(
        {
            name: {module if module in graph else module.rpartition(".")[0] for module in imported} & graph.keys()
            for name, imported in graph.items()
        }
    ).prepare()


def test_the_checks_see_every_form_of_import(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("from stargan_lab.tracking.store import Store\ndef f():\n    from stargan_lab import files\n")
    assert {package_of(module) for module in imports_of(path)} == {"tracking", "files"}


def test_setup_cfg_lists_every_package() -> None:
    parser = ConfigParser()
    parser.read(Path(__file__).parents[1] / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    packages = {".".join(("stargan_lab", *folder.relative_to(PACKAGE).parts)) for folder in folders}
    assert listed == packages | {"stargan_lab.conf", "stargan_lab.experiments", "hydra_plugins.stargan_lab_launchers"}

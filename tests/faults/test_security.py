"""Nothing is unpickled or run that a user did not name as code, nothing goes through a shell, servers are local."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from scored import row

import stargan_lab
from hydra_plugins import stargan_lab_launchers
from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.collect_runs import as_frame
from stargan_lab.report.content import content_of
from stargan_lab.report.pages import write_report

PACKAGE = Path(stargan_lab.__file__).parent
PLUGINS = "hydra_plugins/stargan_lab_launchers"
LAUNCHERS = Path(stargan_lab_launchers.__path__[0])
FORBIDDEN = (
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "yaml.unsafe_load",
)
FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}</script>"


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Path and syntax tree of each module of the package and of the Hydra plugins."""
    for package in (PACKAGE, LAUNCHERS):
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package if package == PACKAGE else package.parents[1])
            yield str(name), ast.parse(path.read_text())


def test_the_launchers_are_looked_at_too() -> None:
    assert f"{PLUGINS}/__init__.py" in dict(modules())


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """(file, dotted name of the function, call) of every call in the packages."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield path, ast.unparse(node.func), node


def keywords(call: ast.Call) -> dict[str, str]:
    return {keyword.arg or "**": ast.unparse(keyword.value) for keyword in call.keywords}


def test_no_code_is_made_from_text() -> None:
    assert [(file, name) for file, name, _ in calls() if name in FORBIDDEN] == []


def test_no_module_that_unpickles_is_imported() -> None:
    """Except by launchers, for the jobs and results that the processes of one sweep send one another."""
    imported = set()
    for file, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {(file, alias.name.partition(".")[0]) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((file, (node.module or "").partition(".")[0]))
    assert {(file, module) for file, module in imported if module in FORBIDDEN_MODULES} == {
        *((f"{PLUGINS}/{name}.py", "cloudpickle") for name in ("_job", "processes", "ray_cluster")),
        *((f"{PLUGINS}/{name}.py", "joblib") for name in ("batch", "processes")),  # to start processes
        ("cli/capacity.py", "joblib"),  # to count cores
        *((f"{name}.py", "joblib") for name in ("config/run_identity", "data/image_reader", "runs/provenance")),
    }


def test_weights_are_loaded_without_code() -> None:
    loads = [call for _, name, call in calls() if name == "torch.load"]
    assert loads and all(keywords(call).get("weights_only") == "True" for call in loads)


def test_arrays_are_loaded_without_objects() -> None:
    loads = [call for _, name, call in calls() if name in ("np.load", "numpy.load")]
    assert loads and all(keywords(call).get("allow_pickle") == "False" for call in loads)


def test_yaml_is_loaded_as_plain_data() -> None:
    """Only yaml_text decides how; the two readings of a filter's value are of the user's own command line."""
    files = {
        file for file, name, _ in calls() if name in ("yaml.load", "yaml.safe_load", "yaml.full_load", "yaml.load_all")
    }
    assert files <= {"yaml_text.py", "report/query.py"}


def test_only_modules_of_this_package_and_of_imports_are_imported_by_name() -> None:
    found = {file for file, name, _ in calls() if name.endswith("import_module")}
    assert {file for file in found if not file.endswith("__init__.py")} == {
        "registry.py",
        "hydra_plugins/stargan_lab_launchers/_preloaded.py",  # a list of its own
    }


def test_no_command_goes_through_a_shell() -> None:
    started = [call for _, name, call in calls() if name in ("subprocess.run", "subprocess.Popen")]
    assert started
    for call in started:
        assert "shell" not in keywords(call)
        assert isinstance(call.args[0], ast.Name | ast.List), ast.unparse(call)  # a list of words


def test_nothing_listens_on_all_interfaces() -> None:
    """No text asks for it; ``tests/integration/test_mlflow_pages.py`` looks at the socket of a running ``ui``."""
    texts = [*PACKAGE.rglob("*.py"), *LAUNCHERS.rglob("*.py"), *(PACKAGE.parent / "conf").rglob("*.yaml")]
    assert [path for path in texts if re.search(r"0\.0\.0\.0|\bINADDR_ANY\b", path.read_text())] == []


@pytest.mark.parametrize("place", ["title", "claim", "source", "variant", "error", "machine"])
def test_pages_show_text_as_text(tmp_path: Path, place: str) -> None:
    texts = dict.fromkeys(("title", "claim", "source"), "text") | ({place: HOSTILE} if place != "variant" else {})
    other = HOSTILE if place == "variant" else "layer"
    ablation = Ablation(
        name="norms",
        **{key: texts[key] for key in ("title", "claim", "source")},
        base=(),
        baseline="none",
        variants={"none": (), other: ("discriminator.norm=layer",)},
        seeds=(1, 2),
        primary="eval/edit",
        expected={other: "better"},
    )
    finished = [
        row(
            name, seed, machine=texts.get("machine", ""), seconds=1.0, seconds_per_step=0.1, **{"eval/edit": 0.1 * seed}
        )
        for name in ("none", other)
        for seed in (1, 2)
    ]
    finished[-1] |= {"status": "failed", "error": texts.get("error", "")} if place == "error" else {}
    runs: pd.DataFrame = as_frame(finished)
    write_report(content_of(ablation, runs), tmp_path, ("html",), allow_mixed=True)
    page = (tmp_path / "report.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x" in page and "{{7*7}}" in page

"""The wheel contains everything: commands, configuration groups and ablations, and it accepts user-defined ones."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import NO_MLFLOW, Lab, Outcome, finish

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own-components.md"
SHIPPED = ("stargan_lab", "hydra_plugins", "conf", "experiments", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

PRESET = "# @package _global_\ndefaults: [tiny]\ntotal_steps: 2\n"
MODULE = """\
from torch import nn

from stargan_lab.registry import family


@family("discriminator_norm").register("mine")
def mine(channels: int, affine: bool) -> nn.Module:
    return nn.GroupNorm(2, channels, affine=affine)
"""
EXPERIMENT = """\
base: [preset=mine, 'imports=[my_norms]']
claim: Mine is better.
baseline: none
variants: {none: [discriminator.norm=none], mine: [discriminator.norm=mine]}
seeds: [0]
primary: eval/edit
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that the working tree stays clean."""
    folder = tmp_path_factory.mktemp("build")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder / "source" / name)
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(folder / "source")]
    _python(*build)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder the wheel is installed into."""
    target = tmp_path_factory.mktemp("site")
    _python("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


@pytest.fixture(scope="module")
def away(installed: Path, prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A user's folder. Without ``site`` no .pth file is read, so an editable install is not found."""
    path = os.pathsep.join([str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    command = [sys.executable, "-S", "-m", "stargan_lab"]
    lab = Lab(prepare(tmp_path_factory.mktemp("away")), command, {"PYTHONPATH": path})
    lab.write("conf/preset/mine.yaml", PRESET)
    lab.write("my_norms.py", MODULE)
    lab.write("experiments/try.yaml", EXPERIMENT)
    return lab


@pytest.fixture(scope="module")
def outcomes(away: Lab) -> dict[str, Outcome]:
    """The commands of a user of the wheel, in the folder ``away``."""
    commands = {
        "tiny": "train preset=tiny",
        "mine": "train --config-dir conf preset=mine imports=[my_norms] discriminator.norm=mine",
        "plan": "sweep try --config-dir conf --dry-run",
        "shipped": "sweep quickstart --dry-run",
    }
    done: dict[str, Outcome] = {}
    for pair in (("tiny", "mine"), ("plan", "shipped")):
        started = {name: away.start(*commands[name].split()) for name in pair}
        done |= {name: finish(process) for name, process in started.items()}
    return done


@pytest.fixture(scope="module")
def page(away: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, dict[str, Outcome]]:
    """The files of docs/own-components.md in an empty folder, and the outcomes of its commands with the wheel."""
    lab = Lab(tmp_path_factory.mktemp("own"), away._command, away._environment)
    commands: list[str] = []
    for language, name, text in re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", PAGE.read_text(), re.S | re.M):
        if name:
            lab.write(name, text)
        elif language == "sh":
            commands += text.splitlines()
    outcomes = {}
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "stargan-lab"
        outcomes[f"{arguments[0]} recolor" if "generator=recolor" in arguments else arguments[0]] = lab(*arguments)
    return lab, outcomes


def _python(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_contains_groups_and_ablations(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    yamls = {
        f"stargan_lab/{path.relative_to(ROOT)}"
        for folder in ("conf", "experiments")
        for path in (ROOT / folder).rglob("*.yaml")
    }
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stargan_lab").rglob("*.py")}
    modules |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "hydra_plugins").rglob("*.py")}
    assert yamls | modules | {"stargan_lab/py.typed"} <= names
    assert not any(name.startswith(("tests/", "outputs/", "conf/", "experiments/")) for name in names)


def test_the_package_is_imported_from_the_wheel(away: Lab, installed: Path) -> None:
    code = (
        "import stargan_lab, importlib.resources as r;"
        "print(stargan_lab.__file__, r.files('stargan_lab.conf'), r.files('stargan_lab.experiments'))"
    )
    python = Lab(away.folder, [sys.executable, "-S", "-c", code], {"PYTHONPATH": away._environment["PYTHONPATH"]})
    outcome = python()
    assert outcome.code == 0, outcome.err
    assert all(Path(word).is_relative_to(installed) for word in outcome.out.split()), outcome.out


def test_training_with_the_wheel_gives_identical_results(
    away: Lab, outcomes: dict[str, Outcome], first: tuple[Lab, Outcome]
) -> None:
    assert outcomes["tiny"].code == 0, outcomes["tiny"].err
    expected = first[0].result()
    assert away.result(expected["run_id"])["state_sha256"] == expected["state_sha256"]
    assert away.result(expected["run_id"])["code"] == expected["code"]


def test_user_preset_and_norm_work_with_the_wheel(away: Lab, outcomes: dict[str, Outcome]) -> None:
    assert outcomes["mine"].code == 0, outcomes["mine"].err
    (run_id,) = (run_id for run_id in away.run_ids() if away.result(run_id)["step"] == 2)
    assert away.result(run_id)["status"] == "finished"
    assert away.mlflow().runs()[run_id].data.params["discriminator.norm"] == "mine"


def test_ablations_work_with_the_wheel(outcomes: dict[str, Outcome], away: Lab) -> None:
    assert outcomes["plan"].code == 0, outcomes["plan"].err
    *lines, left = outcomes["plan"].out.splitlines()
    assert left.startswith("1 run left")
    assert len(lines) == 2 and lines[1].split()[1] == "finished", "the finished run of train is the sweep's cell"
    assert lines[1].split()[0] in away.run_ids()
    assert outcomes["shipped"].code == 0, outcomes["shipped"].err
    assert len(outcomes["shipped"].out.splitlines()) == 9 + 1  # the last line counts the runs that are left


def test_user_norm_works_with_the_installed_script(lab: Lab) -> None:
    """Unlike ``python -m``, the script does not have the current folder on Python's path."""
    lab.write("my_norms.py", MODULE)
    words = "train preset=tiny imports=[my_norms] discriminator.norm=mine total_steps=1"
    outcome = lab(*words.split(), NO_MLFLOW)
    assert outcome.code == 0, outcome.err
    assert lab.result()["parameters"]["discriminator"] > 0


def test_commands_of_the_components_page_succeed(page: tuple[Lab, dict[str, Outcome]]) -> None:
    _, outcomes = page
    assert list(outcomes) == ["list", "train", "train recolor", "sweep", "report"]
    assert {name: outcome.err for name, outcome in outcomes.items() if outcome.code} == {}


def test_user_components_are_trained_and_recorded(page: tuple[Lab, dict[str, Outcome]]) -> None:
    lab, _ = page
    assert len(lab.run_ids()) == 4
    results = [lab.result(run_id) for run_id in lab.run_ids()]
    assert {result["status"] for result in results} == {"finished"}
    assert all(set(result["protocol"]["data"]) == {"tiles"} for result in results)
    assert all(result["metrics"]["eval/frechet_cells"] >= 0 for result in results)
    params = [run.data.params for run in lab.mlflow().runs().values()]
    shown = {
        (p["generator.name"], p["adversarial.name"], p.get("discriminator.norm", "none")) for p in params
    }  # defaults are not logged
    assert shown >= {("resnet", "margin", "scale"), ("resnet", "margin", "none"), ("recolor", "wgan", "none")}


def test_user_metrics_and_loss_terms_are_recorded(page: tuple[Lab, dict[str, Outcome]]) -> None:
    lab, outcomes = page
    for run_id, run in lab.mlflow().runs().items():
        result = lab.result(run_id)
        domains = [result["metrics"][f"eval/contrast/{name}"] for name in ("Red", "Large")]
        assert result["metrics"]["eval/contrast"] == pytest.approx(sum(domains) / 2)
        assert result["metrics"]["eval/mean_distance_cells"] > 0
        assert result["protocol"]["metrics"]["eval/contrast"]["options"] == {"quantile": 0.05}
        rows = [json.loads(line)["metrics"] for line in (lab.run(run_id) / "metrics.jsonl").read_text().splitlines()]
        assert any("loss/brightness" in row for row in rows)
        assert {"loss/brightness", "eval/contrast", "eval/mean_distance_cells"} <= set(run.data.metrics)
    assert "contrast (levels) ↑" in outcomes["report"].out, "the report has no import of the module"


def test_user_components_are_listed(page: tuple[Lab, dict[str, Outcome]]) -> None:
    _, outcomes = page
    assert "  scale   yours, from my_components\n    Layer norm without the mean.\n" in outcomes["list"].out


def test_ablation_with_user_components_is_reported(page: tuple[Lab, dict[str, Outcome]]) -> None:
    lab, outcomes = page
    for command in ("sweep", "report"):
        assert "hinge (baseline)" in outcomes[command].out and "scaled" in outcomes[command].out
    folder = lab.outputs / "reports" / "own"
    assert {"report.md", "report.csv", "report.html"} <= {path.name for path in folder.iterdir()}
    assert len((folder / "report.csv").read_text().splitlines()) == 3


MISTAKES = {
    "a duplicate name": (
        '@family("discriminator_norm").register("layer")\ndef layer(channels: int, affine: bool): ...\n',
        ["'layer'", "already registered", "stargan_lab.models.norms"],
    ),
    "a positional option": (
        '@family("adversarial").register("mine")\ndef mine(margin: float = 1.0): ...\n',
        ["'mine'", "'margin'", "(*, margin)"],
    ),
    "an option without annotation": (
        '@family("adversarial").register("mine")\ndef mine(*, margin=1.0): ...\n',
        ["'mine'", "'margin'", "annotation"],
    ),
    "a missing parameter": (
        '@family("norm").register("mine")\ndef mine(channels: int): ...\n',
        ["'mine'", "(channels, affine)"],
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_in_a_user_component_is_one_line(page: tuple[Lab, dict[str, Outcome]], kind: str) -> None:
    lab, _ = page
    text, said = MISTAKES[kind]
    lab.write("mistaken.py", f"from stargan_lab.registry import family\n\n\n{text}")
    outcome = lab("train", "preset=tiny", "imports=[mistaken]")
    assert (outcome.code, len(outcome.lines())) == (2, 1), outcome.err
    for part in ("imports", "mistaken", *said):
        assert part in outcome.err


def test_a_missing_module_is_named(page: tuple[Lab, dict[str, Outcome]]) -> None:
    lab, _ = page
    before = lab.files()
    outcome = lab("train", "preset=tiny", "imports=[my_prats]")
    assert (outcome.code, len(outcome.lines())) == (2, 1)
    assert "imports" in outcome.err and "my_prats" in outcome.err
    assert lab.files() == before

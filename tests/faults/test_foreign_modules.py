"""Modules that a run's recorded configuration lists are code: no command imports one that the user did not name."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from stargan_lab.cli.main import main
from stargan_lab.errors import UnnamedModules
from stargan_lab.registry import family
from stargan_lab.runs.finished import differences
from stargan_lab.runs.load import load_model
from stargan_lab.runs.reevaluate import evaluation_config
from stargan_lab.tracking.run_folder import RunFolder

MARKER = Path("imported")
HELPER = f"""
from pathlib import Path

from torch import Tensor

from stargan_lab.registry import family

Path("{MARKER}").touch()


@family("adversarial").register("mine")
class Mine:
    def __init__(self, *, slope: float = 0.25) -> None:
        self.slope = slope
"""
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("helper", None)
    losses = family("adversarial")
    for entries in (losses._entries, losses._sources, losses._traits, losses._facts):
        entries.pop("mine", None)


def set_imports(run: Path, *modules: str) -> None:
    path = run / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"imports": list(modules)}, sort_keys=False))


@pytest.fixture
def foreign(run: Path) -> str:
    """Id of a run with a component of ``helper.py``, which lies beside its outputs, as in an unpacked archive."""
    Path("helper.py").write_text(HELPER)
    Image.new("RGB", (20, 20)).save("face.png")
    set_imports(run, "helper")
    path = run / "config.yaml"
    raw = yaml.safe_load(path.read_text()) | {"adversarial": {"name": "mine", "slope": 0.5}}
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return run.name


COMMANDS = {
    "translate": ("translate", "RUN", "face.png", "--to", "Male", "--from", "Young"),
    "export": ("export", "RUN"),
    "inspect receptive_field": ("inspect", "receptive_field", "RUN"),
    "inspect label_sensitivity": ("inspect", "label_sensitivity", "RUN"),
    "evaluate": ("evaluate", "RUN", "evaluation.max_images=8"),
    "evaluate --again": ("evaluate", "RUN", "--again", "evaluation.max_images=8"),
}
READERS = {
    "runs show": ("runs", "show", "RUN"),
    "runs list": ("runs", "list", "adversarial=mine"),
    "runs diff": ("runs", "diff", "RUN", "RUN"),
    "runs du": ("runs", "du"),
    "track sync": ("track", "sync"),
}


def words(command: tuple[str, ...], run_id: str) -> list[str]:
    return [run_id if word == "RUN" else word for word in command]


@pytest.mark.parametrize("name", COMMANDS)
def test_unnamed_module_is_not_imported(refused: Refused, foreign: str, name: str) -> None:
    remedy = "imports=[helper]" if name.startswith("evaluate") else "--imports helper"
    path = list(sys.path)
    error = refused(*words(COMMANDS[name], foreign))
    assert error == f"error: run {foreign} uses the module helper, which is code; if you trust it, add {remedy}"
    assert not MARKER.exists() and sys.path == path


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "evaluate --again"])
def test_named_module_is_imported(capfd: pytest.CaptureFixture[str], foreign: str, name: str) -> None:
    named = ("imports=[helper]",) if name == "evaluate" else ("--imports", "helper")
    assert main([*words(COMMANDS[name], foreign), *named]) == 0, capfd.readouterr().err
    assert MARKER.exists()


@pytest.mark.parametrize("name", READERS)
def test_commands_that_show_records_import_nothing(capfd: pytest.CaptureFixture[str], foreign: str, name: str) -> None:
    assert main(words(READERS[name], foreign)) == 0, capfd.readouterr().err
    assert not MARKER.exists() and "helper" not in sys.modules


def test_unknown_components_are_shown_without_defaults(capfd: pytest.CaptureFixture[str], foreign: str) -> None:
    assert main(["runs", "show", foreign]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "adversarial mine (default: wgan)" in lines and "adversarial.slope 0.5" in lines


def test_python_callers_name_or_import_the_module(foreign: str) -> None:
    outputs = Path("outputs")
    with pytest.raises(UnnamedModules, match=r"add imports=\[helper\]"):
        load_model(foreign, outputs)
    assert not MARKER.exists()
    assert load_model(foreign, outputs, imports=["helper"]).name == foreign
    MARKER.unlink()
    assert load_model(foreign, outputs).name == foreign, "it is imported already"
    assert evaluation_config(RunFolder(outputs / "runs" / foreign)).imports == ("helper",)


def test_the_command_that_a_note_suggests_names_the_module(foreign: str) -> None:
    config = load_model(foreign, Path("outputs"), imports=["helper"]).config
    assert config is not None
    fewer = {"evaluation": config.evaluation.model_copy(update={"max_images": 8})}
    note, *_ = differences(config.model_copy(update=fewer), RunFolder(Path("outputs/runs") / foreign))
    assert f"`stargan-lab evaluate {foreign} 'imports=[helper]' evaluation.max_images=8`" in note


def test_a_module_of_python_does_not_put_the_current_directory_on_the_path(run: Path) -> None:
    """From there, a later import could find the file of a foreign archive."""
    set_imports(run, "os", "sys")
    path = list(sys.path)
    load_model(run.name, Path("outputs"))
    assert sys.path == path


def test_several_modules_are_named_at_once(refused: Refused, run: Path) -> None:
    set_imports(run, "helper", "json", "other")
    assert refused("export", run.name).endswith(
        "uses the modules helper, other, which are code; if you trust them, add --imports helper,other"
    )

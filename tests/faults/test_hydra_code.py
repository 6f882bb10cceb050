"""YAML of a configuration directory runs no code through Hydra or logging that the command does not name."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stargan_lab import compose
from stargan_lab.cli.main import main

MARKER = Path("called")
TOUCH = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [str(MARKER)]}}
REFUSED = {
    "a function": ({"callbacks": {"mine": TOUCH}}, "hydra.callbacks.mine._target_: pathlib.Path.touch"),
    "a builtin": (
        {"callbacks": {"mine": {"_target_": "builtins.open", "_args_": [str(MARKER), "w"]}}},
        "hydra.callbacks.mine._target_: builtins.open",
    ),
    "an argument of a plugin": (
        {"callbacks": {"mine": {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback", "x": TOUCH}}},
        "hydra.callbacks.mine.x._target_: pathlib.Path.touch",
    ),
    "what a module of Hydra imports": (
        {"callbacks": {"mine": {"_target_": "hydra._internal.utils.os.system", "command": f"touch {MARKER}"}}},
        "hydra.callbacks.mine._target_: hydra._internal.utils.os.system",
    ),
    "a function of Hydra": (
        {"callbacks": {"mine": {"_target_": "hydra.utils.call", "config": {}}}},
        "hydra.callbacks.mine._target_: hydra.utils.call",
    ),
    "a mapping in text": (
        {"callbacks": {"mine": '${oc.decode:"{_target_: builtins.open, file: called, mode: w}"}'}},
        "hydra.callbacks.mine._target_: builtins.open",
    ),
    "an interpolation": (
        {"job": {"name": "builtins.open"}, "callbacks": {"mine": {"_target_": "${hydra.job.name}"}}},
        "hydra.callbacks.mine._target_: builtins.open",
    ),
    "a launcher": ({"launcher": TOUCH}, "hydra.launcher._target_: pathlib.Path.touch"),
    "a sweeper": ({"sweeper": {"_target_": "pathlib.Path.touch"}}, "hydra.sweeper._target_: pathlib.Path.touch"),
    "a handler of logs": (
        {"job_logging": {"handlers": {"mine": {"()": "pathlib.Path.touch", "self": "x"}}}},
        "hydra.job_logging.handlers.mine.(): pathlib.Path.touch",
    ),
    "a class of logs": (
        {"hydra_logging": {"handlers": {"mine": {"class": "subprocess.Popen", "args": ["touch", str(MARKER)]}}}},
        "hydra.hydra_logging.handlers.mine.class: subprocess.Popen",
    ),
    "a reference of logs": (
        {"hydra_logging": {"handlers": {"mine": {"class": "logging.StreamHandler", "stream": "ext://os.system"}}}},
        "hydra.hydra_logging.handlers.mine.stream: ext://os.system",
    ),
}
ALLOWED = {
    "a launcher": {"launcher": {"_target_": "hydra_plugins.stargan_lab_launchers.processes.ProcessLauncher"}},
    "a callback": {"callbacks": {"mine": {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback"}}},
    "a plugin that is not installed": {"sweeper": {"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna.Optuna"}},
    "logging": {"job_logging": {"handlers": {"mine": {"class": "logging.FileHandler", "filename": "mine.log"}}}},
}


def write_preset(hydra: object) -> None:
    path = Path("conf/preset/mine.yaml")
    path.parent.mkdir(parents=True)
    content = {"defaults": ["tiny"], "hydra": hydra}
    path.write_text("# @package _global_\n" + yaml.safe_dump(content, sort_keys=False))


TRAIN = ("train",)
COMMANDS = [(TRAIN, kind) for kind in REFUSED]
COMMANDS += [(command, "a function") for command in (("train", "-m", "seed=0,1"), ("sweep", "quickstart", "--dry-run"))]


@pytest.mark.parametrize(("command", "kind"), COMMANDS)
def test_code_in_yaml_is_refused(here: Path, refused: Callable[..., str], kind: str, command: tuple[str, ...]) -> None:
    hydra, problem = REFUSED[kind]
    write_preset(hydra)
    assert problem in refused(*command, "--config-dir", "conf", "preset=mine", "tracking.enabled=false")
    assert not MARKER.exists() and not Path("outputs").exists()


@pytest.mark.parametrize("kind", ALLOWED)
def test_plugins_in_yaml_are_allowed(here: Path, kind: str) -> None:
    write_preset(ALLOWED[kind])
    assert compose(["preset=mine"], "conf").total_steps > 0


CALLBACK = f"""
from pathlib import Path

from hydra.experimental.callback import Callback


class Mine(Callback):
    def on_run_start(self, **_):
        Path("{MARKER}").touch()
"""


@pytest.mark.parametrize(
    "named", ["imports=[my_callbacks]", "hydra.callbacks.mine._target_=my_callbacks.Mine"], ids=["module", "class"]
)
def test_code_that_the_command_names_is_run(
    here: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.syspath_prepend(str(here))
    Path("my_callbacks.py").write_text(CALLBACK)
    write_preset({"callbacks": {"mine": {"_target_": "my_callbacks.Mine"}}})
    words = ("train", "--config-dir", "conf", "preset=mine", "tracking.enabled=false", "total_steps=2", "quiet=true")
    assert "if you trust it, add imports=[my_callbacks]" in refused(*words)
    assert not MARKER.exists()
    assert main([*words, named]) == 0
    assert MARKER.exists()
    sys.modules.pop("my_callbacks", None)

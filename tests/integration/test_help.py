"""``--help`` and Hydra's flags that only print something."""

from pathlib import Path
from statistics import median

import pytest
import yaml
from processes import Lab, Outcome, finish

pytestmark = pytest.mark.integration

SECONDS = 1.2
"""Twice the target, so that a busy machine passes."""


def test_help_is_quick(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    outcomes = [lab("--help") for _ in range(5)]
    assert {outcome.code for outcome in outcomes} == {0}
    assert median(outcome.seconds for outcome in outcomes) < SECONDS
    for command in (
        "train",
        "sweep",
        "report",
        "runs",
        "evaluate",
        "fid",
        "data",
        "track",
        "ui",
        "export",
        "translate",
    ):
        assert f"    {command}" in [line[: 4 + len(command)] for line in outcomes[0].out.splitlines()], command
    assert lab.files() == set()


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """``train`` with each of Hydra's flags that only prints something."""
    lab = Lab(tmp_path_factory.mktemp("printed"))
    commands = {
        "help": ["--help"],
        "cfg": ["--cfg", "job", "preset=tiny"],
        "info": ["--info"],
        "hydra-help": ["--hydra-help"],
    }
    started = {name: lab.start("train", *arguments) for name, arguments in commands.items()}
    outcomes = {name: finish(process) for name, process in started.items()}
    assert lab.files() == set(), "a file was written"
    return outcomes


@pytest.mark.parametrize("name", ["help", "cfg", "info", "hydra-help"])
def test_train_supports_hydras_flags(printed: dict[str, Outcome], name: str) -> None:
    assert (printed[name].code, printed[name].err) == (0, "")
    assert printed[name].out.strip()


def test_train_help_shows_groups_and_keys(printed: dict[str, Outcome]) -> None:
    lines = printed["help"].out.splitlines()
    assert "preset: joint, quickstart, reference, small, tiny" in lines
    assert "lipschitz: clip, gp, none" in lines
    assert "total_steps: 200000" in lines
    assert "  conditioning: concat" in lines


def test_cfg_shows_what_the_overrides_compose(printed: dict[str, Outcome]) -> None:
    config = yaml.safe_load(printed["cfg"].out)
    assert config["total_steps"] == 4
    assert config["data"]["sources"]["faces"]["kind"] == "synthfaces"
    assert config["discriminator"]["depth"] == 2
    assert "hydra" not in config


def test_info_shows_plugins_and_search_path(printed: dict[str, Outcome]) -> None:
    for part in ("ProcessLauncher", "BasicLauncher", "pkg://stargan_lab.conf"):
        assert part in printed["info"].out

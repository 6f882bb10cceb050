"""What a person sees before anything runs."""

from pathlib import Path
from statistics import median

import pytest
import yaml
from processes import Lab, Outcome, finish

pytestmark = pytest.mark.integration

SECONDS = 1.2
"""Twice what help is meant to take, so that a busy machine passes too."""


def test_help_is_quick(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    outcomes = [lab("--help") for _ in range(5)]
    assert {outcome.code for outcome in outcomes} == {0}
    assert median(outcome.seconds for outcome in outcomes) < SECONDS
    for command in ("train", "sweep", "report", "evaluate", "fid", "data", "track", "ui", "export", "translate"):
        assert f"    {command}" in [line[: 4 + len(command)] for line in outcomes[0].out.splitlines()], command
    assert lab.files() == set()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """``train`` with each flag of Hydra's with which it only tells something."""
    lab = Lab(tmp_path_factory.mktemp("told"))
    asked = {
        "help": ["--help"],
        "cfg": ["--cfg", "job", "preset=tiny"],
        "info": ["--info"],
        "hydra-help": ["--hydra-help"],
    }
    started = {name: lab.start("train", *arguments) for name, arguments in asked.items()}
    outcomes = {name: finish(process) for name, process in started.items()}
    assert lab.files() == set(), "telling something wrote a file"
    return outcomes


@pytest.mark.parametrize("name", ["help", "cfg", "info", "hydra-help"])
def test_train_is_a_plain_hydra_app(told: dict[str, Outcome], name: str) -> None:
    assert (told[name].code, told[name].err) == (0, "")
    assert told[name].out.strip()


def test_train_help_shows_groups_and_keys(told: dict[str, Outcome]) -> None:
    lines = told["help"].out.splitlines()
    assert "preset: joint, quickstart, reference, small, tiny" in lines
    assert "lipschitz: clip, gp, none" in lines
    assert "total_steps: 200000" in lines
    assert "  conditioning: concat" in lines


def test_cfg_shows_what_the_overrides_compose(told: dict[str, Outcome]) -> None:
    config = yaml.safe_load(told["cfg"].out)
    assert config["total_steps"] == 4
    assert config["data"]["sources"]["faces"]["kind"] == "synthfaces"
    assert config["discriminator"]["depth"] == 2
    assert "hydra" not in config


def test_info_names_our_sweeper(told: dict[str, Outcome]) -> None:
    for part in ("AblationSweeper", "BasicLauncher", "pkg://stargan_lab.conf"):
        assert part in told["info"].out

"""docs/reference.md names all 25 points, and only files, keys and commands that exist."""

import re
from argparse import _SubParsersAction
from pathlib import Path

import pytest

from stargan_lab import compose
from stargan_lab.cli.main import build_parser

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "reference.md").read_text().splitlines()
    if re.match(r"\| \d+ \|", line)
]
NAMED = [(row[0].strip("| "), name) for row in ROWS for name in re.findall(r"`([^`]+)`", row[3])]


def test_every_point_has_a_row_and_names_code() -> None:
    assert [int(row[0].strip("| ")) for row in ROWS] == list(range(1, 26))
    assert {number for number, _ in NAMED} == {str(number) for number in range(1, 26)}
    assert all(len(row) == 4 and all(row) for row in ROWS)


@pytest.mark.parametrize(("number", "name"), NAMED)
def test_named_files_keys_and_commands_exist(number: str, name: str) -> None:
    if name.startswith("stargan-lab "):
        commands = next(a for a in build_parser()._actions if isinstance(a, _SubParsersAction)).choices
        assert name.split()[1] in commands
    elif "/" in name:
        assert (ROOT / name).is_file()
    else:
        level = compose().flat()
        for part in name.split("."):
            assert part in level, f"{name} is not a key"
            level = level[part]


def test_overrides_in_the_text_are_accepted() -> None:
    text = " ".join(row[2] for row in ROWS)
    overrides = re.findall(r"`([\w.]+=[\w.]+)`", text)
    assert {"schedule=linear", "lipschitz.reduction=mean"} <= set(overrides)
    for override in overrides:
        compose([override.replace("split=", "data.sources.celeba.split=")])

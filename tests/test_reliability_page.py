"""docs/reliability.md names only tests that exist, and each fault once."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = re.findall(r"`(tests/[^`]+)`", PAGE)


@pytest.mark.parametrize("name", dict.fromkeys(NAMED))
def test_named_tests_exist(name: str) -> None:
    path, _, function = name.partition("::")
    assert f"def {function}(" in (ROOT / path).read_text() if function else (ROOT / path).is_file()


def test_each_fault_is_listed_once() -> None:
    faults = [line.split(" | ")[0] for line in PAGE.partition("## Faults")[2].splitlines() if line.startswith("| ")]
    assert len(faults) == len(set(faults)) and len(faults) > 30

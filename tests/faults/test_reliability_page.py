"""docs/reliability.md names only tests that exist; every fault is listed once and has one."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)(?:::(?P<test>\w+)(?:\[(?P<case>.+)\])?)?`")
FEWEST = 60


def rows() -> list[tuple[str, str]]:
    """The fault and the test of each row."""
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = page.partition("## Faults and bad input")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert not (odd := [row for row in cells if len(row) != 3]), odd
    return [(row[0], row[2]) for row in cells]


def test_every_row_has_its_test(record_property: Callable[[str, object], None]) -> None:
    found = rows()
    assert len(found) >= FEWEST
    assert len({fault for fault, _ in found}) == len(found)
    assert [fault for fault, cell in found if not TEST.match(cell) and cell != "the same"] == []
    record_property("figure", f"{len(found)} faults and bad inputs, each with its test")


def test_named_tests_exist() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = list(TEST.finditer(page))
    assert len(named) == page.count("`tests/")
    for match in named:
        fault = match[0]
        assert (ROOT / match["file"]).exists(), fault
        if match["test"] is None:
            continue
        source = (ROOT / match["file"]).read_text()
        tests = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        assert match["test"] in tests, fault
        assert match["case"] is None or f'"{match["case"]}"' in source, fault

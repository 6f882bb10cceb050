"""Processes that share an evaluation must have equal instruments."""

from types import SimpleNamespace
from typing import Any

import pytest

from stargan_lab.errors import LabError
from stargan_lab.runs.scores import check_agreement


@pytest.mark.parametrize(("others", "differs"), [("0a1b2c3d4e5f", False), ("0a1b2c3d4e60", True)])
def test_another_protocol_in_another_process_is_refused(others: str, differs: bool) -> None:
    """The process with the smaller number notices; one of two that differ always does."""
    evaluator: Any = SimpleNamespace(protocol={"hash": "0a1b2c3d4e5f"})
    world: Any = SimpleNamespace(largest=lambda number: max(number, int(others, 16)))
    if not differs:
        check_agreement(evaluator, world)
        return
    with pytest.raises(LabError, match=r"^evaluation: the extractor's weights on this machine are missing, or differ"):
        check_agreement(evaluator, world)

"""Tests that need a program or package are skipped without it, but fail in CI."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import require_package, require_tool

ABSENT = "no-such-tool-or-package"


@pytest.mark.parametrize("require", [require_package, require_tool])
def test_what_is_missing_fails_in_ci_only(require: Callable[[str], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STARGAN_LAB_CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=ABSENT):
        require(ABSENT)
    monkeypatch.setenv("STARGAN_LAB_CI", "1")
    with pytest.raises(pytest.fail.Exception, match=ABSENT):
        require(ABSENT)


def test_what_is_installed_passes_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARGAN_LAB_CI", "1")
    require_package("torch")
    assert Path(require_tool("sh")).name == "sh"


def test_no_test_is_skipped_in_another_way_for_a_missing_package() -> None:
    files = [path for path in Path(__file__).parent.rglob("*.py") if path != Path(__file__)]
    assert [path for path in files if re.search(r"\bimportorskip\b", path.read_text())] == []

"""Plan, ledger and report of large ablations stay within their limits of CPU time and memory."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

SCALE = Path(__file__).parents[2] / "benchmarks" / "scale.py"


@pytest.mark.parametrize(
    ("cells", "arguments"),
    [(10_000, ["--only", "plan"]), (960, ["--variants", "80", "--seeds", "12", "--only", "status", "report"])],
    ids=["plan of 10,000", "ledger and report of 960"],
)
def test_large_ablations_stay_within_the_limits(
    cells: int, arguments: Sequence[str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    done = subprocess.run(
        [sys.executable, str(SCALE), "--cpu", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    measured = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["command"] for each in measured] == arguments[arguments.index("--only") + 1 :]
    for each in measured:
        assert each["cells"] == cells
        record_property(
            "figure",
            f"{each['command']} of {cells:,} cells: {each['cpu_seconds']} s of CPU time, {each['peak_mib']:,} MiB",
        )

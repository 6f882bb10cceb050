"""The benchmark of a step runs and ends in one line of JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.integration
def test_the_step_of_both_precisions() -> None:
    settings = ["two passes", "bf16 generator"]
    command = [sys.executable, BENCHMARKS / "step.py", "--image-size", "32", "--width", "8", "--batch-size", "2"]
    command += ["--rounds", "2", "--threads", "1", "--cpu-time", "--settings", "default", *settings]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert {
        "ratio",
        "ratio_fp32",
        "memory_ratio",
        "memory_ratio_fp32",
        "seconds",
        "setting",
        "machine",
    } <= result.keys()
    assert result["ratios"].keys() == {"default", *settings} and result["ratios"]["default"] == 1
    assert result["against"] == "default" and result["setting"] in result["ratios"]
    assert 0 < result["floor_seconds"] < result["seconds"]
    assert result["ratio_quartiles"][0] <= result["ratio"] <= result["ratio_quartiles"][1]

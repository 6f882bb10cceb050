"""``stargan-lab report`` on runs that were evaluated several times."""

from collections.abc import Callable
from pathlib import Path

import pytest
from scored import scoring

from stargan_lab.ablation.spec import load
from stargan_lab.cli.main import main
from stargan_lab.cli.sweep_run import SweepRun
from stargan_lab.files import write_json
from stargan_lab.report.swept import Swept
from stargan_lab.tracking.run_folder import RunFolder

FIRST = scoring({"eval/edit": 0.25})
SECOND = scoring({"eval/edit": 0.75}, batch_size=8)
HASH = SECOND["protocol"]["hash"]


@pytest.fixture
def outputs(tmp_path: Path, scored_run: Callable[..., RunFolder]) -> Path:
    scored_run("aaa", FIRST, SECOND)
    scored_run("bbb", FIRST)
    write_json(tmp_path / "reports" / "quickstart" / "cells.json", [["none", 0, "aaa"], ["instance", 0, "bbb"]])
    return tmp_path


def report(outputs: Path, *flags: str) -> int:
    return main(["report", "quickstart", "--outputs", str(outputs), "--format", "md", *flags])


def test_the_first_scores_are_shown_unless_a_protocol_is_requested(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = outputs / "reports" / "quickstart" / "report.md"
    assert report(outputs) == 0
    assert "| none (baseline) | 0.250 (1) |" in page.read_text()
    assert report(outputs, "--protocol", HASH[:6]) == 0
    text = page.read_text()
    assert "| none (baseline) | 0.750 (1) |" in text
    assert f"- instance, seed 0: not scored under protocol {HASH}; run `stargan-lab evaluate bbb …`" in text
    assert f"- protocol: {HASH}\n" in text
    assert f"not scored under protocol {HASH}" in capsys.readouterr().out


def test_the_command_of_the_sweep_is_repeated_with_all_its_overrides(outputs: Path) -> None:
    path = outputs / "reports" / "quickstart" / "cells.json"
    page = path.with_name("report.md")
    ablation, overrides = load("quickstart"), ["total_steps=4", "hydra/launcher=joblib"]
    sweep = SweepRun(ablation, [], overrides, Path("my conf"), allow_mixed=True)
    Swept([("none", 0, "aaa"), ("instance", 0, "bbb")], None, sweep.command).write(path)
    assert report(outputs) == 0
    command = "sweep quickstart total_steps=4 hydra/launcher=joblib --config-dir 'my conf' --allow-mixed"
    assert f"- command: stargan-lab {command}\n" in page.read_text()
    write_json(path, [["none", 0, "aaa"], ["instance", 0, "bbb"]])  # an older record
    assert report(outputs) == 0 and "- command: stargan-lab sweep quickstart\n" in page.read_text()


def test_refused_options(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(outputs, "--protocol", "zz") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: --protocol zz: no run was scored under it; available: ")
    assert f"{HASH} (1 run)" in error and error.count("\n") == 1
    assert report(outputs, "--protocol", HASH, "--from", "runs.csv") == 2
    assert "--protocol: a CSV file has one protocol per run" in capsys.readouterr().err

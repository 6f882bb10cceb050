"""``sweep --until-decided``: what is refused before any training, and what a plan that has begun refuses."""

from pathlib import Path

import pytest
from norms import NORMS
from refusals import refused

from stargan_lab.ablation.spec import load
from stargan_lab.cli.main import main
from stargan_lab.cli.report import cells_file
from stargan_lab.cli.sweep_run import SweepRun
from stargan_lab.cli.until_decided import begin
from stargan_lab.files import read_json
from stargan_lab.report.swept import Swept, read_swept

GAP = NORMS.replace("seeds: [0, 1]", "seeds: [0, 4]")
OUTPUTS = Path("outputs")


@pytest.fixture(autouse=True)
def ablations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``norms``, ``single`` with one seed, ``rate`` with a metric without direction."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "norms.yaml").write_text(GAP)
    (folder / "single.yaml").write_text(GAP.replace("[0, 4]", "[0]"))
    (folder / "rate.yaml").write_text(GAP.replace("eval/edit", "lr/g"))
    return folder


def started(*overrides: str) -> tuple[SweepRun, Path]:
    """A sweep of ``norms`` that has recorded its plan, up to 3 seeds, and its first cells, as ``train`` does."""
    from stargan_lab.ablation.plan import plan

    ablation = load("norms")
    sweep, cells = begin(SweepRun(ablation, plan(ablation, overrides), overrides), 3)
    path = cells_file(OUTPUTS, ablation)
    Swept([(cell.variant, cell.seed, cell.run_id) for cell in cells], sweep.plan).write(path)
    return sweep, path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("norms --max-seeds 9", "--max-seeds: only with --until-decided"),
        (
            "norms --until-decided --max-seeds 1",
            "must be from 2, the seeds of the first look, to 100; got 1",
        ),
        ("norms --until-decided --max-seeds 101", "first look, to 100; got 101"),
        ("norms --until-decided --max-seeds 0", "first look, to 100; got 0"),
        ("single --until-decided", "--until-decided: the first look needs at least 2 seeds, but single has 1"),
        ("rate --until-decided", "--until-decided: lr/g has no direction, so no variant could be better or worse"),
    ],
)
def test_impossible_plans(words: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert refused(["sweep", *words.split()], capfd).endswith(message)


def test_dry_run_lists_the_first_look_and_says_how_many_may_follow(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "norms", "--until-decided", "--dry-run"]) == 0
    *cells, left, last = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in cells] == ["seed=0", "seed=4"] * 2
    assert left.startswith("4 runs left")
    assert last == "then up to 36 runs more while variants are undecided: 18 seeds, one per look"
    assert not OUTPUTS.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "norms",
            "norms: a sweep with --until-decided has begun; resume it with --until-decided, or delete outputs/reports",
        ),
        (
            "norms --until-decided --max-seeds 5",
            "the looks of norms are planned up to 3 seeds, and their levels depend on it; use --max-seeds 3, or",
        ),
        ("norms --until-decided total_steps=2", "none · seed 0 is run "),
    ],
)
def test_a_plan_that_has_begun_cannot_change(words: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    started()
    assert message in refused(["sweep", *words.split()], capfd)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0, 4]", "seeds: [0, 1, 4]", "seeds: the sweep was planned with 0, 4, and its levels"),
        ("eval/edit", "eval/leak", "primary: the sweep was planned with eval/edit, and its levels"),
        ("  layer:", "  batch: [discriminator.norm=batch]\n  layer:", "but now it is batch vs. none, layer vs. none;"),
    ],
)
def test_nor_can_what_its_levels_depend_on(
    ablations: Path, old: str, new: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    started()
    (ablations / "norms.yaml").write_text(GAP.replace(old, new))
    assert main(["sweep", "norms", "--until-decided", "--dry-run"]) == 1
    assert message in capsys.readouterr().err
    if not old.startswith("seeds"):  # those of the first look do not matter to a report
        assert main(["report", "norms"]) == 1
        assert message in capsys.readouterr().err


def test_the_same_command_resumes_the_recorded_cells(capsys: pytest.CaptureFixture[str]) -> None:
    sweep, path = started()
    assert sweep.plan is not None and [sweep.plan.seed(index) for index in range(3)] == [0, 4, 5]
    third = [(cell.variant, cell.seed, cell.run_id) for cell in sweep.cells([5])]
    cells = [tuple(cell) for cell in read_json(path)["cells"]]
    Swept([*cells, *third], sweep.plan).write(path)
    assert read_swept(path) == Swept([*cells, *third], sweep.plan)
    assert main(["sweep", "norms", "--until-decided", "--status"]) == 0  # the recorded number of seeds, not the default
    *lines, total, last = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [[v, "seed", s] for v in ("none", "layer") for s in "045"]
    assert total == "6 planned" and last == "all 3 seeds of the plan are listed"

"""``sweep`` of a user's ablation, from the plan to the report."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from joblib import cpu_count
from norms import NORMS
from PIL import Image
from processes import NO_MLFLOW, RATES, Lab, Outcome, finish

pytestmark = pytest.mark.integration

BASIC = ["hydra/launcher=basic"]

OUTPUTS = """\
title: Outputs at 16 px
claim: The range of the output matters before any training.
base: [preset=tiny, total_steps=1]
baseline: tanh
variants:
  tanh: [generator.output=tanh]
  sigmoid: [generator.output=sigmoid]
  slow: [optimizer.d_lr=0.00001]
seeds: [0, 1]
primary: eval/reconstruction
"""

LAUNCHER = """\
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore


class CountingLauncher(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        Path("launched.txt").write_text(str(len(job_overrides)))
        return super().launch(job_overrides, initial_job_idx)


node = {"_target_": "hydra_plugins.counting.CountingLauncher"}
ConfigStore.instance().store(group="hydra/launcher", name="counting", node=node, provider="counting")
"""


@dataclass(frozen=True)
class Swept:
    """A folder after ``sweep norms`` with a user's launcher, a module in Hydra's plugin namespace."""

    lab: Lab
    dry: Outcome
    sweep: Outcome
    ids: tuple[str, ...]
    """Run ids of none 0, none 1, layer 0, layer 1."""

    def mtimes(self) -> dict[str, int]:
        return {run_id: (self.lab.run(run_id) / "result.json").stat().st_mtime_ns for run_id in self.ids}


@pytest.fixture(scope="module")
def swept(prepare: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("swept")
    lab = Lab(folder, environment={"PYTHONPATH": str(folder / "plugins")})
    lab.write("plugins/hydra_plugins/counting.py", LAUNCHER)
    lab.write("experiments/norms.yaml", NORMS)
    lab.write("experiments/rates.yaml", RATES)
    before = lab.files()
    dry = lab("sweep", "norms", "--dry-run")
    assert lab.files() == before, "a dry run wrote something"
    prepare(lab.folder)
    sweep = lab("sweep", "norms", "hydra.sweep.dir=elsewhere", "hydra/launcher=counting")
    return Swept(lab, dry, sweep, tuple(line.split()[0] for line in dry.out.splitlines()[:-1]))


def test_dry_run_lists_the_cells(swept: Swept) -> None:
    assert (swept.dry.code, swept.dry.err) == (0, "")
    *lines, left = swept.dry.out.splitlines()
    assert left == "4 runs left; the time is estimated once a run is finished"
    assert [" ".join(line.split()[1:6]) for line in lines] == [
        "planned none · seed 0",
        "planned none · seed 1",
        "planned layer · seed 0",
        "planned layer · seed 1",
    ]
    assert lines[2].endswith("stargan-lab train preset=tiny discriminator.norm=layer seed=0")
    assert len(set(swept.ids)) == 4


def test_sweep_trains_every_cell(swept: Swept) -> None:
    assert swept.sweep.code == 0, swept.sweep.err
    assert set(swept.ids) <= swept.lab.run_ids()
    assert {swept.lab.result(run_id)["status"] for run_id in swept.ids} == {"finished"}
    lines = [line for line in swept.sweep.lines() if line.startswith(("started [", "ended ["))]
    assert all(", about " in line for line in lines[2:-1])  # once a run is finished, while some are left
    assert [line.partition(", about ")[0] for line in lines] == [
        "started [1/4] none · seed 0 — 0 finished, 0 failed, 1 running, 3 left",
        "ended [1/4] none · seed 0 — 1 finished, 0 failed, 3 left",
        "started [2/4] none · seed 1 — 1 finished, 0 failed, 1 running, 2 left",
        "ended [2/4] none · seed 1 — 2 finished, 0 failed, 2 left",
        "started [3/4] layer · seed 0 — 2 finished, 0 failed, 1 running, 1 left",
        "ended [3/4] layer · seed 0 — 3 finished, 0 failed, 1 left",
        "started [4/4] layer · seed 1 — 3 finished, 0 failed, 1 running, 0 left",
        "ended [4/4] layer · seed 1 — 4 finished, 0 failed, 0 left",
    ]
    runs = swept.lab.mlflow().runs()
    tags = [runs[run_id].data.tags for run_id in swept.ids]
    assert [(tag["ablation.norms"], tag["seed"]) for tag in tags] == [
        ("none", "0"),
        ("none", "1"),
        ("layer", "0"),
        ("layer", "1"),
    ]


def test_hydra_overrides_and_the_configured_launcher_apply(swept: Swept) -> None:
    assert (swept.lab.folder / "elsewhere" / "multirun.yaml").is_file()
    assert (swept.lab.folder / "elsewhere" / "3").is_dir()
    assert (swept.lab.folder / "launched.txt").read_text() == "4"


def test_sweep_ends_with_a_report(swept: Swept) -> None:
    folder = swept.lab.outputs / "reports" / "norms"
    assert "Norms at 16 px" in swept.sweep.out and "(baseline)" in swept.sweep.out
    assert "A norm helps." in (folder / "report.md").read_text()
    assert "data:image/png;base64," in (folder / "report.html").read_text()
    with Image.open(folder / "strip.png") as figure:
        assert min(figure.size) > 50
    assert "layer − none" in (folder / "effects.svg").read_text() and (folder / "effects.pdf").is_file()
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["seed"], row["run_id"]) for row in rows] == [
        (*cell, run_id)
        for cell, run_id in zip([("none", "0"), ("none", "1"), ("layer", "0"), ("layer", "1")], swept.ids, strict=True)
    ]
    for row in rows:
        assert float(row["eval/edit"]) == swept.lab.result(row["run_id"])["metrics"]["eval/edit"]


def test_second_sweep_trains_nothing(swept: Swept) -> None:
    before = swept.mtimes()
    again = swept.lab("sweep", "norms")
    assert again.code == 0
    assert swept.mtimes() == before
    assert "[1/" not in again.err
    overrides = " hydra.sweep.dir=elsewhere hydra/launcher=counting"  # not needed for a report
    assert again.out == swept.sweep.out.replace(overrides, "")


def test_status_lists_every_cell(swept: Swept) -> None:
    status = swept.lab("sweep", "norms", "--status")
    assert status.code == 0
    assert status.out.splitlines()[-1] == "4 finished"
    assert status.out.splitlines()[2].split() == ["layer", "seed", "0", swept.ids[2], "finished"]


def test_multirun_has_the_same_runs(swept: Swept) -> None:
    before, known = swept.mtimes(), swept.lab.run_ids()
    outcome = swept.lab("train", *["preset=tiny", "-m", "discriminator.norm=none,layer", "seed=0,1"])
    assert outcome.code == 0, outcome.err
    assert [line.split()[3] for line in outcome.lines() if "already finished" in line] == list(swept.ids)
    assert (swept.mtimes(), swept.lab.run_ids()) == (before, known)


def test_report_can_be_rebuilt_from_its_csv(swept: Swept) -> None:
    folder = swept.lab.outputs / "reports" / "norms"
    shutil.copy(folder / "report.md", swept.lab.folder / "kept.md")
    shutil.copy(folder / "report.csv", swept.lab.folder / "kept.csv")
    (folder / "report.md").unlink()
    outcome = swept.lab("report", "norms", "--from", "outputs/reports/norms/report.csv", "--format", "md")
    assert outcome.code == 0, outcome.err
    assert (folder / "report.md").read_text() == (swept.lab.folder / "kept.md").read_text()
    assert (folder / "report.csv").read_text() == (swept.lab.folder / "kept.csv").read_text()


def test_cell_of_two_ablations_is_one_run(swept: Swept) -> None:
    before = swept.mtimes()
    outcome = swept.lab("sweep", "rates")
    assert outcome.code == 0, outcome.err
    assert swept.mtimes() == before
    assert "[2/2] low · seed 0 — 1 finished, 0 failed, 1 left" in outcome.err
    shared = swept.lab.mlflow().runs()[swept.ids[0]].data.tags
    assert (shared["ablation.norms"], shared["ablation.rates"]) == ("none", "usual")
    assert json.loads((swept.lab.run(swept.ids[0]) / "tags.json").read_text())["ablation.rates"] == "usual"
    (low,) = (r for r in swept.lab.mlflow().runs().values() if r.data.tags.get("ablation.rates") == "low")
    assert "ablation.norms" not in low.data.tags


def test_sweep_with_a_config_dir_is_reported(swept: Swept) -> None:
    """The preset is tiny under another name, so every cell is finished already."""
    swept.lab.write("conf/preset/mine.yaml", "# @package _global_\ndefaults: [tiny]\n")
    swept.lab.write("experiments/mine.yaml", NORMS.replace("preset=tiny", "preset=mine"))
    outcome = swept.lab("sweep", "mine", "--config-dir", "conf")
    assert outcome.code == 0, outcome.err
    assert (swept.lab.outputs / "reports" / "mine" / "report.md").is_file()
    assert swept.lab("report", "mine").code == 0
    tags = swept.lab.mlflow().runs()[swept.ids[3]].data.tags
    assert (tags["ablation.norms"], tags["ablation.mine"]) == ("layer", "layer")


@pytest.mark.skipif(cpu_count() < 2, reason="needs two cores")
def test_sweep_runs_in_parallel_without_options(lab: Lab) -> None:
    lab.write("experiments/norms.yaml", NORMS)
    outcome = lab("sweep", "norms", "seed=0")
    assert outcome.code == 0, outcome.err
    assert re.search(r"2 variants, 2 runs, 2 at a time \(.*\), in ", outcome.lines()[0])
    assert [lab.result(run_id)["status"] for run_id in lab.run_ids()] == ["finished"] * 2
    assert len(lab.mlflow().runs()) == 2
    shown = [line for line in outcome.err.splitlines() if line.startswith(("started [", "ended ["))]
    assert sorted(line.partition(" —")[0] for line in shown) == [
        "ended [1/2] none · seed 0",
        "ended [2/2] layer · seed 0",
        "started [1/2] none · seed 0",
        "started [2/2] layer · seed 0",
    ]
    assert shown[-1].endswith("— 2 finished, 0 failed, 0 left")


def test_progress_of_a_sweep_is_hidden_or_continued(lab: Lab) -> None:
    lab.write("experiments/norms.yaml", NORMS)
    quiet = lab("sweep", "norms", "--quiet", "seed=0", *BASIC, NO_MLFLOW)
    assert quiet.code == 0 and "(baseline)" in quiet.out
    kinds = [f"{variant} · seed 0  {kind}" for variant in ("none", "layer") for kind in ("warning: ", "finished in ")]
    assert [line for line in quiet.lines() if not line.startswith((*kinds, "samples: ", "wrote "))] == []

    more = lab("sweep", "norms", "seed=0,1", *BASIC, NO_MLFLOW)
    third, fourth = (line for line in more.lines() if line.startswith("["))
    assert third == "[3/4] none · seed 1 — 2 finished, 0 failed, 2 left"
    assert re.fullmatch(r"\[4/4\] layer · seed 1 — 3 finished, 0 failed, 1 left, about \d+ (s|min) left", fourth)


def test_sweep_until_decided_adds_seeds_and_resumes(lab: Lab) -> None:
    """One step does not update the generator (n_critic is 2), so a slow discriminator cannot change a score, and the
    range of the output layer must."""
    lab.write("experiments/outputs.yaml", OUTPUTS)
    command = ("sweep", "outputs", "--until-decided", "--max-seeds", "4", NO_MLFLOW)
    first = lab(*command)
    assert first.code == 0, first.err
    looks = [line for line in first.lines() if line.startswith("look ")]
    assert looks == [
        "look 1 of 3: 0 of 2 verdicts; adding seed 2 of tanh, sigmoid, slow",
        "look 2 of 3: 1 of 2 verdicts; adding seed 3 of tanh, slow",
        "look 3 of 3: 1 of 2 verdicts with 4 seeds",
    ]
    lines = first.lines()
    after = lines[lines.index(looks[-1]) + 1 :][:2]
    numbers = r"\(Δ reconstruction \S+, 95% interval \[\S+ \S+\], n = {}, protocol \w{{8}}\)\."
    assert re.fullmatch(rf"sigmoid is better than tanh {numbers.format(3)}.*", after[0])
    assert re.fullmatch(rf"slow vs\. tanh is undecided.* {numbers.format(4)}.*", after[1])
    started = r"^(?:started )?\[(\d+/\d+)\] (\w+) · seed (\d)"  # in any order if they run at the same time
    positions = sorted(re.findall(started, first.err, re.MULTILINE), key=lambda found: int(found[0].split("/")[0]))
    assert positions[6:] == [
        ("7/9", "tanh", "2"),
        ("8/9", "sigmoid", "2"),
        ("9/9", "slow", "2"),
        ("10/11", "tanh", "3"),
        ("11/11", "slow", "3"),
    ]
    jobs = {
        path.parent.name: len(list(path.parent.glob("[0-9]*"))) for path in lab.outputs.glob("hydra/*/*/*/jobs.*.txt")
    }
    assert jobs == {"look-1": 6, "look-2": 3, "look-3": 2}  # a directory per job, none used twice
    report = lab.outputs / "reports" / "outputs" / "report.md"
    page = report.read_text()
    assert "sequential: look 3 of 3 (one look per number of seeds from 2 to 4)" in page
    assert "sigmoid is better than tanh" in page and "slow vs. tanh is undecided" in page
    assert "- command: stargan-lab sweep outputs tracking.enabled=false --until-decided --max-seeds 4\n" in page

    recorded = json.loads(report.with_name("cells.json").read_text())["cells"]
    (lost,) = (run_id for variant, seed, run_id in recorded if (variant, seed) == ("slow", 3))
    shutil.rmtree(lab.run(lost))
    written = {run_id: (lab.run(run_id) / "result.json").stat().st_mtime_ns for run_id in lab.run_ids()}
    again = lab(*command[:3], NO_MLFLOW)  # --max-seeds is recorded
    assert again.code == 0, again.err
    assert [line for line in again.lines() if line.startswith("look ")] == looks[-1:]
    assert {run_id: (lab.run(run_id) / "result.json").stat().st_mtime_ns for run_id in written} == written
    assert lab.run_ids() - set(written) == {lost} and len(written) == 10

    rebuilt = lab("report", "outputs", "--format", "md")
    assert rebuilt.code == 0, rebuilt.err
    verdicts, after = (
        text.partition("## Verdicts")[2].partition("## Results")[0] for text in (page, report.read_text())
    )
    assert verdicts == after


def test_concurrent_sweeps_share_the_work(lab: Lab) -> None:
    """No cell is trained twice, and every run is in MLflow once."""
    lab.write("experiments/norms.yaml", NORMS)
    outcomes = [finish(process) for process in [lab.start("sweep", "norms", "seed=0") for _ in range(2)]]
    assert ["Traceback" in outcome.err for outcome in outcomes] == [False] * 2, [outcome.err for outcome in outcomes]
    assert "another process" in outcomes[0].err + outcomes[1].err
    assert len(lab.mlflow().runs()) == 2
    assert [lab.result(run_id)["status"] for run_id in lab.run_ids()] == ["finished"] * 2
    directories = [path.name for path in lab.outputs.glob("hydra/*/*-sweep")]
    assert len(directories) == 2, "the sweeps shared Hydra's directory"
    assert all(re.fullmatch(r"\d\d-\d\d-\d\d-\d{6}-sweep", name) for name in directories), "unique by chance"

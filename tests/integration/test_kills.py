"""Kills at random moments of every phase; the same command, repeated, ends with the results of an undisturbed run.

A kill waits for an event that marks a phase (a file appears or changes), then for a random delay. The moments are drawn
from a seed, but where the process is at that moment depends on the machine: the printed table shows it.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from processes import MEASURED, TIMEOUT, Lab, finish

from stargan_lab.console import say

pytestmark = pytest.mark.integration

SEED = 10
STEPS = 24
TINY = (
    "preset=tiny",
    f"total_steps={STEPS}",
    "trainer.checkpoint_every=4",
    "trainer.log_every=3",  # not a divisor of 4, so checkpoints fall within a logging interval
    "trainer.sample_every=12",
    "trainer.evaluate_every=12",
    "optimizer.d_lr=0.0001",
)
NOT_COMPARED = ("resumed_from", "finished", "peak_memory_mib")
TRAIN = ("train", *TINY)
SWEEP = ("sweep", "killed")
ABLATION = f"""\
claim: A higher rate helps.
base: [{", ".join(TINY[:-1])}]
baseline: low
variants: {{low: [{TINY[-1]}], high: [optimizer.d_lr=0.0005]}}
seeds: [0]
primary: eval/leak
"""


class Phase(NamedTuple):
    """Where to kill a command.

    Attributes:
        pattern: glob in the outputs directory. The phase begins when a file that matches it appears or changes.
        kills: the number of kills; fewer if the phase ends within one command.
        delay: the kill follows the event after 0 to ``delay`` seconds.
    """

    name: str
    pattern: str
    kills: int
    delay: float


OF_A_RUN = (
    Phase("start of the command", "", 1, 2),
    Phase("rendering of the data", "data/.synthfaces*.partial-*/images/*", 3, 0.05),
    Phase("packing", "cache/packed/*", 2, 0.02),
    Phase("creation of the MLflow store", ".mlflow.db.partial*", 3, 1),
    Phase("training", "runs/*/samples/ground_truth.png", 3, 0.3),
    Phase("writing of a checkpoint", "runs/*/checkpoints/.last.pt.*", 2, 0),
    Phase("training of the attribute classifier", "cache/classifiers/*.lock", 2, 1),
    Phase("features of the evaluation", "cache/features/*.lock", 2, 0.2),
    Phase("end of the run", "runs/*/scores/*", 2, 0.05),
)
OF_A_SWEEP = (
    Phase("creation of the store by a sweep", ".mlflow.db.partial*", 1, 1),
    Phase("training of a sweep", "runs/*/samples/ground_truth.png", 2, 1),
    Phase("end of a run of a sweep", "runs/*/result.json", 1, 1),
    Phase("writing of the report", "reports/killed/effects.svg", 3, 1),
)


class Kill(NamedTuple):
    """One row of the printed table.

    Attributes:
        groups: number of process groups killed; more than one if a worker of a sweep was among them.
    """

    phase: str
    delay: float
    groups: int
    state: str


@dataclass
class Killer:
    """Kills one command in one phase after the other, and starts it again each time."""

    lab: Lab
    command: Sequence[str]
    random: random.Random

    def __call__(self, phases: Sequence[Phase]) -> list[Kill]:
        """The kills; ends with the command's success."""
        kills: list[Kill] = []
        for number, phase in enumerate(phases):
            for _ in range(phase.kills):
                if kill := self._kill(phases[number:]):
                    kills.append(kill)
        outcome = self.lab(*self.command)
        assert outcome.code == 0, outcome.err
        return kills

    def _kill(self, phases: Sequence[Phase]) -> Kill | None:
        """Kill the command in the first of the phases, or in a later one if that begins first; None if it ends."""
        before = [self._seen(phase) for phase in phases]
        process = self.lab.start(*self.command)
        deadline = time.monotonic() + TIMEOUT
        begun = None if phases[0].pattern else phases[0]
        while begun is None and process.poll() is None:
            assert time.monotonic() < deadline, phases[0]
            time.sleep(0.001)
            begun = next((p for p, seen in zip(phases, before, strict=True) if self._seen(p) - seen), None)
        delay, groups = self.random.uniform(0, begun.delay) if begun else 0, 0
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            groups = kill_session(process.pid)
        outcome = finish(process)
        if outcome.code == -signal.SIGKILL and begun:
            return Kill(begun.name, delay, groups, self._state())
        assert outcome.code == 0, outcome.err
        return None

    def _seen(self, phase: Phase) -> set[tuple[str, int]]:
        """The matching files with their times of change; files vanish while they are listed."""
        found = set()
        for path in self.lab.outputs.glob(phase.pattern) if phase.pattern else ():
            try:
                found.add((str(path), path.stat().st_mtime_ns))
            except FileNotFoundError:
                continue
        return found

    def _state(self) -> str:
        """What a killed command leaves: files that are complete and partial, and rows of metrics."""
        names = [path.name for path in self.lab.outputs.rglob("*") if path.is_file() and path.suffix != ".lock"]
        rows = sum(path.read_bytes().count(b"\n") for path in self.lab.outputs.glob("runs/*/metrics.jsonl"))
        partial = sum(bool(re.match(r"\..*\.[a-z0-9_]{8}$", name)) for name in names)
        return f"{len(names)} files, {partial} partial, {rows} rows"


def kill_session(leader: int) -> int:
    """Kill all processes of a command, with the workers of a sweep, which have groups of their own.

    Workers come first, so that they do not end because their launcher has.

    Returns:
        The number of process groups.
    """
    groups = set()
    for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*")):
        with suppress(ProcessLookupError):
            if os.getsid(pid) == leader:
                groups.add(os.getpgid(pid))
    for group in [*sorted(groups - {leader}), leader]:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    return len(groups)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("undisturbed"))
    lab.write("experiments/killed.yaml", ABLATION)
    for command in (TRAIN, SWEEP):
        assert (outcome := lab(*command)).code == 0, outcome.err
    return lab


def test_twenty_kills_change_no_result(
    undisturbed: Lab, tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    trained, swept = (Lab(tmp_path_factory.mktemp(name)) for name in ("killed_train", "killed_sweep"))
    for part in ("cache", "data"):
        shutil.copytree(undisturbed.outputs / part, swept.outputs / part)
    for lab in (trained, swept):
        lab.write("experiments/killed.yaml", ABLATION)
    killers = Killer(trained, TRAIN, random.Random(SEED)), Killer(swept, SWEEP, random.Random(SEED + 1))
    with ThreadPoolExecutor(2) as pool:  # a process mostly waits for imports and files
        kills = [kill for each in pool.map(Killer.__call__, killers, (OF_A_RUN, OF_A_SWEEP)) for kill in each]
    for number, kill in enumerate(kills, 1):
        say(f"kill {number:2}  {kill.phase:<38} +{kill.delay:.3f} s  {kill.groups} groups  left {kill.state}")
    assert len(kills) >= 20
    assert {phase.name for phase in (*OF_A_RUN, *OF_A_SWEEP)} == {kill.phase for kill in kills}
    workers = sum(kill.groups > 1 for kill in kills)
    assert workers and any(kill.groups > 1 for kill in kills if kill.phase == "training of a sweep")
    assert_equal(trained, undisturbed, trained.run_ids())
    assert_equal(swept, undisturbed, undisturbed.run_ids())
    pd.testing.assert_frame_equal(report(swept), report(undisturbed))
    phases = len({kill.phase for kill in kills})
    record_property(
        "figure", f"{len(kills)} kills in {phases} phases, {workers} of them with workers of a sweep: 0 differences"
    )


def assert_equal(lab: Lab, undisturbed: Lab, run_ids: set[str]) -> None:
    """Equal weights, scores, rows and points in MLflow; each row and point exists once."""
    assert lab.run_ids() == run_ids and run_ids
    stores = lab.mlflow(), undisturbed.mlflow()
    recorded = [store.runs() for store in stores]
    assert set(recorded[0]) == run_ids
    for run_id in run_ids:
        result, expected = lab.result(run_id), undisturbed.result(run_id)
        assert (result["status"], result["step"]) == ("finished", STEPS)
        for key in ("state_sha256", "metrics", "protocol"):
            assert result[key] == expected[key], key
        assert lab.rows(run_id) == undisturbed.rows(run_id)
        histories = [store.history(runs[run_id]) for store, runs in zip(stores, recorded, strict=True)]
        assert [step for step, _ in histories[0]["loss/d_real"]] == [*range(3, STEPS, 3), STEPS]
        assert histories[0] == histories[1]
        assert not list((lab.run(run_id) / "checkpoints").glob(".*")), "a partial checkpoint is left"
    assert not list((lab.outputs / "data").glob(".*.partial-*")), "a partial dataset is left"


def report(lab: Lab) -> pd.DataFrame:
    """The runs in a report, without times and what measures the machine."""
    runs = pd.read_csv(lab.outputs / "reports" / "killed" / "report.csv")
    measured = [name for name in runs if name.startswith(MEASURED) or "seconds" in name or name in NOT_COMPARED]
    return runs.drop(columns=measured)

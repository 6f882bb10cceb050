"""Two processes that share each batch train as one process does with the joint batch."""

import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import SIZE, run_ranks
from tiny import ONE, TWO, make_batch, make_generator, make_objective, make_train_state
from torch import Tensor

from stargan_lab.checkpoints.train_state import state_sha256
from stargan_lab.errors import ConfigError, Interrupted, NonFiniteLossError, ProcessLost, ReportedElsewhere
from stargan_lab.labels import Batch
from stargan_lab.losses.target_labels import different, permuted
from stargan_lab.training.distributed import ALONE, STOPPING, World, joined
from stargan_lab.training.loop import LoopPlan, train
from stargan_lab.training.meter import Meter

CASES: dict[str, dict[str, Any]] = {
    "one dataset": {"layout": ONE, "targets": permuted},
    "two datasets, other targets": {"layout": TWO, "targets": different},
    "two interpolates, one pass": {"layout": ONE, "targets": permuted, "samples": 2, "joint_pass": True},
}


@dataclass
class Record:
    """Hooks that record what is logged."""

    world: World
    stop_at: int = 0
    step: int = 0
    logged: dict[int, dict[str, float]] = field(default_factory=dict)

    def stepped(self, step: int) -> None:
        self.step = step

    def log(self, step: int, values: dict[str, float]) -> None:
        self.logged[step] = values

    def diagnose(self, step: int) -> None: ...
    def sample(self, step: int) -> None: ...
    def evaluate(self, step: int) -> None: ...
    def checkpoint(self, step: int) -> None: ...

    def stop_requested(self) -> int:
        return self.world.largest(2 if self.step == self.stop_at else 0)


def trained(
    world: World,
    *,
    layout: Any,
    targets: Any,
    samples: int = 1,
    joint_pass: bool = False,
    stop_at: int = 0,
    nan: int = 0,
) -> dict[str, Any]:
    """Six iterations in float64 with three generator updates; losses, last gradients, weights and their hash.

    Args:
        stop_at: step at which this process is asked to stop.
        nan: step with a non-finite image among this process's rows.
    """
    sources = len(layout.specs)
    generator = make_generator(layout.generator_width, conditioning="adain")  # every weight has a gradient
    state = make_train_state(layout, precision="float64", generator=generator, decay=0.5, joint_pass=joint_pass)
    state.world = world

    def batch(step: int) -> Batch:
        joint = make_batch(layout, step)
        rows = world.rows(4)
        images = joint.images[rows] * (float("inf") if step == nan else 1)
        return replace(joint, images=images, rows=rows)

    plan = LoopPlan(6 * sources, 2, sources, 5, lambda iteration, total: 1.0, 4, 0, 0, 0)
    record, objective = Record(world, stop_at), make_objective(layout, targets=targets, samples=samples)
    train(state, objective, batch, plan, Meter(world), record)
    networks = {"generator": state.generator, "critic": state.critic}
    named = {f"{role}.{name}": p for role, network in networks.items() for name, p in network.named_parameters()}
    return {
        "sha256": state_sha256(state),
        "logged": record.logged,
        "gradients": {name: parameter.grad for name, parameter in named.items()},
        "weights": {name: parameter.detach() for name, parameter in named.items()},
    }


def ignored(number: int, frame: object) -> None:
    """A signal handler."""


def work(rank: int, folder: Path) -> None:
    """What each process does; its results are in a file of ``folder``."""
    one = CASES["one dataset"]
    raised: list[str] = []
    for number in STOPPING:
        signal.signal(number, ignored)
    try:
        with joined(SIZE, on_gpu=False) as world:
            results = {name: trained(world, **case) for name, case in CASES.items()}
            for failing in ({"stop_at": 3}, {"nan": 2}):  # in one process only
                try:
                    trained(world, **one, **(failing if rank == 1 else {}))
                except (Interrupted, NonFiniteLossError) as error:
                    raised.append(str(getattr(error, "step", error)))
            torch.save({"results": results, "raised": raised}, folder / f"{rank}.pt")
            if rank == 1:
                raise ConfigError("no such file here")
            try:
                world.wait()
            except ProcessLost as error:
                (folder / "0-cause.txt").write_text(str(error))
                raise
    except Exception as error:  # the first line is of this process's own error, or says who reports it
        (folder / f"{rank}.txt").write_text(f"{type(error).__name__}: {error}")
    restored = all(signal.getsignal(number) is ignored for number in STOPPING)
    (folder / f"{rank}-handlers.txt").write_text("restored" if restored else "lost")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    run_ranks(work, folder)
    return folder


def results(folder: Path, rank: int) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / f"{rank}.pt")
    return content


def difference(value: Tensor, expected: Tensor) -> float:
    """Relative to the largest entry of ``expected``."""
    return float((value - expected).abs().max() / expected.abs().max())


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES)
def test_gradients_weights_and_losses_equal_those_of_the_joint_batch(case: str, processes: Path) -> None:
    expected = trained(ALONE, **CASES[case])
    result = results(processes, 0)["results"][case]
    worst = {
        kind: max(difference(result[kind][name], value) for name, value in expected[kind].items())
        for kind in ("gradients", "weights")
    }
    print(f"{case}: largest relative difference {worst}")
    assert max(worst.values()) <= 1e-6
    assert result["logged"].keys() == expected["logged"].keys()
    for step, values in expected["logged"].items():
        assert result["logged"][step] == pytest.approx(values, rel=1e-9)


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES)
def test_all_processes_have_equal_weights_averages_and_optimizers(case: str, processes: Path) -> None:
    assert results(processes, 0)["results"][case]["sha256"] == results(processes, 1)["results"][case]["sha256"]


@pytest.mark.integration
def test_one_process_stops_all_at_the_same_step(processes: Path) -> None:
    """By a signal at step 3; by a non-finite loss at step 2, which is noticed at the next log."""
    for rank in range(SIZE):
        stopped, diverged = results(processes, rank)["raised"]
        assert stopped == "3" and diverged.startswith("step 2: loss/")


@pytest.mark.integration
def test_an_error_is_reported_by_one_process(processes: Path) -> None:
    assert (processes / "1.txt").read_text() == "LabError: process 1 of 2: no such file here"
    assert (processes / "0.txt").read_text().startswith(ReportedElsewhere.__name__)


@pytest.mark.integration
def test_the_others_know_the_error(processes: Path) -> None:
    """The first process records it in ``result.json``."""
    assert (processes / "0-cause.txt").read_text() == "process 1 of 2: no such file here"


@pytest.mark.integration
def test_signals_that_are_ignored_after_a_loss_are_handled_again(processes: Path) -> None:
    assert [(processes / f"{rank}-handlers.txt").read_text() for rank in range(SIZE)] == ["restored"] * SIZE


def test_rows_partition_the_batch() -> None:
    assert ALONE.rows(6) == slice(0, 6)
    assert [World(rank, 3).rows(6) for rank in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]


@pytest.mark.parametrize(("devices", "started"), [(2, None), (2, "3"), (1, "2")])
def test_another_number_of_processes_is_refused(devices: int, started: str | None, monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if started:
        monkeypatch.setenv("WORLD_SIZE", started)
    with pytest.raises(ConfigError, match=rf"^trainer\.devices={devices}") as caught, joined(devices, on_gpu=False):
        pass
    command = "stargan-lab train trainer.devices=2"
    assert (command in str(caught.value)) == (devices == 2)
    assert started is None or f"set trainer.devices={started}" in str(caught.value)

"""The loop: what is due when, and that a killed and resumed training is bit-equal to an uninterrupted one."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LAYOUTS, ONE, TWO, make_batch, make_objective, make_train_state

from stargan_lab.checkpoints.train_state import restore, save, state_sha256
from stargan_lab.errors import Interrupted, NonFiniteLossError
from stargan_lab.labels import Batch, LabelLayout
from stargan_lab.registry import family
from stargan_lab.training.loop import LoopPlan, train
from stargan_lab.training.meter import Meter
from stargan_lab.training.prefetch import prefetched
from stargan_lab.training.updates import TrainState

TOTAL = 10


class Killed(BaseException):
    """The process is killed: only its files remain."""


@dataclass
class Record:
    """Hooks that record their calls and write real checkpoints."""

    path: Path
    kill_at: int | None = None
    stop_at: int | None = None
    calls: list[tuple[str, int]] = field(default_factory=list)
    logged: dict[int, dict[str, float]] = field(default_factory=dict)
    train_state: TrainState | None = None
    meter: Meter | None = None

    def stepped(self, step: int) -> None:
        self.calls.append(("stepped", step))
        if step == self.kill_at:
            raise Killed

    def log(self, step: int, values: dict[str, float]) -> None:
        self.calls.append(("log", step))
        self.logged[step] = values

    def diagnose(self, step: int) -> None:
        self.calls.append(("diagnose", step))

    def sample(self, step: int) -> None:
        self.calls.append(("sample", step))

    def evaluate(self, step: int) -> None:
        self.calls.append(("evaluate", step))

    def checkpoint(self, step: int) -> None:
        self.calls.append(("checkpoint", step))
        assert self.train_state is not None and self.meter is not None
        assert self.train_state.step == step
        save(self.path, self.train_state, self.meter, "run")

    def stop_requested(self) -> bool:
        return self.stop_at is not None and self.calls[-1][1] >= self.stop_at

    def steps(self, hook: str) -> list[int]:
        return [step for name, step in self.calls if name == hook]


def plan_of(layout: LabelLayout, **changes: Any) -> LoopPlan:
    plan = LoopPlan(
        total_steps=TOTAL,
        n_critic=2,
        sources=len(layout.specs),
        seed=5,
        schedule=lambda iteration, total: family("schedule").get("linear")(iteration, total),
        log_every=3,
        sample_every=0,
        evaluate_every=0,
        checkpoint_every=4,
    )
    return replace(plan, **changes)


def launch(layout: LabelLayout, record: Record, plan: LoopPlan | None = None, workers: int = 0) -> TrainState:
    """Train as one process does: build everything and resume from the checkpoint if there is one."""
    plan = plan or plan_of(layout)
    train_state, meter = make_train_state(layout, decay=0.9), Meter()
    record.train_state, record.meter = train_state, meter
    if record.path.exists():
        restore(record.path, train_state, meter, "run")

    def batch(step: int) -> Batch:
        return make_batch(layout, step)

    if workers:
        with prefetched(batch, train_state.step + 1, plan.total_steps, workers) as batches:
            train(train_state, make_objective(layout), batches, plan, meter, record)
    else:
        train(train_state, make_objective(layout), batch, plan, meter, record)
    return train_state


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, dict[int, dict[str, float]]]]:
    """State hash and logged values by layout."""
    results = {}
    for name, layout in LAYOUTS.items():
        record = Record(tmp_path_factory.mktemp("uninterrupted") / "last.pt")
        results[name] = state_sha256(launch(layout, record)), record.logged
    return results


@pytest.mark.parametrize(
    ("name", "kill_at"), [("one dataset", 3), ("one dataset", 8), *(("two datasets", k) for k in (1, 5, 6, 10))]
)
def test_killed_and_resumed_equals_uninterrupted(name: str, kill_at: int, tmp_path: Path, uninterrupted) -> None:
    first, second = Record(tmp_path / "last.pt", kill_at=kill_at), Record(tmp_path / "last.pt")
    with pytest.raises(Killed):
        launch(LAYOUTS[name], first)
    resumed = launch(LAYOUTS[name], second)
    assert second.steps("stepped")[0] == (kill_at - 1) // 4 * 4 + 1
    assert (state_sha256(resumed), first.logged | second.logged) == uninterrupted[name]
    assert all(first.logged[step] == second.logged[step] for step in set(first.logged) & set(second.logged))


@pytest.mark.parametrize("name", LAYOUTS)
def test_several_kills_with_prefetching_equal_uninterrupted(name: str, tmp_path: Path, uninterrupted) -> None:
    logged: dict[int, dict[str, float]] = {}
    for kill_at in (3, 6, 7, 10):
        record = Record(tmp_path / "last.pt", kill_at=kill_at)
        with pytest.raises(Killed):
            launch(LAYOUTS[name], record, workers=2)
        logged |= record.logged
    last = Record(tmp_path / "last.pt")
    digest = state_sha256(launch(LAYOUTS[name], last, workers=3))
    assert (digest, logged | last.logged) == uninterrupted[name]


@pytest.mark.parametrize(("name", "stop_at"), [("one dataset", 8), ("two datasets", 3), ("two datasets", 6)])
def test_a_stop_writes_a_checkpoint_to_resume_from(name: str, stop_at: int, tmp_path: Path, uninterrupted) -> None:
    first, second = Record(tmp_path / "last.pt", stop_at=stop_at), Record(tmp_path / "last.pt")
    with pytest.raises(Interrupted) as caught:
        launch(LAYOUTS[name], first)
    assert caught.value.step == stop_at
    assert first.calls[-1] == ("checkpoint", stop_at)
    assert first.steps("checkpoint").count(stop_at) == 1
    digest = state_sha256(launch(LAYOUTS[name], second))
    assert second.steps("stepped") == list(range(stop_at + 1, TOTAL + 1))
    assert (digest, first.logged | second.logged) == uninterrupted[name]


def test_a_stop_at_the_last_step_finishes_and_a_finished_training_does_nothing(tmp_path: Path) -> None:
    record, again = Record(tmp_path / "last.pt", stop_at=TOTAL), Record(tmp_path / "last.pt")
    digest = state_sha256(launch(ONE, record))
    assert record.steps("stepped")[-1] == TOTAL
    assert state_sha256(launch(ONE, again)) == digest
    assert again.calls == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_intervals_do_not_change_the_state(name: str, tmp_path: Path, uninterrupted) -> None:
    changes = {"log_every": 1, "checkpoint_every": 3, "sample_every": 2, "evaluate_every": 5}
    record = Record(tmp_path / "last.pt")
    assert state_sha256(launch(LAYOUTS[name], record, plan_of(LAYOUTS[name], **changes))) == uninterrupted[name][0]


def test_the_seed_changes_the_state(tmp_path: Path, uninterrupted) -> None:
    record = Record(tmp_path / "last.pt")
    assert state_sha256(launch(ONE, record, plan_of(ONE, seed=6))) != uninterrupted["one dataset"][0]


def test_hooks_are_called_at_their_intervals_and_at_the_end(tmp_path: Path) -> None:
    changes = {"log_every": 3, "sample_every": 4, "evaluate_every": 6, "checkpoint_every": 2, "total_steps": 13}
    record = Record(tmp_path / "last.pt")
    launch(ONE, record, plan_of(ONE, **changes))
    assert record.steps("stepped") == list(range(1, 14))
    assert record.steps("log") == [3, 6, 9, 12, 13]
    assert record.steps("sample") == [4, 8, 12, 13]
    assert record.steps("evaluate") == [6, 12, 13]
    assert record.steps("checkpoint") == [2, 4, 6, 8, 10, 12, 13]
    order = ["stepped", "log", "sample", "checkpoint", "evaluate"]
    assert [name for name, step in record.calls if step == 12] == order
    assert [name for name, step in record.calls if step == 13] == order


def test_an_interval_of_zero_means_only_at_the_end(tmp_path: Path) -> None:
    record = Record(tmp_path / "last.pt")
    launch(ONE, record, plan_of(ONE, log_every=0, checkpoint_every=0))
    for hook in ("log", "sample", "evaluate", "checkpoint"):
        assert record.steps(hook) == [TOTAL]


@pytest.mark.parametrize(("layout", "n_critic", "steps"), [(ONE, 3, [3, 6]), (ONE, 8, []), (TWO, 2, [3, 4, 7])])
def test_the_generator_is_updated_in_every_nth_iteration(
    layout: LabelLayout, n_critic: int, steps: list[int], tmp_path: Path
) -> None:
    record = Record(tmp_path / "last.pt")
    plan = plan_of(layout, n_critic=n_critic, log_every=1, total_steps=7)
    launch(layout, record, plan)
    assert [step for step, values in record.logged.items() if "loss/g_rec" in values] == steps
    assert plan.generator_updates == len(steps)


def test_logged_losses_are_means_over_the_interval(tmp_path: Path) -> None:
    each, thirds = Record(tmp_path / "1.pt"), Record(tmp_path / "3.pt")
    launch(ONE, each, plan_of(ONE, log_every=1))
    launch(ONE, thirds, plan_of(ONE, log_every=3))
    for end, steps in ((3, (1, 2, 3)), (6, (4, 5, 6)), (9, (7, 8, 9)), (10, (10,))):
        for term in ("loss/d_real", "loss/d_gp", "loss/g_rec"):
            values = [each.logged[s][term] for s in steps if term in each.logged[s]]
            assert thirds.logged[end][term] == pytest.approx(sum(values) / len(values), rel=1e-12)


@pytest.mark.parametrize(("layout", "iterations"), [(ONE, 10), (TWO, 5)], ids=LAYOUTS)
def test_the_learning_rate_follows_iterations_before_and_after_a_resume(
    layout: LabelLayout, iterations: int, tmp_path: Path
) -> None:
    plan = plan_of(layout, log_every=1)
    records = [Record(tmp_path / "last.pt", kill_at=7), Record(tmp_path / "last.pt")]
    with pytest.raises(Killed):
        launch(layout, records[0], plan)
    launch(layout, records[1], plan)
    assert records[1].steps("stepped")[0] == 5
    schedule, sources = family("schedule").get("linear"), len(layout.specs)
    for record in records:
        for step, values in record.logged.items():
            factor = schedule((step - 1) // sources + 1, iterations)
            assert values["lr/g"] == pytest.approx(1e-3 * factor, rel=1e-12)
            assert values["lr/d"] == pytest.approx(2e-3 * factor, rel=1e-12)
    assert records[1].logged[TOTAL]["lr/g"] < 1e-3


def test_training_stops_before_saving_a_state_with_non_finite_losses(tmp_path: Path) -> None:
    """A non-finite image at step 7 is reported at the checkpoint of step 8, and that of step 4 remains."""
    record = Record(tmp_path / "last.pt")
    train_state, meter = make_train_state(ONE, decay=0.9), Meter()
    record.train_state, record.meter = train_state, meter

    def batches(step: int) -> Batch:
        batch = make_batch(ONE, step)
        return replace(batch, images=batch.images * float("inf")) if step == 7 else batch

    with pytest.raises(NonFiniteLossError, match=r"step 7: loss/\w+ is"):
        train(train_state, make_objective(ONE), batches, plan_of(ONE), meter, record)
    assert record.calls[-1] == ("checkpoint", 8)
    saved = make_train_state(ONE, decay=0.9)
    restore(record.path, saved, Meter(), "run")
    assert saved.step == 4
    assert all(parameter.isfinite().all() for parameter in saved.generator.parameters())


def test_training_neither_uses_nor_changes_the_global_random_state(tmp_path: Path, uninterrupted) -> None:
    record = Record(tmp_path / "last.pt", train_state=make_train_state(ONE, decay=0.9), meter=Meter())
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert record.train_state is not None and record.meter is not None
    train(record.train_state, make_objective(ONE), lambda s: make_batch(ONE, s), plan_of(ONE), record.meter, record)
    assert state_sha256(record.train_state) == uninterrupted["one dataset"][0]
    assert torch.equal(torch.get_rng_state(), state)

"""Steps as CUDA graphs equal eager steps; without a CUDA device, the setting changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from unittest.mock import Mock

import pytest
import torch
from tiny import LAYOUTS, ONE, make_batch, make_critic, make_generator, make_objective, make_train_state

from stargan_lab.checkpoints.train_state import state_of
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.labels import LabelLayout
from stargan_lab.losses.step import Step
from stargan_lab.training.ema import Ema
from stargan_lab.training.graphs import WARM_UP, GraphedStep
from stargan_lab.training.loop import LoopPlan, train
from stargan_lab.training.meter import Meter
from stargan_lab.training.optimizers import make_capturable
from stargan_lab.training.updates import TrainState, step_randomness, train_step

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Quiet:
    """Hooks that record what the loop logs."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []

    def log(self, step: int, values: dict[str, float]) -> None:
        self.logged.append(values)

    def stepped(self, step: int) -> None: ...
    def diagnose(self, step: int) -> None: ...
    def sample(self, step: int) -> None: ...
    def evaluate(self, step: int) -> None: ...
    def checkpoint(self, step: int) -> None: ...
    def stop_requested(self) -> bool:
        return False


def plan(steps: int, sources: int) -> LoopPlan:
    return LoopPlan(steps, 2, sources, 0, lambda i, n: 1 - i / (2 * n), 1, 0, 0, 0)


def on_cuda(
    layout: LabelLayout, graphs: bool, decay: float = 0.5, device: str = "cuda", **options: object
) -> TrainState:
    generator = make_generator(layout.generator_width).to(device)
    critic = make_critic(layout.critic_width).to(device)
    state = make_train_state(
        layout, generator=generator, critic=critic, precision="float64", cuda_graphs=graphs, **options
    )
    state.device, state.ema = torch.device(device), Ema(state.generator, decay)
    for optimizer in (state.g_optimizer, state.d_optimizer):
        if graphs:
            make_capturable(optimizer, state.device)
    return state


def trained(state: TrainState, layout: LabelLayout, steps: int = 24) -> list[dict[str, float]]:
    hooks = Quiet()
    sources = len(layout.specs)
    train(state, make_objective(layout), lambda step: make_batch(layout, step), plan(steps, sources), Meter(), hooks)
    return hooks.logged


@cuda
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("joint_pass", [False, True])
def test_recorded_steps_equal_eager_steps(layout: LabelLayout, joint_pass: bool) -> None:
    """Through the training loop, with a learning rate that changes at every step and an average of the weights."""
    eager, recorded = on_cuda(layout, False), on_cuda(layout, True, joint_pass=joint_pass)
    expected, logged = trained(eager, layout), trained(recorded, layout)
    assert len({values["lr/g"] for values in logged}) > 10
    for one, other in zip(expected, logged, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert other[name] == pytest.approx(one[name], rel=2e-6, abs=1e-7), name  # the rate is a float32 tensor
    for key in ("generator", "critic", "ema"):
        for name, value in state_of(eager)[key].items():
            torch.testing.assert_close(state_of(recorded)[key][name], value, rtol=1e-4, atol=1e-6, msg=f"{key} {name}")


@cuda
def test_every_kind_of_step_is_recorded_after_its_warm_up() -> None:
    state, objective, step = on_cuda(ONE, True), make_objective(ONE), GraphedStep()
    for index in range(WARM_UP + 1):
        for due in (False, True):
            step(state, objective, make_batch(ONE, index + 1), step_randomness(0, index, 4, 1), due)
    assert sorted(kind[2] for kind in step._recordings) == [False, True]
    step(state, objective, make_batch(ONE, 1, n=2), step_randomness(0, 1, 2, 1), False)  # another size runs eagerly
    assert len(step._recordings) == 2


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_step_is_recorded_on_a_device_that_is_not_the_current_one() -> None:
    eager, recorded = (on_cuda(ONE, graphs, device="cuda:1") for graphs in (False, True))
    for one, other in zip(trained(eager, ONE), trained(recorded, ONE), strict=True):
        assert other == pytest.approx(one, rel=2e-6, abs=1e-7)
    assert torch.cuda.current_device() == 0


def test_everything_of_a_step_happens_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a second CUDA device, where there is none."""
    current, used = [torch.device("cuda:0")], []

    @contextmanager
    def device(chosen: torch.device) -> Iterator[None]:
        current.append(chosen)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(torch.cuda, "Stream", lambda: used.append(current[-1]) or Mock())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: used.append(current[-1]) or Mock())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    state, step = make_train_state(ONE), GraphedStep()
    monkeypatch.setattr(
        "stargan_lab.training.graphs.on_device", lambda state, *inputs: used.append(current[-1]) or inputs
    )
    state.device = torch.device("cuda:1")
    monkeypatch.setattr("stargan_lab.training.graphs.train_step", lambda *args, **kwargs: used.append(current[-1]))
    step(state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), False)
    assert set(used) == {torch.device("cuda:1")} and len(used) == 5


class Waits:
    """A term that reads a value back from the device."""

    network = "discriminator"

    def __call__(self, step: Step) -> torch.Tensor:
        return step.real_scores.mean() * float(step.real_scores.max())


@cuda
def test_a_term_that_waits_for_the_device_is_reported() -> None:
    state, objective, step = on_cuda(ONE, True), make_objective(ONE, extra={"waits": (1.0, Waits())}), GraphedStep()
    with pytest.raises(LabError, match=r"trainer.cuda_graphs: this step cannot be recorded"):
        for index in range(WARM_UP + 1):
            step(state, objective, make_batch(ONE), step_randomness(0, index, 4, 1), False)


def test_without_a_device_steps_are_not_recorded() -> None:
    plain, asked = make_train_state(ONE), make_train_state(ONE, cuda_graphs=True)
    assert not asked.records_steps
    assert trained(plain, ONE, 4) == trained(asked, ONE, 4)


def test_capturable_optimizers_read_the_rate_from_a_tensor() -> None:
    state = make_train_state(ONE, g_lr=3e-4)
    make_capturable(state.g_optimizer, torch.device("cpu"))
    (group,) = state.g_optimizer.param_groups
    assert group["capturable"] and group["lr"].item() == pytest.approx(3e-4)
    rate = group["lr"]
    train_step(state, make_objective(ONE), make_batch(ONE), step_randomness(0, 1, 4, 1), False)
    trained(state, ONE, 2)
    assert group["lr"] is rate and group["initial_lr"] == pytest.approx(3e-4)


def test_an_optimizer_that_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trainer.cuda_graphs: SGD"):
        make_capturable(torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1), torch.device("cpu"))

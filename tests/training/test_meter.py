"""The meter: means between reads, the first non-finite value, and its state; and the step timer."""

import time

import pytest
import torch

from stargan_lab.errors import LabError, NonFiniteLossError
from stargan_lab.training.meter import Meter
from stargan_lab.training.timing import StepTimer


def terms(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_read_gives_means_since_the_last_read() -> None:
    meter, changing = Meter(), torch.tensor(1.0)
    meter.add(1, {"d_real": changing})
    changing.fill_(100.0)  # a later step may change the tensor in place
    meter.add(2, terms(d_real=2.0, g_rec=8.0))
    meter.collect()
    meter.add(3, terms(d_real=6.0))
    assert meter.read() == {"loss/d_real": 3.0, "loss/g_rec": 8.0}
    assert meter.read() == {}
    meter.add(4, terms(d_real=5.0))
    assert meter.read() == {"loss/d_real": 5.0}


def test_a_long_interval_takes_time_in_proportion_to_its_length() -> None:
    meter, terms = Meter(), 200_000
    meter.add(1, {f"term{i}": value for i, value in enumerate(torch.zeros(terms).unbind())})
    start = time.process_time()
    meter.collect()
    assert time.process_time() - start < 2  # about 0.1 s; 4 s if each value moves the rest of a list
    assert len(meter.state_dict()) == terms


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
@pytest.mark.parametrize("fetch", [Meter.read, Meter.state_dict])
def test_the_first_non_finite_value_is_named(bad: float, fetch) -> None:
    meter = Meter()
    meter.add(11, terms(d_real=1.0, d_gp=2.0))
    meter.add(12, terms(d_real=1.0, d_gp=bad))
    meter.add(13, terms(d_real=bad, d_gp=bad))
    for _ in range(2):  # it still fails on a second attempt
        with pytest.raises(NonFiniteLossError, match=r"step 12: loss/d_gp is (nan|-inf)") as caught:
            fetch(meter)
        assert isinstance(caught.value, LabError)
        assert "\n" not in str(caught.value)


def test_state_round_trip() -> None:
    meter, resumed = Meter(), Meter()
    meter.add(1, terms(d_real=0.1))
    meter.add(2, terms(d_real=0.2, g_rec=0.3))
    resumed.add(7, terms(d_real=99.0))
    resumed.load_state_dict(meter.state_dict())
    for each in (meter, resumed):
        each.add(3, terms(d_real=0.7, g_rec=0.6))
    assert meter.read() == resumed.read()
    assert Meter().state_dict() == {}


class Clock:
    """Time as the tests let it pass. Work on the device is done when it is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.work = 0.0
        monkeypatch.setattr("stargan_lab.training.timing.time.perf_counter", lambda: self.now)
        monkeypatch.setattr(torch.cuda, "synchronize", self.wait)

    def wait(self, device: torch.device) -> None:
        self.now, self.work = self.now + self.work, 0.0

    def steps(self, timer: StepTimer, *seconds: float, launch: float = 0.0) -> None:
        """Steps that take so long on the device, and ``launch`` on the CPU before it."""
        for each in seconds:
            self.now, self.work = self.now + launch, self.work + each
            timer.tick()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def speed(seconds: float) -> dict[str, float]:
    return {"speed/seconds_per_step": seconds, "speed/images_per_second": 6 / seconds}


def test_time_of_steps_includes_the_generators_share_and_no_pauses(clock: Clock) -> None:
    timer = StepTimer(torch.device("cuda"))
    with timer.paused():  # before the first step
        clock.now += 100
    assert timer.seconds_per_step() is None and timer.metrics(6) == {}
    clock.steps(timer, 50.0)  # the first step is not timed
    assert timer.metrics(6) == {} and timer.seconds_per_step() is None
    clock.steps(timer, 1.0, 1.0, 4.0)  # the third updates the generator
    assert timer.metrics(6) == speed(2.0) and timer.metrics(6) == {}
    clock.steps(timer, 1.0, 1.0)
    with timer.paused():
        clock.now += 100
    clock.steps(timer, 4.0, 1.0, 1.0, 7.0)
    assert timer.metrics(6) == speed(2.5)
    assert timer.seconds_per_step() == 2.5  # the first interval is warm-up
    clock.steps(timer, 9.0)
    assert timer.seconds_per_step() == 2.5  # until the losses are logged


def test_a_short_rest_of_the_training_does_not_stand_for_all_of_it(clock: Clock) -> None:
    timer = StepTimer(torch.device("cuda"))
    for seconds in ([1.0] * 101, [6.0]):
        clock.steps(timer, *seconds)
        timer.metrics(6)
    assert timer.seconds_per_step() == pytest.approx(106 / 101)


def test_steps_are_timed_until_the_device_has_computed_them(clock: Clock) -> None:
    timer = StepTimer(torch.device("cuda"))
    clock.steps(timer, 50.0, *[3.0] * 10, launch=0.1)
    with timer.paused():  # such as a sample, which waits for the steps before it
        clock.now += 100
    clock.steps(timer, *[3.0] * 10, launch=0.1)
    assert timer.metrics(6)["speed/seconds_per_step"] == pytest.approx(3.1)


def test_losses_of_several_datasets_have_separate_means() -> None:
    meter = Meter()
    for step, (dataset, value) in enumerate([("faces", 1.0), ("moods", 5.0), ("faces", 3.0), ("moods", 7.0)], 1):
        meter.add(step, {"d_real": torch.tensor(value)}, dataset)
    meter.add(5, {"g_rec": torch.tensor(2.0)}, "moods")
    assert meter.read() == {
        "loss/d_real": 4.0,
        "loss/d_real/faces": 2.0,
        "loss/d_real/moods": 6.0,
        "loss/g_rec": 2.0,
        "loss/g_rec/moods": 2.0,
    }
    meter.add(6, {"d_real": torch.tensor(float("nan"))}, "faces")
    with pytest.raises(NonFiniteLossError, match="step 6: loss/d_real/faces"):
        meter.collect()

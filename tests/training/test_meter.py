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


def test_only_steps_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 100.0, 102.0])
    monkeypatch.setattr("stargan_lab.training.timing.time.perf_counter", lambda: next(clock))
    timer = StepTimer()
    assert timer.median() is None and timer.metrics(4) == {}
    for _ in range(3):
        timer.tick()
    assert timer.metrics(6) == {"speed/seconds_per_step": 1.5, "speed/images_per_second": 4.0}
    assert timer.metrics(6) == {}
    with timer.paused():
        pass
    timer.tick()  # the first step after a pause is not timed
    assert timer.metrics(6) == {}
    timer.tick()
    assert timer.metrics(6) == {"speed/seconds_per_step": 2.0, "speed/images_per_second": 3.0}
    assert timer.median() == 2.0


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

"""Learning-rate schedules: pure functions from the iteration to a factor on the initial rate.

An iteration is one discriminator step on every dataset, counted from 1; with one dataset, iterations are steps.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from stargan_lab.registry import family

SCHEDULES = family("schedule")

Steps = Annotated[int, Field(ge=1)]


@SCHEDULES.register("constant")
def constant(iteration: int, total: int) -> float:
    """The initial rate throughout."""
    return 1.0


@SCHEDULES.register("linear", source="Choi et al. 2018 (arXiv:1711.09020), section 5.3")
def linear(iteration: int, total: int, *, decay_steps: Steps | None = None) -> float:
    """Constant, then linear decay to 0 over the last ``decay_steps`` iterations.

    Args:
        decay_steps: length of the decay in iterations; None: half of all iterations.
    """
    return min(1.0, (total - iteration + 1) / _decay_steps(total, decay_steps))


def _decay_steps(total: int, decay_steps: int | None) -> int:
    return min(decay_steps or max(total // 2, 1), total)


def _canonical(total: int, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"decay_steps": _decay_steps(total, options["decay_steps"])}


linear.canonical = _canonical  # type: ignore[attr-defined]  # see config/run_identity


@SCHEDULES.register("reference", source="yunjey/stargan 94dd002")
def reference(iteration: int, total: int, *, decay_steps: Steps = 100_000, every: Steps = 1_000) -> float:
    """Decays during the last ``decay_steps`` iterations, by 1/``decay_steps`` at a time; ``every`` sets the interval.

    The decrement is not scaled by ``every``, so with the defaults the rate ends at 0.999 times its start, not at 0.

    Args:
        decay_steps: length of the decay in iterations; each decrement is 1 / decay_steps.
        every: iterations between decrements.
    """
    decrements = (iteration - 1) // every - max(total - decay_steps, 0) // every
    return 1.0 - max(decrements, 0) / decay_steps

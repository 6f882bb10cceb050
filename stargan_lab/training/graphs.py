"""Whole steps as CUDA graphs: all passes and both optimizers are recorded once and replayed without work on the CPU."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from stargan_lab.errors import LabError
from stargan_lab.labels import Batch
from stargan_lab.losses.objective import LossValues, Objective
from stargan_lab.training.updates import StepRandomness, TrainState, on_device, train_step

WARM_UP = 3
"""Steps of each kind that run eagerly before it is recorded, so that libraries choose algorithms and memory."""


@dataclass
class _Recording:
    graph: torch.cuda.CUDAGraph
    batch: Batch
    randomness: StepRandomness
    names: tuple[str, ...]
    losses: Tensor


class GraphedStep:
    """``train_step`` on a CUDA device, with the same arguments and result.

    The first steps of each kind (dataset, batch size, with or without the generator's update) run eagerly; then the
    kind is recorded. Recordings share memory, because each writes everything it reads except the train state. The
    optimizers must be capturable, see ``optimizers.make_capturable``.

    Raises:
        LabError: the step cannot be recorded, for instance because a loss term waits for the device.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._eager: dict[Any, int] = {}
        self._recordings: dict[Any, _Recording] = {}

    def __call__(
        self,
        train_state: TrainState,
        objective: Objective,
        batch: Batch,
        randomness: StepRandomness,
        update_generator: bool,
    ) -> LossValues:
        with torch.cuda.device(train_state.device):  # streams and recordings belong to the current device
            kind = (batch.source, tuple(batch.images.shape), update_generator)
            batch, randomness = on_device(train_state, batch, randomness)
            step = partial(train_step, train_state, objective, update_generator=update_generator)
            if (recording := self._recordings.get(kind)) is None:
                if self._eager.setdefault(kind, 0) < WARM_UP:
                    self._eager[kind] += 1
                    return self._run_eagerly(step, batch, randomness)
                recording = self._recordings[kind] = self._record(step, batch, randomness)
            for target, value in zip(
                _tensors(recording.batch, recording.randomness), _tensors(batch, randomness), strict=True
            ):
                target.copy_(value)
            recording.graph.replay()
            return dict(zip(recording.names, recording.losses.clone().unbind(), strict=True))

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream()

    def _run_eagerly(self, step: Any, batch: Batch, randomness: StepRandomness) -> LossValues:
        """On the stream of the recording, since autograd remembers where gradients were accumulated first."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            losses: LossValues = step(batch, randomness)
        torch.cuda.current_stream().wait_stream(self._stream)
        return losses

    def _record(self, step: Any, batch: Batch, randomness: StepRandomness) -> _Recording:
        graph = torch.cuda.CUDAGraph()
        batch = Batch(batch.images.clone(), batch.labels.clone(), batch.source)
        randomness = StepRandomness(*(value.clone() for value in _tensors(randomness=randomness)))
        torch.cuda.synchronize()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                losses = step(batch, randomness)
                stacked = torch.stack([value.float() for value in losses.values()])
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise LabError(f"trainer.cuda_graphs: this step cannot be recorded ({reason}); set it to false") from error
        return _Recording(graph, batch, randomness, tuple(losses), stacked)


def _tensors(batch: Batch | None = None, randomness: StepRandomness | None = None) -> list[Tensor]:
    of_batch = [batch.images, batch.labels] if batch else []
    return of_batch + ([randomness.permutation, randomness.alpha, randomness.choice] if randomness else [])

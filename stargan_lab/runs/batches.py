"""The batches of a training run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from stargan_lab.config import RunConfig
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sampling import load_batch
from stargan_lab.labels import Batch
from stargan_lab.training.loop import LoopPlan
from stargan_lab.training.prefetch import prefetched
from stargan_lab.training.updates import TrainState


@contextmanager
def training_batches(
    config: RunConfig, sources: Sequence[ImageSource], plan: LoopPlan, train_state: TrainState
) -> Iterator[Callable[[int], Batch]]:
    """Maps each remaining step to its batch, with the images of this process's rows; a pure function."""
    rows = train_state.world.rows(config.batch_size)

    def batch(step: int) -> Batch:
        index = (step - 1) % plan.sources
        images, flip = sources[index].split("train"), sources[index].flip
        return load_batch(images, index, config.batch_size, config.seed, plan.iteration(step) - 1, flip, rows)

    first, workers = train_state.step + 1, config.trainer.workers
    with prefetched(batch, first, plan.total_steps, workers) if workers else nullcontext(batch) as batches:
        yield batches

"""The processes of a distributed run other than the first."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from stargan_lab.checkpoints.train_state import restore
from stargan_lab.checkpoints.weight_files import CHECKPOINT, Role
from stargan_lab.config import RunConfig
from stargan_lab.config.run_identity import thread_count
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.runs.batches import training_batches
from stargan_lab.runs.build import (
    build_layout,
    build_loop_plan,
    build_objective,
    build_train_state,
    build_translator,
    pick_device,
)
from stargan_lab.runs.failure import described
from stargan_lab.runs.interrupt import StopSignal
from stargan_lab.runs.scores import build_evaluator, check_agreement, scores_average
from stargan_lab.seeding import cpu_threads
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.training.distributed import World, joined
from stargan_lab.training.loop import train
from stargan_lab.training.meter import Meter

FINISHED = -1
"""What rank 0 sends instead of the step to start from if the run is finished already."""


def processes(config: RunConfig) -> AbstractContextManager[World]:
    """The processes that train a run with ``config``; see ``joined``."""
    return joined(config.trainer.devices, pick_device(config).type == "cuda")


class Follower:
    """Trains on its rows of each batch and evaluates its share of the test images, with the first process.

    It writes and prints nothing, except that an unexpected error leaves its traceback, and the process that fails first
    prints why. See ``Trainer``.
    """

    def __init__(
        self,
        config: RunConfig,
        sources: Sequence[ImageSource],
        folder: RunFolder,
        initial_hashes: Mapping[Role, str],
        world: World,
    ) -> None:
        self.config, self.sources, self.folder = config, sources, folder
        self.initial_hashes, self.world = initial_hashes, world
        self.meter = Meter(world)
        self._stop = StopSignal(repeated=True)

    def run(self) -> None:
        """Wait until the first process is ready, and train until it is done.

        Raises:
            LabError: in one line; this process failed, or another one has ended.
        """
        if (start := self.world.largest(FINISHED)) == FINISHED:
            return
        try:
            self._train_from(start)
        except (Exception, SystemExit) as error:
            raise described(error, self.config, self.folder) from error

    def _train_from(self, start: int) -> None:
        config = self.config
        with cpu_threads(thread_count(config)):
            for source in self.sources:
                source.prepare()
            self.layout, plan = build_layout(self.sources), build_loop_plan(config)
            self.train_state = state = build_train_state(config, self.layout, self.initial_hashes, self.world)
            self.evaluator = build_evaluator(config, self.sources, state.device, world=self.world)
            path = self.folder.path / CHECKPOINT
            if path.exists():
                restore(path, state, self.meter, self.folder.run_id)
            if state.step != start:
                raise LabError(
                    f"{path} is from step {state.step} here, but the first process resumes from step {start};"
                    " paths.outputs must be on a file system that all machines share"
                )
            check_agreement(self.evaluator, self.world)
            if self.world.largest(False):  # the first process knows whether an evaluation was missed
                self.evaluate(start)
            with training_batches(config, self.sources, plan, state) as batches, self._stop:
                train(state, build_objective(config, self.layout), batches, plan, self.meter, self)

    # Hooks of the training loop.

    def stepped(self, step: int) -> None:
        pass

    def log(self, step: int, values: dict[str, float]) -> None:
        pass

    def diagnose(self, step: int) -> None:
        pass

    def sample(self, step: int) -> None:
        pass

    def evaluate(self, step: int) -> None:
        self.evaluator.score(build_translator(self.train_state, self.layout, scores_average(self.config)))

    def checkpoint(self, step: int) -> None:
        self.meter.collect()  # as the first process does to save it

    def stop_requested(self) -> int:
        return self.world.largest(self._stop.requested)

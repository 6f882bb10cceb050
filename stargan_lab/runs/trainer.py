"""The training of one run: builds everything, runs the loop, and implements the loop's hooks."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from stargan_lab.checkpoints.label_layout import write_layout
from stargan_lab.checkpoints.train_state import restore, save
from stargan_lab.checkpoints.weight_files import CHECKPOINT, Role
from stargan_lab.config import RunConfig
from stargan_lab.config.run_identity import thread_count
from stargan_lab.console import Progress, inform, say, say_finished
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.transforms import to_float
from stargan_lab.errors import Interrupted, LockedError
from stargan_lab.evaluation.attribute_classifier import trained_classifier
from stargan_lab.evaluation.cross_dataset import predicted_labels
from stargan_lab.evaluation.evaluator import Scores
from stargan_lab.files import write_text
from stargan_lab.files.partial import remove_partial
from stargan_lab.labels import Batch
from stargan_lab.runs.audit import audit
from stargan_lab.runs.batches import training_batches
from stargan_lab.runs.build import (
    build_layout,
    build_loop_plan,
    build_objective,
    build_train_state,
    build_translator,
    pick_device,
)
from stargan_lab.runs.failure import described, status_of
from stargan_lab.runs.interrupt import StopSignal, stopped_line
from stargan_lab.runs.metadata import open_tracker, result_of, warning_tag
from stargan_lab.runs.run_name import run_name
from stargan_lab.runs.samples import SampleWriter
from stargan_lab.runs.scores import build_evaluator, check_agreement, scores_average, write_scores
from stargan_lab.seeding import cpu_threads
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.uri import recorded
from stargan_lab.training.diagnostics import diagnose_all
from stargan_lab.training.distributed import ALONE, World
from stargan_lab.training.loop import train
from stargan_lab.training.meter import Meter
from stargan_lab.training.timing import StepTimer, peak_memory_mib


class Trainer:
    """Builds, trains, evaluates and records one run. The caller holds the run's lock.

    Args:
        sources: the datasets of ``config``, not prepared yet.
        initial_hashes: hashes of the initial weights, by role, that are part of the run id.
        world: the processes that train the run; this one has rank 0, the others are a ``Follower`` each.
    """

    def __init__(
        self,
        config: RunConfig,
        sources: Sequence[ImageSource],
        folder: RunFolder,
        initial_hashes: Mapping[Role, str],
        world: World = ALONE,
    ) -> None:
        self.config, self.sources, self.folder = config, sources, folder
        self.initial_hashes, self.world = initial_hashes, world
        self.name = run_name(config)
        self.checkpoint_path = folder.path / CHECKPOINT
        self.meter = Meter(world)
        self.scores: Scores | None = None
        self._peak_memory: float | None = None
        self._stop = StopSignal(repeated=world.size > 1)

    def run(self) -> dict[str, Any]:
        """Train from the last checkpoint, or from the start; returns the content of ``result.json``."""
        config, folder = self.config, self.folder
        inform(f"{self.name}  ·  run {folder.run_id}  ·  {folder.path}")
        torch.backends.cudnn.benchmark = config.trainer.autotune is True
        with cpu_threads(thread_count(config)):
            for source in self.sources:
                source.prepare()
            # These may reject the configuration, so they come before anything is recorded.
            images, seed, size = config.trainer.sample_images, config.trainer.sample_seed, config.data.image_size
            self.samples = SampleWriter(folder.samples, self.sources, images, size, seed, self._predicted_labels)
            self.evaluator = build_evaluator(config, self.sources, pick_device(config), world=self.world)
            self.layout = build_layout(self.sources)
            self.train_state = build_train_state(config, self.layout, self.initial_hashes, self.world)
            self.plan = build_loop_plan(config)
            folder.check_claim()  # preparing may have taken long
            resumed_from = self._resume()
            self._started = time.perf_counter() - self.train_state.seconds
            write_text(folder.config_path, yaml.safe_dump(recorded(config.flat()), sort_keys=False))
            self.tracker = open_tracker(config, self.sources, folder)
            self._drop_scores_of_other_protocols()
            self.tracker.start(resumed_from)
            if (truth := self.samples.write_ground_truth()) is not None:
                self.tracker.artifact(truth, "samples")
            write_layout(folder.path, self.layout)
            return self._train_and_record(resumed_from)

    def _train_and_record(self, resumed_from: int) -> dict[str, Any]:
        self.progress = Progress(self.name, resumed_from, self.plan.total_steps)
        self._timer = StepTimer(self.train_state.device)
        self.objective = objective = build_objective(self.config, self.layout)
        state = self.train_state
        self.audit = audit(self.config, state.generator, state.critic, objective, self.plan)
        try:
            self.world.largest(resumed_from)  # the others start here too
            check_agreement(self.evaluator, self.world)
            if self.world.largest(self._missed_evaluation(resumed_from)):
                self.evaluate(resumed_from)
            with training_batches(self.config, self.sources, self.plan, state) as batches, self._stop:
                train(self.train_state, objective, batches, self.plan, self.meter, self)
        except KeyboardInterrupt as interrupt:
            self._finish("interrupted", resumed_from)
            if isinstance(interrupt, Interrupted):
                say(stopped_line(interrupt.step, self.checkpoint_path))
            raise
        except LockedError:  # another process has taken over the run, with its files
            raise
        except (Exception, SystemExit) as error:  # sys.exit in a component must not end a sweep
            self.folder.check_claim()
            failure = described(error, self.config, self.folder)
            with suppress(OSError):  # a full disk may be the failure
                self._finish(status_of(failure), resumed_from, error=str(failure))
            raise failure from error
        finally:
            self.progress.close()
        result = self._finish("finished", resumed_from)
        overall = {name: value for name, value in result["metrics"].items() if name.count("/") == 1}
        main = [(lookup(name), value) for name, value in overall.items() if lookup(name).main]
        scores = [f"{metric.name.removeprefix('eval/')} {metric.show(value)}" for metric, value in main]
        say_finished(self.name, result["seconds"], scores, self.folder.path)
        return result

    # Hooks of the training loop.

    def stepped(self, step: int) -> None:
        self.folder.stop_if_lost()
        self._timer.tick()
        self.progress.advance(step)

    def log(self, step: int, values: dict[str, float]) -> None:
        self._peak_memory = peak_memory_mib(self.train_state.device)
        memory = {"memory/peak_mib": self._peak_memory}
        self._record(step, values | self._timer.metrics(self.config.batch_size) | memory)
        self.progress.line(values)

    def diagnose(self, step: int) -> None:
        with self._timer.paused():
            values = diagnose_all(self.train_state, self.objective, self._held_out, self.config.seed)
            self._record(step, {f"diagnostics/{name}": value for name, value in values.items()})

    def sample(self, step: int) -> None:
        with self._timer.paused():
            self.folder.check_claim()
            translator = build_translator(self.train_state, self.layout, averaged=True)
            self.tracker.artifact(self.samples.write(step, translator), "samples")

    def evaluate(self, step: int) -> None:
        with self._stop.at_once(step), self._timer.paused():
            translator = build_translator(self.train_state, self.layout, scores_average(self.config))
            self.scores = self.evaluator.score(translator)
            self._record(step, self.scores.metrics)
            for warning in self.scores.warnings:
                say(f"{self.name}  warning: {warning['text']}")
            for note in self.scores.notes:
                inform(f"{self.name}  note: {note}")

    def checkpoint(self, step: int) -> None:
        with self._timer.paused():
            self.folder.check_claim()
            self.tracker.flush()
            self.train_state.seconds = self._seconds()
            save(self.checkpoint_path, self.train_state, self.meter, self.folder.run_id)
            self.tracker.commit(step)

    def stop_requested(self) -> int:
        return self.world.largest(self._stop.requested)

    # Helpers.

    def _record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics, unless another process has taken over the run, whose rows they would double."""
        self.folder.check_claim()
        self.tracker.log(step, metrics)

    @cached_property
    def _held_out(self) -> list[Batch]:
        """The first test images of each dataset, at most a batch, for diagnostics."""
        batches = []
        for number, source in enumerate(self.sources):
            images = source.split("test")
            indices = list(range(min(self.config.batch_size, len(images))))
            batches.append(Batch(to_float(images.images(indices)), images.labels[indices], number))
        return batches

    def _drop_scores_of_other_protocols(self) -> None:
        """Scores under different protocols must not form one curve."""
        before, now = self.folder.tags().get("protocol"), self.evaluator.protocol["hash"]
        if before not in (None, now) and (count := self.folder.drop("eval/")):
            inform(
                f"note: dropped {count} rows of scores under protocol {before}; the run is now evaluated under {now}"
            )
        self.folder.update_tags({"protocol": now})

    def _predicted_labels(self, images: Tensor, source: int, other: int) -> Tensor:
        """Labels of images under the names of another dataset, predicted by that dataset's classifier."""
        dataset = self.sources[other]
        classifier = trained_classifier(dataset, Path(self.config.paths.outputs), self.train_state.device)
        return predicted_labels(classifier, images, dataset.spec, self.config.evaluation.batch_size)

    def _resume(self) -> int:
        """Load the last checkpoint, if there is one; returns its step, or 0."""
        self.folder.remove_partial()
        remove_partial(self.checkpoint_path)
        if not self.checkpoint_path.exists():
            return 0
        restore(self.checkpoint_path, self.train_state, self.meter, self.folder.run_id)
        inform(f"resuming from step {self.train_state.step}")
        return self.train_state.step

    def _missed_evaluation(self, step: int) -> bool:
        """Whether the run ended between the checkpoint of ``step``, where it resumes, and the evaluation due then."""
        if step == 0 or not self.plan.due(self.plan.evaluate_every, step):
            return False
        if step == self.plan.total_steps:
            return True
        of_step = (row.metrics for row in self.folder.rows() if row.step == step)
        return not any(name.startswith("eval/") for metrics in of_step for name in metrics)

    def _seconds(self) -> float:
        """Training time, including that before a resume."""
        return time.perf_counter() - self._started

    def _finish(self, status: str, resumed_from: int, error: str | None = None) -> dict[str, Any]:
        self.folder.check_claim()
        progress = {
            "status": status,
            "seconds": round(self._seconds(), 3),
            "seconds_per_step": self._timer.seconds_per_step(),
            "peak_memory_mib": self._peak_memory,
            "resumed_from": resumed_from,
        }
        result = result_of(self.config, self.folder.run_id, self.train_state, self.scores, self.audit, progress)
        if error:
            result["error"] = error
        if self.scores:
            self.folder.update_tags({"protocol": self.scores.protocol["hash"], **warning_tag(self.scores.warnings)})
            if status == "finished":
                write_scores(self.folder, self.scores, self.train_state.step)
        self.tracker.finish(result)
        return result

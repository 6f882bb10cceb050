"""One run while it is carried out; also the training loop's hooks."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from stargan_lab.checkpoints.files import CHECKPOINT
from stargan_lab.checkpoints.label_layout import write_layout
from stargan_lab.checkpoints.train_state import restore, save
from stargan_lab.config import RunConfig
from stargan_lab.config.identity import thread_count
from stargan_lab.console import Progress, StopSignal, closing, headline, say
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sampling import load_batch
from stargan_lab.evaluation.attribute_classifier import trained_classifier
from stargan_lab.evaluation.cross_dataset import predicted_labels
from stargan_lab.evaluation.evaluator import Scores
from stargan_lab.files import write_text
from stargan_lab.labels import Batch, LabelLayout
from stargan_lab.runs.build import build_layout, build_loop_plan, build_objective, build_train_state, pick_device
from stargan_lab.runs.metadata import open_tracker, reason, result_of, warning_tag
from stargan_lab.runs.samples import SampleWriter
from stargan_lab.runs.scores import build_evaluator, remarks, scores_average, write_scores
from stargan_lab.seeding import cpu_threads
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.training.loop import Interrupted, LoopPlan, train
from stargan_lab.training.meter import Meter
from stargan_lab.training.prefetch import prefetched
from stargan_lab.training.timing import StepTimer, peak_memory_mib
from stargan_lab.training.updates import TrainState
from stargan_lab.translation.translator import Translator


@dataclass
class _Networks:
    """What a run builds once its data are there."""

    train_state: TrainState
    layout: LabelLayout
    plan: LoopPlan


class Trainer:
    """Builds, trains, scores and records one run.

    The caller holds the run's lock. ``sources`` are as the configuration names them, not prepared yet.
    """

    def __init__(self, config: RunConfig, sources: Sequence[ImageSource], folder: RunFolder, identity: str) -> None:
        self.config, self.sources, self.folder, self.identity = config, sources, folder, identity
        self.checkpoint_path = folder.path / CHECKPOINT
        self.meter = Meter()
        self.scores: Scores | None = None
        self._stop = StopSignal()

    def carry_out(self) -> dict[str, Any]:
        say(headline(self._name(), self.identity, self.folder.path))
        with cpu_threads(thread_count(self.config)):
            for source in self.sources:
                source.prepare()
            self.samples = self._pick_samples()  # which may refuse, so before anything is recorded
            self.build_evaluator = build_evaluator(
                self.config, self.sources, pick_device(self.config)
            )  # may refuse too, and train attribute classifiers
            layout = build_layout(self.sources)
            self.networks = _Networks(build_train_state(self.config, layout), layout, build_loop_plan(self.config))
            resumed_from = self._resume()
            self._before, self._began = self.networks.train_state.seconds, time.perf_counter()
            write_text(self.folder.config_path, yaml.safe_dump(self.config.flat(), sort_keys=False))
            self.tracker = open_tracker(self.config, self.sources, self.folder, self.identity, self._name())
            self._forget_other_scores()
            self.tracker.start(resumed_from)
            return self._train_and_record(resumed_from)

    def _train_and_record(self, resumed_from: int) -> dict[str, Any]:
        train_state, plan = self.networks.train_state, self.networks.plan
        write_layout(self.folder.path, self.networks.layout)
        self.progress = Progress(self._name(), train_state.step, plan.total_steps)
        self._timer = StepTimer()
        objective = build_objective(self.config, self.networks.layout)
        try:
            with self._batches() as batches, self._stop:
                train(train_state, objective, batches, plan, self.meter, self)
            if self.scores is None:  # everything but the scores was done when it was stopped
                self.evaluate(plan.total_steps)
        except KeyboardInterrupt as stopped:
            self._finish("interrupted", resumed_from)
            if isinstance(stopped, Interrupted):
                say(f"stopped at step {stopped.step}; the same command goes on from {self.checkpoint_path}")
            raise
        except Exception as error:
            self._finish("failed", resumed_from, error=reason(error))
            raise
        finally:
            self.progress.close()
        result = self._finish("finished", resumed_from)
        main = {name: value for name, value in result["metrics"].items() if lookup(name).main}
        say(closing(self._name(), result | {"metrics": main}, self.folder.path))
        return result

    # What the loop calls.

    def stepped(self, step: int) -> None:
        self._timer.tick()
        self.progress.advance(step)

    def log(self, step: int, values: dict[str, float]) -> None:
        memory = {"memory/peak_mib": peak_memory_mib(self.networks.train_state.device)}
        self.tracker.log(step, values | self._timer.metrics(self.config.batch_size) | memory)
        self.progress.line(values)

    def sample(self, step: int) -> None:
        with self._timer.paused():
            self.tracker.artifact(self.samples.write(step, self._translator(averaged=True)), "samples")

    def evaluate(self, step: int) -> None:
        with self._timer.paused():
            self.scores = self.build_evaluator.score(self._translator(scores_average(self.config)))
            self.tracker.log(step, self.scores.metrics)
            for line in remarks(self.scores):
                say(f"{self._name()}  {line}")

    def checkpoint(self, step: int) -> None:
        with self._timer.paused():
            self.tracker.flush()
            self.networks.train_state.seconds = self._seconds()
            save(self.checkpoint_path, self.networks.train_state, self.meter, self.identity)
            self.tracker.commit(step)

    def stop_requested(self) -> bool:
        return self._stop.requested

    # Pieces.

    def _forget_other_scores(self) -> None:
        """Scores on the way that were made under another protocol than the coming ones would stand in one curve."""
        before, now = self.folder.tags().get("protocol"), self.build_evaluator.protocol["hash"]
        if before not in (None, now) and (dropped := self.folder.drop("eval/")):
            say(f"note: {dropped} rows of scores under protocol {before} are dropped; it is scored under {now} now")
        self.folder.update_tags({"protocol": now})

    def _translator(self, averaged: bool) -> Translator:
        """The generator under training, or its average where it is asked for and there is one."""
        train_state = self.networks.train_state
        network = (train_state.ema.network if averaged else None) or train_state.generator
        return Translator(network, self.networks.layout, train_state.device, train_state.precision == "bfloat16")

    def _pick_samples(self) -> SampleWriter:
        trainer, size = self.config.trainer, self.config.data.image_size
        folder, images, seed = self.folder.path / "samples", trainer.sample_images, trainer.sample_seed
        return SampleWriter(folder, self.sources, images, size, seed, labels_under=self._labels_seen)

    def _labels_seen(self, images: Tensor, own: int, other: int) -> Tensor:
        """Labels of one dataset's images under another's names, which only the other's classifier can tell."""
        device = self.networks.train_state.device
        attribute_classifier = trained_classifier(self.sources[other], Path(self.config.paths.outputs), device)
        return predicted_labels(
            attribute_classifier, images, self.sources[other].spec, self.config.evaluation.batch_size
        )

    def _name(self) -> str:
        """As tables and MLflow show the run."""
        variants = ", ".join(dict.fromkeys(self.config.tracking.ablations.values()))
        return f"{variants or self.config.generator.name} · seed {self.config.seed}"

    def _resume(self) -> int:
        """Bring networks and meter to the last checkpoint, if there is one; returns its step."""
        if not self.checkpoint_path.exists():
            return 0
        restore(self.checkpoint_path, self.networks.train_state, self.meter, self.identity)
        say(f"resuming from step {self.networks.train_state.step}")
        return self.networks.train_state.step

    @contextmanager
    def _batches(self) -> Iterator[Callable[[int], Batch]]:
        plan, config = self.networks.plan, self.config

        def batch(step: int) -> Batch:
            index = (step - 1) % plan.sources
            source = self.sources[index]
            images = source.split("train")
            return load_batch(images, index, config.batch_size, config.seed, plan.iteration(step) - 1, source.flip)

        first, workers = self.networks.train_state.step + 1, config.trainer.workers
        with prefetched(batch, first, plan.total_steps, workers) if workers else nullcontext(batch) as batches:
            yield batches

    def _seconds(self) -> float:
        """Spent on this run, over all its stretches."""
        return self._before + time.perf_counter() - self._began

    def _finish(self, status: str, resumed_from: int, error: str | None = None) -> dict[str, Any]:
        progress = {
            "status": status,
            "seconds": round(self._seconds(), 3),
            "seconds_per_step": self._timer.median(),
            "resumed_from": resumed_from,
        }
        result = result_of(self.config, self.identity, self.networks.train_state, self.scores, progress)
        if error:
            result["error"] = error
        if self.scores:
            self.folder.update_tags({"protocol": self.scores.protocol["hash"], **warning_tag(self.scores.warnings)})
        if self.scores and status == "finished":
            write_scores(self.folder, self.scores, self.networks.train_state.step)
        self.tracker.finish(result)
        return result

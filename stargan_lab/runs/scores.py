"""How a run's generator is evaluated, after training and by ``stargan-lab evaluate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stargan_lab.config import RunConfig
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.evaluator import Evaluator, Options, Scores, assemble
from stargan_lab.files import write_json
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.training.distributed import ALONE, World

CHECKPOINTS = {
    "average": "the generator's average at the last step, or its weights if no average is kept",
    "last": "the weights at the last step",
}
"""``evaluation.checkpoint`` → the rule in the protocol. It is the same for runs with and without an average, so that
they can be compared; whether a run has one is one of its factors."""


def build_evaluator(
    config: RunConfig,
    sources: Sequence[ImageSource],
    device: torch.device,
    progress: bool = True,
    need_weights: bool = False,
    world: World = ALONE,
) -> Evaluator:
    """The evaluator for runs of ``config``. Raises LabError, see ``evaluation.evaluator.assemble``."""
    settings = dict(config.evaluation) | {"checkpoint": CHECKPOINTS[config.evaluation.checkpoint]}
    return assemble(sources, Options(**settings), Path(config.paths.outputs), device, progress, need_weights, world)


def check_agreement(evaluator: Evaluator, world: World) -> None:
    """All processes must call this. Raises LabError in one of them unless their protocols are equal."""
    number = int(evaluator.protocol["hash"], 16)
    if world.largest(number) != number:
        raise LabError(
            "evaluation: the extractor's weights on this machine are missing, or differ from those of another process"
        )


def scores_average(config: RunConfig) -> bool:
    """Whether to score the generator's average if there is one."""
    return config.evaluation.checkpoint == "average"


def scores_path(folder: RunFolder, protocol_hash: str) -> Path:
    """The file of a run's scores under the protocol with this hash."""
    return folder.scores / f"{protocol_hash}.json"


def write_scores(folder: RunFolder, scores: Scores, step: int) -> dict[str, Any]:
    """Write one evaluation of a finished run to ``scores/<protocol>.json``; the content has no time stamp."""
    record = {
        "run_id": folder.run_id,
        "step": step,
        "metrics": scores.metrics,
        "protocol": scores.protocol,
        "notes": scores.notes,
        "warnings": scores.warnings,
    }
    write_json(scores_path(folder, scores.protocol["hash"]), record)
    return record

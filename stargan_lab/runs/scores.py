"""How a run's generator is scored, when it is trained and whenever it is scored again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stargan_lab.config import RunConfig
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.evaluation.evaluator import Evaluator, Options, Scores, assemble
from stargan_lab.files import write_json
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder

CHECKPOINTS = {
    "average": "the last step's average of the generator, or its weights where none is kept",
    "last": "the last step's weights",
}
"""``evaluation.checkpoint`` -> the rule as the protocol has it. It is the same for runs with and without an average, so
that these can be compared; which a run has is one of its factors."""


def build_evaluator(
    config: RunConfig, sources: Sequence[ImageSource], device: torch.device, progress: bool = True
) -> Evaluator:
    """What scores the runs of ``config``; see ``evaluation.evaluate.assemble``.

    Raises:
        LabError: unusable weights, no test split, or an extractor whose scores would have the name of others.
    """
    asked = config.evaluation
    options = Options(
        extractor=asked.extractor,
        weights=asked.weights,
        dims=asked.dims,
        checkpoint=CHECKPOINTS[asked.checkpoint],
        max_images=asked.max_images,
        batch_size=asked.batch_size,
    )
    assembled = assemble(sources, options, Path(config.paths.outputs), device, progress)
    for metric in assembled.protocol["metrics"]:
        try:
            lookup(metric)
        except LabError as error:
            raise ConfigError(
                f"evaluation.extractor: {asked.extractor!r} needs another label, or register_features ({error})"
            ) from None
    return assembled


def scores_average(config: RunConfig) -> bool:
    """Whether the generator's average is scored where there is one."""
    return config.evaluation.checkpoint == "average"


def remarks(scores: Scores) -> list[str]:
    """What to say beside the scores, warnings first."""
    return [f"warning: {w['text']}" for w in scores.warnings] + [f"note: {note}" for note in scores.notes]


def scores_path(folder: RunFolder, protocol_hash: str) -> Path:
    """Where a run's scores under the protocol of this hash are."""
    return folder.scores / f"{protocol_hash}.json"


def write_scores(folder: RunFolder, scores: Scores, step: int) -> dict[str, Any]:
    """Keep one scoring of a finished run as ``scores/<protocol>.json``: the same content whenever it is made."""
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

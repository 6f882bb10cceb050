"""Improved precision and recall (Kynkäänniemi et al. 2019), by torch-fidelity."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from stargan_lab.evaluation.features import Sample
from stargan_lab.evaluation.metrics.inputs import FeaturePair
from stargan_lab.registry import family

Neighbors = Annotated[int, Field(ge=1)]

feature_metric = family("feature_metric")


@feature_metric.register("precision", source="Kynkäänniemi et al. 2019", direction="higher", decimals=3, main=False)
def precision(pair: FeaturePair, *, neighbors: Neighbors = 3) -> float | None:
    """Share of translations that lie among the real images.

    Args:
        neighbors: k; an image's neighborhood extends to its k-th nearest neighbor.
    """
    return pair.once(precision_recall, neighbors=neighbors)[0] if pair.smaller > neighbors else None


@feature_metric.register("recall", source="Kynkäänniemi et al. 2019", direction="higher", decimals=3, main=False)
def recall(pair: FeaturePair, *, neighbors: Neighbors = 3) -> float | None:
    """Share of real images that lie among the translations.

    Args:
        neighbors: as in ``precision``.
    """
    return pair.once(precision_recall, neighbors=neighbors)[1] if pair.smaller > neighbors else None


def precision_recall(translated: Sample, real: Sample, neighbors: int = 3) -> tuple[float, float]:
    """Shares in [0, 1]: of translations among the real images, and of real images among the translations."""
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    result = prc_features_to_metric(
        torch.from_numpy(np.array(translated.rows, np.float64)),
        torch.from_numpy(np.array(real.rows, np.float64)),
        prc_neighborhood=neighbors,
        prc_batch_size=2000,
        save_cpu_ram=True,
        verbose=False,
    )
    return float(result[KEY_METRIC_PRECISION]), float(result[KEY_METRIC_RECALL])

"""Extractors from a user's module: invalid ones are refused before anything is translated."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.context import Context
from stargan_lab.evaluation.evaluator import Options, Scores, assemble
from stargan_lab.evaluation.features import compute_features
from stargan_lab.evaluation.real_images import reference_features
from stargan_lab.registry import family

CPU = torch.device("cpu")
OPTIONS = Options(extractor="mine", weights=None, dims=None, checkpoint="last", max_images=20, batch_size=8)


class MeanColor:
    """Mean color."""

    name: Any = "mine"
    label: Any = "mine"
    dims: int = 3
    sha256 = identity = "mine 1"
    preprocessing = "uint8 / 255"
    memory = 0
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, outputs: Path, device: torch.device, classifier: AttributeClassifier | None) -> None: ...

    def features(self, images: Tensor) -> Any:
        return images.double().mean(dim=(2, 3)) / 255


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    registry = family("extractor")
    registry.names()
    for part in ("_entries", "_sources", "_traits", "_facts"):
        monkeypatch.setattr(registry, part, dict(getattr(registry, part)))
    return lambda cls, **facts: registry.register("mine", **facts)(cls)


def test_float64_features_are_cached_as_float32(faces: ImageSource, tmp_path: Path) -> None:
    extractor = MeanColor(tmp_path, CPU, None)
    cached = reference_features(faces, extractor, Context(20, 8, tmp_path, CPU, False))
    has_label = faces.split("valid").labels == 1
    chosen = (has_label & (has_label.cumsum(0) <= 20)).any(dim=1).nonzero()[:, 0].tolist()
    expected = faces.split("valid").images(chosen).double().mean(dim=(2, 3)).numpy() / 255
    np.testing.assert_allclose(cached.rows, expected, rtol=1e-6)


def test_features_lose_their_gradients(tmp_path: Path) -> None:
    class Learned(MeanColor):
        def features(self, images: Tensor) -> Any:
            return super().features(images) * torch.ones(3, requires_grad=True)

    assert (
        compute_features(Learned(tmp_path, CPU, None), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)).requires_grad
        is False
    )


def raises(error: Exception) -> Any:
    def features(self: MeanColor, images: Tensor) -> Any:
        raise error

    return features


REFUSED = {
    "it fails": ({"features": raises(ValueError("no such\nsize"))}, "failed on .* images .ValueError: no such size"),
    "maps": (
        {"features": lambda self, images: images.float()},
        r"expected features of shape \(1, D\), got \(1, 3, 32, 32\)",
    ),
    "NaN": ({"features": lambda self, images: torch.full((1, 3), torch.nan)}, "not finite"),
    "a missing attribute": ({"preprocessing": property()}, "missing attributes preprocessing"),
    "official Inception's name": ({"label": ""}, "an empty label"),
    "an undeclared label": ({"label": "classifier"}, "label 'classifier' is not declared .declared: mine.; register"),
    "a reserved name": ({"name": "attribute_classifier"}, "the name is reserved"),
    "too many": ({"features": lambda self, images: torch.zeros(1, 20_000)}, "20,000 features per image"),
}


def test_an_invalid_extractor_is_refused_before_anything_is_translated(
    register: Any, faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    for what, (attributes, message) in REFUSED.items():
        family("extractor")._entries.pop("mine", None)
        register(type("Broken", (MeanColor,), attributes))
        with pytest.raises(LabError, match=message) as caught:
            assemble([faces], OPTIONS, outputs, "cpu", progress=False)
        assert "\n" not in str(caught.value), what


def test_scores_in_user_features_and_their_protocol(
    register: Any, faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    class Scaled(MeanColor):
        def __init__(self, outputs: Path, device: torch.device, classifier: Any, *, gain: float = 1.0) -> None:
            self.gain = gain

        def features(self, images: Tensor) -> Any:
            return super().features(images) * self.gain

    register(Scaled)

    def score(gain: float) -> Scores:
        options = replace(OPTIONS, max_images=40, extractor_options={"gain": gain})
        return assemble([faces], options, outputs, "cpu", progress=False).score(lambda x, labels, index: x * 0.9)

    scores, doubled = score(1.0), score(2.0)
    assert {"eval/frechet_mine", "eval/kid_mine", "eval/recall_mine/Male"} <= set(scores.metrics)
    instrument = scores.protocol["instruments"]["mine"]
    assert instrument["identity"] == {"faces": "mine 1"} and instrument["options"] == {"gain": 1.0}
    assert doubled.metrics["eval/frechet_mine"] == pytest.approx(4 * scores.metrics["eval/frechet_mine"], rel=1e-6)
    assert doubled.protocol["hash"] != scores.protocol["hash"]


def test_a_label_named_like_another_metric_is_refused(
    register: Any, faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    register(type("Twin", (MeanColor,), {"label": "classifier"}), labels={"classifier": "mean color"})
    with pytest.raises(LabError, match="eval/frechet_classifier: two metrics have this name"):
        assemble([faces], OPTIONS, outputs, "cpu", progress=False)

"""Extractors of one's own: what they may give, and what is refused before a training rather than after it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.evaluator import Options, assemble
from stargan_lab.evaluation.extractors import take
from stargan_lab.evaluation.real_images import reference
from stargan_lab.evaluation.setting import Setting
from stargan_lab.registry import family

CPU = torch.device("cpu")
OPTIONS = Options(extractor="own", weights=None, dims=None, checkpoint="last", max_images=20, batch_size=8)


class Own:
    """The mean colour."""

    name: Any = "own"
    label: Any = "own"
    dims: int = 3
    sha256 = identity = "own 1"
    preprocessing = "uint8 / 255"
    memory = 0

    def __init__(self, outputs: Path, device: torch.device, classifier: AttributeClassifier | None) -> None: ...

    def features(self, images: Tensor) -> Any:
        return images.double().mean(dim=(2, 3)) / 255


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    registry = family("extractor")
    registry.names()
    entries, sources, traits = dict(registry._entries), dict(registry._sources), dict(registry._traits)
    yield lambda cls: registry.register("own")(cls)
    registry._entries, registry._sources, registry._traits = entries, sources, traits


def test_float64_features_of_ones_own_are_kept_as_what_they_are(faces: ImageSource, tmp_path: Path) -> None:
    extractor = Own(tmp_path, CPU, None)
    found = reference(faces, extractor, Setting(20, 8, tmp_path, CPU, False))
    held = faces.split("valid").labels == 1
    chosen = (held & (held.cumsum(0) <= 20)).any(dim=1).nonzero()[:, 0].tolist()
    expected = faces.split("valid").images(chosen).double().mean(dim=(2, 3)).numpy() / 255
    np.testing.assert_allclose(found.rows, expected, rtol=1e-6)


def test_gradients_are_no_hindrance(tmp_path: Path) -> None:
    class Learned(Own):
        def features(self, images: Tensor) -> Any:
            return super().features(images) * torch.ones(3, requires_grad=True)

    assert take(Learned(tmp_path, CPU, None), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)).requires_grad is False


def raises(error: Exception) -> Any:
    def features(self: Own, images: Tensor) -> Any:
        raise error

    return features


REFUSED = {
    "it fails": ({"features": raises(ValueError("no such\nsize"))}, "fails on .* images .ValueError: no such size"),
    "maps": (
        {"features": lambda self, images: images.float()},
        r"should give \(1, D\) features, gave \(1, 3, 32, 32\)",
    ),
    "no number": ({"features": lambda self, images: torch.full((1, 3), torch.nan)}, "not finite"),
    "a missing fact": ({"preprocessing": property()}, "lacks preprocessing"),
    "official Inception's name": ({"label": ""}, "an empty label"),
    "another's label": ({"label": "classifier"}, "another instrument's"),
    "an instrument's name": ({"name": "attribute_classifier"}, "another instrument's"),
    "far too many": ({"features": lambda self, images: torch.zeros(1, 20_000)}, "20,000 features of an image"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_is_refused_before_anything_is_translated(
    what: str, register: Any, faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    attributes, message = REFUSED[what]
    register(type("Broken", (Own,), attributes))
    with pytest.raises(LabError, match=message) as caught:
        assemble([faces], OPTIONS, outputs, "cpu", progress=False)
    assert "\n" not in str(caught.value)


def test_a_sound_one_is_scored_in(
    register: Any, faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    register(Own)
    scores = assemble([faces], replace(OPTIONS, max_images=40), outputs, "cpu", progress=False).score(
        lambda images, labels, index: images * 0.9
    )
    assert {"eval/frechet_own", "eval/kid_own", "eval/recall_own/Male"} <= set(scores.metrics)
    assert scores.protocol["instruments"]["own"]["identity"] == {"faces": "own 1"}

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sources import open_sources
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier, trained_classifier

ATTRIBUTES = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Oval_Face"]


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="session")
def faces(outputs: Path) -> ImageSource:
    """Synthetic faces at 32 px, with ground truth."""
    options = {
        "kind": "synthfaces",
        "attributes": ATTRIBUTES,
        "train": 2000,
        "valid": 300,
        "test": 150,
        "difficulty": 0.5,
    }
    (source,) = open_sources({"faces": options}, 32, outputs)
    source.prepare()
    return source


@pytest.fixture(scope="session")
def attribute_classifier(faces: ImageSource, outputs: Path) -> AttributeClassifier:
    return trained_classifier(faces, outputs, torch.device("cpu"), progress=False)


@pytest.fixture(scope="session")
def inception_weights(faces: ImageSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from inception import make_calibrated_inception

    return make_calibrated_inception(
        tmp_path_factory.mktemp("weights") / "w.pth", faces.split("train").images(range(16))
    )


@pytest.fixture(scope="session")
def redraw(faces: ImageSource) -> Callable[[Tensor, Tensor, int], Tensor]:
    """The perfect translator: recognizes the test image and renders it with the target labels."""
    from translators import perfect_translator

    return perfect_translator([faces])

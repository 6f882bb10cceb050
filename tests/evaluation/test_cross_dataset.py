"""Several datasets: every dataset's images under every dataset's domains, with a perfect translator."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sources import open_sources
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.evaluation.attribute_classifier import trained_classifier
from stargan_lab.evaluation.cross_dataset import predicted_labels
from stargan_lab.evaluation.evaluator import Options, Scores, assemble

Translate = Callable[[Tensor, Tensor, int], Tensor]


@pytest.fixture(scope="module", autouse=True)
def quick_attribute_classifiers() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=250, max_steps=250))
        yield


@pytest.fixture(scope="module")
def pair(outputs: Path) -> list[ImageSource]:
    calm = {"train": 1000, "valid": 40, "test": 40, "difficulty": 0.0}
    faces = {"kind": "synthfaces", "attributes": ("Black_Hair", "Blond_Hair", "Male"), **calm}
    sources = open_sources({"faces": faces, "moods": {"kind": "synthexpressions", **calm}}, 32, outputs)
    for source in sources:
        source.prepare()
    return sources


def perfect(sources: Sequence[ImageSource]) -> Translate:
    """Recognizes each test image of either dataset and renders it with any labels of either."""
    known: dict[bytes, tuple[ImageSource, int]] = {}
    for source in sources:
        pictures = source.split("test").images(range(len(source.split("test"))))
        known |= {picture.numpy().tobytes(): (source, row) for row, picture in enumerate(pictures)}

    def translate(images: Tensor, labels: Tensor, index: int) -> Tensor:
        rendered = []
        for picture, label in zip(to_uint8(images), labels, strict=True):
            source, row = known[picture.numpy().tobytes()]
            assert source.ground_truth is not None
            (image,) = source.ground_truth.redraw("test", [row], sources[index].spec.names, label[None])
            known[image.numpy().tobytes()] = (source, row)
            rendered.append(image)
        return to_float(torch.stack(rendered))

    return translate


def scores(translate: Translate, sources: Sequence[ImageSource], outputs: Path, limit: int | None = None) -> Scores:
    options = Options(extractor=None, weights=None, dims=None, checkpoint="last", max_images=limit, batch_size=16)
    return assemble(sources, options, outputs, "cpu", progress=False).score(translate)


def test_every_domain_is_scored_on_the_images_of_every_dataset(pair: list[ImageSource], outputs: Path) -> None:
    metrics = scores(perfect(pair), pair, outputs).metrics
    for source in pair:
        for name in source.spec.names:
            assert f"eval/accuracy/{source.name}.{name}" in metrics
            assert metrics[f"eval/edit/{source.name}.{name}"] == 1
    crossed = [f"moods.as.faces.{n}" for n in pair[0].spec.names] + [f"faces.as.moods.{n}" for n in pair[1].spec.names]
    crossed.remove("faces.as.moods.neutral")  # faces are neutral already: nothing to score
    for metric, limit in (("cross_accuracy", 0.5), ("cross_edit", 0.75)):
        found = {k.removeprefix(f"eval/{metric}/"): v for k, v in metrics.items() if k.startswith(f"eval/{metric}/")}
        assert set(crossed) <= set(found)
        assert all(found[name] >= limit for name in crossed), found
        assert metrics[f"eval/{metric}"] == pytest.approx(sum(found.values()) / len(found))
    assert metrics["eval/cross_accuracy"] >= 0.9
    for name in ("faces", "moods"):
        domains = [v for k, v in metrics.items() if k.startswith(f"eval/accuracy/{name}.")]
        assert metrics[f"eval/accuracy/{name}"] == pytest.approx(sum(domains) / len(domains))


def test_the_identity_scores_zero(pair: list[ImageSource], outputs: Path) -> None:
    metrics = scores(lambda images, labels, index: images, pair, outputs).metrics
    crossed = {k: v for k, v in metrics.items() if k.startswith("eval/cross_")}
    assert len(crossed) >= 2 + 2 * (3 + 7)
    assert all(value == 0 for key, value in crossed.items() if "accuracy" in key)
    assert all(abs(value) < 1e-12 for key, value in crossed.items() if "edit" in key)


def test_one_dataset_has_no_cross_metrics(pair: list[ImageSource], outputs: Path) -> None:
    metrics = scores(lambda images, labels, index: images, pair[:1], outputs, limit=16).metrics
    assert not [key for key in metrics if "cross" in key]
    assert not [key for key in metrics if key.count(".") or key.endswith("/faces")]


def test_source_labels_are_predicted_by_the_other_classifier(pair: list[ImageSource], outputs: Path) -> None:
    attribute_classifier = trained_classifier(pair[0], outputs, torch.device("cpu"), progress=False)
    images = pair[1].split("test").images(range(40))
    seen = predicted_labels(attribute_classifier, images, pair[0].spec, batch_size=16)
    assert (seen[:, :2].sum(1) <= 1).all()
    assert pair[1].ground_truth is not None
    agree = [  # an image redrawn with its true hair is unchanged
        torch.equal(pair[1].ground_truth.redraw("test", [i], pair[0].spec.names, seen[i : i + 1])[0], images[i])
        for i in range(40)
    ]
    assert sum(agree) >= 34


def test_exclusive_labels_are_never_predicted_together(pair: list[ImageSource], outputs: Path) -> None:
    """Of two hair colors above the threshold, only the more likely is kept."""
    attribute_classifier = trained_classifier(pair[0], outputs, torch.device("cpu"), progress=False)
    logits = torch.tensor([[2.0, 1.0, -1.0], [0.5, 3.0, 1.0], [-1.0, -2.0, 4.0]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(attribute_classifier), "_logits", lambda self, images: logits)
        images = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
        assert attribute_classifier.predict(images).tolist() == [[1, 1, 0], [1, 1, 1], [0, 0, 1]]
        assert attribute_classifier.predict_exclusive(images, pair[0].spec).tolist() == [
            [1, 0, 0],
            [0, 1, 1],
            [0, 0, 1],
        ]

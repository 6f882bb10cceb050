from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier, classifier_hash, decide, trained_classifier
from stargan_lab.evaluation.warnings import weak_classifier

CPU = torch.device("cpu")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few steps."""
    monkeypatch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=12, max_steps=12))


def test_classifies_real_faces_almost_perfectly(attribute_classifier: AttributeClassifier, faces: ImageSource) -> None:
    assert list(attribute_classifier.accuracy) == list(faces.spec.names)
    assert min(attribute_classifier.accuracy.values()) >= 0.98
    assert weak_classifier("faces", attribute_classifier.accuracy, ()) == []
    test = faces.split("test")
    correct = attribute_classifier.predict(test.images(range(len(test)))) == test.labels
    assert correct.double().mean(0).tolist() == pytest.approx(list(attribute_classifier.accuracy.values()))


def test_logits_are_computed_from_the_features(attribute_classifier: AttributeClassifier, faces: ImageSource) -> None:
    images = faces.split("test").images(range(8))
    features = attribute_classifier.features(images)
    assert features.shape == (8, 64) and features.dtype == torch.float32
    logits = attribute_classifier.network.head(features.float().relu())
    assert torch.equal(decide(logits, "binary"), attribute_classifier.predict(images))


@pytest.mark.usefixtures("brief")
def test_training_depends_on_the_recipe_alone_and_does_not_change_the_global_generator(
    faces: ImageSource, tmp_path: Path
) -> None:
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found = trained_classifier(faces, tmp_path / str(seed), CPU, progress=False)
        assert torch.equal(before, torch.get_rng_state())
        weights.append(found.network.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.usefixtures("brief")
def test_concurrent_callers_train_once(faces: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    train = classifier._train
    monkeypatch.setattr(classifier, "_train", lambda *args: trained.append(1) or train(*args))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: trained_classifier(faces, tmp_path, CPU, False), range(3)))
    assert len(trained) == 1
    assert len({attribute_classifier.sha256 for attribute_classifier in found}) == 1


@pytest.mark.usefixtures("brief")
def test_a_process_loads_a_classifier_once_until_its_file_changes(
    faces: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, load = [], classifier.load_weights
    monkeypatch.setattr(classifier, "load_weights", lambda path: loaded.append(path) or load(path))
    found = [trained_classifier(faces, tmp_path, CPU, progress=False) for _ in range(3)]
    assert len(loaded) == 1 and found[0] is found[1] is found[2]
    assert not any(module.training for module in found[0].network.modules())
    assert not any(parameter.requires_grad for parameter in found[0].network.parameters())
    saved = torch.load(loaded[0], weights_only=True)
    torch.save(saved | {"accuracy": [0.5] * len(faces.spec.names)}, loaded[0])
    assert set(trained_classifier(faces, tmp_path, CPU, progress=False).accuracy.values()) == {0.5}
    assert len(loaded) == 2


@pytest.mark.usefixtures("brief")
def test_a_weak_classifier_causes_a_one_line_warning(faces: ImageSource, tmp_path: Path) -> None:
    found = trained_classifier(faces, tmp_path, CPU, progress=False)
    lowest = min(found.accuracy, key=lambda name: found.accuracy[name])
    assert found.accuracy[lowest] < 0.9
    (warning,) = weak_classifier("faces", found.accuracy, ("eval/accuracy",))
    assert f": {lowest} {found.accuracy[lowest]:.3f}" in warning.text and "\n" not in warning.text


def test_identity_follows_data_size_and_recipe(faces: ImageSource, monkeypatch: pytest.MonkeyPatch) -> None:
    first = classifier_hash(faces, 32)
    assert first != classifier_hash(faces, 64)
    monkeypatch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, lr=1.0))
    assert first != classifier_hash(faces, 32)


def test_a_damaged_cache_is_named(faces: ImageSource, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "classifiers" / f"{classifier_hash(faces, 32)}.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a classifier")
    with pytest.raises(LabError, match=rf"{path.name}.*delete it to retrain") as caught:
        trained_classifier(faces, tmp_path, CPU, progress=False)
    assert "\n" not in str(caught.value)


def test_classes_by_argmax_and_labels_by_threshold() -> None:
    logits = torch.tensor([[-3.0, -1.0, -2.0], [0.5, 2.0, 3.0]])
    assert decide(logits, "categorical").tolist() == [[0, 1, 0], [0, 0, 1]]
    assert decide(logits, "binary").tolist() == [[0, 0, 0], [1, 1, 1]]

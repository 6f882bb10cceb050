from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
import yaml
from torch import Tensor

from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.sources import open_sources
from stargan_lab.data.transforms import to_float, to_uint8
from stargan_lab.errors import LabError
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.evaluator import Options, Scores, evaluate
from stargan_lab.evaluation.ground_truth import ground_truth_images
from stargan_lab.labels import target_labels

Translate = Callable[[Tensor, Tensor, int], Tensor]


def unchanged(images: Tensor, labels: Tensor, index: int) -> Tensor:
    return images


def score(translate: Translate, sources: list[ImageSource], outputs: Path, **options: object) -> Scores:
    usual = Options(extractor=None, weights=None, dims=None, checkpoint="last", max_images=None, batch_size=64)
    return evaluate(translate, sources, replace(usual, **options), outputs, "cpu", progress=False)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def nothing_done(faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path) -> Scores:
    return score(unchanged, [faces], outputs)


@pytest.fixture(scope="module")
def all_right(
    faces: ImageSource, attribute_classifier: AttributeClassifier, redraw: Translate, outputs: Path
) -> Scores:
    return score(redraw, [faces], outputs)


def test_the_perfect_translator_gets_full_marks(all_right: Scores) -> None:
    m = all_right.metrics
    assert m["eval/edit"] == 1 and m["eval/leak"] == 0 and m["eval/identity"] == 1 and m["eval/reconstruction"] == 0
    assert m["eval/accuracy"] >= 0.97


def test_doing_nothing_gets_none(nothing_done: Scores, all_right: Scores) -> None:
    m = nothing_done.metrics
    assert m["eval/edit"] == 0 and m["eval/reconstruction"] == 0
    assert m["eval/leak"] < 1 / 255  # outside M input and answer agree but for one grey level
    assert m["eval/accuracy"] < 0.03
    assert m["eval/frechet_classifier"] > 10 * all_right.metrics["eval/frechet_classifier"]
    assert m["eval/identity"] < 1


def test_each_metric_is_the_mean_of_its_domains(nothing_done: Scores, faces: ImageSource) -> None:
    overall = {name for name in nothing_done.metrics if name.count("/") == 1}
    against_answers = {"accuracy", "accuracy_ceiling", "edit", "leak", "identity", "reconstruction", "psnr", "ssim"}
    by_features = {"frechet_{}", "frechet_{}_infinity", "kid_{}", "kid_{}_spread", "precision_{}", "recall_{}"}
    means = {f"eval/{name}" for name in against_answers | {name.format("classifier") for name in by_features}}
    assert overall == means | {"eval/frechet_classifier_pooled"}
    for name in means:
        domains = [nothing_done.metrics[f"{name}/{domain}"] for domain in faces.spec.names]
        assert nothing_done.metrics[name] == pytest.approx(fmean(domains))


def test_held_hair_is_counted_and_left_out(nothing_done: Scores, faces: ImageSource) -> None:
    labels = faces.split("test").labels
    held = sum(int((target_labels(labels, faces.spec, i) == labels).all(1).sum()) for i in range(len(faces.spec.names)))
    assert held > 0
    assert f"faces: edit leaves out {held} of {5 * 150} outputs whose target changes no pixel" in nothing_done.notes


def blend(redraw: Translate) -> Translate:
    """Halfway between the input and the ground truth, and a touch darker everywhere."""
    return lambda images, labels, index: (images + redraw(images, labels, index)) / 2 - 0.04


def test_half_an_edit_and_a_known_leak(faces: ImageSource, redraw: Translate, outputs: Path) -> None:
    first_pass: list[Tensor] = []

    def translate(images: Tensor, labels: Tensor, index: int) -> Tensor:
        if len(first_pass) % 2:  # the way back
            first_pass.append(images)
            return images
        first_pass.append(images)
        return blend(redraw)(images, labels, index)

    m = score(translate, [faces], outputs).metrics
    assert m["eval/edit"] == pytest.approx(0.5, abs=0.1)
    assert m["eval/leak"] == pytest.approx(0.02, abs=0.004)  # 0.04 on [-1, 1]
    assert 0.02 < m["eval/reconstruction"] < 0.2


def test_reconstruction_by_hand(faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path) -> None:
    m = score(lambda images, labels, index: images * 0.5, [faces], outputs).metrics
    test = faces.split("test")
    x = test.images(range(len(test)))
    back = to_uint8(to_float(to_uint8(to_float(x) * 0.5)) * 0.5)  # both ways end in 8 bits
    expected = (x.double() - back.double()).abs().mean() / 255
    assert m["eval/reconstruction/Male"] == pytest.approx(float(expected), rel=1e-12)


def test_twice_the_same_and_the_global_generator_is_left(
    faces: ImageSource, nothing_done: Scores, outputs: Path
) -> None:
    before = torch.get_rng_state()
    again = score(unchanged, [faces], outputs)
    assert again == nothing_done
    assert torch.equal(before, torch.get_rng_state())


def test_batch_size_does_not_move_what_does_not_depend_on_it(
    faces: ImageSource, nothing_done: Scores, outputs: Path
) -> None:
    other = score(unchanged, [faces], outputs, batch_size=37)
    assert other.protocol["hash"] != nothing_done.protocol["hash"]
    assert other.metrics == pytest.approx(nothing_done.metrics, rel=1e-4, abs=1e-9)


def test_caches_change_no_number(faces: ImageSource, all_right: Scores, redraw: Translate, outputs: Path) -> None:
    cached = [path for folder in ("truth", "features") for path in (outputs / "cache" / folder).glob("*.np[yz]")]
    assert {path.suffix for path in cached} == {".npy", ".npz"}
    for path in cached:
        path.unlink()
    assert score(redraw, [faces], outputs) == all_right


def test_max_images_takes_the_first(faces: ImageSource, redraw: Translate, outputs: Path) -> None:
    seen: list[Tensor] = []

    def watched(images: Tensor, labels: Tensor, index: int) -> Tensor:
        seen.append(images)
        return redraw(images, labels, index)

    scores = score(watched, [faces], outputs, max_images=10)
    assert scores.protocol["max_images"] == 10 and scores.metrics["eval/identity"] == 1
    assert {len(images) for images in seen} == {10}
    (few,) = (warning for warning in scores.warnings if warning["code"] == "few-images")
    assert "frechet_classifier has fewer images than its 64 features" in few["text"]
    assert "eval/frechet_classifier" in few["metrics"]


def test_too_few_images_for_a_distance_are_noted(
    faces: ImageSource, outputs: Path, attribute_classifier: AttributeClassifier
) -> None:
    scores = score(unchanged, [faces], outputs, max_images=1)
    assert "eval/frechet_classifier" not in scores.metrics
    assert any("it needs 2 images a side" in note for note in scores.notes)


def test_answers_are_the_images_themselves_under_their_own_labels(faces: ImageSource, outputs: Path) -> None:
    exact = ground_truth_images(faces, "test", 150, outputs, progress=False)
    assert exact is not None and exact.galleries.shape[1] == 100 and exact.rows.shape == (5, 100)
    test = faces.split("test")
    blond = faces.spec.names.index("Blond_Hair")
    held = [i for i in range(150) if test.labels[i, blond] == 1]
    assert torch.equal(exact.of(blond, range(150))[held], test.images(held))
    for domain, image in ((0, 0), (3, 57), (4, 99)):  # an output's own identity stands in its gallery
        drawn = torch.from_numpy(exact.galleries[int(exact.rows[domain, image]), image].copy())
        assert torch.equal(drawn, exact.of(domain, range(image, image + 1))[0])


def test_inception_is_scored_under_its_own_name(faces: ImageSource, inception_weights: Path, outputs: Path) -> None:
    scores = score(
        unchanged, [faces], outputs, extractor="inception", weights=str(inception_weights), max_images=4, batch_size=16
    )
    assert scores.metrics["eval/frechet_inception_unverified"] > 0.01
    assert "eval/frechet_inception_unverified/Male" in scores.metrics and "eval/fid" not in scores.metrics
    instrument = scores.protocol["instruments"]["inception"]
    assert len(instrument["identity"]["faces"]) == 64 and instrument["dims"] == 2048
    assert scores.protocol["metrics"]["eval/kid_inception_unverified"] == "inception"


def test_missing_weights_are_one_note(
    faces: ImageSource, nothing_done: Scores, outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    scores = score(unchanged, [faces], outputs, extractor="inception")
    (missing,) = (warning for warning in scores.warnings if warning["code"] == "no-weights")
    assert "evaluation.weights=download" in missing["text"] and "eval/fid" in missing["metrics"]
    assert scores.metrics == nothing_done.metrics and scores.protocol == nothing_done.protocol


def test_an_unknown_extractor_is_refused(
    faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    with pytest.raises(LabError, match="did you mean 'inception'"):
        score(unchanged, [faces], outputs, extractor="incepton")


def test_a_diverged_generator_is_refused(
    faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    with pytest.raises(LabError, match="diverged"):
        score(lambda images, labels, index: images * torch.nan, [faces], outputs)


def test_several_datasets(
    faces: ImageSource, nothing_done: Scores, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"kind": "synthfaces", "attributes": ["Male", "Young"], "train": 500, "valid": 0, "test": 60, "seed": 9}
    (others,) = open_sources({"others": options}, 32, outputs)
    indices = []

    def halved(images: Tensor, labels: Tensor, index: int) -> Tensor:
        assert labels.shape[1] == (5, 2)[index]
        indices.append(index)
        return images * (1 - index / 2)

    monkeypatch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=40, max_steps=40))
    scores = score(halved, [faces, others], outputs)
    m = scores.metrics
    assert set(indices) == {0, 1}
    assert "eval/edit/faces.Male" in m and "eval/edit/others.Male" in m and "eval/edit/Male" not in m
    first = fmean(m[f"eval/reconstruction/faces.{name}"] for name in faces.spec.names)
    second = fmean(m[f"eval/reconstruction/others.{name}"] for name in ("Male", "Young"))
    assert first == 0 and m["eval/reconstruction"] == pytest.approx(second / 2)
    assert scores.protocol["instruments"]["classifier"]["references"] == {"faces": "valid", "others": "train"}
    assert m["eval/frechet_classifier_pooled/faces"] > 0


def test_without_test_images_it_says_so(outputs: Path) -> None:
    options = {"kind": "synthfaces", "attributes": ["Male"], "train": 20, "valid": 5, "test": 0}
    (source,) = open_sources({"faces": options}, 16, outputs)
    with pytest.raises(LabError, match=r"data\.sources\.faces: evaluation needs test images"):
        score(unchanged, [source], outputs)


def test_configuration_offers_what_evaluate_takes() -> None:
    text = (Path(__file__).parents[2] / "conf" / "evaluation" / "default.yaml").read_text()
    offered = yaml.safe_load(text)
    assert set(offered) == {field.name for field in fields(Options)}
    assert offered["extractor"] == "inception" and offered["checkpoint"] == "average"


def test_accuracy_stands_beside_its_ceiling(
    nothing_done: Scores, faces: ImageSource, attribute_classifier: AttributeClassifier
) -> None:
    m = nothing_done.metrics
    assert {name: m[f"eval/accuracy_ceiling/{name}"] for name in faces.spec.names} == attribute_classifier.accuracy


def test_a_generator_that_does_nothing_is_called_so(nothing_done: Scores, all_right: Scores) -> None:
    codes = {warning["code"]: warning["text"] for warning in nothing_done.warnings}
    assert set(codes) == {"label-ignored", "returns-input"}
    assert all_right.warnings == []


def test_a_collapsed_generator_is_called_so(
    faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    face = to_float(faces.split("test").images([0]))
    scores = score(lambda images, labels, index: face.expand_as(images), [faces], outputs)
    assert {"collapse", "label-ignored"} <= {warning["code"] for warning in scores.warnings}
    assert scores.metrics["eval/recall_classifier"] < 0.1


def test_the_protocol_counts_images(nothing_done: Scores, faces: ImageSource) -> None:
    test, valid = faces.split("test").labels, faces.split("valid").labels
    for index, name in enumerate(faces.spec.names):
        counts = nothing_done.protocol["images"]["faces"][name]
        assert counts == {"translated": int((test[:, index] == 0).sum()), "real": int(valid[:, index].sum())}


def test_every_distance_says_how_it_was_made(nothing_done: Scores) -> None:
    known = nothing_done.protocol["metrics"]
    assert {name for name in nothing_done.metrics if name.count("/") == 1} <= set(known)
    assert set(known.values()) <= set(nothing_done.protocol["instruments"])

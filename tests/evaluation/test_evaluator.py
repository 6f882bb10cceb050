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
from stargan_lab.evaluation.context import Context
from stargan_lab.evaluation.evaluator import Options, Scores, assemble
from stargan_lab.evaluation.ground_truth_images import ground_truth_images
from stargan_lab.evaluation.metrics import ground_truth
from stargan_lab.evaluation.protocol import metric_identity
from stargan_lab.labels import target_labels

Translate = Callable[[Tensor, Tensor, int], Tensor]


def unchanged(images: Tensor, labels: Tensor, index: int) -> Tensor:
    return images


def score(translate: Translate, sources: list[ImageSource], outputs: Path, **options: object) -> Scores:
    usual = Options(extractor=None, weights=None, dims=None, checkpoint="last", max_images=None, batch_size=64)
    return assemble(sources, replace(usual, **options), outputs, "cpu", progress=False).score(translate)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def identity_scores(faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path) -> Scores:
    return score(unchanged, [faces], outputs)


@pytest.fixture(scope="module")
def perfect_scores(
    faces: ImageSource, attribute_classifier: AttributeClassifier, redraw: Translate, outputs: Path
) -> Scores:
    return score(redraw, [faces], outputs)


def test_the_perfect_translator_has_perfect_scores(perfect_scores: Scores) -> None:
    m = perfect_scores.metrics
    assert m["eval/edit"] == 1 and m["eval/leak"] == 0 and m["eval/identity"] == 1 and m["eval/reconstruction"] == 0
    assert m["eval/identity_rank"] == 1
    assert m["eval/accuracy"] >= 0.97


def test_the_identity_has_the_worst_scores(identity_scores: Scores, perfect_scores: Scores) -> None:
    m = identity_scores.metrics
    assert m["eval/edit"] == 0 and m["eval/reconstruction"] == 0
    assert m["eval/leak"] < 1 / 255  # outside M input and ground truth differ by at most one gray level
    assert m["eval/accuracy"] < 0.03
    assert m["eval/frechet_classifier"] > 10 * perfect_scores.metrics["eval/frechet_classifier"]
    assert m["eval/identity"] < 1 and 0.5 < m["eval/identity_rank"] < 1


def test_an_output_without_identity_is_ranked_at_chance(faces: ImageSource, outputs: Path) -> None:
    blank = score(lambda images, labels, index: torch.zeros_like(images), [faces], outputs)
    assert blank.metrics["eval/identity"] < 0.1
    assert blank.metrics["eval/identity_rank"] == pytest.approx(0.5, abs=0.01)


def test_identity_metrics_share_their_distances(
    faces: ImageSource, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    original = ground_truth.gallery_distances
    monkeypatch.setattr(ground_truth, "gallery_distances", lambda *both: calls.append(1) or original(*both))
    counts = []
    for metrics in ({"identity_rank": False}, {}):
        calls.clear()
        score(unchanged, [faces], outputs, max_images=10, metrics=metrics)
        counts.append(len(calls))
    assert counts[0] == counts[1] > 0


def test_each_metric_is_the_mean_of_its_domains(identity_scores: Scores, faces: ImageSource) -> None:
    overall = [name for name in identity_scores.metrics if name.count("/") == 1]
    assert overall == list(identity_scores.protocol["metrics"]) and len(overall) == 16
    for name in set(overall) - {"eval/frechet_classifier_pooled"}:
        domains = [identity_scores.metrics[f"{name}/{domain}"] for domain in faces.spec.names]
        assert identity_scores.metrics[name] == pytest.approx(fmean(domains))


def test_outputs_whose_target_changes_nothing_are_noted(identity_scores: Scores, faces: ImageSource) -> None:
    labels = faces.split("test").labels
    unchanged_targets = sum(
        int((target_labels(labels, faces.spec, i) == labels).all(1).sum()) for i in range(len(faces.spec.names))
    )
    assert unchanged_targets > 0
    note = f"faces: eval/edit excludes {unchanged_targets} of {5 * 150} outputs whose target changes no pixel"
    assert note in identity_scores.notes


def blend(redraw: Translate) -> Translate:
    """Halfway between the input and the ground truth, and slightly darker everywhere."""
    return lambda images, labels, index: (images + redraw(images, labels, index)) / 2 - 0.04


def test_half_an_edit_and_a_known_leak(faces: ImageSource, redraw: Translate, outputs: Path) -> None:
    first_pass: list[Tensor] = []

    def translate(images: Tensor, labels: Tensor, index: int) -> Tensor:
        if len(first_pass) % 2:  # the reconstruction
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
    back = to_uint8(to_float(to_uint8(to_float(x) * 0.5)) * 0.5)  # both directions are quantized
    expected = (x.double() - back.double()).abs().mean() / 255
    assert m["eval/reconstruction/Male"] == pytest.approx(float(expected), rel=1e-12)


def test_deterministic_and_independent_of_the_global_generator(
    faces: ImageSource, identity_scores: Scores, outputs: Path
) -> None:
    before = torch.get_rng_state()
    again = score(unchanged, [faces], outputs)
    assert again == identity_scores
    assert torch.equal(before, torch.get_rng_state())


def test_batch_size_does_not_change_scores_of_independent_images(
    faces: ImageSource, identity_scores: Scores, outputs: Path
) -> None:
    other = score(unchanged, [faces], outputs, batch_size=37)
    assert other.protocol["hash"] != identity_scores.protocol["hash"]
    assert other.metrics == pytest.approx(identity_scores.metrics, rel=1e-4, abs=1e-9)


def test_scores_are_the_same_without_the_cache(
    faces: ImageSource, perfect_scores: Scores, redraw: Translate, outputs: Path
) -> None:
    cached = [path for folder in ("ground_truth", "features") for path in (outputs / "cache" / folder).glob("*.np[yz]")]
    assert {path.suffix for path in cached} == {".npy", ".npz"}
    for path in cached:
        path.unlink()
    assert score(redraw, [faces], outputs) == perfect_scores


def test_max_images_takes_the_first(faces: ImageSource, redraw: Translate, outputs: Path) -> None:
    seen: list[Tensor] = []

    def watched(images: Tensor, labels: Tensor, index: int) -> Tensor:
        seen.append(images)
        return redraw(images, labels, index)

    scores = score(watched, [faces], outputs, max_images=10)
    assert scores.protocol["max_images"] == 10 and scores.metrics["eval/identity"] == 1
    assert {len(images) for images in seen} == {10}
    (few,) = (warning for warning in scores.warnings if warning["code"] == "few-images")
    assert "frechet_classifier has too few images" in few["text"]
    assert "eval/frechet_classifier" in few["metrics"]


def test_the_seed_selects_images_that_max_images_leaves_out(
    faces: ImageSource, redraw: Translate, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    """The perfect translator recognizes the images, so perfect scores show that images, labels and ground truth fit."""
    first, other, again = (score(redraw, [faces], outputs, max_images=20, seed=seed) for seed in (0, 1, 1))
    assert other.metrics == again.metrics and other.protocol == again.protocol
    assert other.metrics["eval/edit"] == 1 and other.metrics["eval/leak"] == 0 and other.metrics["eval/identity"] == 1
    assert other.protocol["data"] == first.protocol["data"] and other.protocol["hash"] != first.protocol["hash"]
    assert "seed" not in first.protocol and "image_seed" not in first.protocol
    assert other.protocol["seed"] == other.protocol["image_seed"] == 1
    darker = [
        score(lambda x, labels, index: x * 0.5, [faces], outputs, max_images=20, seed=seed).metrics["eval/edit"]
        for seed in (0, 1)
    ]
    assert darker[0] != darker[1]


def test_with_all_images_the_seed_changes_only_what_is_random(
    identity_scores: Scores, faces: ImageSource, outputs: Path
) -> None:
    other = score(unchanged, [faces], outputs, seed=1)
    assert other.protocol["seed"] == 1 and "image_seed" not in other.protocol
    changed = {name for name, value in other.metrics.items() if value != identity_scores.metrics[name]}
    assert {"eval/accuracy_ceiling", "eval/frechet_classifier", "eval/kid_classifier"} <= changed
    for name, entry in other.protocol["metrics"].items():
        identities = {metric_identity(scores.protocol, name) for scores in (other, identity_scores)}
        seeded = bool({"attribute_classifier", "classifier"} & set(entry["uses"])) or "seed" in entry
        assert len(identities) == 1 + seeded, name
        assert seeded or not {each for each in changed if each.startswith(name)}, name


def test_too_few_images_for_a_distance_are_noted(
    faces: ImageSource, outputs: Path, attribute_classifier: AttributeClassifier
) -> None:
    scores = score(unchanged, [faces], outputs, max_images=1)
    assert "eval/frechet_classifier" not in scores.metrics
    assert any("they need at least 2 images" in note for note in scores.notes)


def test_ground_truth_under_the_source_labels_is_the_image(faces: ImageSource, outputs: Path) -> None:
    exact = ground_truth_images(faces, Context(None, 64, outputs, torch.device("cpu"), False))
    assert exact is not None and exact.galleries.shape[1] == 100 and exact.rows.shape == (5, 100)
    test = faces.split("test")
    blond = faces.spec.names.index("Blond_Hair")
    already_blond = [i for i in range(150) if test.labels[i, blond] == 1]
    assert torch.equal(exact.images(blond, range(150))[already_blond], test.images(already_blond))
    for domain, image in ((0, 0), (3, 57), (4, 99)):  # every output's own identity is in its gallery
        drawn = torch.from_numpy(exact.galleries[int(exact.rows[domain, image]), image].copy())
        assert torch.equal(drawn, exact.images(domain, range(image, image + 1))[0])


def test_inception_is_scored_under_its_own_name(faces: ImageSource, inception_weights: Path, outputs: Path) -> None:
    scores = score(
        unchanged, [faces], outputs, extractor="inception", weights=str(inception_weights), max_images=4, batch_size=16
    )
    assert scores.metrics["eval/frechet_inception_unverified"] > 0.01
    assert "eval/frechet_inception_unverified/Male" in scores.metrics and "eval/fid" not in scores.metrics
    instrument = scores.protocol["instruments"]["inception"]
    assert len(instrument["identity"]["faces"]) == 64 and instrument["dims"] == 2048
    assert scores.protocol["metrics"]["eval/kid_inception_unverified"]["uses"] == ["inception"]


def test_missing_weights_are_one_warning(
    faces: ImageSource, identity_scores: Scores, outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    scores = score(unchanged, [faces], outputs, extractor="inception")
    (missing,) = (warning for warning in scores.warnings if warning["code"] == "no-weights")
    assert "evaluation.weights=download" in missing["text"] and "eval/fid" in missing["metrics"]
    assert scores.metrics == identity_scores.metrics and scores.protocol == identity_scores.protocol


def test_a_shared_extractor_is_built_once_for_all_datasets(
    faces: ImageSource, attribute_classifier: AttributeClassifier, inception_weights: Path, outputs: Path
) -> None:
    options = Options("inception", str(inception_weights), None, "last", 4, 16)
    evaluator = assemble([faces, faces], options, outputs, "cpu", progress=False)
    (first, inception), (_, second_inception) = (dataset.extractors for dataset in evaluator.datasets)
    assert first.name == "classifier" and inception is second_inception


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
    faces: ImageSource, identity_scores: Scores, outputs: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_dataset_without_test_images_is_refused(outputs: Path) -> None:
    options = {"kind": "synthfaces", "attributes": ["Male"], "train": 20, "valid": 5, "test": 0}
    (source,) = open_sources({"faces": options}, 16, outputs)
    with pytest.raises(LabError, match=r"data\.sources\.faces: evaluation needs test images"):
        score(unchanged, [source], outputs)


def test_the_configuration_has_all_options() -> None:
    text = (Path(__file__).parents[2] / "conf" / "evaluation" / "default.yaml").read_text()
    default = yaml.safe_load(text)
    assert set(default) == {field.name for field in fields(Options)}
    assert default["extractor"] == "inception" and default["checkpoint"] == "average"


def test_accuracy_ceiling_is_the_classifiers_accuracy(
    identity_scores: Scores, faces: ImageSource, attribute_classifier: AttributeClassifier
) -> None:
    m = identity_scores.metrics
    assert {name: m[f"eval/accuracy_ceiling/{name}"] for name in faces.spec.names} == attribute_classifier.accuracy


def test_the_identity_causes_warnings(identity_scores: Scores, perfect_scores: Scores) -> None:
    codes = {warning["code"]: warning["text"] for warning in identity_scores.warnings}
    assert set(codes) == {"label-ignored", "returns-input", "below-input"}
    assert perfect_scores.warnings == []


def test_a_collapsed_generator_causes_warnings(
    faces: ImageSource, attribute_classifier: AttributeClassifier, outputs: Path
) -> None:
    face = to_float(faces.split("test").images([0]))
    scores = score(lambda images, labels, index: face.expand_as(images), [faces], outputs)
    assert {"collapse", "label-ignored"} <= {warning["code"] for warning in scores.warnings}
    assert scores.metrics["eval/recall_classifier"] < 0.1


def test_the_protocol_counts_images(identity_scores: Scores, faces: ImageSource) -> None:
    test, valid = faces.split("test").labels, faces.split("valid").labels
    for index, name in enumerate(faces.spec.names):
        counts = identity_scores.protocol["images"]["faces"][name]
        assert counts == {"translated": int((test[:, index] == 0).sum()), "real": int(valid[:, index].sum())}


def test_the_protocol_describes_every_metric(identity_scores: Scores) -> None:
    metrics, instruments = identity_scores.protocol["metrics"], identity_scores.protocol["instruments"]
    assert {name for name in identity_scores.metrics if name.count("/") == 1} <= set(metrics)
    assert {used for entry in metrics.values() for used in entry["uses"]} <= set(instruments)
    assert metrics["eval/kid_classifier"] == {
        "uses": ["classifier"],
        "options": {"subsets": 100, "subset_size": 1000},
        "version": 1,
    }

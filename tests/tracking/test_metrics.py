"""The registry of metrics."""

import random

import pytest

from stargan_lab.errors import LabError
from stargan_lab.evaluation.extractors import metric_name
from stargan_lab.tracking import metrics


@pytest.mark.parametrize(
    "name", ["loss/d_gp", "eval/fid", "eval/edit/Blond_Hair", "eval/kid", "memory/peak_mib", "lr/g"]
)
def test_known_names(name: str) -> None:
    assert name.startswith(metrics.lookup(name).name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("eval/edti", "eval/edit"), ("loss/g_recon", "loss/g_rec"), ("speed/image_per_second", "speed/images_per_second")],
)
def test_an_unknown_name_gets_the_nearest(name: str, near: str) -> None:
    with pytest.raises(LabError, match=f"{name}' is not registered; did you mean '{near}'"):
        metrics.lookup(name)


@pytest.mark.parametrize("name", ["lr/g/Male", "eval/edit/", "eval/edit/a/b", "eval", ""])
def test_a_part_is_taken_only_where_there_are_parts(name: str) -> None:
    with pytest.raises(LabError, match="is not registered"):
        metrics.lookup(name)


KINDS = ("frechet", "frechet_infinity", "frechet_pooled", "kid", "kid_spread", "precision", "recall")
LABELS = ["", "inception_unverified", "inception_64", "inception_192", "inception_768"]
LABELS += ["classifier", "pixels", "torchscript"]


def test_what_is_measured_in_features_stands_in_families() -> None:
    families = [metric_name(kind, label) for label in LABELS for kind in KINDS]
    assert len(set(families)) == 56
    known = metrics.names()
    first = known.index(families[0])
    assert known[first : first + len(families)] == families
    assert known[first - 1] == "eval/cross_edit" and known[first + len(families)] == "eval/reconstruction"


def test_every_metric_has_a_meaning_and_most_scores_a_direction() -> None:
    found = [metrics.lookup(name) for name in metrics.names()]
    assert all(m.meaning for m in found)
    assert all(m.parts for m in found if m.name.startswith("eval/"))
    undecided = {m.name for m in found if m.direction == "none" and m.name.startswith("eval/")}
    assert undecided == {"eval/accuracy_ceiling", *(metric_name("kid_spread", label) for label in LABELS)}
    assert {m.name for m in found if m.direction == "higher"} == {
        "eval/edit",
        "eval/identity",
        "eval/accuracy",
        "eval/cross_accuracy",
        "eval/cross_edit",
        *(metric_name(kind, label) for label in LABELS for kind in ("precision", "recall")),
        "eval/psnr",
        "eval/ssim",
        "speed/images_per_second",
    }


def test_the_main_scores() -> None:
    main = [name for name in metrics.names() if name.startswith("eval/") and metrics.lookup(name).main]
    before = ["edit", "leak", "identity", "accuracy", "cross_accuracy", "cross_edit", "fid", "kid"]
    frechet = [metric_name("frechet", label) for label in LABELS[1:]]
    assert main == [*(f"eval/{name}" for name in before), *frechet, "eval/reconstruction"]


@pytest.mark.parametrize("label", ["dino", "clip_vit-b.32", "my_classifier", "classifier_2", "pixels_of_eyes", "lpips"])
@pytest.mark.parametrize("kind", KINDS)
def test_features_of_ones_own_need_no_registration(kind: str, label: str) -> None:
    name = metric_name(kind, label)
    like = metrics.lookup(metric_name(kind, "pixels"))
    for logged in (name, f"{name}/Male", f"{name}/faces.Male", f"rescored.0123456789ab/{name[5:]}"):
        found = metrics.lookup(logged)
        assert (found.name, found.direction, found.decimals) == (name, like.direction, like.decimals)
        assert found.main is like.main and found.parts
        assert found.meaning.endswith(f"features {label}")
    assert name not in metrics.names()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("eval/frechet_clasifier", "eval/frechet_classifier"),
        ("eval/frechet_clasifer", "eval/frechet_classifier"),
        ("eval/recall_pixel", "eval/recall_pixels"),
        ("eval/kid_torch_script", "eval/kid_torchscript"),
        ("eval/frechet_inception", "eval/frechet_inception_64"),
        ("eval/frechet_inception_2048", "eval/frechet_inception_64"),
        ("eval/frechet_inception_unverfied_pooled", "eval/frechet_inception_unverified_pooled"),
        ("eval/frechet_pooled", "eval/frechet_pixels_pooled"),
        ("eval/kid_sprad", "eval/kid_spread"),
        ("eval/kid_classifier_pooled", "eval/kid_classifier_spread"),
        ("eval/fid_dino", "eval/fid"),
        ("rescored.0123456789ab/edti", "eval/edit"),
    ],
)
def test_a_label_like_a_known_one_is_a_slip(name: str, near: str) -> None:
    with pytest.raises(LabError, match=f"{name}' is not registered; did you mean '{near}'"):
        metrics.lookup(name)


@pytest.mark.parametrize("name", ["eval/frechet_", "eval/frechet_-x", "eval/kid_my net", "eval/precision_x_spread"])
def test_what_is_no_label(name: str) -> None:
    with pytest.raises(LabError, match="is not registered"):
        metrics.lookup(name)


def test_a_label_like_a_known_one_is_taken_when_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
    monkeypatch.setattr(metrics, "_LABELS", list(metrics._LABELS))
    with pytest.raises(LabError):
        metrics.lookup("eval/kid_inception_v3")
    metrics.register_features("inception_v3", "the third one's")
    found = metrics.lookup("eval/kid_inception_v3/Male")
    assert (found.name, found.meaning) == ("eval/kid_inception_v3", "kernel distance (MMD²); the third one's")
    with pytest.raises(ValueError, match="registered already"):
        metrics.register_features("inception_v3")
    metrics.lookup.cache_clear()


def test_a_reevaluatedd_name_is_that_of_its_score() -> None:
    for name in ("eval/edit", "eval/fid", "eval/edit/Male", "eval/frechet_classifier/faces.Male"):
        again = name.replace("eval/", "rescored.1a2b3c4d5e6f/")
        assert metrics.lookup(again) == metrics.lookup(name)
        assert metrics.rounded(again, 1.23456789) == metrics.rounded(name, 1.23456789)
    for wrong in ("rescored.1a2b/edit", "rescored.1a2b3c4d5e6f/eval/edit", "rescored.1A2B3C4D5E6F/edit"):
        with pytest.raises(LabError, match="is not registered"):
            metrics.lookup(wrong)


def test_any_names_can_be_sorted() -> None:
    known = metrics.names()
    assert sorted(known, key=metrics.order) == known
    mixture = [
        "loss/g_rec/CelebA",
        "eval/edit",
        "eval/edit/Male",
        "eval/fid",
        "eval/recall_torchscript",
        "eval/frechet_clip",
        "eval/frechet_clip/Male",
        "eval/frechet_clip_pooled",
        "eval/kid_clip",
        "eval/frechet_dino",
        "eval/reconstruction",
        "lr/g",
        "rescored.1a2b3c4d5e6f/edit",
        "rescored.1a2b3c4d5e6f/ssim",
        "rescored.222222222222/edit",
    ]
    shuffled = random.Random(0).sample(mixture, len(mixture))
    assert sorted(shuffled, key=metrics.order) == mixture
    with pytest.raises(LabError, match="did you mean 'eval/edit'"):
        metrics.order("eval/edti")


def test_one_own_metric_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
    with pytest.raises(LabError):
        metrics.lookup("loss/perceptual")
    own = metrics.Metric("loss/perceptual", "", "none", "distance of features")
    metrics.register(own)
    assert metrics.lookup("loss/perceptual") == own
    with pytest.raises(ValueError, match="registered already"):
        metrics.register(own)
    metrics.lookup.cache_clear()


def test_rounding_keeps_the_decimals_and_four_digits() -> None:
    assert metrics.rounded("eval/fid", 47.123456) == 47.12
    assert metrics.rounded("eval/edit", 0.6789123) == 0.6789
    assert metrics.rounded("loss/d_gp", 0.0000123456) == 0.00001235
    assert metrics.rounded("memory/peak_mib", 1234.5) == 1234.0
    assert metrics.rounded("eval/edit/Male", 0.0) == 0.0


def test_labels_and_values_for_tables() -> None:
    edit, fid = metrics.lookup("eval/edit"), metrics.lookup("eval/fid")
    assert edit.label == "edit ↑"
    assert fid.label == "fid ↓"
    assert metrics.lookup("eval/psnr").label == "psnr (dB) ↑"
    assert metrics.lookup("memory/peak_mib").label == "peak_mib (MiB) ↓"
    assert metrics.lookup("loss/g_rec").label == "g_rec"
    assert edit.show(0.12345) == "0.123"
    assert edit.show(-0.0001) == "0.000"
    assert edit.show(0.1, signed=True) == "+0.100"
    assert edit.show(-0.1, signed=True) == "-0.100"

"""Names of metrics: which are known, how they are shown, and descriptions that replace the registries."""

import random

import pytest

from stargan_lab.errors import LabError
from stargan_lab.registry import family
from stargan_lab.tracking.metrics import Metric, lookup, metric_name, names, order, rounded


def test_a_logged_name_belongs_to_a_metric() -> None:
    for name, base in (
        ("loss/d_gp/CelebA", "loss/d_gp"),
        ("eval/edit/Blond_Hair", "eval/edit"),
        ("eval/cross_edit/a.as.b.Male", "eval/cross_edit"),
        ("eval/frechet_inception_192_infinity/Male", "eval/frechet_inception_192_infinity"),
        ("rescored.1a2b3c4d5e6f/edit/Male", "eval/edit"),
        ("reevaluated.1a2b3c4d5e6f/fid", "eval/fid"),
        ("lr/g", "lr/g"),
    ):
        assert lookup(name).name == base
        assert rounded(name, 1.23456789) == rounded(base, 1.23456789)


def test_an_unknown_name_gets_the_nearest() -> None:
    for name, near in (
        ("eval/edti", "eval/edit"),
        ("loss/g_recon", "loss/g_rec"),
        ("eval/frechet_clasifier", "eval/frechet_classifier"),
        ("eval/kid_sprad", "eval/kid_spread"),
        ("rescored.0123456789ab/edti", "eval/edit"),
    ):
        with pytest.raises(LabError, match=f"{name}' is not registered; did you mean '{near}'"):
            lookup(name)


def test_a_malformed_name_is_refused() -> None:
    for name in ("lr/g/Male", "eval/edit/", "eval/edit/a/b", "eval", "", "rescored.1a2b/edit"):
        with pytest.raises(LabError, match="is not registered"):
            lookup(name)


def test_names_of_feature_metrics() -> None:
    assert metric_name("frechet", "") == "eval/fid" and metric_name("frechet_infinity", "") == "eval/fid_infinity"
    assert metric_name("kid", "") == "eval/kid" and metric_name("kid_spread", "pixels") == "eval/kid_pixels_spread"
    assert metric_name("frechet_pooled", "classifier") == "eval/frechet_classifier_pooled"


def test_kid_is_a_main_metric_only_with_official_weights() -> None:
    assert lookup("eval/kid").main and not lookup("eval/kid_classifier").main
    assert lookup("eval/frechet_classifier").main and not lookup("eval/fid_infinity").main


def test_every_metric_has_a_meaning_and_a_unique_name() -> None:
    assert len(names()) == len(set(names()))
    assert all(lookup(name).meaning for name in names())
    assert lookup("eval/kid_pixels").meaning == "Kernel distance (MMD²); raw pixels"


def test_labels_of_a_user_extractor_are_part_of_metric_names(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = family("extractor")
    registry.names()
    for part in ("_entries", "_sources", "_traits", "_facts"):
        monkeypatch.setattr(registry, part, dict(getattr(registry, part)))

    def build(outputs: object, device: object, classifier: object) -> object: ...

    with pytest.raises(LabError):
        lookup("eval/kid_dino")
    registry.register("dino")(build)
    registry.register("clip", labels={"clip_b": "CLIP ViT-B", "clip_l": "CLIP ViT-L"})(build)
    assert lookup("eval/kid_dino_spread/Male").meaning.endswith("; dino features")
    assert lookup("eval/frechet_clip_l").meaning == "Fréchet distance; CLIP ViT-L"
    with pytest.raises(LabError):
        lookup("eval/frechet_clip")


def test_descriptions_replace_a_missing_registration() -> None:
    mine = Metric("eval/sharpness", "%", "higher", "How sharp", 1)
    known = {"eval/sharpness": mine, "eval/edit": Metric("eval/edit", decimals=1)}
    with pytest.raises(LabError):
        lookup("eval/sharpness")
    assert lookup("eval/sharpness/Male", known) is mine
    assert lookup("eval/edit", known).decimals == 1  # the run's own description comes first
    assert lookup("eval/leak", known) == lookup("eval/leak")
    assert rounded("eval/sharpness", 1234.5678, known) == 1234.6
    assert sorted(["eval/leak", "eval/edit", "eval/sharpness"], key=lambda name: order(name, known)) == [
        "eval/sharpness",
        "eval/edit",
        "eval/leak",
    ]


def test_names_are_sorted_as_tables_show_them() -> None:
    assert sorted(names(), key=order) == names()
    expected = [
        "loss/g_rec/CelebA",
        "eval/edit",
        "eval/edit/Male",
        "eval/reconstruction",
        "eval/fid",
        "eval/recall_torchscript",
        "lr/g",
        "rescored.1a2b3c4d5e6f/edit",
        "rescored.1a2b3c4d5e6f/ssim",
        "rescored.222222222222/edit",
    ]
    assert sorted(random.Random(0).sample(expected, len(expected)), key=order) == expected


def test_rounding_keeps_the_decimals_and_four_digits() -> None:
    assert rounded("eval/fid", 47.123456) == 47.12
    assert rounded("loss/d_gp", 0.0000123456) == 0.00001235
    assert rounded("memory/peak_mib", 1234.5) == 1234.0
    assert rounded("eval/edit/Male", 0.0) == 0.0


def test_labels_and_values_for_tables() -> None:
    edit = lookup("eval/edit")
    assert [lookup(name).label for name in ("eval/edit", "eval/psnr", "memory/peak_mib", "loss/g_rec")] == [
        "edit ↑",
        "psnr (dB) ↑",
        "peak_mib (MiB) ↓",
        "g_rec",
    ]
    assert [edit.show(0.12345), edit.show(-0.0001), edit.show(0.1, signed=True)] == ["0.123", "0.000", "+0.100"]

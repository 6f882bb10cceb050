"""The registry of metrics."""

import pytest

from stargan_lab.errors import LabError
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


def test_every_score_has_a_direction_and_every_metric_a_meaning() -> None:
    found = [metrics.lookup(name) for name in metrics.names()]
    assert len(found) == 23
    assert all(m.meaning for m in found)
    assert all(m.direction != "none" for m in found if m.name.startswith(("eval/", "speed/", "memory/")))
    assert {m.name for m in found if m.direction == "higher"} == {
        "eval/edit",
        "eval/identity",
        "eval/accuracy",
        "eval/cross_accuracy",
        "eval/cross_edit",
        "speed/images_per_second",
    }


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
    assert metrics.lookup("memory/peak_mib").label == "peak_mib (MiB) ↓"
    assert metrics.lookup("loss/g_rec").label == "g_rec"
    assert edit.show(0.12345) == "0.123"
    assert edit.show(-0.0001) == "0.000"
    assert edit.show(0.1, signed=True) == "+0.100"
    assert edit.show(-0.1, signed=True) == "-0.100"

"""``stargan-lab data``: its output and exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stargan_lab.cli.main import main

Make = Callable[..., Path]


def options(celeba: Path, rafd: Path) -> list[str]:
    return [
        "data=both",
        f"data.sources.celeba.root={celeba}",
        "data.sources.celeba.attributes=[Male,Black_Hair,Blond_Hair]",
        f"data.sources.rafd.root={rafd}",
        f"paths.outputs={celeba.parent / 'outputs'}",
    ]


def test_check_and_pack_several_sources(make_folder: Make, make_tree: Make, capsys: pytest.CaptureFixture[str]) -> None:
    celeba, rafd = make_folder(), make_tree()
    overrides = options(celeba, rafd)
    assert main(["data", "check", *overrides]) == 0
    out = capsys.readouterr().out
    assert f"celeba in {celeba}: 10 images" in out and f"rafd in {rafd}: 18 images" in out
    assert out.count("no problems") == 2
    (rafd / "test" / "sad" / "sad0.png").write_text("no image")
    assert main(["data", "check", *overrides]) == 1
    out = capsys.readouterr().out
    assert "problem: unreadable images (1): test/sad/sad0.png: cannot decode image (unknown image format)" in out
    assert main(["data", "pack", *overrides]) == 2
    refused = capsys.readouterr()
    assert refused.err.strip().split("\n")[-1].startswith(f"error: {rafd}/test/sad/sad0.png: cannot decode image")
    assert main(["data", "pack", *overrides, "data.sources.rafd.unreadable=skip"]) == 0
    packed = capsys.readouterr()
    assert "rafd: skipped 1 of 18 images (unreadable): test/sad/sad0.png" in packed.err
    assert "rafd/test: 5 images" in packed.out


def test_a_missing_dataset_does_not_hide_the_next(
    make_tree: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", *options(tmp_path / "absent", make_tree())]) == 1
    out = capsys.readouterr().out
    assert "absent: expected CelebA's layout" in out
    assert "RaFD: 18 images" in out


def test_conflicting_attributes_of_generated_faces_are_refused_before_any_work(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "preset=tiny", "data.sources.faces.exclusive=[]"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: data.sources.faces.exclusive: a SynthFaces face has at most one of")
    assert err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_user_yaml_files(make_tree: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, tree = tmp_path / "conf" / "data", make_tree()
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        f"image_size: 64\nsources:\n  mine: {{kind: image_folder, root: {tree}, crop: null}}\n"
    )
    overrides = ["data=mine", f"paths.outputs={tmp_path / 'outputs'}", "--config-dir", str(folder.parent)]
    assert main(["data", "check", *overrides]) == 0
    assert f"mine in {tree}: 18 images" in capsys.readouterr().out
    assert main(["data", "make", *overrides]) == 0
    assert "mine/test: 6 images" in capsys.readouterr().out
    assert main(["data", "check", "--config-dir", str(tmp_path / "no")]) == 2

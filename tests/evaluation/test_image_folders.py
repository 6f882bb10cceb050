"""``stargan-lab fid`` in this process: what it reads, prints, keeps and refuses."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stargan_lab import files
from stargan_lab.cli.main import main
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import DataError
from stargan_lab.evaluation import image_files as imagefiles
from stargan_lab.evaluation import inception_weights as weights
from stargan_lab.evaluation.extractors import build_extractor
from stargan_lab.evaluation.frechet import Moments, frechet_distance
from stargan_lab.evaluation.image_files import ENDINGS, batches, look, pixels

Capture = pytest.CaptureFixture[str]
Fid = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")
PIXELS = ("--features", "pixels")


def draw(folder: Path, seed: int, count: int = 12, size: int = 4, ending: str = ".png") -> Path:
    """A folder of noise; 4 px images have 48 pixels as features."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)
    for index, value in enumerate(values):
        Image.fromarray(value).save(folder / f"{index:03d}{ending}")
    return folder


@pytest.fixture
def pair(here: Path) -> Path:
    """The current folder, with folders ``a`` and ``b`` in it."""
    draw(here / "a", 0)
    draw(here / "b", 1)
    return here


@pytest.fixture
def fid(capfd: Capture) -> Fid:
    """The command, which is to succeed: its JSON, ``stderr`` added."""

    def call(*arguments: object) -> dict[str, Any]:
        code = main(["fid", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert code == 0, err
        return {**json.loads(out), "stderr": err}

    return call


@pytest.fixture
def refused(capfd: Capture) -> Callable[..., str]:
    """The command, which is to refuse: its one line."""

    def call(*arguments: object, code: int = 2) -> str:
        assert main(["fid", *map(str, arguments)]) == code
        out, err = capfd.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1, err
        return err

    return call


def kept(folder: Path) -> set[str]:
    return {path.name for path in (folder / "outputs" / "cache" / "features").glob("*.npz")}


def pixel_rows(folder: Path) -> np.ndarray:
    """(n, 48) float64."""
    images = [np.asarray(Image.open(path)).transpose(2, 0, 1) for path in sorted(folder.iterdir())]
    return np.stack([image.reshape(-1) / 255.0 for image in images])


def distance_of_arrays(real: np.ndarray, fake: np.ndarray) -> float:
    moments = [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in (real, fake)]
    return frechet_distance(*moments[0], *moments[1])


def test_the_value_is_that_of_the_pixels(pair: Path, fid: Fid) -> None:
    found = fid("a", "b", *PIXELS)
    assert set(found) == {"metric", "value", "protocol", "stderr"}
    assert found["metric"] == "frechet_pixels"
    assert found["value"] == pytest.approx(distance_of_arrays(*map(pixel_rows, (pair / "a", pair / "b"))), rel=1e-5)
    assert found["value"] > 1


@pytest.mark.parametrize("features", [("pixels",), ("inception", "--dims", "64")], ids=lambda words: words[0])
def test_folders_and_memory_agree(
    features: tuple[str, ...],
    faces: ImageSource,
    inception_weights: Path,
    here: Path,
    fid: Fid,
) -> None:
    name, *dims = features
    options = {"weights": str(inception_weights), "dims": 64} if dims else {}
    network = build_extractor(name, here, CPU, None, **options)
    sides = [faces.split(which).images(range(20)) for which in ("test", "valid")]
    sides = [side[..., ::2, ::2].contiguous() for side in sides]
    moments = []
    for folder, images in zip("ab", sides, strict=True):
        (here / folder).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(here / folder / f"{index:02d}.png")
        rows = network.features(images).numpy()
        moments.append(Moments.empty(rows.shape[1]))
        moments[-1].update(rows)
    more = ("--weights", inception_weights, "--allow-unverified", *dims) if dims else ()
    found = fid("a", "b", "--features", name, *more)
    assert found["value"] > 1e-3
    assert found["value"] == pytest.approx(moments[0].distance(moments[1]), rel=1e-9)


def test_the_protocol_is_of_the_real_set_and_the_settings(pair: Path, fid: Fid) -> None:
    draw(pair / "c", 2, count=20)
    b, c = fid("a", "b", *PIXELS), fid("a", "c", *PIXELS)
    assert b["protocol"]["generated"] == {"images": 12} and c["protocol"].pop("generated") == {"images": 20}
    del b["protocol"]["generated"]
    assert b["protocol"] == c["protocol"] and b["value"] != c["value"]
    assert list(b["protocol"]) == sorted(b["protocol"])
    assert b["protocol"] == {
        "dims": 48,
        "distance": "frechet",
        "extractor": "pixels",
        "preprocessing": "uint8 / 255",
        "quantisation": "uint8",
        "real": {"images": 12, "sha256": b["protocol"]["real"]["sha256"]},
        "sha256": "none",
        "verified": None,
        "version": 2,
    }
    assert fid("b", "a", *PIXELS)["protocol"]["real"] != b["protocol"]["real"]


def test_a_folder_and_itself_are_not_apart(pair: Path, fid: Fid) -> None:
    found = fid("a", "a", *PIXELS)
    assert 0 <= found["value"] < 1e-9
    assert found["stderr"].count("note: a: 12 images") == 1
    assert len(kept(pair)) == 1


def test_statistics_are_found_again_by_content_not_by_name(pair: Path, fid: Fid) -> None:
    value = fid("a", "b", *PIXELS)["value"]
    first = kept(pair)
    assert len(first) == 2
    for path in (pair / "a").iterdir():
        path.rename(path.with_name(f"renamed-{path.name}"))
    (pair / "a").rename(pair / "elsewhere")
    assert fid("elsewhere", "b", *PIXELS)["value"] == value
    assert kept(pair) == first


def test_one_pixel_makes_another_key_and_value(pair: Path, fid: Fid) -> None:
    before, names = fid("a", "b", *PIXELS), kept(pair)
    path = pair / "a" / "003.png"
    changed = np.array(Image.open(path))
    changed[2, 1, 0] ^= 128
    Image.fromarray(changed).save(path)
    after = fid("a", "b", *PIXELS)
    assert after["value"] != before["value"]
    assert after["protocol"]["real"]["sha256"] != before["protocol"]["real"]["sha256"]
    assert len(kept(pair) - names) == 1


def test_other_weights_make_another_key_and_value(pair: Path, fid: Fid) -> None:
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 5))
        torch.jit.save(torch.jit.script(network), pair / "own.pt")
        found.append(fid("a", "b", "--features", "torchscript", "--weights", "own.pt"))
        assert found[-1]["metric"] == "frechet_torchscript"
        assert found[-1]["protocol"]["sha256"] == files.sha256_file(pair / "own.pt")
        assert len(kept(pair)) == 2 * (seed + 1)
    assert found[0]["value"] != found[1]["value"]
    assert found[0]["protocol"]["dims"] == 5


def test_a_damaged_file_of_statistics_is_named(pair: Path, fid: Fid, refused: Callable[..., str]) -> None:
    value = fid("a", "b", *PIXELS)["value"]
    for name in kept(pair):
        path = pair / "outputs" / "cache" / "features" / name
        path.write_bytes(path.read_bytes()[:300])
        assert f"outputs/cache/features/{name}: cannot be read" in refused("a", "b", *PIXELS, code=1)
        path.unlink()
        assert fid("a", "b", *PIXELS)["value"] == value


def test_every_kind_of_file_is_taken_in_any_case_but_not_from_within(pair: Path, fid: Fid) -> None:
    import pytorch_fid.fid_score

    assert set(ENDINGS) == {f".{ending}" for ending in pytorch_fid.fid_score.IMAGE_EXTENSIONS}
    folder = pair / "kinds"
    for index, ending in enumerate([*ENDINGS, ".PNG", ".Jpg"]):
        one = draw(pair / "one", index, count=1, ending=ending) / f"000{ending}"
        folder.mkdir(exist_ok=True)
        one.rename(folder / f"{index}{ending}")
    draw(folder / "within", 3)
    draw(folder / "named.png", 4)  # a folder
    (folder / "notes.txt").write_text("no image")
    assert fid("kinds", "a", *PIXELS)["protocol"]["real"]["images"] == len(ENDINGS) + 2


def test_any_mode_becomes_rgb_as_pytorch_fid_has_it(here: Path) -> None:
    from pytorch_fid.fid_score import ImagePathDataset

    value = np.random.default_rng(0).integers(0, 256, (5, 4, 4), np.uint8)
    pictures = {
        "RGBA": Image.fromarray(value[:4].transpose(1, 2, 0)),
        "L": Image.fromarray(value[0]),
        "LA": Image.fromarray(value[:2].transpose(1, 2, 0)),
        "P": Image.fromarray(value[:3].transpose(1, 2, 0)).quantize(7),
        "1": Image.fromarray(value[0] > 99),
        "I;16": Image.fromarray(value[0].astype(np.uint16) * 7),
    }
    for mode, picture in pictures.items():
        path = here / "image.png"
        picture.save(path)
        assert look(path).mode == mode
        assert np.array_equal(pixels(look(path)).permute(1, 2, 0).numpy(), ImagePathDataset([path])[0]), mode


def test_images_of_different_sizes_go_by_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, size in enumerate((4, 8, 4, 4, 8, 4)):
        draw(here / "one", index, 1, size).joinpath("000.png").rename(here / f"{index}.png")
    seen = [look(path) for path in imagefiles.images_in(here)]
    assert [[p.path.stem for p in batch] for batch in batches(seen, 3)] == [["0", "2", "3"], ["5"], ["1", "4"]]
    monkeypatch.setattr(imagefiles, "BATCH_BYTES", 2 * 8 * 8 * 3 * 4)  # two of the larger
    assert [len(batch) for batch in batches(seen, 128)] == [4, 2]
    monkeypatch.setattr(imagefiles, "BATCH_BYTES", 1)
    assert [len(batch) for batch in batches(seen, 128)] == [1] * 6


def test_features_that_need_no_size_take_any(pair: Path, fid: Fid, refused: Callable[..., str]) -> None:
    draw(pair / "b", 5, count=2, size=9)  # in place of two of twelve
    torch.jit.save(torch.jit.script(Colours()), pair / "own.pt")
    found = fid("a", "b", "--features", "torchscript", "--weights", "own.pt")
    rows = [
        np.stack([np.asarray(Image.open(path)).mean((0, 1)) / 255 for path in sorted((pair / name).iterdir())])
        for name in "ab"
    ]
    assert found["value"] == pytest.approx(distance_of_arrays(*rows), rel=1e-4)
    said = refused("a", "b", *PIXELS, code=1)
    assert "b/000.png: of another size than the images before it" in said and "48 and 243 features" in said


class Colours(torch.nn.Module):
    """The mean colour, whatever the size."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def test_sides_of_different_sizes_need_features_that_do_not_care(
    pair: Path, fid: Fid, refused: Callable[..., str]
) -> None:
    draw(pair / "large", 0, size=5)
    assert "48 features per image in a but 75 in large" in refused("a", "large", *PIXELS, code=1)
    draw(pair / "huge", 0, count=2, size=80)
    assert "'pixels' has 19,200 features of an image" in refused("huge", "a", *PIXELS, code=1)


def test_few_images_are_said(pair: Path, fid: Fid) -> None:
    draw(pair / "many", 0, count=49)
    notes = fid("many", "a", *PIXELS)["stderr"].splitlines()
    assert len(notes) == 1 and notes[0].startswith("note: a: 12 images for 48 features: the distance is biased upwards")
    assert fid("many", "many", *PIXELS)["stderr"] == ""


def test_deep_images_are_said(pair: Path, fid: Fid) -> None:
    Image.fromarray(np.full((4, 4), 9999, np.uint16)).save(pair / "b" / "000.png")
    assert "note: b: 1 of 12 images have more than 8 bits per channel" in fid("a", "b", *PIXELS)["stderr"]


def test_statistics_of_pytorch_fid_are_taken(pair: Path, fid: Fid, refused: Callable[..., str]) -> None:
    rows = pixel_rows(pair / "a")
    np.savez_compressed(pair / "a.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    of_folder, of_file = fid("a", "b", *PIXELS), fid("a.npz", "b", *PIXELS)
    assert of_file["value"] == pytest.approx(of_folder["value"], rel=1e-5)
    assert of_file["protocol"]["real"] == {"images": None, "sha256": files.sha256_file(pair / "a.npz")}
    assert "note: a.npz: records neither weights nor images" in of_file["stderr"]
    other_way = fid("b", "a.npz", *PIXELS)
    assert other_way["value"] == pytest.approx(of_file["value"]) and other_way["protocol"]["generated"] == {
        "images": None
    }
    assert 0 <= fid("a.npz", "a.npz", *PIXELS)["value"] < 1e-9


def test_other_arrays_are_no_statistics(pair: Path, inception_weights: Path, refused: Callable[..., str]) -> None:
    eye = np.eye(3)
    for arrays, said in (
        ({"mu": np.zeros(3)}, "mu and sigma ('sigma is not"),
        ({"mu": np.zeros(2), "sigma": eye}, "are (2,) and (3, 3)"),
        ({"mu": np.full(3, np.nan), "sigma": eye}, "not finite"),
        ({"mu": np.zeros(3), "sigma": eye + np.triu(np.ones((3, 3)), 1)}, "not symmetric"),
    ):
        np.savez(pair / "s.npz", **arrays)
        assert "s.npz: " in (line := refused("a", "s.npz", *PIXELS)) and said in line
    np.savez(pair / "s.npz", mu=np.zeros(3), sigma=eye)
    of_inception = ("--weights", inception_weights, "--allow-unverified", "--dims", 64)
    assert "s.npz: has statistics of 3 features, 64 are asked for" in refused("a", "s.npz", *of_inception)
    assert "48 features per image in a but 3 in s.npz" in refused("a", "s.npz", *PIXELS, code=1)
    (pair / "s.npz").write_bytes(b"PK broken")
    assert "s.npz: cannot be read as pytorch-fid's statistics" in refused("s.npz", "b", *PIXELS)


def test_places_that_cannot_be_measured_are_refused(pair: Path, refused: Callable[..., str]) -> None:
    (pair / "empty").mkdir()
    draw(pair / "one", 0, count=1)
    draw(pair / "classes" / "male", 0)
    draw(pair / "classes" / "female", 0)
    (pair / "photos.zip").write_bytes(b"PK")
    for place, said in (
        ("clases", "clases: no such folder or file; did you mean 'classes'?"),
        ("clases/male", "clases/male: no such folder or file; did you mean 'classes'?"),
        ("stats.npz", "stats.npz: no such folder or file"),
        ("empty", "empty: no image in it, looked for .bmp, .jpg"),
        ("classes", "classes: no image in it, only in folders within (female, male)"),
        ("one", "one: one image in it; a covariance needs at least 2"),
        ("photos.zip", "photos.zip: expected a folder of images, or an .npz"),
    ):
        for places in ((place, "b"), ("a", place)):
            assert said in refused(*places, *PIXELS)
    assert not (pair / "outputs").exists(), "there was work before the refusal"


def test_an_unreadable_image_is_named(pair: Path, refused: Callable[..., str]) -> None:
    whole = draw(pair / "large", 0, count=1, size=64).joinpath("000.png").read_bytes()
    for content, said in (
        (b"", "the file is empty"),
        (b"no image", "a format that PIL does not know"),
        (whole[:3000], "truncated"),
    ):
        (pair / "b" / "005.png").write_bytes(content)
        line = refused("a", "b", *PIXELS)
        assert "b/005.png: not readable as an image (" in line and said in line
    (pair / "b" / "005.png").unlink()
    os.symlink("nowhere.png", pair / "b" / "005.png")
    assert "b/005.png: cannot be read (No such file" in refused("a", "b", *PIXELS)
    assert len(kept(pair)) <= 1, "statistics of a damaged folder were kept"


def test_an_image_that_changes_meanwhile_is_refused(pair: Path) -> None:
    before = look(pair / "a" / "000.png")
    shutil.copy(pair / "b" / "000.png", pair / "a" / "000.png")
    with pytest.raises(DataError, match=r"a/000\.png: changed while its folder was measured"):
        pixels(before)


def test_weights_of_ones_own_are_refused_unless_allowed(
    pair: Path, inception_weights: Path, fid: Fid, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("stargan_lab.evaluation.image_folders.examine", None)
        said = refused("a", "b", "--weights", inception_weights)
    assert "--weights: SHA-256" in said
    assert "add --allow-unverified to report it as frechet_inception_unverified" in said
    assert not (pair / "outputs").exists()
    found = fid("a", "b", "--weights", inception_weights, "--allow-unverified", "--dims", 64)
    assert found["metric"] == "frechet_inception_unverified"
    assert (found["protocol"]["verified"], found["protocol"]["dims"]) == (False, 64)


@pytest.mark.parametrize(("dims", "metric"), [(2048, "fid"), (64, "frechet_inception_64")])
def test_official_weights_make_it_fid(
    pair: Path, inception_weights: Path, dims: int, metric: str, fid: Fid, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = hashlib.sha256(inception_weights.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "VERIFIED_SHA256", official)
    for name in "ab":
        for path in sorted((pair / name).iterdir())[3:]:
            path.unlink()
    found = fid("a", "b", "--weights", inception_weights, *(() if dims == 2048 else ("--dims", dims)))
    assert found["metric"] == metric and found["value"] > 0
    assert (found["protocol"]["verified"], found["protocol"]["sha256"]) == (True, official)
    assert found["protocol"]["dims"] == dims


def test_flags_that_do_not_go_together_are_refused(
    pair: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(pair / "torch"))
    (pair / "blocked").write_text("")
    for arguments, said, code in (
        ([], "no Inception weights, so no FID: set --weights download or a path, or put them at outputs/cache", 1),
        (["--weights", "no.pth"], "--weights: no.pth is not a file; give a path, 'download', or leave it out", 1),
        (["--features", "pixel"], "unknown extractor 'pixel'; did you mean 'pixels'?", 2),
        (["--features", "classifier"], "needs a dataset with labels; use 'inception'", 1),
        ([*PIXELS, "--dims", "64"], "--dims: the extractor 'pixels' takes no dims; leave it out", 2),
        ([*PIXELS, "--weights", "x"], "--weights: the extractor 'pixels' takes no weights; leave it out", 2),
        (["--features", "torchscript"], "--weights: the extractor 'torchscript' needs the path", 2),
        (["--dims", "100"], "64, 192, 768, 2048", 2),
        ([*PIXELS, "--device", "gpu"], "--device: expected auto, cpu, cuda or cuda:N, got 'gpu'", 2),
        ([*PIXELS, "--device", "cuda:99"], "--device: cuda:99 is not available here", 2),
        ([*PIXELS, "--outputs", "blocked/in"], "--outputs: cannot write to blocked/in", 2),
        ([*PIXELS, "c"], "unexpected argument 'c'", 2),
        (["--imports", "no_such_module"], "cannot import 'no_such_module'", 2),
    ):
        line = refused("a", "b", *arguments, code=code)
        assert said in line and "evaluation." not in line
    assert {path.name for path in pair.iterdir()} == {"a", "b", "blocked"}

"""``stargan-lab fid`` in this process: its value, protocol, cache and errors."""

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
from stargan_lab.data.image_reader import IMAGE_EXTENSIONS, images_in, read_info
from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import DataError
from stargan_lab.evaluation import image_folders
from stargan_lab.evaluation import inception_weights as weights
from stargan_lab.evaluation.extractors import build_extractor
from stargan_lab.evaluation.frechet_distance import Moments, frechet_distance
from stargan_lab.evaluation.image_folders import batches, read_pixels

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
    """The working directory, with folders ``a`` and ``b``."""
    draw(here / "a", 0)
    draw(here / "b", 1)
    return here


@pytest.fixture
def fid(capfd: Capture) -> Fid:
    """Runs the command, which must succeed; its JSON plus ``stderr``."""

    def call(*arguments: object) -> dict[str, Any]:
        code = main(["fid", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert code == 0, err
        return {**json.loads(out), "stderr": err}

    return call


@pytest.fixture
def refused(capfd: Capture) -> Callable[..., str]:
    """Runs the command, which must fail; its one-line error."""

    def call(*arguments: object, code: int = 2) -> str:
        assert main(["fid", *map(str, arguments)]) == code
        out, err = capfd.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1, err
        return err

    return call


def cached(folder: Path) -> set[str]:
    return {path.name for path in (folder / "outputs" / "cache" / "features").glob("*.npz")}


def pixel_rows(folder: Path) -> np.ndarray:
    """(n, 48) float64."""
    images = [np.asarray(Image.open(path)).transpose(2, 0, 1) for path in sorted(folder.iterdir())]
    return np.stack([image.reshape(-1) / 255.0 for image in images])


def distance_of_arrays(real: np.ndarray, fake: np.ndarray) -> float:
    moments = [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in (real, fake)]
    return frechet_distance(*moments[0], *moments[1])


def test_value_for_pixel_features(pair: Path, fid: Fid) -> None:
    result = fid("a", "b", *PIXELS)
    assert set(result) == {"metric", "value", "protocol", "stderr"}
    assert result["metric"] == "frechet_pixels"
    assert result["value"] == pytest.approx(distance_of_arrays(*map(pixel_rows, (pair / "a", pair / "b"))), rel=1e-5)
    assert result["value"] > 1


@pytest.mark.parametrize("features", [("pixels",), ("inception", "--dims", "64")], ids=lambda words: words[0])
def test_folders_and_images_in_memory_give_the_same_distance(
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
    result = fid("a", "b", "--features", name, *more)
    assert result["value"] > 1e-3
    assert result["value"] == pytest.approx(moments[0].distance(moments[1]), rel=1e-9)


def test_protocol_covers_the_real_images_and_the_settings(pair: Path, fid: Fid) -> None:
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
        "quantization": "uint8",
        "real": {"images": 12, "sha256": b["protocol"]["real"]["sha256"]},
        "sha256": "none",
        "verified": None,
        "version": 3,
    }
    assert fid("b", "a", *PIXELS)["protocol"]["real"] != b["protocol"]["real"]


def test_distance_of_a_folder_to_itself_is_zero(pair: Path, fid: Fid) -> None:
    result = fid("a", "a", *PIXELS)
    assert 0 <= result["value"] < 1e-9
    assert result["stderr"].count("note: a: 12 images") == 1
    assert len(cached(pair)) == 1


def test_cache_depends_on_content_not_on_names(pair: Path, fid: Fid) -> None:
    value = fid("a", "b", *PIXELS)["value"]
    first = cached(pair)
    assert len(first) == 2
    for path in (pair / "a").iterdir():
        path.rename(path.with_name(f"renamed-{path.name}"))
    (pair / "a").rename(pair / "elsewhere")
    assert fid("elsewhere", "b", *PIXELS)["value"] == value
    assert cached(pair) == first


def test_changing_one_pixel_changes_cache_key_and_value(pair: Path, fid: Fid) -> None:
    before, names = fid("a", "b", *PIXELS), cached(pair)
    path = pair / "a" / "003.png"
    changed = np.array(Image.open(path))
    changed[2, 1, 0] ^= 128
    Image.fromarray(changed).save(path)
    after = fid("a", "b", *PIXELS)
    assert after["value"] != before["value"]
    assert after["protocol"]["real"]["sha256"] != before["protocol"]["real"]["sha256"]
    assert len(cached(pair) - names) == 1


def test_changing_the_weights_changes_cache_key_and_value(pair: Path, fid: Fid) -> None:
    result = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 5))
        torch.jit.save(torch.jit.script(network), pair / "own.pt")
        result.append(fid("a", "b", "--features", "torchscript", "--weights", "own.pt"))
        assert result[-1]["metric"] == "frechet_torchscript"
        assert result[-1]["protocol"]["sha256"] == files.sha256_file(pair / "own.pt")
        assert len(cached(pair)) == 2 * (seed + 1)
    assert result[0]["value"] != result[1]["value"]
    assert result[0]["protocol"]["dims"] == 5


def test_damaged_cache_files_are_named(pair: Path, fid: Fid, refused: Callable[..., str]) -> None:
    value = fid("a", "b", *PIXELS)["value"]
    for name in cached(pair):
        path = pair / "outputs" / "cache" / "features" / name
        path.write_bytes(path.read_bytes()[:300])
        assert f"outputs/cache/features/{name}: cannot be read" in refused("a", "b", *PIXELS, code=1)
        path.unlink()
        assert fid("a", "b", *PIXELS)["value"] == value


def test_all_image_extensions_are_read_but_not_subfolders(pair: Path, fid: Fid) -> None:
    folder = pair / "kinds"
    for index, ending in enumerate([*IMAGE_EXTENSIONS, ".PNG", ".Jpg"]):
        image = draw(pair / "one", index, count=1, ending=ending) / f"000{ending}"
        folder.mkdir(exist_ok=True)
        image.rename(folder / f"{index}{ending}")
    draw(folder / "within", 3)
    draw(folder / "named.png", 4)  # a folder
    (folder / "notes.txt").write_text("not an image")
    assert fid("kinds", "a", *PIXELS)["protocol"]["real"]["images"] == len(IMAGE_EXTENSIONS) + 2


def test_all_modes_become_rgb_as_in_pytorch_fid(here: Path) -> None:
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
        assert read_info(path).mode == mode
        assert np.array_equal(read_pixels(read_info(path)).permute(1, 2, 0).numpy(), ImagePathDataset([path])[0]), mode


def test_batches_have_one_size_and_limited_memory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, size in enumerate((4, 8, 4, 4, 8, 4)):
        draw(here / "one", index, 1, size).joinpath("000.png").rename(here / f"{index}.png")
    images = [read_info(path) for path in images_in(here)]
    assert [[p.path.stem for p in batch] for batch in batches(images, 3)] == [["0", "2", "3"], ["5"], ["1", "4"]]
    monkeypatch.setattr(image_folders, "BATCH_BYTES", 2 * 8 * 8 * 3 * 4)  # two of the larger
    assert [len(batch) for batch in batches(images, 128)] == [4, 2]
    monkeypatch.setattr(image_folders, "BATCH_BYTES", 1)
    assert [len(batch) for batch in batches(images, 128)] == [1] * 6


def test_image_sizes_may_differ_if_the_features_allow_it(pair: Path, fid: Fid, refused: Callable[..., str]) -> None:
    draw(pair / "b", 5, count=2, size=9)  # instead of two of the twelve
    torch.jit.save(torch.jit.script(MeanColor()), pair / "own.pt")
    result = fid("a", "b", "--features", "torchscript", "--weights", "own.pt")
    rows = [
        np.stack([np.asarray(Image.open(path)).mean((0, 1)) / 255 for path in sorted((pair / name).iterdir())])
        for name in "ab"
    ]
    assert result["value"] == pytest.approx(distance_of_arrays(*rows), rel=1e-4)
    error = refused("a", "b", *PIXELS, code=1)
    assert "b/000.png: image size differs from earlier images" in error and "48 and 243 features" in error


class MeanColor(torch.nn.Module):
    """The mean color, for images of any size."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def test_both_sides_need_the_same_number_of_features(pair: Path, fid: Fid, refused: Callable[..., str]) -> None:
    draw(pair / "large", 0, size=5)
    assert "48 features per image in a but 75 in large" in refused("a", "large", *PIXELS, code=1)
    draw(pair / "huge", 0, count=2, size=80)
    assert "'pixels' has 19,200 features per image" in refused("huge", "a", *PIXELS, code=1)


def test_too_few_images_are_noted(pair: Path, fid: Fid) -> None:
    draw(pair / "many", 0, count=49)
    notes = fid("many", "a", *PIXELS)["stderr"].splitlines()
    assert len(notes) == 1 and notes[0].startswith("note: a: 12 images for 48 features: the distance is biased upward")
    assert fid("many", "many", *PIXELS)["stderr"] == ""


def test_high_bit_depths_are_noted(pair: Path, fid: Fid) -> None:
    Image.fromarray(np.full((4, 4), 9999, np.uint16)).save(pair / "b" / "000.png")
    assert "note: b: 1 of 12 images have more than 8 bits per channel" in fid("a", "b", *PIXELS)["stderr"]


def test_statistics_saved_by_pytorch_fid(pair: Path, fid: Fid, refused: Callable[..., str]) -> None:
    rows = pixel_rows(pair / "a")
    np.savez_compressed(pair / "a.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    of_folder, of_file = fid("a", "b", *PIXELS), fid("a.npz", "b", *PIXELS)
    assert of_file["value"] == pytest.approx(of_folder["value"], rel=1e-5)
    assert of_file["protocol"]["real"] == {"images": None, "sha256": files.sha256_file(pair / "a.npz")}
    assert "note: a.npz: does not record its extractor" in of_file["stderr"]
    other_way = fid("b", "a.npz", *PIXELS)
    assert other_way["value"] == pytest.approx(of_file["value"]) and other_way["protocol"]["generated"] == {
        "images": None
    }
    assert 0 <= fid("a.npz", "a.npz", *PIXELS)["value"] < 1e-9


def test_invalid_statistics_are_refused(pair: Path, inception_weights: Path, refused: Callable[..., str]) -> None:
    eye = np.eye(3)
    for arrays, message in (
        ({"mu": np.zeros(3)}, "cannot read pytorch-fid's mu and sigma ('sigma is not"),
        ({"mu": np.zeros(2), "sigma": eye}, "got (2,) and (3, 3)"),
        ({"mu": np.full(3, np.nan), "sigma": eye}, "not finite"),
        ({"mu": np.zeros(3), "sigma": eye + np.triu(np.ones((3, 3)), 1)}, "not finite and symmetric"),
    ):
        np.savez(pair / "s.npz", **arrays)
        assert "s.npz: " in (line := refused("a", "s.npz", *PIXELS)) and message in line
    np.savez(pair / "s.npz", mu=np.zeros(3), sigma=eye)
    of_inception = ("--weights", inception_weights, "--allow-unverified", "--dims", 64)
    assert "s.npz: statistics of 3 features, expected 64" in refused("a", "s.npz", *of_inception)
    assert "48 features per image in a but 3 in s.npz" in refused("a", "s.npz", *PIXELS, code=1)
    (pair / "s.npz").write_bytes(b"PK broken")
    assert "s.npz: cannot read pytorch-fid's mu and sigma" in refused("s.npz", "b", *PIXELS)


def test_unusable_arguments_are_refused_before_any_work(pair: Path, refused: Callable[..., str]) -> None:
    (pair / "empty").mkdir()
    draw(pair / "one", 0, count=1)
    draw(pair / "classes" / "male", 0)
    draw(pair / "classes" / "female", 0)
    (pair / "photos.zip").write_bytes(b"PK")
    for argument, message in (
        ("clases", "clases: no such file or directory; did you mean 'classes'?"),
        ("clases/male", "clases/male: no such file or directory; did you mean 'classes'?"),
        ("stats.npz", "stats.npz: no such file or directory"),
        ("empty", "empty: no images found (.jpg, .jpeg"),
        ("classes", "classes: no images found (only in subfolders: female, male)"),
        ("one", "one: found only one image; a covariance needs at least 2"),
        ("photos.zip", "photos.zip: expected a directory of images, or an .npz"),
    ):
        for arguments in ((argument, "b"), ("a", argument)):
            assert message in refused(*arguments, *PIXELS)
    assert not (pair / "outputs").exists()


def test_unreadable_images_are_named(pair: Path, refused: Callable[..., str]) -> None:
    whole = draw(pair / "large", 0, count=1, size=64).joinpath("000.png").read_bytes()
    for content, message in (
        (b"", "the file is empty"),
        (b"no image", "unknown image format"),
        (whole[:3000], "truncated"),
    ):
        (pair / "b" / "005.png").write_bytes(content)
        line = refused("a", "b", *PIXELS)
        assert "b/005.png: cannot decode image (" in line and message in line
    (pair / "b" / "005.png").unlink()
    os.symlink("nowhere.png", pair / "b" / "005.png")
    assert "b/005.png: no such file" in refused("a", "b", *PIXELS)
    assert len(cached(pair)) <= 1, "statistics of a damaged folder were cached"


def test_an_image_that_changes_while_being_read_is_refused(pair: Path) -> None:
    before = read_info(pair / "a" / "000.png")
    shutil.copy(pair / "b" / "000.png", pair / "a" / "000.png")
    with pytest.raises(DataError, match=r"a/000\.png: changed while its directory was being read"):
        read_pixels(before)


def test_custom_weights_are_refused_unless_allowed(
    pair: Path, inception_weights: Path, fid: Fid, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("stargan_lab.evaluation.image_folders.examine", None)
        said = refused("a", "b", "--weights", inception_weights)
    assert "--weights: SHA-256" in said
    assert "add --allow-unverified to report it as frechet_inception_unverified" in said
    assert not (pair / "outputs").exists()
    result = fid("a", "b", "--weights", inception_weights, "--allow-unverified", "--dims", 64)
    assert result["metric"] == "frechet_inception_unverified"
    assert (result["protocol"]["verified"], result["protocol"]["dims"]) == (False, 64)


@pytest.mark.parametrize(("dims", "metric"), [(2048, "fid"), (64, "frechet_inception_64")])
def test_official_weights_give_the_metric_name_fid(
    pair: Path, inception_weights: Path, dims: int, metric: str, fid: Fid, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = hashlib.sha256(inception_weights.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "VERIFIED_SHA256", official)
    for name in "ab":
        for path in sorted((pair / name).iterdir())[3:]:
            path.unlink()
    result = fid("a", "b", "--weights", inception_weights, *(() if dims == 2048 else ("--dims", dims)))
    assert result["metric"] == metric and result["value"] > 0
    assert (result["protocol"]["verified"], result["protocol"]["sha256"]) == (True, official)
    assert result["protocol"]["dims"] == dims


def test_invalid_flags_are_refused(pair: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(pair / "torch"))
    (pair / "blocked").write_text("")
    for arguments, message, code in (
        ([], "--weights: no Inception weights, so no FID; set --weights download or a path", 2),
        (["--weights", "no.pth"], "--weights: no.pth is not a file; set --weights download or a path", 2),
        (["--features", "pixel"], "unknown extractor 'pixel'; did you mean 'pixels'?", 2),
        (["--features", "classifier"], "needs a dataset with labels", 1),
        ([*PIXELS, "--dims", "64"], "--dims: extractor 'pixels' has no option dims", 2),
        (["--dims", "100"], "64, 192, 768, 2048", 2),
        ([*PIXELS, "--device", "gpu"], "--device: expected auto, cpu, cuda or cuda:N, got 'gpu'", 2),
        ([*PIXELS, "--device", "cuda:99"], "--device: cuda:99 is not available", 2),
        ([*PIXELS, "--outputs", "blocked/in"], "--outputs: cannot write to blocked/in", 2),
        ([*PIXELS, "c"], "unexpected argument 'c'", 2),
        (["--imports", "no_such_module"], "cannot import 'no_such_module'", 2),
    ):
        line = refused("a", "b", *arguments, code=code)
        assert message in line and "evaluation." not in line
    assert {path.name for path in pair.iterdir()} == {"a", "b", "blocked"}

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.evaluation import inception as inception_module
from stargan_lab.evaluation import inception_weights as weights
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.extractors import InceptionExtractor, build_extractor
from stargan_lab.evaluation.features import compute_features
from stargan_lab.evaluation.frechet_distance import Moments, frechet_distance
from stargan_lab.evaluation.inception_weights import WeightsMissing, find_weights
from stargan_lab.registry import family

CPU = torch.device("cpu")


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty outputs folder and an empty cache of torch hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "outputs"


def test_every_extractor_returns_float32_features(
    faces: ImageSource, attribute_classifier: AttributeClassifier, inception_weights: Path, outputs: Path
) -> None:
    images = faces.split("test").images(range(3))
    weights_of = {"inception": inception_weights, "torchscript": scripted(outputs / "pool.pt")}
    for name in family("extractor").names():
        given = {"weights": str(weights_of[name])} if name in weights_of else {}
        built = build_extractor(name, outputs, CPU, attribute_classifier, **given)
        features = built.features(images)
        assert features.shape == (3, built.dims or features.shape[1]) and features.dtype == torch.float32
        assert built.name == name and built.label and built.sha256 and built.identity and built.preprocessing
        assert torch.equal(features, built.features(images))
        assert features.std(0).max() > 1e-3  # differs between images


def scripted(path: Path, network: torch.nn.Module | None = None) -> Path:
    """A TorchScript file of a network, by default the mean color of 4 × 4 cells."""
    network = network or torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    torch.jit.save(torch.jit.script(network), str(path))
    return path


def test_a_torchscript_module_takes_images_in_0_to_1(tmp_path: Path) -> None:
    path = scripted(tmp_path / "pool.pt")
    built = build_extractor("torchscript", tmp_path, CPU, None, weights=str(path))
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    cells = images.double().reshape(5, 3, 4, 2, 4, 2).mean((3, 5)) / 255
    torch.testing.assert_close(built.features(images).double(), cells.flatten(1), rtol=1e-6, atol=1e-7)
    assert built.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_unusable_torchscript_module_is_refused(tmp_path: Path) -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    maps = scripted(tmp_path / "maps.pt", torch.nn.Sequential(torch.nn.AvgPool2d(2)))
    with pytest.raises(LabError, match=r"'torchscript': expected features of shape \(2, D\), got \(2, 3, 4, 4\)"):
        compute_features(build_extractor("torchscript", tmp_path, CPU, None, weights=str(maps)), images)
    gray = scripted(tmp_path / "gray.pt", torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)))
    with pytest.raises(LabError, match=r"'torchscript': failed on \(2, 3, 8, 8\) images") as caught:
        compute_features(build_extractor("torchscript", tmp_path, CPU, None, weights=str(gray)), images)
    assert "\n" not in str(caught.value)
    (tmp_path / "text.pt").write_text("no module")
    with pytest.raises(LabError, match=r"text\.pt: cannot be read as a TorchScript module"):
        build_extractor("torchscript", tmp_path, CPU, None, weights=str(tmp_path / "text.pt"))
    with pytest.raises(ConfigError, match=r"evaluation\.weights: .* needs the path"):
        build_extractor("torchscript", tmp_path, CPU, None)


def test_pixel_features_are_the_pixels(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (4, 3, 5, 7), dtype=torch.uint8)
    features = build_extractor("pixels", tmp_path, CPU, None).features(images)
    assert torch.equal((features * 255).round().to(torch.uint8), images.flatten(1))


def test_an_unknown_option_is_refused(tmp_path: Path, inception_weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.dims: extractor 'pixels' has no option dims"):
        build_extractor("pixels", tmp_path, CPU, None, dims=192)
    with pytest.raises(
        ConfigError, match=r"evaluation\.dims: expected one of 64, 192, 768, 2048 for Inception, got 200"
    ):
        build_extractor("inception", tmp_path, CPU, None, weights=str(inception_weights), dims=200)


def write_pngs(images: torch.Tensor, folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{i:03d}.png" for i in range(len(images))]
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return paths


def pytorch_fid_features(paths: list[Path], weight_file: Path) -> np.ndarray:
    import pytorch_fid.inception
    from pytorch_fid.fid_score import get_activations

    state = torch.load(weight_file, weights_only=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *args, **kwargs: state)
        network = pytorch_fid.inception.InceptionV3()
    return np.asarray(get_activations(paths, network, batch_size=8, num_workers=0))


def test_features_equal_pytorch_fid(faces: ImageSource, inception_weights: Path, tmp_path: Path) -> None:
    images = faces.split("test").images(range(8))
    ours = InceptionExtractor(inception_weights, CPU).features(images).numpy()
    theirs = pytorch_fid_features(write_pngs(images, tmp_path / "images"), inception_weights)
    assert ours.std(0).mean() > 0.05  # features that do vary
    network = inception_module._inception(inception_weights, 2048).eval().double()
    with torch.no_grad():
        exact = network(images.double() / 255)[0].flatten(1).numpy()
    error, peers_error = np.abs(ours - exact).max(), np.abs(theirs - exact).max()
    assert error < 1e-3 and error < 3 * peers_error  # float32 through a hundred random layers


@pytest.mark.slow
def test_distance_equals_pytorch_fid(faces: ImageSource, inception_weights: Path, tmp_path: Path) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance

    test, valid = faces.split("test").images(range(24)), faces.split("valid").images(range(24))
    network = InceptionExtractor(inception_weights, CPU)
    ours = [Moments.empty(2048), Moments.empty(2048)]
    theirs = []
    for moments, images, name in zip(ours, (test // 2, valid), ("a", "b"), strict=True):
        moments.update(network.features(images).numpy())
        features = pytorch_fid_features(write_pngs(images, tmp_path / name), inception_weights)
        theirs += [features.mean(0), np.cov(features, rowvar=False)]
    expected = calculate_frechet_distance(*theirs)
    assert expected > 0.1
    assert ours[0].distance(ours[1]) == pytest.approx(expected, rel=1e-3)  # its matrix square root is less precise


def test_distance_equals_pytorch_fid_for_regular_covariances(
    faces: ImageSource, attribute_classifier: AttributeClassifier
) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance

    a = attribute_classifier.features(faces.split("test").images(range(150))).numpy()
    b = attribute_classifier.features(faces.split("valid").images(range(200))).numpy()
    arguments = a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False)
    assert frechet_distance(*arguments) == pytest.approx(calculate_frechet_distance(*arguments), rel=1e-6)


def test_only_official_weights_are_called_fid(inception_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert InceptionExtractor(inception_weights, CPU).label == "inception_unverified"
    monkeypatch.setattr(weights, "VERIFIED_SHA256", hashlib.sha256(inception_weights.read_bytes()).hexdigest())
    assert InceptionExtractor(inception_weights, CPU).label == ""
    assert InceptionExtractor(inception_weights, CPU, 192).label == "inception_192"


def test_building_inception_does_not_change_the_global_generator(inception_weights: Path) -> None:
    before = torch.get_rng_state()
    InceptionExtractor(inception_weights, CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_a_process_builds_inception_once(
    inception_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(inception_weights.read_bytes())
    built, build = [], inception_module._inception
    monkeypatch.setattr(inception_module, "_inception", lambda *args: built.append(args) or build(*args))
    first, second = (build_extractor("inception", tmp_path, CPU, None, weights=str(path)) for _ in range(2))
    assert built == [(path, 2048)] and first is not second and first.sha256 == second.sha256
    assert not any(each.training for each in first._network.modules())
    assert not any(parameter.requires_grad for parameter in first._network.parameters())
    InceptionExtractor(path, CPU, 192)
    path.touch()
    InceptionExtractor(path, CPU, 192)
    assert [dims for _, dims in built] == [2048, 192, 192]


def test_missing_weights_say_how_to_get_them(no_cache: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"evaluation\.weights=download or a path") as caught:
        build_extractor("inception", no_cache, CPU, None, weights=None)
    assert str(no_cache / "cache" / "weights") in str(caught.value) and "\n" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))  # as a launcher's worker returns it
    assert (str(again), again.label) == (str(caught.value), caught.value.label)


def test_weights_are_found_in_both_caches(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "VERIFIED_SHA256", hashlib.sha256(b"weights").hexdigest())
    for path in weights.cache_paths(no_cache):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        assert find_weights(None, no_cache) == find_weights("download", no_cache) == path
        path.unlink()


def test_download_replaces_a_file_that_is_not_official(
    no_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "published.pth"
    published.write_bytes(b"official")
    serve(published, monkeypatch)
    monkeypatch.setattr(weights, "VERIFIED_SHA256", hashlib.sha256(b"official").hexdigest())
    for path in weights.cache_paths(no_cache):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"offi")  # left by an interrupted download
    assert find_weights("download", no_cache).read_bytes() == b"official"


def serve(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytorch_fid.inception.FID_WEIGHTS_URL", path.as_uri())


def test_download_keeps_the_official_file(no_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = tmp_path / "published.pth"
    published.write_bytes(b"x" * 3_000_000)
    serve(published, monkeypatch)
    monkeypatch.setattr(weights, "VERIFIED_SHA256", hashlib.sha256(published.read_bytes()).hexdigest())
    found = find_weights("download", no_cache)
    assert found == no_cache / "cache" / "weights" / "published.pth"
    assert found.read_bytes() == published.read_bytes()
    published.unlink()
    assert find_weights("download", no_cache) == found  # not downloaded again


def test_an_unofficial_download_is_discarded(no_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = tmp_path / "published.pth"
    published.write_bytes(b"tampered")
    serve(published, monkeypatch)
    with pytest.raises(LabError, match="not the official"):
        find_weights("download", no_cache)
    assert not list((no_cache / "cache" / "weights").glob("*published.pth"))
    serve(tmp_path / "absent.pth", monkeypatch)
    with pytest.raises(LabError, match="download failed"):
        find_weights("download", no_cache)


def test_a_missing_path_is_named(no_cache: Path) -> None:
    with pytest.raises(LabError, match=r"evaluation\.weights: /no/such\.pth is not a file"):
        build_extractor("inception", no_cache, CPU, None, weights="/no/such.pth")


def test_unusable_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.pth", tmp_path / "other.pth"
    broken.write_bytes(b"no weights")
    torch.save({"conv.weight": torch.zeros(3)}, other)
    for path, reason in ((broken, "not a weight file"), (other, "does not match")):
        with pytest.raises(LabError, match=f"{path.name}: {reason}") as caught:
            InceptionExtractor(path, CPU)
        assert "\n" not in str(caught.value)


def test_classifier_features_need_a_classifier(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="use 'inception'"):
        build_extractor("classifier", tmp_path, CPU, None)

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stargan_lab.data.sources import open_sources
from stargan_lab.errors import LabError
from stargan_lab.evaluation.context import Context
from stargan_lab.evaluation.extractors import Extractor, PixelExtractor, TorchScriptExtractor
from stargan_lab.evaluation.features import FeatureFile, batch_size, cached_features, cached_moments
from stargan_lab.evaluation.frechet_distance import Moments
from stargan_lab.evaluation.real_images import ReferenceFeatures, reference_features

CPU = torch.device("cpu")


def parts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 5, generator=generator) for n in (3, 0, 4)]


def test_a_feature_file_has_rows_and_moments_but_no_name(tmp_path: Path) -> None:
    features = FeatureFile(tmp_path / "features")
    with pytest.raises(LabError, match="no images"):
        features.sample()
    for part in parts():
        features.add(part)
    expected = torch.cat(parts()).numpy()
    assert len(features) == 7 and isinstance(features.sample().rows, np.memmap)
    np.testing.assert_array_equal(features.sample().rows, expected)
    np.testing.assert_allclose(features.sample().moments.covariance, np.cov(expected, rowvar=False), rtol=1e-6)
    assert list((tmp_path / "features").iterdir()) == []


def test_a_key_is_computed_once(tmp_path: Path) -> None:
    calls = []

    def measure() -> Iterator[Tensor]:
        calls.append(1)
        yield from (part for part in parts() if len(part))

    for _ in range(2):
        rows = cached_features(tmp_path, {"data": "a"}, measure, 7)
        np.testing.assert_array_equal(rows, torch.cat(parts()).numpy())
    assert len(calls) == 1
    cached_features(tmp_path, {"data": "b"}, measure, 7)
    assert len(calls) == 2


def test_a_failed_computation_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> Iterator[Tensor]:
        yield parts()[0]
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        cached_features(tmp_path, {"data": "a"}, fail, 7)
    assert not list((tmp_path / "cache" / "features").glob("*.npy"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    cached_moments(tmp_path, {"data": "a"}, lambda: [Moments(2, np.zeros(3), np.zeros((3, 3)))])
    (path,) = (tmp_path / "cache" / "features").glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LabError, match=rf"{path.name}: cannot be read .*delete it") as caught:
        cached_moments(tmp_path, {"data": "a"}, lambda: [])
    assert "\n" not in str(caught.value)


def measure_in_process(outputs: Path, log: Path) -> float:
    def measure() -> list[Moments]:
        with log.open("a") as file:
            file.write("measured\n")
        computed = Moments.empty(3)
        computed.update(np.random.default_rng(0).normal(size=(50_000, 3)))
        return [computed]

    (moments,) = cached_moments(outputs, {"data": "a"}, measure)
    return float(moments.scatter.sum())


def test_concurrent_processes_compute_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        values = pool.starmap(measure_in_process, [(tmp_path, tmp_path / "log")] * 3)
    assert len(set(values)) == 1 and (tmp_path / "log").read_text() == "measured\n"


def test_batches_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Heavy(PixelExtractor):
        memory = 64 << 20

    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": (1 << 30) // 4096}[name])
    assert batch_size(Heavy(), CPU) == 4  # a quarter of 1 GiB
    Heavy.memory = 8 << 30
    assert batch_size(Heavy(), CPU) == 1
    assert batch_size(PixelExtractor(), CPU) == 128


def scripted(path: Path, weight: float) -> TorchScriptExtractor:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(weight))

        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=(2, 3)) * self.weight

    torch.jit.save(torch.jit.trace(Scaled(), torch.rand(2, 3, 8, 8)), str(path))
    return TorchScriptExtractor(path, CPU)


def tree(root: Path) -> Path:
    """Two classes of random images in every split."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("calm", "glad"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(4):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


def measured(root: Path, outputs: Path, extractor: Extractor) -> ReferenceFeatures:
    (source,) = open_sources({"faces": {"kind": "image_folder", "root": str(root)}}, 16, outputs)
    source.prepare()
    return reference_features(source, extractor, Context(None, 8, outputs, CPU, False))


def test_a_changed_image_or_weight_invalidates_the_cache(tmp_path: Path) -> None:
    root, outputs = tree(tmp_path / "tree"), tmp_path / "outputs"
    light = scripted(tmp_path / "one.pt", 1.0)
    first = measured(root, outputs, light)
    files = set((outputs / "cache" / "features").glob("*.np[yz]"))
    assert len(files) == 2 and first.rows.shape == (8, 3) and [m.n for m in first.moments] == [4, 4]
    assert np.array_equal(measured(root, outputs, light).rows, first.rows)

    heavier = measured(root, outputs, scripted(tmp_path / "one.pt", 2.0))  # under the same file name
    np.testing.assert_allclose(heavier.rows, first.rows * 2, rtol=1e-6)

    path = root / "train" / "glad" / "2.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    changed = measured(root, outputs, light)
    assert (np.abs(changed.rows - first.rows).max(1) > 0).sum() == 1
    assert not np.allclose(changed.moments[1].mean, first.moments[1].mean)
    np.testing.assert_array_equal(changed.moments[0].mean, first.moments[0].mean)
    assert len(set((outputs / "cache" / "features").glob("*.np[yz]"))) == 6

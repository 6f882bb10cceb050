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
from stargan_lab.evaluation.extractors import Extractor, PixelExtractor, TorchScriptExtractor
from stargan_lab.evaluation.features import Collected, batch_size, kept_features, kept_moments
from stargan_lab.evaluation.frechet import Moments
from stargan_lab.evaluation.real_images import Reference, reference
from stargan_lab.evaluation.setting import Setting

CPU = torch.device("cpu")


def parts() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 5, generator=generator) for n in (3, 0, 4)]


def test_what_is_collected_is_kept_and_summed(tmp_path: Path) -> None:
    collected = Collected(tmp_path / "features")
    for part in parts():
        collected.add(part)
    whole = torch.cat(parts()).numpy()
    assert len(collected) == 7 and isinstance(collected.rows, np.memmap)
    np.testing.assert_array_equal(collected.rows, whole)
    np.testing.assert_allclose(collected.moments.covariance, np.cov(whole, rowvar=False), rtol=1e-6)
    assert list((tmp_path / "features").iterdir()) == []  # nothing to be left behind


def test_nothing_has_no_moments(tmp_path: Path) -> None:
    collected = Collected(tmp_path)
    assert len(collected) == 0
    with pytest.raises(LabError, match="no images"):
        _ = collected.moments


def test_a_key_is_measured_once(tmp_path: Path) -> None:
    calls = []

    def measure() -> Iterator[Tensor]:
        calls.append(1)
        yield from (part for part in parts() if len(part))

    for _ in range(2):
        rows = kept_features(tmp_path, {"data": "a"}, measure, 7)
        np.testing.assert_array_equal(rows, torch.cat(parts()).numpy())
    assert len(calls) == 1
    kept_features(tmp_path, {"data": "b"}, measure, 7)
    assert len(calls) == 2


def test_a_measurement_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> Iterator[Tensor]:
        yield parts()[0]
        raise RuntimeError("the network fell over")

    with pytest.raises(RuntimeError):
        kept_features(tmp_path, {"data": "a"}, fail, 7)
    assert not list((tmp_path / "cache" / "features").glob("*.npy"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    kept_moments(tmp_path, {"data": "a"}, lambda: [Moments(2, np.zeros(3), np.zeros((3, 3)))])
    (path,) = (tmp_path / "cache" / "features").glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LabError, match=rf"{path.name}: cannot be read .*delete it") as caught:
        kept_moments(tmp_path, {"data": "a"}, lambda: [])
    assert "\n" not in str(caught.value)


def measure_in_process(outputs: Path, log: Path) -> float:
    def measure() -> list[Moments]:
        with log.open("a") as file:
            file.write("measured\n")
        moments = Moments.empty(3)
        moments.update(np.random.default_rng(0).normal(size=(50_000, 3)))
        return [moments]

    (found,) = kept_moments(outputs, {"data": "a"}, measure)
    return float(found.scatter.sum())


def test_processes_that_start_at_once_measure_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        values = pool.starmap(measure_in_process, [(tmp_path, tmp_path / "log")] * 3)
    assert len(set(values)) == 1 and (tmp_path / "log").read_text() == "measured\n"


def test_batches_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
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


def measured(root: Path, outputs: Path, extractor: Extractor) -> Reference:
    (source,) = open_sources({"faces": {"kind": "image_folder", "root": str(root)}}, 16, outputs)
    source.prepare()
    return reference(source, extractor, Setting(None, 8, outputs, CPU, False))


def test_a_changed_image_or_weight_never_meets_an_old_statistic(tmp_path: Path) -> None:
    root, outputs = tree(tmp_path / "tree"), tmp_path / "outputs"
    light = scripted(tmp_path / "one.pt", 1.0)
    first = measured(root, outputs, light)
    files = set((outputs / "cache" / "features").glob("*.np[yz]"))
    assert len(files) == 2 and first.rows.shape == (8, 3) and [m.n for m in first.moments] == [4, 4]
    assert np.array_equal(measured(root, outputs, light).rows, first.rows)

    heavier = measured(root, outputs, scripted(tmp_path / "one.pt", 2.0))  # the same file's name
    np.testing.assert_allclose(heavier.rows, first.rows * 2, rtol=1e-6)

    path = root / "train" / "glad" / "2.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    changed = measured(root, outputs, light)
    assert (np.abs(changed.rows - first.rows).max(1) > 0).sum() == 1
    assert not np.allclose(changed.moments[1].mean, first.moments[1].mean)
    np.testing.assert_array_equal(changed.moments[0].mean, first.moments[0].mean)
    assert len(set((outputs / "cache" / "features").glob("*.np[yz]"))) == 6

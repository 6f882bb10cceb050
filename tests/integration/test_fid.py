"""``stargan-lab fid`` in a separate process, compared with pytorch-fid's command on the same files and weights."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from processes import Lab, Outcome, finish
from torch import Tensor

from stargan_lab.data.sources import open_sources
from stargan_lab.evaluation.inception import InceptionExtractor

pytestmark = pytest.mark.integration

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
DIFFICULTIES = {"calm": 0.0, "hard": 1.0}
MANY, FEW = 400, 50

QUICK_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}
"""Makes glibc keep freed memory; otherwise half of the time is spent on returning and reallocating pages."""


def write(images: Tensor, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{index:04d}.png")
    return folder


class Scene:
    """A folder with easy and difficult faces of 64 px, 400 and 50 of each, and both commands with the same weights."""

    def __init__(self, folder: Path) -> None:
        from inception import make_calibrated_inception

        self.folder, self.few = folder, {}
        for name, difficulty in DIFFICULTIES.items():
            options = {"kind": "synthfaces", "train": 2, "valid": 2, "test": MANY, "difficulty": difficulty}
            (source,) = open_sources({name: {**options, "attributes": ["Male", "Young"]}}, 64, folder / "drawn")
            source.prepare()
            images = source.split("test").images(range(MANY))
            self.few[name] = images[:FEW]
            write(images, folder / name)
            write(images[:FEW], folder / f"few-{name}")
        torch_home = folder / "torch"  # where both commands look for weights
        self.weights = make_calibrated_inception(torch_home / "hub" / "checkpoints" / WEIGHTS, self.few["hard"][:16])
        environment = {"TORCH_HOME": str(torch_home), **QUICK_MEMORY}
        self.ours = Lab(folder, environment=environment)
        self.pytorch_fid = Lab(
            folder, (sys.executable, "-m", "pytorch_fid", "--device=cpu", "--num-workers=0"), environment
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def parsed(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = json.loads(outcome.out)
    assert set(found) == {"metric", "value", "protocol"}
    return found


def pytorch_fid_value(outcome: Outcome) -> float:
    found = re.search(r"^FID:\s+(\S+)$", outcome.out, re.MULTILINE)
    assert outcome.code == 0 and found, outcome.err
    return float(found[1])


def close(value: float, expected: float) -> bool:
    return abs(value - expected) <= 1e-3 + 1e-4 * abs(expected)


@pytest.mark.slow
def test_fid_equals_pytorch_fid_for_regular_covariances(scene: Scene) -> None:
    started = scene.ours.start("fid", "calm", "hard", "--dims", "192", "--allow-unverified")
    saved = scene.pytorch_fid("--dims=192", "--save-stats", "calm", "calm.npz")
    assert saved.code == 0, saved.err
    expected = pytorch_fid_value(scene.pytorch_fid("--dims=192", "calm.npz", "hard"))
    ours = parsed(finish(started))
    print(f"192 dimensions, {MANY} images per side: ours {ours['value']:.9f}, pytorch-fid {expected:.9f}")
    assert expected > 1 and close(ours["value"], expected)
    assert ours["metric"] == "frechet_inception_unverified"
    from_statistics = parsed(scene.ours("fid", "calm.npz", "hard", "--dims", "192", "--allow-unverified"))
    assert close(from_statistics["value"], expected)


@pytest.mark.slow
def test_fid_is_exact_for_singular_covariances(scene: Scene) -> None:
    """With fewer images than features the distance needs no covariance: for centered features X (n, D) and Y (m, D),
    tr (AB)^½ is the sum of the singular values of X Yᵀ, divided by the square root of (n - 1)(m - 1)."""
    few = "few-calm", "few-hard"
    started = scene.ours.start("fid", *few, "--allow-unverified"), scene.pytorch_fid.start(*few)
    network = InceptionExtractor(scene.weights, torch.device("cpu"))
    x, y = (
        torch.cat([network.features(part) for part in scene.few[name].split(4)]).double().numpy()
        for name in DIFFICULTIES
    )
    overlap = np.linalg.svd((x - x.mean(0)) @ (y - y.mean(0)).T, compute_uv=False).sum() / (FEW - 1)
    spread = x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum()
    reference = float(((x.mean(0) - y.mean(0)) ** 2).sum() + spread - 2 * overlap)
    ours, expected = parsed(finish(started[0]))["value"], pytorch_fid_value(finish(started[1]))
    print(
        f"2,048 dimensions, {FEW} images per side: reference {reference:.9f}, error of ours {ours - reference:+.2e},"
        f" pytorch-fid {expected - reference:+.2e}"
    )
    assert reference > 1 and close(ours, reference)
    assert close(ours, expected)


SLOW_FEATURES = """\
import time
from pathlib import Path

from stargan_lab.registry import family


@family("extractor").register("corner")
class Corner:
    name = label = "corner"
    dims, sha256, identity, preprocessing, memory = 3, "1", "1", "the first pixel", 0

    def __init__(self, outputs, device, classifier): ...

    def features(self, images):
        with Path("measured.txt").open("a") as log:
            log.write("x")
        time.sleep(1)
        return images[:, :, 0, 0].float()
"""


@pytest.fixture
def noise(tmp_path: Path) -> Lab:
    """A folder with two folders of noise, and a slow user extractor that logs its calls."""
    random = torch.Generator().manual_seed(0)
    for name in "ab":
        write(torch.randint(256, (10, 3, 4, 4), generator=random, dtype=torch.uint8), tmp_path / name)
    lab = Lab(tmp_path)
    lab.write("my_features.py", SLOW_FEATURES)
    return lab


COMMAND = ("fid", "a", "b", "--features", "corner", "--imports", "my_features")


def test_concurrent_processes_share_their_work(noise: Lab) -> None:
    outcomes = [finish(process) for process in [noise.start(*COMMAND) for _ in range(4)]]
    outcomes.append(noise(*COMMAND))  # a later process finds everything in the cache
    found = parsed(outcomes[0])
    assert found["metric"] == "frechet_corner" and found["value"] > 0
    assert {outcome.out for outcome in outcomes} == {outcomes[0].out} and {outcome.err for outcome in outcomes} == {""}
    assert len(list((noise.outputs / "cache" / "features").glob("*.npz"))) == 2
    assert (noise.folder / "measured.txt").read_text() == "xx"  # each folder is one batch, computed once


def test_missing_weights_are_refused_in_one_line(noise: Lab) -> None:
    missing = noise("fid", "a", "b")
    assert (missing.code, missing.out) == (2, "") and len(missing.lines()) == 1
    assert "--weights download" in missing.err and WEIGHTS in missing.err

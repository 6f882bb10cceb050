"""Cost of scoring compared with pytorch-fid's command: ``python benchmarks/evaluation.py [--images 500]``.

K variants are scored against one set of real images. All images are synthetic, and both sides use the same random,
calibrated weights:

- ours: one process that has the images of all variants in memory, as after translation, and the statistics of the real
  images;
- pytorch-fid, statistics: ``python -m pytorch_fid real.npz variant`` for each variant, whose images are PNG files;
- pytorch-fid, folders: ``python -m pytorch_fid real variant`` for each variant.

Prints the distances, the seconds per variant and the median of the paired time ratios; the methods run alternately. The
work that ours does once for all variants is printed separately. Then the distance of two 2,048-dimensional Gaussians is
timed against scipy's sqrtm.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from stargan_lab.data.sources import open_sources
from stargan_lab.evaluation.features import batch_size
from stargan_lab.evaluation.frechet_distance import Moments, frechet_distance
from stargan_lab.evaluation.inception import InceptionExtractor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from inception import make_calibrated_inception

CPU = torch.device("cpu")
WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"


def synthetic_images(count: int, difficulty: float, seed: int, folder: Path) -> torch.Tensor:
    """(count, 3, 64, 64) uint8."""
    options = {"kind": "synthfaces", "attributes": ["Male", "Young"], "train": 2, "valid": 2, "test": count}
    (source,) = open_sources({f"faces{seed}": {**options, "difficulty": difficulty, "seed": seed}}, 64, folder)
    source.prepare()
    return source.split("test").images(range(count))


def write(images: torch.Tensor, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{index:05d}.png")
    return folder


def moments_of(images: torch.Tensor, extractor: InceptionExtractor) -> Moments:
    moments = Moments.empty(extractor.dims)
    for part in tqdm(images.split(batch_size(extractor, CPU)), leave=False, disable=None):
        moments.update(extractor.features(part).numpy())
    return moments


def pytorch_fid(torch_home: Path, real: Path, variant: Path, *flags: str) -> float:
    """The distance that pytorch-fid's command prints. Raises RuntimeError when it fails."""
    command = [sys.executable, "-m", "pytorch_fid", "--device", "cpu", *flags, str(real), str(variant)]
    result = subprocess.run(command, env={**os.environ, "TORCH_HOME": str(torch_home)}, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr.strip().splitlines()[-1])
    return float(result.stdout.split()[-1]) if "--save-stats" not in flags else float("nan")


def scoring(arguments: argparse.Namespace, folder: Path) -> None:
    real = synthetic_images(arguments.images, 0.0, 0, folder)
    variants = [synthetic_images(arguments.images, 0.3 + 0.1 * k, k + 1, folder) for k in range(arguments.variants)]
    weights = make_calibrated_inception(folder / "hub" / "checkpoints" / WEIGHTS, real[:16])
    real_folder = write(real, folder / "real")
    folders = [write(images, folder / f"variant{k}") for k, images in enumerate(variants)]
    pytorch_fid(folder, real_folder, folder / "real.npz", "--save-stats")
    start = time.perf_counter()
    extractor = InceptionExtractor(weights, CPU)
    real_moments = moments_of(real, extractor)
    print(f"ours, once for all variants: {time.perf_counter() - start:.1f} s (weights and real images)")
    seconds: dict[str, list[float]] = {"ours": [], "pytorch-fid, statistics": [], "pytorch-fid, folders": []}
    for k, (images, variant) in enumerate(zip(variants, folders, strict=True)):
        values = {}
        for name, score in (
            ("ours", lambda images=images: moments_of(images, extractor).distance(real_moments)),
            ("pytorch-fid, statistics", lambda variant=variant: pytorch_fid(folder, folder / "real.npz", variant)),
            ("pytorch-fid, folders", lambda variant=variant: pytorch_fid(folder, real_folder, variant)),
        ):
            start = time.perf_counter()
            values[name] = score()
            seconds[name].append(time.perf_counter() - start)
        shown = "  ".join(f"{name} {value:.6f} ({seconds[name][-1]:.1f} s)" for name, value in values.items())
        print(f"variant {k}: {shown}", flush=True)
    for name in ("pytorch-fid, statistics", "pytorch-fid, folders"):
        ratio = median(a / b for a, b in zip(seconds["ours"], seconds[name], strict=True))
        print(f"ours / {name}: {ratio:.2f}, time per variant (median of {arguments.variants} pairs)")


def distance(pairs: int) -> None:
    """Time the distance alone, with regular covariances, for which sqrtm is accurate."""
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(0)
    sides = []
    for shift in (0.0, 0.1):
        rows = generator.normal(size=(4096, 2048)) * generator.lognormal(sigma=0.5, size=2048) + shift
        sides += [rows.mean(0), np.cov(rows, rowvar=False)]
    ratios = []
    for _ in range(pairs):
        start = time.perf_counter()
        ours = frechet_distance(*sides)
        between = time.perf_counter()
        root = sqrtm(sides[1] @ sides[3]).real
        theirs = ((sides[0] - sides[2]) ** 2).sum() + np.trace(sides[1] + sides[3] - 2 * root)
        ratios.append((between - start) / (time.perf_counter() - between))
        print(f"distance: ours {ours:.9f} in {between - start:.2f} s, sqrtm {theirs:.9f}", flush=True)
    print(f"ours / sqrtm: {median(ratios):.3f}, time at 2,048 dimensions (median of {pairs} pairs)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="images per side (default: 500)")
    parser.add_argument("--variants", type=int, default=3, help="number of variants (default: 3)")
    parser.add_argument("--pairs", type=int, default=3, help="number of timings of the distance alone (default: 3)")
    arguments = parser.parse_args()
    print(f"{arguments.images} images of 64 px per side, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        scoring(arguments, Path(folder))
    distance(arguments.pairs)


if __name__ == "__main__":
    main()

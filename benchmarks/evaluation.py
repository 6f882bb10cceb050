"""Cost of scoring: ``python benchmarks/evaluation.py [--images 500]``; ``--share`` measures only the first part.

First, the share of scoring in a run of ``preset=quickstart`` with warm caches is measured: the CPU time of building the
evaluator and of ``Evaluator.score``, over that of the run, without imports, as in a cell of a sweep. Then scoring is
compared with pytorch-fid's command: K variants are scored against one set of real images. All images are synthetic, and
both sides use the same random, calibrated weights:

- ours: one process that has the images of all variants in memory, as after translation, and the statistics of the real
  images;
- pytorch-fid, statistics: ``python -m pytorch_fid real.npz variant`` for each variant, whose images are PNG files;
- pytorch-fid, folders: ``python -m pytorch_fid real variant`` for each variant.

Prints the distances, the seconds per variant and the median of the paired time ratios; the methods run alternately. The
work that ours does once for all variants is printed separately. The floor of ours is the FLOPs of the network over the
measured rate of a matrix product. Then the distance of two 2,048-dimensional Gaussians is
timed against scipy's sqrtm. The last line of the output is JSON: medians, with the quartiles of the ratios.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from spread import machine, quartiles
from step_floor import costs, rates
from tqdm import tqdm

from stargan_lab.data.sources import open_sources
from stargan_lab.evaluation.features import batch_size
from stargan_lab.evaluation.frechet_distance import Moments, frechet_distance
from stargan_lab.evaluation.inception import InceptionExtractor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from inception import make_calibrated_inception

CPU = torch.device("cpu")
RUN = """
import json, sys, time

import hydra_plugins.stargan_lab_launchers._preloaded
from stargan_lab.cli.main import main
from stargan_lab.evaluation.evaluator import Evaluator
from stargan_lab.runs import trainer

seconds = {"build": 0.0, "score": 0.0, "run": 0.0}

def timed(owner, name, key):
    action = getattr(owner, name)

    def measured(*args, **options):
        start = time.process_time()
        try:
            return action(*args, **options)
        finally:
            seconds[key] += time.process_time() - start

    setattr(owner, name, measured)

timed(trainer, "build_evaluator", "build")
timed(Evaluator, "score", "score")
timed(trainer.Trainer, "run", "run")
assert main(sys.argv[1:]) == 0
print("TIMES", json.dumps(seconds))
"""
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


def quickstart(outputs: Path, *words: str) -> dict[str, float]:
    """CPU time in seconds of a run, of building its evaluator and of its scoring."""
    command = [sys.executable, "-c", RUN, "train", "preset=quickstart", "quiet=true", f"paths.outputs={outputs}"]
    done = subprocess.run([*command, *words], check=True, stdout=subprocess.PIPE, text=True)
    times = next(line for line in done.stdout.splitlines() if line.startswith("TIMES"))
    seconds: dict[str, float] = json.loads(times.removeprefix("TIMES"))
    return seconds


def share(rounds: int, folder: Path) -> dict[str, Any]:
    quickstart(folder, "total_steps=2")  # renders the data and trains the attribute classifier
    runs = [quickstart(folder, f"seed={seed}") for seed in range(1, rounds + 1)]
    shares = [(run["build"] + run["score"]) / run["run"] for run in runs]
    seconds = {f"{key}_seconds": round(median(run[key] for run in runs), 2) for key in ("build", "score", "run")}
    print(f"quickstart: {seconds}, {median(shares):.1%} of the run's CPU time are scoring")
    return seconds | spread("scoring_share", shares)


def spread(name: str, values: list[float]) -> dict[str, Any]:
    return {name: round(median(values), 3), f"{name}_quartiles": quartiles(values)}


def scoring(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
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
    part = real[: batch_size(extractor, CPU)]
    flops = costs(lambda: extractor.features(part)).total_flops / len(part) * arguments.images
    floor = flops / rates("cpu", torch.float32)[0]
    result: dict[str, Any] = {"floor_seconds": round(floor, 2), "seconds": round(median(seconds["ours"]), 2)}
    for name in ("pytorch-fid, statistics", "pytorch-fid, folders"):
        ratios = [a / b for a, b in zip(seconds["ours"], seconds[name], strict=True)]
        print(f"ours / {name}: {median(ratios):.2f}, time per variant (median of {arguments.variants} pairs)")
        result |= spread(f"ours / {name}", ratios)
    return result


def distance(pairs: int) -> dict[str, Any]:
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
    return spread("ours / sqrtm", ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="images per side (default: 500)")
    parser.add_argument("--variants", type=int, default=3, help="number of variants (default: 3)")
    parser.add_argument("--pairs", type=int, default=3, help="number of timings of the distance alone (default: 3)")
    parser.add_argument("--runs", type=int, default=3, help="number of runs of quickstart (default: 3)")
    parser.add_argument("--share", action="store_true", help="only measure the share of scoring in a run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = share(arguments.runs, Path(folder))
        if not arguments.share:
            threads = torch.get_num_threads()
            print(f"{arguments.images} images of 64 px per side, {threads} threads, torch {torch.__version__}")
            result |= scoring(arguments, Path(folder)) | distance(arguments.pairs)
    print(json.dumps(machine() | result))


if __name__ == "__main__":
    main()

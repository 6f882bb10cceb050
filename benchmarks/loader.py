"""Images per second of training batches: ``python benchmarks/loader.py [--against PATH]``.

Writes JPEGs of CelebA's size (178 x 218 px), which both sides crop to 178 px, resize to 128 px, flip with probability
1/2 and scale to [-1, 1], in batches of 16:

- reference: the loader of PATH, a checkout of yunjey/stargan, with one worker process as in its main.py; without PATH,
  torchvision's ImageFolder with the same transforms in the same DataLoader
- ours: one thread that loads batches from the packed file

A round is a pass of the reference over the images, and ten of ours. Packing them first is timed as well. Then a dataset
of 200,000 images, links to one file with a sparse packed file, is opened in its own process, which loads an epoch. Each
process uses one thread, except for packing. The last line of the output is JSON:

    ratio                  of images per second of CPU time, which includes the worker's; median, with ratio_quartiles
    ratio_wall             the same of wall time
    identical              images compared with the reference's, flipped and not; any difference is an error
    pack_per_second        images read, hashed, decoded, resized and written per second of CPU time, and of wall time
    floor_seconds          per image: bytes read and written over the bandwidth measured in CPU time;
                           floor_share is reached
    anonymous_mib          largest RssAnon of the process with 200,000 images
    open_cpu_seconds       its CPU time from the first look at the directory to the first batch
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from spread import machine, quartiles
from step_floor import rates

from stargan_lab import files
from stargan_lab.data.celeba import celeba
from stargan_lab.data.fingerprints import PackCache
from stargan_lab.data.pack_file import SplitHash
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.sampling import flip_some, load_batch
from stargan_lab.data.transforms import to_float

ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
CROP, SIZE, BATCH, OUR_PASSES = 178, 128, 16, 10


def write_images(root: Path, count: int) -> None:
    """Smooth random images of about 7 KB each, as CelebA's are."""
    folder, rng = root / "images" / "all", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (14, 11, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((178, 218), Image.Resampling.BICUBIC)).astype(int)
        noisy = (smooth + rng.integers(-4, 5, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:06d}.jpg", quality=85)
    annotate(root, [f"all/{number:06d}.jpg" for number in range(count)])


def annotate(root: Path, names: list[str]) -> None:
    values = np.random.default_rng(1).choice(["1", "-1"], (len(names), len(ATTRIBUTES)))
    rows = [f"{name} {' '.join(row)}" for name, row in zip(names, values, strict=True)]
    text = "\n".join([str(len(names)), " ".join(ATTRIBUTES), *rows])
    (root / "list_attr_celeba.txt").write_text(text + "\n")


def reference(root: Path, against: Path | None) -> Any:
    """The reference's DataLoader of training batches."""
    if against:
        sys.path.insert(0, str(against))
        from data_loader import get_loader  # type: ignore[import-not-found]

        return get_loader(
            str(root / "images"), str(root / "list_attr_celeba.txt"), list(ATTRIBUTES), CROP, SIZE, BATCH, num_workers=1
        )
    from torchvision import datasets, transforms

    flip, crop, resize = transforms.RandomHorizontalFlip(), transforms.CenterCrop(CROP), transforms.Resize(SIZE)
    normalize = transforms.Normalize(mean=(0.5,) * 3, std=(0.5,) * 3)
    transform = transforms.Compose([flip, crop, resize, transforms.ToTensor(), normalize])
    dataset = datasets.ImageFolder(str(root / "images"), transform)
    return torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=1)


def open_source(root: Path, outputs: Path) -> PackedSource:
    return celeba("faces", SIZE, outputs, root=str(root), attributes=ATTRIBUTES, split="reference")


def compare_pixels(root: Path, source: PackedSource, loader: Any) -> int:
    """The number of images that equal the reference's bit for bit. Raises AssertionError if one differs."""
    from torchvision import transforms

    after_flip = transforms.Compose(loader.dataset.transform.transforms[1:])
    test = source.split("test")
    for index, name in enumerate(test.names):
        image, pixels = Image.open(root / "images" / name), test.images([index])
        for flipped in (False, True):
            ours = to_float(flip_some(pixels, torch.tensor([flipped])))[0]
            original = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else image
            assert torch.equal(ours, after_flip(original)), f"{name} differs from the reference, flipped={flipped}"
    return len(test)


def cpu_seconds() -> float:
    """CPU time of this process and of its worker processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def timed(batches: Callable[[], Iterable[Any]]) -> tuple[float, float]:
    """Images per second of wall time, from the second batch on, and of CPU time, of all batches."""
    cpu, first, images = cpu_seconds(), 0.0, 0
    for _ in batches():
        first = first or time.perf_counter()
        images += BATCH
    wall = time.perf_counter() - first
    return (images - BATCH) / wall, images / (cpu_seconds() - cpu)


def compare_speed(root: Path, source: PackedSource, loader: Any, rounds: int) -> dict[str, Any]:
    train = source.split("train")

    def our_batches() -> Iterable[Any]:
        for iteration in range(OUR_PASSES * len(loader)):
            yield load_batch(train, 0, BATCH, 0, iteration, flip=True)

    sides: dict[str, Callable[[], Iterable[Any]]] = {"reference": lambda: iter(loader), "ours": our_batches}
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, batches in sides.items():
            speeds[name].append(timed(batches))
        shown = "  ".join(f"{name} {each[-1][0]:,.0f} ({each[-1][1]:,.0f})" for name, each in speeds.items())
        print(f"images per second of wall time (CPU time): {shown}", flush=True)
    pairs = list(zip(speeds["ours"], speeds["reference"], strict=True))
    ratios = {"ratio_wall": [a[0] / b[0] for a, b in pairs], "ratio": [a[1] / b[1] for a, b in pairs]}
    result: dict[str, Any] = {
        name: {"wall": round(median(v[0] for v in each)), "cpu": round(median(v[1] for v in each))}
        for name, each in speeds.items()
    }
    for name, values in ratios.items():
        low, high = quartiles(values)
        result |= {name: round(median(values), 1), f"{name}_quartiles": [round(low, 1), round(high, 1)]}
    return result


def pack(root: Path, outputs: Path, count: int) -> tuple[PackedSource, dict[str, int]]:
    wall, cpu = time.perf_counter(), time.process_time()
    source = open_source(root, outputs)
    _ = source.fingerprint
    source.prepare()
    seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return source, {name: round(count / value) for name, value in seconds.items()}


def write_large(root: Path, outputs: Path, count: int) -> None:
    """A dataset in the cache: links to one image, a sparse packed file, and its hash."""
    folder = root / "images"
    folder.mkdir(parents=True)
    Image.new("RGB", (178, 218)).save(root / "image.jpg")
    names = [f"{number:06d}.jpg" for number in range(count)]
    for name in names:
        (folder / name).symlink_to(root / "image.jpg")
    annotate(root, names)
    source, cache = open_source(root, outputs), PackCache(outputs / "cache")
    for which, split in source.listed.items():
        known = SplitHash(which, {}, {"178x218": (len(split.names), split.names[0])})
        files.write_json(cache.index(folder, split.names, source.options), asdict(known))
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(split.names), 3, SIZE, SIZE)}
        path = cache.path(which, source.options)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + len(split.names) * 3 * SIZE**2)


def anonymous_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 2**10


def measure_large(root: Path, outputs: Path) -> None:
    """Open the dataset of ``write_large`` and load one epoch; prints JSON."""
    start = time.process_time()
    source = open_source(root, outputs)
    _ = source.fingerprint
    source.prepare()
    train, opened, largest = source.split("train"), 0.0, 0.0
    for iteration in range(len(train) // BATCH):
        load_batch(train, 0, BATCH, 0, iteration, flip=True)
        opened = opened or time.process_time() - start
        if iteration % 100 == 0:
            largest = max(largest, anonymous_mib())
    print(json.dumps({"images": len(train), "anonymous_mib": round(largest), "open_cpu_seconds": round(opened, 2)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="PATH", help="a checkout of yunjey/stargan")
    parser.add_argument("--images", type=int, default=4000, help="1,999 of them are test images (default: 4000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=200_000, help="images of the large dataset (default: 200000)")
    parser.add_argument("--measure-large", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if folder := arguments.measure_large:
        measure_large(folder / "large", folder / "outputs")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder / "data", arguments.images)
        source, packed = pack(folder / "data", folder / "outputs", arguments.images)
        loader = reference(folder / "data", arguments.against)
        identical = compare_pixels(folder / "data", source, loader)
        result = compare_speed(folder / "data", source, loader, arguments.rounds)
        write_large(folder / "large", folder / "outputs", arguments.large)
        command = [sys.executable, __file__, "--measure-large", str(folder)]
        large = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    moved = 3 * SIZE**2 * (1 + 4)  # uint8 read, float32 written
    floor = moved / rates("cpu", torch.float32, time.process_time)[1]
    result |= {"identical": identical, "pack_per_second": packed, "large": large}
    result |= {"floor_seconds": round(floor, 7), "floor_share": round(floor * result["ours"]["cpu"], 3)}
    print(json.dumps({**machine(), "against": "yunjey/stargan" if arguments.against else "torchvision", **result}))


if __name__ == "__main__":
    main()

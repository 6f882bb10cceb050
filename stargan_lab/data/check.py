"""``data check``: contents, problems and label balance of a dataset.

Annotations and images are read with the loader's code, but problems are collected instead of stopping at the first.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import ExifTags, Image

from stargan_lab import files
from stargan_lab.data.image_reader import MissingImageError, map_files, open_image, read_bytes, to_rgb
from stargan_lab.data.packed import PackedSource
from stargan_lab.data.problems import ignore_problem
from stargan_lab.data.protocols import ImageSource, Listing, SplitFiles
from stargan_lab.errors import DataError, preview


@dataclass
class Report:
    """The result of ``check``.

    Attributes:
        counts: split -> number of listed images.
        sizes, modes: number of images by (width, height) and by PIL mode.
        balance: label -> split -> share of images with it, for every label of the dataset, selected or not.
        problems: kind (a plural such as "unreadable images") -> where; training on the dataset fails or is flawed.
        notes: kind -> where; harmless findings.
    """

    name: str
    root: Path
    counts: dict[str, int] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    balance: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def on_problem(self, kind: str, path: Path, problem: str) -> None:
        """A ``ProblemHandler``."""
        self.problem(kind, f"{path.relative_to(self.root) if path.is_relative_to(self.root) else path}: {problem}")

    def problem(self, kind: str, where: str) -> None:
        self.problems.setdefault(kind, []).append(where)

    def note(self, kind: str, where: str) -> None:
        self.notes.setdefault(kind, []).append(where)

    def summary(self) -> str:
        """Several lines of text; each finding with its count and the first three cases."""
        lines = [f"{self.name} in {self.root}: {sum(self.counts.values()):,} images"]
        lines += ["splits: " + (", ".join(f"{which} {count:,}" for which, count in self.counts.items()) or "none")]
        lines += ["sizes: " + (", ".join(f"{w}×{h} ({n:,})" for (w, h), n in self.sizes.most_common(5)) or "none")]
        width = max((len(name) for name in self.balance), default=0)
        for name, shares in self.balance.items():
            lines.append(f"{name:<{width}}  " + "  ".join(f"{k} {v:6.1%}" for k, v in shares.items()))
        for title, findings in (("note", self.notes), ("problem", self.problems)):
            lines += [f"{title}: {kind} ({len(where):,}): {preview(where)}" for kind, where in findings.items()]
        return "\n".join(lines if self.problems else [*lines, "no problems"])


def check(source: ImageSource) -> Report:
    """Read all annotations and images of a source; SynthFaces are generated first if missing.

    Raises:
        ConfigError: an option of the source is wrong, e.g. an unknown attribute.
        DataError: the source does not consist of image files.
    """
    if not isinstance(source, PackedSource):
        raise DataError(f"{source.name}: only directories of images can be checked")
    report = Report(source.name, source.root)
    try:
        listing = source.listing()
        splits = listing.splits(report.on_problem)
        for kind, where in listing.notes():
            report.note(kind, where)
        _check_labels(listing, splits, report)
        _check_images(listing, splits, source.options.crop, report)
    except DataError as error:
        report.problem("unreadable dataset", str(error))
    return report


def _check_labels(listing: Listing, splits: Mapping[str, SplitFiles], report: Report) -> None:
    report.counts = {which: len(split.names) for which, split in splits.items()}
    every = listing.with_all_labels()
    for which, split in every.splits(ignore_problem).items():
        for name, share in zip(every.spec.names, split.labels.mean(0).tolist(), strict=True):
            report.balance.setdefault(name, {})[which] = share
            if share in (0.0, 1.0) and which != "valid":
                add = report.problem if name in listing.spec.names and which == "train" else report.note
                add("labels constant within a split", f"{name} in {which}")


@dataclass(frozen=True)
class _Pixels:
    """A decoded image: the SHA-256 of its RGB values, (width, height), PIL mode and EXIF orientation."""

    sha256: str
    size: tuple[int, int]
    mode: str
    orientation: int


def _read_pixels(path: Path) -> _Pixels | DataError:
    try:
        with open_image(read_bytes(path), path) as image:
            image.load()
            rgb, mode = to_rgb(image), image.mode
    except DataError as error:
        return error
    sha256 = files.sha256_bytes([repr(rgb.size).encode(), rgb.tobytes()])
    return _Pixels(sha256, rgb.size, mode, _orientation(rgb))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where it is missing or invalid."""
    try:
        value = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF parsers raise many exception types on damaged data
        return 1
    return value if value in range(1, 9) else 1


def _check_images(listing: Listing, splits: Mapping[str, SplitFiles], crop: int | None, report: Report) -> None:
    images = [
        (which, name, label.tobytes())
        for which, split in splits.items()
        for name, label in zip(split.names, split.labels, strict=True)
    ]
    first: dict[str, tuple[str, str, bytes]] = {}  # SHA-256 of the pixels -> first image with them
    results = map_files(_read_pixels, [listing.folder / name for _, name, _ in images], f"checking {report.name}")
    for (which, name, label), pixels in zip(images, results, strict=True):
        if isinstance(pixels, DataError):
            _add_unreadable(listing.folder / name, name, pixels, report)
            continue
        report.sizes[pixels.size] += 1
        report.modes[pixels.mode] += 1
        if pixels.mode != "RGB":
            report.note(f"images of mode {pixels.mode}, converted to RGB", name)
        if pixels.orientation != 1:
            report.note("images with an EXIF orientation, which training ignores", name)
        if crop is not None and min(pixels.size) < crop:
            report.problem(f"images smaller than the crop of {crop} px", f"{name} ({pixels.size[0]}x{pixels.size[1]})")
        first_split, first_name, first_label = first.setdefault(pixels.sha256, (which, name, label))
        pair = f"{first_name} ({first_split}) = {name} ({which})"
        if first_split != which:
            report.problem("duplicate images across splits", pair)
        elif first_label != label:
            report.problem("duplicate images with different labels", pair)
        elif first_name != name:
            report.note("duplicate images", pair)
    if len(report.sizes) > 1:
        report.note(
            "different image sizes", f"{len(report.sizes)} sizes from {min(report.sizes)} to {max(report.sizes)}"
        )


def _add_unreadable(path: Path, name: str, error: DataError, report: Report) -> None:
    if isinstance(error, MissingImageError):
        report.problem("missing images", name)
    else:
        report.problem("unreadable images", f"{name}: {str(error).removeprefix(f'{path}: ')}")

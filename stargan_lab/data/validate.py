"""Look through a dataset before training on it: what is there, what is broken, how balanced it is.

What is read is read by the code that serves it; where training would stop at the first flaw, this goes on.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stargan_lab.data.annotations import SPLITS
from stargan_lab.data.image_reader import Look, each, look
from stargan_lab.data.listing import Listing, SplitRows
from stargan_lab.data.packed_source import PackedSource
from stargan_lab.data.protocols import ImageSource
from stargan_lab.data.tree import first
from stargan_lab.errors import DataError

Findings = dict[str, list[str]]
"""Kind, a plural ("unreadable images") -> where each of them is."""


@dataclass
class Report:
    """What ``check`` found.

    Attributes:
        images: listed and read without a flaw in the lists.
        counts: images per split.
        sizes, modes: how many images have each (width, height) and PIL mode.
        balance: label -> split -> share of images that have it; every label of the folder, selected or not.
        problems: what keeps the dataset from being trained on as it should.
        remarks: what is read well but worth knowing.
    """

    name: str
    root: Path
    counts: dict[str, int] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    balance: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: Findings = field(default_factory=dict)
    remarks: Findings = field(default_factory=dict)

    @property
    def images(self) -> int:
        return sum(self.counts.values())

    def complain(self, kind: str, path: Path, flaw: str) -> None:
        """A ``Complain`` that keeps what it is told."""
        self.problem(kind, f"{path.relative_to(self.root) if path.is_relative_to(self.root) else path}: {flaw}")

    def problem(self, kind: str, where: str) -> None:
        self.problems.setdefault(kind, []).append(where)

    def remark(self, kind: str, where: str) -> None:
        self.remarks.setdefault(kind, []).append(where)

    def summary(self) -> str:
        """A few lines for a person; of each finding the count and the first three."""
        lines = [f"{self.name} in {self.root}: {self.images:,} images"]
        lines += ["splits: " + (", ".join(f"{which} {count:,}" for which, count in self.counts.items()) or "none")]
        lines += ["sizes: " + (", ".join(f"{w}×{h} ({n:,})" for (w, h), n in self.sizes.most_common(5)) or "none")]
        width = max((len(name) for name in self.balance), default=0)
        for name, shares in self.balance.items():
            lines.append(f"{name:<{width}}  " + "  ".join(f"{k} {v:6.1%}" for k, v in shares.items()))
        for what, findings in (("remark", self.remarks), ("problem", self.problems)):
            lines += [f"{what}: {kind} ({len(where):,}): {first(where)}" for kind, where in findings.items()]
        return "\n".join(lines if self.problems else [*lines, "no problems"])


def check(source: ImageSource) -> Report:
    """Read everything a source consists of, every image too; a drawn one is drawn first.

    Raises:
        ConfigError: the source's options are wrong, such as an attribute that does not exist.
        DataError: no source of image files.
    """
    if not isinstance(source, PackedSource):
        raise DataError(f"{source.name}: only folders of images can be checked")
    report = Report(source.name, source.root)
    try:
        listing = source.listing()
        rows = listing.rows(report.complain)
        for kind, where in listing.remarks():
            report.remark(kind, where)
        _labels(listing, rows, report)
        _images(listing, rows, source.serving.crop, report)
    except DataError as error:
        report.problem("what cannot be read at all", str(error))
    return report


def _labels(listing: Listing, rows: Mapping[str, SplitRows], report: Report) -> None:
    """Counts and balance; a label without contrast."""
    report.counts = {which: len(rows[which].names) for which in SPLITS if which in rows}
    report.balance = {}
    widest = listing.widest()
    for which, found in widest.rows(lambda *flaw: None).items():
        for name, share in zip(widest.spec.names, found.labels.mean(0).tolist(), strict=True):
            report.balance.setdefault(name, {})[which] = share
    for name, shares in report.balance.items():
        for which in ("train", "test"):
            if shares.get(which) in (0.0, 1.0):
                tell = report.problem if name in listing.spec.names and which == "train" else report.remark
                tell("labels that are the same in all images of a split", f"{name} in {which}")


def _images(listing: Listing, rows: Mapping[str, SplitRows], crop: int | None, report: Report) -> None:
    names = [(which, name) for which, found in rows.items() for name in found.names]
    paths = [listing.folder / name for _, name in names]
    seen: dict[str, tuple[str, str]] = {}  # pixels -> split and name of the first that has them
    labels = {name: row.tobytes() for r in rows.values() for name, row in zip(r.names, r.labels, strict=True)}
    looks = each(_look, paths, f"checking {report.name}")
    for (which, name), found in zip(names, looks, strict=True):
        if found.flaw is not None:
            _broken(listing.folder / name, name, found, report)
            continue
        report.sizes[found.size] += 1
        report.modes[found.mode] += 1
        if found.mode != "RGB":
            report.remark(f"images of mode {found.mode}, read as RGB", name)
        if found.orientation != 1:
            report.remark("images with an EXIF orientation, which training does not heed", name)
        if crop is not None and min(found.size) < crop:
            report.remark(f"images smaller than the crop of {crop} px, padded with black", name)
        other, first_name = seen.setdefault(found.pixels, (which, name))
        if first_name == name:
            continue
        pair = f"{first_name} ({other}) = {name} ({which})"
        if other != which:
            report.problem("images that are in two splits under two names", pair)
        elif labels[name] != labels[first_name]:
            report.problem("images that are there twice, with different labels", pair)
        else:
            report.remark("images that are there twice", pair)
    if len(report.sizes) > 1:
        smallest, largest = min(report.sizes), max(report.sizes)
        report.remark("different sizes", f"{len(report.sizes)} from {smallest} to {largest}")


def _look(path: Path) -> Look:
    """Of a file that only this machine cannot read, too."""
    try:
        return look(path, decoding=True)
    except DataError as error:
        return Look("unknown", str(error))


def _broken(path: Path, name: str, found: Look, report: Report) -> None:
    why = (found.flaw or "").removeprefix(f"{path}: ").removeprefix("not readable as an image ")
    if found.digest:
        report.problem("unreadable images", f"{name} {why}")
    else:
        report.problem("images listed but missing", name)

"""What a drawn dataset is: its parameters, which faces they give, and the file that says so beside the images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from stargan_lab import files
from stargan_lab.data.annotations import SPLITS
from stargan_lab.data.synthfaces import identity as faces
from stargan_lab.data.synthfaces.renderer import RENDERER_VERSION, feature_versions
from stargan_lab.errors import ConfigError, DataError, unknown

SPEC_FILE = "synthfaces.json"


@dataclass(frozen=True)
class SynthSpec:
    """What a drawn dataset is: ``size`` px, images per split, ``seed``, and ``difficulty`` from 0 (calm) to 1.

    Image i of a split depends on everything but how many there are; two forms and two splits share no identity.

    Attributes:
        form: ``celeba`` (lists of attributes; every face is neutral) or ``rafd`` (a folder per expression).
        vary: which of ``faces.OPTIONAL`` vary, beside ``faces.CORE``; the others are absent from every face.
    """

    size: int
    train: int
    valid: int
    test: int
    seed: int = 0
    difficulty: float = 0.5
    form: faces.Form = "celeba"
    vary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "difficulty", float(self.difficulty))  # 0 and 0.0 hash alike
        object.__setattr__(self, "vary", tuple(sorted(self.vary)))  # so do two orders
        if not 0 <= self.difficulty <= 1:
            raise ConfigError(f"synthfaces: difficulty goes from 0 to 1, got {self.difficulty}")
        if self.size < 8 or min(self.train, self.valid, self.test, self.seed) < 0 or self.total == 0:
            raise ConfigError(f"synthfaces: expected size of at least 8, counts and seed of at least 0, got {self}")
        faces.check_labels(self.vary, faces.OPTIONAL, "optional attribute")
        if self.form not in get_args(faces.Form):
            raise ConfigError(f"synthfaces: {unknown('form', self.form, get_args(faces.Form))}")
        if self.form == "rafd":
            self._check_expressions()

    def _check_expressions(self) -> None:
        if "Smiling" in self.vary:
            raise ConfigError("synthfaces: Smiling does not vary beside expressions, which have the mouth already")
        for which, count in zip(SPLITS, self.counts, strict=True):
            if 0 < count < len(faces.EXPRESSIONS):
                raise ConfigError(
                    f"synthfaces: {which} of {count} cannot show all {len(faces.EXPRESSIONS)} expressions;"
                    f" take at least {len(faces.EXPRESSIONS)}"
                )

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.train, self.valid, self.test

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def fingerprint(self) -> str:
        """Hash of ``description``: equal fingerprint, equal pixels."""
        return files.canonical_hash(self.description)

    @property
    def description(self) -> dict[str, Any]:
        """All parameters and the versions of what is drawn; of the later ones only what differs from the default."""
        values = asdict(self)
        later = {name: values.pop(name) for name in ("form", "vary")}
        shown = {"form": self.form, "vary": list(self.vary), "features": feature_versions(self.form, self.vary)}
        return {**values, **(shown if later != {"form": "celeba", "vary": ()} else {}), "version": RENDERER_VERSION}

    @property
    def attributes(self) -> tuple[str, ...]:
        """Those that vary, sorted: what the attribute list has columns for."""
        return tuple(sorted((*faces.CORE, *self.vary)))

    def identity(self, file: int) -> int:
        """The identity drawn in file number ``file`` (from 0, train first): no split shares one with another."""
        for which, count in enumerate(self.counts):
            if file < count:
                return (get_args(faces.Form).index(self.form) << 40) + (which << 32) + file
            file -= count
        raise DataError(f"synthfaces: there is no image {file + self.total + 1} among {self.total}")

    def file_names(self, which: str) -> list[str]:
        """The files of a split, as a listing of the form names them; nothing is drawn."""
        split = SPLITS.index(which)
        numbers = range(sum(self.counts[:split]), sum(self.counts[: split + 1]))
        if self.form == "celeba":
            return [file_name(number) for number in numbers]
        drawn = self.sample(numbers)
        shown = np.argmax([drawn.labels[name] for name in faces.EXPRESSIONS], axis=0)
        pairs = zip(numbers, shown, strict=True)
        return [f"{which}/{faces.EXPRESSIONS[face]}/{file_name(number)}" for number, face in pairs]

    def sample(self, numbers: Sequence[int]) -> faces.Faces:
        """The faces in the files with these numbers."""
        identities = [self.identity(number) for number in numbers]
        return faces.sample(self.seed, identities, self.difficulty, form=self.form, vary=self.vary)


def file_name(file: int) -> str:
    return f"{file + 1:06d}.png"


def read_spec(root: Path) -> SynthSpec | None:
    """What was drawn into ``root``; None for any other folder.

    Raises:
        DataError: drawn by another version of the renderer, whose pixels cannot be redrawn.
    """
    path = root / SPEC_FILE
    if not path.exists():
        return None
    raw = files.read_json(path)
    try:
        version, features = raw.pop("version"), dict(raw.pop("features", {}))
        spec = SynthSpec(**raw)
    except (AttributeError, KeyError, TypeError, ValueError, ConfigError):
        raise DataError(f"{path}: not a description of SynthFaces") from None
    again = "; remove it and draw it again"
    if version != RENDERER_VERSION:
        raise DataError(f"{root}: drawn by version {version} of SynthFaces, this is {RENDERER_VERSION}{again}")
    for name, current in feature_versions(spec.form, spec.vary).items():
        if features.get(name) != current:
            raise DataError(f"{root}: drawn with version {features.get(name)} of {name}, this is {current}{again}")
    return spec

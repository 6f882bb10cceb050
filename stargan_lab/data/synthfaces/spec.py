"""The parameters of a SynthFaces dataset, the faces they define, and the file that records them next to the images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from stargan_lab import files
from stargan_lab.data.options import SPLITS
from stargan_lab.data.synthfaces.identity import CORE, EXPRESSIONS, OPTIONAL, Faces, Form, check_labels, sample
from stargan_lab.data.synthfaces.renderer import RENDERER_VERSION, feature_versions
from stargan_lab.errors import ConfigError, DataError, unknown

SPEC_FILE = "synthfaces.json"


@dataclass(frozen=True)
class SynthSpec:
    """The parameters of a SynthFaces dataset.

    Image i of a split does not depend on the number of images. No two splits or forms share an identity.

    Attributes:
        size: side of the images in px, at least 8.
        train, valid, test: images per split.
        difficulty: variation of backgrounds, skin, clothes and light, from 0 to 1.
        form: ``celeba`` (attribute file, neutral faces) or ``rafd`` (one directory per expression).
        vary: the attributes of ``OPTIONAL`` that vary in addition to ``CORE``; no face has any of the others.

    Raises ConfigError when values are out of range or incompatible.
    """

    size: int
    train: int
    valid: int
    test: int
    seed: int = 0
    difficulty: float = 0.5
    form: Form = "celeba"
    vary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "difficulty", float(self.difficulty))  # so that 0 and 0.0 have the same hash
        object.__setattr__(self, "vary", tuple(sorted(self.vary)))  # so that order does not matter
        if not 0 <= self.difficulty <= 1:
            raise ConfigError(f"synthfaces: difficulty must be between 0 and 1, got {self.difficulty}")
        if self.size < 8 or min(self.train, self.valid, self.test, self.seed) < 0 or self.total == 0:
            raise ConfigError(
                f"synthfaces: size must be at least 8, counts and seed at least 0, and one count positive; got {self}"
            )
        check_labels(self.vary, OPTIONAL, "optional attribute")
        if self.form not in get_args(Form):
            raise ConfigError(f"synthfaces: {unknown('form', self.form, get_args(Form))}")
        if self.form == "rafd":
            self._check_expressions()

    def _check_expressions(self) -> None:
        if "Smiling" in self.vary:
            raise ConfigError("synthfaces: Smiling cannot vary in a dataset of expressions, which determine the mouth")
        for which, count in zip(SPLITS, self.counts, strict=True):
            if 0 < count < len(EXPRESSIONS):
                raise ConfigError(
                    f"synthfaces: {which}={count} is less than one image per expression; set {len(EXPRESSIONS)} or more"
                )

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.train, self.valid, self.test

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def fingerprint(self) -> str:
        """Hash of ``description``; equal fingerprints mean equal pixels."""
        return files.canonical_hash(self.description)

    @property
    def description(self) -> dict[str, Any]:
        """All parameters and the versions of the rendered features.

        ``form`` and ``vary`` are omitted when both have their defaults, so that older datasets keep their fingerprints.
        """
        values = asdict(self)
        later = {name: values.pop(name) for name in ("form", "vary")}
        shown = {"form": self.form, "vary": list(self.vary), "features": feature_versions(self.form, self.vary)}
        return {**values, **(shown if later != {"form": "celeba", "vary": ()} else {}), "version": RENDERER_VERSION}

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that vary, sorted: the columns of the attribute file."""
        return tuple(sorted((*CORE, *self.vary)))

    def identity(self, file: int) -> int:
        """The identity in file number ``file``, counted from 0 over train, valid and test. Raises DataError."""
        for which, count in enumerate(self.counts):
            if file < count:
                return (get_args(Form).index(self.form) << 40) + (which << 32) + file
            file -= count
        raise DataError(f"synthfaces: image {file + self.total + 1} of {self.total} does not exist")

    def file_names(self, which: str) -> list[str]:
        """The files of a split, relative to the image directory; nothing is rendered."""
        split = SPLITS.index(which)
        numbers = range(sum(self.counts[:split]), sum(self.counts[: split + 1]))
        if self.form == "celeba":
            return [file_name(number) for number in numbers]
        pairs = zip(numbers, self.sample(numbers).expressions, strict=True)
        return [f"{which}/{expression}/{file_name(number)}" for number, expression in pairs]

    def sample(self, numbers: Sequence[int]) -> Faces:
        """The faces in the files with these numbers, counted from 0."""
        identities = [self.identity(number) for number in numbers]
        return sample(self.seed, identities, self.difficulty, form=self.form, vary=self.vary)


def file_name(file: int) -> str:
    return f"{file + 1:06d}.png"


def read_spec(root: Path) -> SynthSpec | None:
    """The parameters of the SynthFaces in ``root``; None for any other directory.

    Raises:
        DataError: the file is damaged, or a different version of the renderer made the images.
    """
    path = root / SPEC_FILE
    if not path.exists():
        return None
    raw = files.read_json(path)
    try:
        version, features = raw.pop("version"), dict(raw.pop("features", {}))
        spec = SynthSpec(**raw)
    except (AttributeError, KeyError, TypeError, ValueError, ConfigError):
        raise DataError(f"{path}: not a valid SynthFaces description") from None
    advice = "; delete the directory to generate it again"
    if version != RENDERER_VERSION:
        raise DataError(f"{root}: rendered by SynthFaces version {version}, expected {RENDERER_VERSION}{advice}")
    for name, current in feature_versions(spec.form, spec.vary).items():
        if features.get(name) != current:
            raise DataError(f"{root}: rendered with {name} version {features.get(name)}, expected {current}{advice}")
    return spec

"""What a run's scorings left: ``result.json`` has the first, ``scores/<protocol>.json`` each of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stargan_lab.errors import LabError
from stargan_lab.evaluation.protocol import metric_identity
from stargan_lab.files import canonical_hash, read_json
from stargan_lab.tracking.metrics import lookup
from stargan_lab.tracking.run_folder import RunFolder


@dataclass(frozen=True)
class RunWarning:
    """What is wrong with the scores of one run.

    Attributes:
        code: its kind, e.g. ``collapse``.
        metrics: the scores it concerns, e.g. ``eval/edit``; none for all of them.
        text: one line.
    """

    code: str
    metrics: tuple[str, ...]
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"metrics": list(self.metrics)}


@dataclass(frozen=True)
class Scoring:
    """Scores of one run under one protocol.

    Attributes:
        protocol: in full, as it is stored; of a very old record its hash alone, or an empty string.
    """

    metrics: dict[str, float]
    protocol: Mapping[str, Any] | str
    warnings: tuple[RunWarning, ...]

    @property
    def hash(self) -> str:
        if isinstance(self.protocol, str):
            return self.protocol
        return self.protocol.get("hash") or canonical_hash(self.protocol)[:12]

    @property
    def facts(self) -> Mapping[str, Any]:
        """The protocol in full; empty where only its hash is known."""
        return {} if isinstance(self.protocol, str) else self.protocol

    def identities(self) -> dict[str, str]:
        """Score -> ``metric_identity``, none per domain; empty where only the protocol's hash is known."""
        bases = dict.fromkeys(lookup(name).name for name in self.metrics) if self.facts else ()
        return {base: metric_identity(self.facts, base) for base in bases}


def parse_warnings(raw: Any) -> tuple[RunWarning, ...]:
    """From plain JSON; None is none. Raises ValueError for another form."""
    try:
        return tuple(RunWarning(str(w["code"]), tuple(map(str, w["metrics"])), str(w["text"])) for w in raw or ())
    except (KeyError, TypeError):
        raise ValueError("warnings: expected a list of code, metrics and text") from None


def first_scoring(folder: RunFolder) -> Scoring:
    """The one in ``result.json``; of a run without it no metrics. Raises LabError that names a damaged file."""
    record = dict(folder.result() or {})
    record["protocol"] = record.get("protocol") or folder.tags().get("protocol", "")
    return _parse(record, folder.result_path)


def scoring_under(folder: RunFolder, protocol: str) -> Scoring | None:
    """The scoring of a finished run under the protocol of this hash, None where there is none."""
    path = _scores(folder) / f"{protocol}.json"
    if path.exists():
        return _parse(read_json(path), path)
    first = first_scoring(folder)
    return first if first.hash == protocol else None


def find_protocol(beginning: str, folders: Iterable[RunFolder]) -> str:
    """The one protocol under which any of these runs was scored and whose hash begins so.

    Raises:
        LabError: none or several do; the message lists those there are.
    """
    known = Counter(found for folder in folders if folder.status() == "finished" for found in _hashes(folder))
    fitting = [name for name in known if name.startswith(beginning)]
    if len(fitting) == 1:
        return fitting[0]
    trouble = "more than one protocol begins so" if fitting else "no run was scored under it"
    there = ", ".join(f"{name} ({n} run{'s' if n > 1 else ''})" for name, n in sorted(known.items()))
    raise LabError(f"--protocol {beginning}: {trouble}; there are: {there or 'none'}")


def _scores(folder: RunFolder) -> Path:
    return folder.path / "scores"


def _hashes(folder: RunFolder) -> set[str]:
    return {first_scoring(folder).hash, *(path.stem for path in _scores(folder).glob("*.json"))} - {""}


def _parse(record: Any, path: Path) -> Scoring:
    try:
        protocol = record["protocol"]
        return Scoring(
            {str(name): float(value) for name, value in record.get("metrics", {}).items()},
            protocol if isinstance(protocol, str) else dict(protocol),
            parse_warnings(record.get("warnings")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = error if isinstance(error, ValueError) else "expected a mapping with metrics and protocol"
        raise LabError(f"{path}: {what}") from None

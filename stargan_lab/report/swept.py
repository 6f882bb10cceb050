"""What a sweep records: its cells, its command and, with ``--until-decided``, the plan of its looks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.files import is_file_name, read_json, write_json
from stargan_lab.report.collect_runs import Cells
from stargan_lab.report.effects import ALPHA


@dataclass(frozen=True)
class SeedPlan:
    """Everything that the levels of the looks depend on; fixed before the first look.

    Attributes:
        seeds: seeds of the first look; each further look adds one, counting up from the largest.
        max_seeds: number of seeds at the last look.
        alpha: probability of any false verdict, over all variants and looks.
        compared: variant -> the variant it is compared with.
    """

    seeds: tuple[int, ...]
    max_seeds: int
    alpha: float
    primary: str
    smallest_effect: float | None
    compared: Mapping[str, str]

    @classmethod
    def of(cls, ablation: Ablation, seeds: tuple[int, ...], max_seeds: int) -> "SeedPlan":
        compared = ablation.compared_with()
        return cls(seeds, max_seeds, ALPHA, ablation.primary, ablation.smallest_effect, compared)

    @property
    def looks(self) -> tuple[int, int]:
        """Number of seeds at the first and the last look."""
        return len(self.seeds), self.max_seeds

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of ``stargan-lab sweep`` that continue it."""
        return "--until-decided", "--max-seeds", str(self.max_seeds)

    def seed(self, index: int) -> int:
        """Seed by its place in the plan, from 0."""
        first = len(self.seeds)
        return self.seeds[index] if index < first else max(self.seeds) + 1 + index - first

    def check(self, now: "SeedPlan", path: Path) -> None:
        """Raises LabError if the plan that is read from ``path`` and the present one differ."""
        for field in fields(self):
            planned, value = getattr(self, field.name), getattr(now, field.name)
            if planned != value:
                raise LabError(
                    f"{field.name}: the sweep was planned with {_text(planned)}, and its levels depend on it,"
                    f" but now it is {_text(value)}; restore it, or delete {path} to discard the plan"
                )


@dataclass(frozen=True)
class Swept:
    """The last sweep of an ablation.

    Attributes:
        command: repeats it; empty in older records.
    """

    cells: Cells
    plan: SeedPlan | None = None
    command: str = ""

    def write(self, path: Path) -> None:
        """Write everything in one file, so that no part is ever without the others."""
        plan = asdict(self.plan) if self.plan else None
        write_json(path, {"command": self.command, "cells": self.cells, "plan": plan})


def read_swept(path: Path) -> Swept | None:
    """What the last sweep wrote; None before the first. Raises LabError that names a damaged file."""
    if not path.exists():
        return None
    content = read_json(path)
    try:
        record = content if isinstance(content, dict) else {"cells": content, "plan": None}  # a list in older records
        cells, plan = record["cells"], record["plan"]
        parsed = [(str(variant), int(seed), _checked(run_id)) for variant, seed, run_id in cells]
        return Swept(parsed, _parse(plan) if plan else None, str(record.get("command", "")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabError(f"{path}: expected the cells of a sweep ({error})") from None


def planned(ablation: Ablation, swept: Swept | None, path: Path) -> Ablation:
    """The ablation with the looks of its sweep. Raises LabError if the ablation file was changed since the plan."""
    if swept is None or swept.plan is None:
        return ablation
    swept.plan.check(SeedPlan.of(ablation, swept.plan.seeds, swept.plan.max_seeds), path)
    return replace(ablation, looks=swept.plan.looks)


def _parse(plan: Mapping[str, Any]) -> SeedPlan:
    """Raises KeyError, TypeError or ValueError. ``SeedPlan.check`` compares the other values with the ablation's."""
    seeds, max_seeds = plan["seeds"], plan["max_seeds"]
    if type(max_seeds) is not int or not isinstance(seeds, list) or not seeds or any(type(s) is not int for s in seeds):
        raise ValueError("the seeds of the plan are not integers")
    return SeedPlan(**{**plan, "seeds": tuple(seeds)})


def _checked(run_id: Any) -> str:
    """Raises ValueError if the id names files outside of the directory of runs."""
    if not is_file_name(run_id):
        raise ValueError(f"{repr(run_id)[:60]} is not a run id")
    return str(run_id)


def _text(value: Any) -> str:
    """``0, 1, 2`` for seeds, and ``layer vs. none`` for each comparison."""
    if isinstance(value, Mapping):
        return ", ".join(f"{variant} vs. {base}" for variant, base in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

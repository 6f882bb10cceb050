"""Where a result came from: code, commit, machine, libraries."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from stargan_lab.files import sha256_bytes

_PACKAGE = Path(__file__).parent
_CODE = (
    "batch.py",
    "randomness.py",
    "factory.py",
    "weights.py",
    "data",
    "models",
    "losses",
    "training",
    "evaluation",
    "exchange",
)
"""What training and scoring compute with; the command line, tracking and report cannot change a number."""


@cache
def code_hash(modules: tuple[str, ...] = ()) -> str:
    """Twelve digits over the sources of training and evaluation: equal code, equal hash.

    Args:
        modules: names of imported modules with one's own components.
    """
    files = [file for part in _CODE for file in sorted((_PACKAGE / part).rglob("*.py")) or [_PACKAGE / part]]
    parts = (part for file in files for part in (file.relative_to(_PACKAGE).as_posix().encode(), file.read_bytes()))
    own = (file.read_bytes() for name in modules for file in _sources(Path(str(sys.modules[name].__file__))))
    return sha256_bytes([*parts, *own])[:12]


def _sources(file: Path) -> list[Path]:
    """A module's file, or every source of a package."""
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


@cache
def git_commit() -> str:
    """The commit the package stands at, with ``-dirty`` when files changed since; ``unknown`` outside a checkout."""
    git = ["git", "-C", str(_PACKAGE)]
    command = [*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:  # an installed package may lie in somebody else's checkout
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=5, check=True)
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def environment(device_type: str) -> dict[str, str]:
    """Machine, libraries and date, as recorded with every result; the GPU's name for a run on one."""
    import torch

    device = torch.cuda.get_device_name() if device_type == "cuda" else _processor()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": device,
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines[:30] if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    return f"{named.get('model name', platform.machine())} (family {named.get('cpu family', '?')})"

"""Where a result came from: code, commit, machine, libraries."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from stargan_lab.files import sha256_bytes

_PACKAGE = Path(__file__).parent
_CODE = ("batch.py", "randomness.py", "factory.py", "data", "models", "losses", "training", "evaluation")
"""What training and scoring compute with; the command line, tracking and report cannot change a number."""


@cache
def code_hash() -> str:
    """Twelve digits over the sources of training and evaluation: equal code, equal hash."""
    files = [file for part in _CODE for file in sorted((_PACKAGE / part).rglob("*.py")) or [_PACKAGE / part]]
    parts = (part for file in files for part in (file.relative_to(_PACKAGE).as_posix().encode(), file.read_bytes()))
    return sha256_bytes(parts)[:12]


@cache
def git_commit() -> str:
    """The commit the package stands at, with ``-dirty`` when files changed since; ``unknown`` outside a checkout."""
    command = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def environment() -> dict[str, str]:
    """Machine, libraries and date, as recorded with every result."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
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

"""The provenance of a result: code, commit, machine, libraries."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from stargan_lab.files import sha256_bytes

_PACKAGE = Path(__file__).parents[1]
_DISPLAY_ONLY = (
    "cli",
    "figures",
    "inspection",
    "report",
    "toy",
    "console.py",
    "tracking/ui.py",
)
"""Packages and modules that cannot change the results of a run."""
_DATA_ONLY = ("conf", "experiments")
"""Packages of YAML files, which the run id covers; an editable install has them outside the package."""


@cache
def code_hash(modules: tuple[str, ...] = (), package: Path = _PACKAGE) -> str:
    """Twelve hex digits of the SHA-256 over all sources that can change a result.

    Args:
        modules: imported user modules to include.
        package: the source directory of stargan_lab.
    """
    files = [file.relative_to(package) for file in sorted(package.rglob("*.py"))]
    hashed = [file for file in files if not {file.parts[0], file.as_posix()} & {*_DISPLAY_ONLY, *_DATA_ONLY}]
    parts = (part for file in hashed for part in (file.as_posix().encode(), (package / file).read_bytes()))
    user_code = (file.read_bytes() for name in modules for file in _sources(Path(str(sys.modules[name].__file__))))
    return sha256_bytes([*parts, *user_code])[:12]


def _sources(file: Path) -> list[Path]:
    """The file of a module, or all sources of a package."""
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


@cache
def git_commit() -> str:
    """The checked-out commit, with ``-dirty`` if files have changed since; ``unknown`` outside a git checkout."""
    git = ["git", "-C", str(_PACKAGE)]
    command = [*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:  # an installed package may be inside another project's checkout
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=5, check=True)
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def environment(device_type: str) -> dict[str, str]:
    """Date, machine (the GPU's name for ``cuda``), usable cores, Python's and torch's versions, for ``result.json``."""
    import torch
    from joblib import cpu_count

    device = torch.cuda.get_device_name() if device_type == "cuda" else _processor()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": device,
        "cores": str(cpu_count()),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines[:30] if ":" in line)
    cpu = {key.strip(): value.strip() for key, value in fields.items()}
    return f"{cpu.get('model name', platform.machine())} (family {cpu.get('cpu family', '?')})"

"""stargan-lab: swap any component of StarGAN, train every variant, and compare them.

Public names are imported on first use, so that ``import stargan_lab`` and ``stargan-lab --help`` are fast.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "compose": "stargan_lab.config",
    "ConfigError": "stargan_lab.errors",
    "LabError": "stargan_lab.errors",
    "build_networks": "stargan_lab.runs.build",
    "load_runs": "stargan_lab.report.query",
    "run": "stargan_lab.runs.run",
}
__all__ = ["ConfigError", "LabError", "__version__", "build_networks", "compose", "load_runs", "run"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'stargan_lab' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)

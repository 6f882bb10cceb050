"""What a failed run leaves: its traceback in a file, and one line that names the cause, the component and the file."""

import re
import sys
import traceback
from collections.abc import Sequence
from types import CodeType, TracebackType

import torch

from stargan_lab.config import RunConfig
from stargan_lab.errors import LabError, NonFiniteLossError, ProcessLost, one_line
from stargan_lab.files import write_text
from stargan_lab.registry import families, family
from stargan_lab.tracking.run_folder import RunFolder

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate|unable to allocate|cannot allocate|not enough memory", re.I)


def described(error: Exception | SystemExit, config: RunConfig | None, folder: RunFolder) -> LabError:
    """``error`` as a LabError in one line. An unexpected error leaves its traceback in the run folder.

    Args:
        config: of the run; None if the error prevented its composition.
    """
    if isinstance(error, LabError):
        return error
    if config is not None and out_of_memory(error):
        return LabError(
            f"out of memory ({one_line(error)[:200]}); reduce batch_size={config.batch_size},"
            f" data.image_size={config.data.image_size} or the width of the networks"
        )
    cause = f"a component called sys.exit({error.code!r})" if isinstance(error, SystemExit) else None
    code = _user_code(error.__traceback__, config.imports) if config is not None else ""
    place = f"{cause or f'{type(error).__name__}: {one_line(error)}'}{code}"
    try:
        write_text(folder.traceback_path, "".join(traceback.format_exception(error)))
    except OSError as full:
        return LabError(f"{place} (its traceback cannot be written: {one_line(full)})")
    return LabError(f"{place}; traceback: {folder.traceback_path}")


def status_of(error: BaseException) -> str:
    """The status in ``result.json`` of a run that ended with ``error``; interrupted if another process ended."""
    if isinstance(error, ProcessLost):
        return "interrupted"
    return "diverged" if isinstance(error, NonFiniteLossError) else "failed"


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, in Python, numpy or torch, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def _user_code(trace: TracebackType | None, imports: Sequence[str]) -> str:
    """`` in adversarial 'soft', /path/of/my_loss.py, line 7``, for the innermost line in a user's code, else empty.

    Args:
        imports: the user's modules, and packages with all modules in them.
    """
    files = {
        getattr(module, "__file__", None): name  # none: a directory without __init__.py
        for name, module in list(sys.modules.items())
        if any(name == each or name.startswith(f"{each}.") for each in imports)
    }
    found = ""
    for frame, line in traceback.walk_tb(trace):
        if (file := frame.f_code.co_filename) in files:
            found = f" in {_component(files[file], frame.f_code)}{file}, line {line}"
    return found


def _component(module: str, code: CodeType) -> str:
    """The component that the code belongs to, as ``adversarial 'soft', ``; empty for a helper of several."""
    owner = code.co_qualname.partition(".")[0]
    for name in families():
        registry = family(name)
        for entry in registry.in_order():
            builder = registry.get(entry)
            if (builder.__module__, builder.__qualname__) == (module, owner):
                return f"{name} {entry!r}, "
    return ""

"""Find, read and hash weight files: a run's checkpoint, or a plain state dict as StarGAN writes it.

torch is imported when a file is read, so that a configuration without weight files does not need it.
"""

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stargan_lab import files
from stargan_lab.errors import ConfigError, LabError, nearest
from stargan_lab.tracking.run_folder import RunFolder, find_run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Role = Literal["generator", "discriminator"]
State = Mapping[str, "Tensor"]
ROLES: tuple[Role, Role] = ("generator", "discriminator")
CHECKPOINT = Path("checkpoints") / "last.pt"
COUNTER = "num_batches_tracked"
_WRAPPERS = ("module.", "_orig_mod.")
"""Key prefixes added by torch's DataParallel and compile."""
_RUN_KEYS = {"generator": "generator", "discriminator": "critic", "average": "ema"}


@dataclass(frozen=True)
class Checkpoint:
    """The networks in a weight file.

    Attributes:
        states: for a run's checkpoint, keyed by ``generator``, ``discriminator`` and, if it has one, ``average``; for a
            plain state dict, a single entry under the empty string.
        run_id, step: None for a plain state dict.
    """

    path: Path
    states: Mapping[str, State]
    run_id: str | None = None
    step: int | None = None

    def state(self, role: Role) -> State:
        """The weights for a network of this role; a plain state dict has no role and is returned for either."""
        return self.states[role if self.run_id is not None else ""]


def locate(text: str, outputs: Path) -> Path:
    """The checkpoint that ``text`` names: a file, a run folder, or a run id (a prefix is enough).

    Raises:
        ConfigError: it does not exist, or the prefix is ambiguous.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return _checkpoint_in(path)
    if "/" in text or path.suffix:
        siblings = [str(path.parent / p.name) for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise ConfigError(f"{text}: no such file{nearest(text, siblings)}")
    return _checkpoint_in(find_run(outputs, text).path)


def locate_initial(text: str, outputs: Path) -> Path:
    """``locate`` for initial weights, which must not change: a run must be finished.

    Raises:
        ConfigError: see ``locate`` and ``RunFolder.check_finished``.
    """
    path = locate(text, outputs)
    folder = RunFolder(path.absolute().parent.parent)
    if path.absolute() == folder.path / CHECKPOINT and folder.config_path.is_file():
        folder.check_finished()
    return path


def _checkpoint_in(folder: Path) -> Path:
    if not (folder / CHECKPOINT).is_file():
        raise ConfigError(f"{folder}: contains no {CHECKPOINT}; expected a run directory with a checkpoint, or a file")
    return folder / CHECKPOINT


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the networks in a weight file onto the CPU, without the key prefixes of DataParallel and compile.

    Raises:
        ConfigError: see ``load_weights``; or it contains neither a run's checkpoint nor one network's state dict.
    """
    try:
        content = load_weights(path)
    except LabError as error:  # the user chose this file
        raise ConfigError(str(error)) from None
    if isinstance(content, Mapping) and {"run_id", "step", "generator", "critic"} <= set(content):
        states = {name: _unwrapped(content[key]) for name, key in _RUN_KEYS.items() if content.get(key)}
        return Checkpoint(path, states, str(content["run_id"]), int(content["step"]))
    return Checkpoint(path, {"": _unwrapped(_plain_state(path, content))})


def load_weights(path: Path, map_location: "torch.device | str" = "cpu") -> Any:
    """The content of a file written by ``torch.save``. Code in it is never executed.

    Raises:
        LabError: it is missing, empty, damaged, a web page, a Git LFS pointer, or contains code.
    """
    import torch

    _check_header(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read is an error
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # a damaged pickle can raise almost anything
        match = re.search(r"(?:GLOBAL|global) ([\w.]+)|(\w[\w.]+) was not an allowed global", str(error))
        if match is None:
            raise LabError(f"{path}: not a weight file that torch can read (damaged or another format)") from None
        raise LabError(
            f"{path}: contains code ({match[1] or match[2]}), which is never executed; save a plain state dict instead"
        ) from None


def _check_header(path: Path) -> None:
    """Reject what failed downloads leave in place of a weight file."""
    try:
        with path.open("rb") as file:
            header = file.read(256).lstrip()
    except FileNotFoundError:
        raise LabError(f"{path}: no such file") from None
    except OSError as error:
        raise LabError(f"{path}: cannot be read ({error.strerror})") from None
    if not header:
        raise LabError(f"{path}: is empty")
    if header.startswith(b"<"):
        raise LabError(f"{path}: is an HTML or XML page, not a weight file; download the file itself")
    if header.startswith(b"version https://git-lfs"):
        raise LabError(f"{path}: is a Git LFS pointer, not the file itself; run `git lfs pull`")


def _plain_state(path: Path, content: Any) -> State:
    from torch import Tensor

    if not isinstance(content, Mapping) or not content:
        raise ConfigError(f"{path}: contains {type(content).__name__}, expected the state dict of one network")
    for key, value in content.items():
        if not isinstance(value, Tensor) or not isinstance(key, str):
            raise ConfigError(
                f"{path}: {key!r} is not a tensor; expected the state dict of one network or a run's checkpoint"
            )
    return content


def _unwrapped(state: State) -> dict[str, "Tensor"]:
    for prefix in _WRAPPERS:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def digest(state: State) -> str:
    """SHA-256 of a state dict without torch's counters, which older files lack; see ``hash_tensors``."""
    return hash_tensors((name, tensor) for name, tensor in state.items() if not name.endswith(COUNTER))


def hash_tensors(tensors: Iterable[tuple[str, "Tensor"]]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    import torch

    sha256 = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        sha256.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def content_hash(text: str, role: Role, outputs: Path) -> str:
    """Hash of the weights that ``text`` names for a network of this role; independent of the file they are stored in.

    Raises:
        ConfigError: see ``locate_initial`` and ``read_checkpoint``.
    """
    return _hash(locate_initial(text, outputs), role)


@files.remembered(maxsize=64)  # a sweep needs it for every cell
def _hash(path: Path, role: Role) -> str:
    return digest(read_checkpoint(path).state(role))


def step_in_name(path: Path) -> int | None:
    """200000 for StarGAN's ``200000-G.ckpt``."""
    match = re.match(r"(\d+)-[GD]\b", path.name)
    return int(match[1]) if match else None

"""Files of weights, a run's checkpoint or the reference's plain state dict: found, read with one-line refusals, hashed.

torch is imported when a file is read, so that a configuration without such files needs none.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stargan_lab.errors import ConfigError, nearest
from stargan_lab.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

Role = Literal["generator", "discriminator"]
State = Mapping[str, "Tensor"]
ROLES: tuple[Role, Role] = ("generator", "discriminator")
CHECKPOINT = Path("checkpoints") / "last.pt"
COUNTER = "num_batches_tracked"
_WRAPPERS = ("module.", "_orig_mod.")
"""What torch's DataParallel and compile put before every key."""
_LAST_HASHES: dict[tuple[str, ...], str] = {}
_IN_A_RUN = {"generator": "generator", "discriminator": "critic", "average": "ema"}


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        parts: for a run's checkpoint the states of generator, discriminator and, where there is one, average; for a
            plain state dict that one, under the empty name.
        run_id, step: of a run's checkpoint.
    """

    path: Path
    parts: Mapping[str, State]
    run_id: str | None = None
    step: int | None = None

    @property
    def plain(self) -> bool:
        return "" in self.parts

    def state(self, role: Role) -> State:
        """The weights for a network of that role: of a plain state dict its only ones, whichever they are."""
        return self.parts[""] if self.plain else self.parts[role]


def locate(text: str, outputs: Path) -> Path:
    """The file that a path, a run's folder, or a run's id or its unique beginning names.

    Raises:
        ConfigError: there is none, or several runs begin so.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return _checkpoint_in(path)
    runs = {folder.name: folder for folder in (outputs / "runs").glob("*") if folder.is_dir()}
    found = [text] if text in runs else [name for name in sorted(runs) if text and name.startswith(text)]
    if len(found) == 1:
        return _checkpoint_in(runs[found[0]])
    if found:
        raise ConfigError(f"run {text!r} is not unique: {', '.join(found[:5])}{', …' if len(found) > 5 else ''}")
    if "/" in text or path.suffix:
        siblings = [str(path.parent / p.name) for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise ConfigError(f"{text}: no such file{nearest(text, siblings)}")
    hint = nearest(text, runs) or (f"; there are {len(runs)}" if runs else "; there is none yet")
    raise ConfigError(f"no file and no run {text!r} in {outputs / 'runs'}{hint}")


def locate_start(text: str, outputs: Path) -> Path:
    """As ``locate``, of weights to start from: of a run only those it ends with, since others change as it goes on.

    Raises:
        ConfigError: see ``locate``; or the run is not finished, with what to do.
    """
    path = locate(text, outputs)
    folder = RunFolder(path.absolute().parent.parent)
    if path.absolute() != folder.path / CHECKPOINT or not folder.config_path.is_file():
        return path
    status = folder.status()
    if status == "running":
        raise ConfigError(f"run {folder.run_id} is still being trained; start from it once it is finished")
    if status != "finished":
        raise ConfigError(
            f"run {folder.run_id} is not finished ({status}); finish it by the command it was begun with, or name a"
            f" copy of {path} to start from what it has"
        )
    return path


def _checkpoint_in(folder: Path) -> Path:
    if not (folder / CHECKPOINT).is_file():
        raise ConfigError(f"{folder}: no {CHECKPOINT} in it; expected a run's folder with a checkpoint, or a file")
    return folder / CHECKPOINT


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file of weights onto the CPU. No code in it is run.

    Keys lose what DataParallel or compile put before them.

    Raises:
        ConfigError: in one line, that it is a web page, holds code, is damaged, or is no file of weights.
    """
    content = _load(path)
    if isinstance(content, Mapping) and {"run_id", "step", "generator", "critic"} <= set(content):
        parts = {part: _unwrapped(content[key]) for part, key in _IN_A_RUN.items() if content.get(key)}
        return Checkpoint(path, parts, str(content["run_id"]), int(content["step"]))
    return Checkpoint(path, {"": _unwrapped(_plain_state(path, content))})


def _load(path: Path) -> Any:
    import torch

    _refuse_what_is_no_checkpoint(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise nearly anything
        text = str(error)
        if named := re.search(r"(?:GLOBAL|global) ([\w.]+)|(\w[\w.]+) was not an allowed global", text):
            culprit = named.group(1) or named.group(2)
            raise ConfigError(
                f"{path}: holds code ({culprit}), which is never run here; save a plain state dict of it first"
            ) from None
        raise ConfigError(f"{path}: not a file of weights that torch can read: damaged, or something else") from None


def _refuse_what_is_no_checkpoint(path: Path) -> None:
    """What downloads leave in place of a file."""
    try:
        with path.open("rb") as file:
            head = file.read(256).lstrip()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise ConfigError(f"{path}: is empty")
    if head.startswith(b"<"):
        raise ConfigError(f"{path}: is a web page or XML, not a file of weights; download the file itself")
    if head.startswith(b"version https://git-lfs"):
        raise ConfigError(f"{path}: is a pointer of Git LFS, not the file itself; `git lfs pull` fetches it")


def _plain_state(path: Path, content: Any) -> State:
    from torch import Tensor

    if not isinstance(content, Mapping) or not content:
        raise ConfigError(f"{path}: holds {type(content).__name__}, expected a state dict of one network")
    odd = next(
        (key for key, value in content.items() if not isinstance(value, Tensor) or not isinstance(key, str)), None
    )
    if odd is None:
        return content
    raise ConfigError(f"{path}: {odd!r} in it is no tensor; expected a state dict of one network or a run's checkpoint")


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
    """Hash of the weights that ``text`` names for a network of that role, whatever file they are in.

    Raises:
        ConfigError: see ``locate_start`` and ``read_checkpoint``.
    """
    path = locate_start(text, outputs)
    status = path.stat()
    found = _hash_of(path.resolve(), role, status.st_mtime_ns, status.st_size)
    _LAST_HASHES[_asked(text, role, outputs)] = found
    return found


def last_hash(text: str, role: Role, outputs: Path) -> str | None:
    """What ``content_hash`` last returned in this process, the file not being looked at; None: it was not asked."""
    return _LAST_HASHES.get(_asked(text, role, outputs))


def _asked(text: str, role: Role, outputs: Path) -> tuple[str, ...]:
    return str(Path.cwd()), text, role, str(outputs)


@lru_cache(maxsize=64)
def _hash_of(path: Path, role: Role, changed: int, size: int) -> str:
    """Cached for as long as the file stays as it is: a sweep asks once per cell."""
    return digest(read_checkpoint(path).state(role))


def step_in_name(path: Path) -> int | None:
    """200000 of the reference's ``200000-G.ckpt``."""
    found = re.match(r"(\d+)-[GD]\b", path.name)
    return int(found.group(1)) if found else None

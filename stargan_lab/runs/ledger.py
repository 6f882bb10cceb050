"""Which run is planned, running, finished, failed or interrupted; read from its folder, never kept elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stargan_lab.errors import ConfigError, nearest
from stargan_lab.files import locked
from stargan_lab.tracking.run_folder import RunFolder, Status
from stargan_lab.tracking.sync import run_folders

CLAIM_SECONDS = 2.0  # whoever asks for a status holds the lock for an instant; a trainer holds it longer than this


class Ledger:
    """The runs under ``outputs``."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs

    def folder(self, run_id: str) -> RunFolder:
        """Where the run's files are, whether there are any yet or not."""
        return RunFolder(self.outputs / "runs" / run_id)

    def runs(self) -> list[str]:
        """Ids of all runs that have left records, sorted."""
        return [folder.run_id for folder in run_folders(self.outputs)]

    def status(self, run_id: str) -> Status:
        """What became of the run; ``interrupted`` can be resumed. Raises LabError when its result.json is damaged."""
        return self.folder(run_id).status()

    @contextmanager
    def claim(self, run_id: str) -> Iterator[RunFolder]:
        """Hold the run for this process; free again at the end, also when the process is killed.

        Raises:
            LabError: another process trains it.
        """
        folder = self.folder(run_id)
        busy = f"run {run_id} is being trained by another process, which holds {folder.lock_path}"
        with locked(folder.lock_path, timeout=CLAIM_SECONDS, busy=busy):
            yield folder

    def find(self, prefix: str) -> str:
        """The run id that begins with ``prefix``.

        Raises:
            ConfigError: none does, with the nearest one, or several do.
        """
        runs = self.runs()
        if prefix in runs:
            return prefix
        found = [run_id for run_id in runs if run_id.startswith(prefix)] if prefix else []
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"run {prefix!r} is not unique: {', '.join(found[:5])}{', …' if len(found) > 5 else ''}")
        hint = nearest(prefix, runs) or (f"; there are {len(runs)}" if runs else "; there is none yet")
        raise ConfigError(f"no run {prefix!r} in {self.outputs / 'runs'}{hint}")

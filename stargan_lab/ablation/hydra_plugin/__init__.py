"""Hydra sweeper that runs an ablation: an explicit list of cells instead of a cartesian product.

Installed as ``hydra_plugins.stargan_lab``, in the one namespace Hydra takes plugins from; ``hydra/sweeper=ablation``
picks it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class AblationSweeper(Sweeper):
    """Hands every unfinished cell of ``experiment`` to whichever launcher is configured, in one batch.

    Args:
        experiment: name of the ablation.
        retry_failed: also hand over cells whose last attempt failed.
        cells: number of cells in the batch, set by the sweeper for the jobs to show.
    """

    def __init__(self, experiment: str, retry_failed: bool = False, cells: int = 0) -> None:
        self.experiment, self.retry_failed = experiment, retry_failed

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.job_config = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Run the cells. Failures are in the returned jobs; none stops the others."""
        from stargan_lab.ablation.execute import unfinished
        from stargan_lab.ablation.plan import plan
        from stargan_lab.ablation.spec import load

        cells = unfinished(plan(load(self.experiment), arguments, _config_dir(self.job_config)), self.retry_failed)
        folder = Path(self.job_config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.job_config, folder / "multirun.yaml")
        if not cells:
            return []
        self.job_config.hydra.overrides.hydra.append(f"hydra.sweeper.cells={len(cells)}")
        return self.launcher.launch([list(cell.overrides) for cell in cells], initial_job_idx=0)


def _config_dir(config: Any) -> Path | None:
    """The folder of ``--config-dir``, as Hydra recorded it."""
    found = [s.path for s in config.hydra.runtime.config_sources if s.provider == "command-line"]
    return Path(found[0]) if found else None

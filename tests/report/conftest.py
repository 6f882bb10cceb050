"""An ablation with small numbers, and runs on disk with sample grids."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame
from PIL import Image
from scored import row

from stargan_lab.ablation.spec import Ablation
from stargan_lab.files import write_json
from stargan_lab.report.collect_runs import as_frame
from stargan_lab.tracking.run_folder import RunFolder

EDIT = {
    "none": {1: 0.5, 2: 0.6, 3: 0.7},
    "instance": {1: 0.7, 2: 0.7, 3: 0.9},
    "layer": {1: 0.4, 2: 0.6},
}
COLUMNS = ("source", "Black_Hair", "Blond_Hair")


@pytest.fixture
def ablation() -> Ablation:
    return Ablation(
        name="norms",
        title="Norm of the critic",
        claim="Instance norm helps the critic.",
        source="nobody | anybody",
        base=("preset=tiny",),
        baseline="none",
        variants={"none": (), "instance": ("discriminator.norm=instance",), "layer": ("discriminator.norm=layer",)},
        seeds=(1, 2, 3),
        primary="eval/edit",
        expected={"instance": "better", "layer": "better"},
    )


@pytest.fixture
def runs() -> DataFrame:
    """Eight finished runs and one that failed, in the order of ``collect``."""
    finished = [
        row(
            variant,
            seed,
            protocol="p1",
            code="c1",
            machine="2 cores",
            finished=f"2025-03-0{seed} 10:00",
            seconds=60.0,
            seconds_per_step=0.025 * seed,
            **{"parameters.generator": 131_000, "parameters.discriminator": 2_000_000 + len(variant)},
            **{"eval/edit": edit, "eval/frechet_classifier": 100 * (1 - edit), "eval/edit/Male": edit / 2},
        )
        for variant, seeds in EDIT.items()
        for seed, edit in seeds.items()
    ]
    return as_frame([*finished, row("layer", 3, status="failed", error="loss/d_gp became NaN at step 40")])


@pytest.fixture
def runs_on_disk(tmp_path: Path) -> Callable[[str, int, str, float], RunFolder]:
    """Makes a finished run with two sample grids without titles, in which each tile has a different color."""

    def make(variant: str, seed: int, run_id: str, edit: float) -> RunFolder:
        folder = RunFolder(tmp_path / "runs" / run_id)
        folder.path.mkdir(parents=True)
        folder.samples.mkdir()
        write_json(folder.samples / "targets.json", {"columns": list(COLUMNS), "image_size": 32})
        for step in (900, 1000):
            pixels = np.zeros((64, 96, 3), np.uint8)
            for y in range(2):
                for x in range(3):
                    pixels[32 * y : 32 * y + 32, 32 * x : 32 * x + 32] = (80 * x, 100 * y + 20 * seed, step // 10)
            Image.fromarray(pixels).save(folder.samples / f"{step}.png")
        folder.update_tags({"code": "c1", "ablation.norms": variant, "machine": "2 cores"})
        folder.write_result(
            {
                "run_id": run_id,
                "status": "finished",
                "metrics": {"eval/edit": edit},
                "protocol": {"extractor": None},
                "seconds": 12.5,
                "seconds_per_step": 0.025,
                "parameters": {"generator": 10, "discriminator": 20},
                "audit": {"images.batch_size": 4},
                "finished_at": 1_740_000_000.0,
            }
        )
        return folder

    return make


@pytest.fixture
def scored_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Makes a finished run that was evaluated once or several times; ``result.json`` has the first scores."""

    def make(run_id: str, *scorings: dict[str, Any]) -> RunFolder:
        folder = RunFolder(tmp_path / "runs" / run_id)
        folder.update_tags({"code": "c1"})
        folder.write_result({"run_id": run_id, "status": "finished", "notes": [], **scorings[0]})
        for each in scorings:
            path = folder.path / "scores" / f"{each['protocol']['hash']}.json"
            write_json(path, {"run_id": run_id, "step": 10, "notes": [], **each})
        return folder

    return make

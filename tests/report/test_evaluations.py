"""Sources of variance from real evaluations of trained runs, and which records count as repetitions."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame
from scored import scoring

from stargan_lab import compose
from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.evaluation import attribute_classifier as classifier
from stargan_lab.files import write_json
from stargan_lab.report.collect_runs import as_frame, collect
from stargan_lab.report.content import content_of
from stargan_lab.report.evaluations import evaluated_runs, values_of_evaluations
from stargan_lab.report.pages import report_text
from stargan_lab.runs import reevaluate as module
from stargan_lab.runs.run import run
from stargan_lab.tracking.run_folder import RunFolder

SETTINGS = [
    "preset=tiny",
    "trainer.device=cpu",
    "trainer.threads=1",
    "trainer.sample_every=0",
    "tracking.enabled=false",
]
REPEATS = (
    ["evaluation.seed=1"],
    ["evaluation.max_images=8"],
    ["evaluation.max_images=8", "evaluation.seed=1"],
    ["evaluation.batch_size=7", "evaluation.seed=2"],  # another procedure
)


@pytest.fixture(scope="module", autouse=True)
def _quick_attribute_classifier() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "RECIPE", replace(classifier.RECIPE, min_steps=20, max_steps=20))
        yield


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, int, str]]]:
    """Two trained runs, each evaluated five times."""
    outputs, found = tmp_path_factory.mktemp("repeats") / "outputs", []
    for seed in (0, 1):
        record = run(compose([*SETTINGS, f"seed={seed}", "total_steps=4", f"paths.outputs={outputs}"]))
        found.append(("none", seed, record["run_id"]))
        folder = module.finished_run(outputs, record["run_id"])
        for overrides in REPEATS:
            module.reevaluate(folder, module.evaluation_config(folder, overrides), progress=False)
    return outputs, found


def test_evaluations_with_other_seeds_separate_the_components(
    cells: tuple[Path, list[tuple[str, int, str]]], ablation: Ablation
) -> None:
    outputs, found = cells
    ablation = replace(ablation, variants={"none": ()}, expected={}, seeds=(0, 1))
    runs = collect(ablation, found, outputs)
    values = values_of_evaluations(evaluated_runs(ablation, runs, ["eval/accuracy"]), "eval/accuracy")
    assert sorted(zip(values["training_seed"], values["evaluation_seed"], values["images"], strict=True)) == [
        (training, evaluation, images)
        for training in (0, 1)
        for evaluation in (0, 1)
        for images in sorted(set(values["images"]))
    ]
    content = content_of(ablation, runs)
    table = content.sources["main"]
    for source in ("training seed", "evaluation seed", "sample size", "total"):
        assert float(table.loc["accuracy ↑", source]) >= 0, source
    assert float(table.loc["frechet_classifier ↓", "evaluation seed"]) > 0
    assert float(table.loc["frechet_classifier ↓", "total"]) > 0
    assert content.sources["domains"].size and content.sources["further"].size
    assert report_text(content).count("Sources of variance: ") == 3


def frame(folder: Path, shown: dict[str, object], *others: dict[str, object]) -> DataFrame:
    """One run with these evaluations on disk."""
    run_folder = RunFolder(folder / "runs" / "aa")
    for number, record in enumerate([shown, *others]):
        name = record["protocol"] if isinstance(record["protocol"], str) else f"{number:012}"
        write_json(run_folder.scores / f"{name}.json", record)
    row = {"variant": "none", "seed": 1, "run_id": "aa", "status": "finished", "folder": run_folder.path}
    facts = shown["protocol"] if isinstance(shown["protocol"], dict) else {}
    rest = {"protocol": f"{0:012}", "facts": facts, "protocols": {}, "warnings": [], "descriptions": {}, "audit": {}}
    return as_frame([row | rest | dict(shown["metrics"])])  # type: ignore[call-overload]


def test_only_the_seed_and_the_number_of_images_may_differ(ablation: Ablation, tmp_path: Path) -> None:
    def scored(edit: float, **changes: object) -> dict[str, object]:
        return scoring({"eval/edit": edit}, **changes)

    few = {"faces": {"Male": {"translated": 9, "real": 8}}}
    some = {"faces": {"Male": {"translated": 12, "real": 8}}}
    runs = frame(
        tmp_path,
        scored(0.1),
        scored(0.2, seed=1),
        scored(0.3, max_images=20, images=few),
        scored(0.4, max_images=20, images=some, seed=1, image_seed=1),
        scored(0.5, batch_size=8, seed=2),
        scored(0.6, checkpoint="last", seed=3),
        {"metrics": {"eval/edit": 0.7}, "protocol": "0123456789ab"},  # a very old record
    )
    values = values_of_evaluations(evaluated_runs(ablation, runs, ["eval/edit"]), "eval/edit")
    rows = {(row.evaluation_seed, row.images): row.value for row in values.itertuples()}
    assert rows == {(0, 40): 0.1, (1, 40): 0.2, (0, 10): 0.3, (1, 10): 0.4}


def test_a_damaged_record_is_named(ablation: Ablation, tmp_path: Path) -> None:
    runs = frame(tmp_path, scoring({"eval/edit": 0.1}))
    write_json(tmp_path / "runs" / "aa" / "scores" / "ffffffffffff.json", {"metrics": 3, "protocol": {}})
    with pytest.raises(LabError, match=r"ffffffffffff\.json: expected a mapping with metrics and protocol$"):
        evaluated_runs(ablation, runs, ["eval/edit"])

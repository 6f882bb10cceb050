"""Which runs may not share a table."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame
from scored import scoring

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.report.collect_runs import collect
from stargan_lab.report.comparable import check_comparable, mixed
from stargan_lab.report.runs_csv import read_csv, write_csv
from stargan_lab.report.tables import main_table
from stargan_lab.tracking.run_folder import RunFolder

ScoredRun = Callable[..., RunFolder]
CELLS = [("none", 1, "n1"), ("instance", 1, "i1"), ("instance", 2, "i2")]
SCORES = {"eval/edit": 0.5, "eval/edit/Male": 0.4, "eval/frechet_classifier": 30.0}


def test_a_different_batch_size_affects_every_score(ablation: Ablation, scored_run: ScoredRun, tmp_path: Path) -> None:
    for run_id, size in (("n1", 64), ("i1", 64), ("i2", 32)):
        scored_run(run_id, scoring(SCORES, batch_size=size))
    runs = collect(ablation, CELLS, tmp_path)
    pairs = {score: list(pair["run_id"]) for score, pair in mixed(runs).items()}
    assert pairs == {"eval/edit": ["n1", "i2"], "eval/frechet_classifier": ["n1", "i2"]}
    with pytest.raises(LabError) as caught:
        check_comparable(ablation, runs)
    assert str(caught.value) == (
        "eval/edit and 1 other score: runs n1 and i2 were scored differently (batch_size: 64, 32); "
        "re-evaluate all runs with `stargan-lab evaluate --of norms …`, or select scores with --protocol HASH, "
        "or pass --allow-mixed"
    )
    check_comparable(ablation, runs[:2])


def test_a_different_instrument_affects_only_its_score(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    plain = scoring(SCORES)
    instruments = plain["protocol"]["instruments"] | {"classifier": {"preprocessing": "fancy", "subsets": 5}}
    scored_run("n1", plain)
    scored_run("i1", scoring({"eval/edit": 0.5}, instruments=instruments))  # without the affected score
    scored_run("i2", scoring(SCORES, instruments=instruments))
    runs = collect(ablation, CELLS, tmp_path)
    assert runs["protocol"].nunique() == 2
    assert list(mixed(runs)) == ["eval/frechet_classifier"]
    message = (
        r"eval/frechet_classifier: runs n1 and i2 .* \(instruments\.classifier\.preprocessing: plain, fancy;"
        r" instruments\.classifier\.subsets"
    )
    with pytest.raises(LabError, match=message):
        check_comparable(ablation, runs)
    check_comparable(ablation, runs[:2])


@pytest.mark.filterwarnings("error")
def test_any_number_of_scores_is_compared_without_warnings(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    per_domain = {f"eval/edit/{number}": 0.1 for number in range(150)}
    for run_id in ("n1", "i1", "i2"):
        scored_run(run_id, scoring(SCORES | per_domain))
    runs = collect(ablation, CELLS, tmp_path)
    check_comparable(ablation, runs)
    write_csv(runs, tmp_path / "report.csv")
    assert mixed(read_csv(tmp_path / "report.csv")) == {}


def test_a_score_that_some_runs_lack_does_not_affect_the_others(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    scored_run("n1", scoring(SCORES | {"eval/fid": 12.0}, fid=True))
    scored_run("i1", scoring(SCORES))
    scored_run("i2", scoring(SCORES | {"eval/fid": 11.0}, fid=True))
    runs = collect(ablation, CELLS, tmp_path)
    assert runs["protocol"].nunique() == 2
    assert mixed(runs) == {}
    check_comparable(ablation, runs)


def test_from_a_csv_only_the_hashes_of_the_protocols_are_known(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    scored_run("n1", scoring(SCORES))
    scored_run("i1", scoring(SCORES | {"eval/fid": 12.0}, fid=True))
    scored_run("i2", scoring(SCORES, batch_size=32))
    runs = collect(ablation, CELLS, tmp_path)
    write_csv(runs, tmp_path / "runs.csv")
    again = read_csv(tmp_path / "runs.csv")
    check_comparable(ablation, again[:2])
    hashes = ", ".join(runs["protocols"][run]["eval/edit"] for run in (0, 2))
    with pytest.raises(LabError, match=rf"runs n1 and i2 were scored differently \(protocol {hashes}\)"):
        check_comparable(ablation, again)


@pytest.mark.parametrize("column", ["protocol", "code"])
def test_one_different_run_is_refused(ablation: Ablation, runs: DataFrame, column: str) -> None:
    check_comparable(ablation, runs)  # the failed run has neither and does not count
    runs.loc[6, column] = "zz"
    reason = {"protocol": r"scored differently \(protocol p1, zz", "code": r"trained with different code \(c1, zz"}
    with pytest.raises(LabError, match=rf"runs none1 and layer1 were {reason[column]}\).*--allow-mixed"):
        check_comparable(ablation, runs)


def test_variants_on_different_data_may_be_scored_on_different_data(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    scored_run("n1", scoring(SCORES))
    scored_run("i1", scoring(SCORES, data={"faces": "ffff"}, images={"faces": {"Male": {"translated": 7}}}))
    scored_run("i2", scoring(SCORES, data={"faces": "ffff"}, batch_size=32))
    with pytest.raises(LabError, match="scored differently"):
        check_comparable(ablation, collect(ablation, CELLS[:2], tmp_path))
    by_data = replace(ablation, variants=dict(ablation.variants, instance=("data.sources.faces.attributes=[Male]",)))
    check_comparable(by_data, collect(by_data, CELLS[:2], tmp_path))
    with pytest.raises(LabError, match="batch_size"):
        check_comparable(by_data, collect(by_data, CELLS[::2], tmp_path))


def test_a_run_on_one_dataset_has_that_datasets_score(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    both = {"faces": "0f0f", "moods": "1e1e"}
    scored_run("n1", scoring({"eval/edit": 0.2}))
    scored_run("i1", scoring({"eval/edit": 0.5, "eval/edit/faces": 0.4}, data=both))
    of_faces = replace(ablation, primary="eval/edit/faces")
    assert list(collect(of_faces, CELLS[:2], tmp_path)["eval/edit/faces"]) == [0.2, 0.4]
    assert list(main_table(of_faces, collect(of_faces, CELLS[:2], tmp_path)))[:2] == ["edit/faces ↑", "edit ↑"]

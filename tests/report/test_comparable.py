"""What keeps runs out of one table, and what does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scored import scoring

from stargan_lab.ablation.spec import Ablation
from stargan_lab.errors import LabError
from stargan_lab.report.comparable import check_comparable, mixed
from stargan_lab.report.rows import RunRow, collect
from stargan_lab.report.spreadsheet import read_csv, write_csv
from stargan_lab.tracking.run_folder import RunFolder

ScoredRun = Callable[..., RunFolder]
CELLS = [("none", 1, "n1"), ("instance", 1, "i1"), ("instance", 2, "i2")]
SCORES = {"eval/edit": 0.5, "eval/edit/Male": 0.4, "eval/frechet_classifier": 30.0}


def collected(ablation: Ablation, outputs: Path) -> list[RunRow]:
    return collect(ablation, CELLS, outputs)


def test_other_batches_concern_every_score(ablation: Ablation, scored_run: ScoredRun, tmp_path: Path) -> None:
    for run_id, size in (("n1", 64), ("i1", 64), ("i2", 32)):
        scored_run(run_id, scoring(SCORES, batch_size=size))
    rows = collected(ablation, tmp_path)
    assert [(score, one.run_id, other.run_id) for score, (one, other) in mixed(rows).items()] == [
        ("eval/edit", "n1", "i2"),
        ("eval/frechet_classifier", "n1", "i2"),
    ]
    with pytest.raises(LabError) as caught:
        check_comparable(ablation, rows)
    assert str(caught.value) == (
        "eval/edit and 1 further score: runs n1 and i2 were scored differently (batch_size: 64, 32): "
        "`stargan-lab evaluate --of norms …` scores all alike; or take one scoring by --protocol HASH, or --allow-mixed"
    )
    check_comparable(ablation, rows[:2])


def test_another_instrument_concerns_its_own_score(ablation: Ablation, scored_run: ScoredRun, tmp_path: Path) -> None:
    plain = scoring(SCORES)
    facts = plain["protocol"]["instruments"] | {"classifier": {"preprocessing": "fancy", "subsets": 5}}
    scored_run("n1", plain)
    scored_run("i1", scoring({"eval/edit": 0.5}, instruments=facts))  # has no value of what differs
    scored_run("i2", scoring(SCORES, instruments=facts))
    rows = collected(ablation, tmp_path)
    assert len({row.protocol for row in rows}) == 2
    assert list(mixed(rows)) == ["eval/frechet_classifier"]
    message = (
        r"eval/frechet_classifier: runs n1 and i2 .* \(instruments\.classifier\.preprocessing: plain, fancy;"
        r" instruments\.classifier\.subsets"
    )
    with pytest.raises(LabError, match=message):
        check_comparable(ablation, rows)
    check_comparable(ablation, rows[:2])


def test_a_score_that_some_have_not_keeps_nothing_apart(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    scored_run("n1", scoring(SCORES | {"eval/fid": 12.0}, fid=True))
    scored_run("i1", scoring(SCORES))
    scored_run("i2", scoring(SCORES | {"eval/fid": 11.0}, fid=True))
    rows = collected(ablation, tmp_path)
    assert rows[0].protocol == rows[2].protocol != rows[1].protocol
    assert mixed(rows) == {}
    check_comparable(ablation, rows)


def test_a_csv_knows_that_scores_differ_but_not_in_what(
    ablation: Ablation, scored_run: ScoredRun, tmp_path: Path
) -> None:
    scored_run("n1", scoring(SCORES))
    scored_run("i1", scoring(SCORES | {"eval/fid": 12.0}, fid=True))
    scored_run("i2", scoring(SCORES, batch_size=32))
    rows = collected(ablation, tmp_path)
    write_csv(rows, tmp_path / "runs.csv")
    again = read_csv(tmp_path / "runs.csv")
    check_comparable(ablation, again[:2])
    pair = rf"\(protocol {rows[0].protocols['eval/edit']}, {rows[2].protocols['eval/edit']}\)"
    with pytest.raises(LabError, match=rf"runs n1 and i2 were scored differently {pair}"):
        check_comparable(ablation, again)


def test_a_record_from_before_there_were_instruments(
    ablation: Ablation, scored_run: ScoredRun, runs_on_disk: Callable[..., RunFolder], tmp_path: Path
) -> None:
    for _, seed, run_id in CELLS[1:]:
        runs_on_disk("instance", seed, run_id, 0.5)
    scored_run("n1", scoring(SCORES))
    rows = collected(ablation, tmp_path)
    check_comparable(ablation, rows[1:])
    with pytest.raises(LabError, match=r"eval/edit: runs n1 and i1 .* and \d+ more\)") as caught:
        check_comparable(ablation, rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"protocol": "zz"}, {"code": "zz"}, {"protocols": {"eval/edit": "zz"}}])
def test_mixed_rows_are_refused(ablation: Ablation, rows: list[RunRow], change: dict[str, object]) -> None:
    check_comparable(ablation, rows)  # the failed run has neither, and does not count
    other = [replace(row, **change) if row.run_id == "layer1" else row for row in rows]
    with pytest.raises(LabError, match=r"none1 .*layer1.*--allow-mixed") as error:
        check_comparable(ablation, other)
    assert "\n" not in str(error.value)
    if "code" in change:
        assert "the rows mix 2 values of code (c1 of run none1 and zz of run layer1)" in str(error.value)

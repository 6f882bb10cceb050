"""The table of what differs between variants, and the lines of what does not."""

from dataclasses import replace

import pytest
from pandas import DataFrame
from scored import row

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.audit_table import audit_table, equal_in_all
from stargan_lab.report.collect_runs import as_frame

AUDIT = {
    "parameters.discriminator": 2_000_000,
    "flops.discriminator": 1_367_572_480,
    "receptive_field.convolutions": 38,
    "penalty.sums_scores": 1,
    "penalty.slope": 1 / 64,
    "images.batch_size": 16,
    "weights.d_gp": 10.0,
    "of.a.user": 0.5,
}
DEEPER = {"parameters.discriminator": 8_000_000, "receptive_field.convolutions": 78, "penalty.slope": 1 / 16}


def runs_of(**variants: list[dict[str, object]]) -> DataFrame:
    cells = [(v, seed, columns) for v, each in variants.items() for seed, columns in enumerate(each, 1)]
    return as_frame([row(v, seed, **columns) for v, seed, columns in cells])


@pytest.fixture
def audited() -> DataFrame:
    """The variant ``layer`` has no finished run."""
    return runs_of(
        none=[{"audit": AUDIT, "seconds_per_step": s, "peak_memory_mib": 1000.0} for s in (0.1, 0.3)],
        instance=[{"audit": AUDIT | DEEPER, "seconds_per_step": 0.3, "peak_memory_mib": 1090.0}],
        layer=[{"status": "failed", "audit": AUDIT | {"images.batch_size": 8}, "seconds_per_step": 9.0}],
    )


def test_what_differs_is_marked(ablation: Ablation, audited: DataFrame) -> None:
    table = audit_table(ablation, audited)
    assert list(table) == ["none (baseline)", "instance", "layer"]
    assert table.index.name == "quantity"
    assert {quantity: list(cells) for quantity, cells in zip(table.index, table.to_numpy(), strict=True)} == {
        "discriminator parameters": ["2,000,000", "8,000,000 *", "–"],
        "receptive field of a score (px)": ["38", "78 *", "–"],
        "gradient norm of the mean score that the penalty asks for": ["0.015625", "0.0625 *", "–"],
        "seconds per step (s)": ["0.2", "0.3", "–"],  # within the range over seeds
        "peak memory (MiB)": ["1,000", "1,090", "–"],  # within 10 %
    }


def test_a_matched_variant_is_marked_against_its_own_baseline(ablation: Ablation) -> None:
    matched = replace(ablation, matched={"layer": "instance"})
    runs = runs_of(
        none=[{"audit": {"images.batch_size": 4}, "seconds": 30.0}],
        instance=[{"audit": {"images.batch_size": 8}, "seconds": s} for s in (80.0, 100.0)],
        layer=[{"audit": {"images.batch_size": 8}, "seconds": 95.0}],
    )
    expected = {"batch size": ["4", "8 *", "8"], "seconds per run (s)": ["30", "90 *", "95"]}
    assert {quantity: list(cells) for quantity, cells in audit_table(matched, runs).iterrows()} == expected
    against_none = {quantity: list(cells)[2] for quantity, cells in audit_table(ablation, runs).iterrows()}
    assert against_none == {"batch size": "8 *", "seconds per run (s)": "95 *"}


def test_costs_are_marked_only_beyond_their_spread_over_seeds(ablation: Ablation) -> None:
    """Both means are more than 10 % above the baseline's, but the range of ``instance`` overlaps with its range."""
    seconds = {"none": (0.1, 0.3), "instance": (0.29, 0.31), "layer": (0.31, 0.29 + 0.3)}
    runs = runs_of(**{v: [{"seconds_per_step": s} for s in each] for v, each in seconds.items()})
    assert list(audit_table(ablation, runs).loc["seconds per step (s)"]) == ["0.2", "0.3", "0.45 *"]
    faster = runs_of(none=[{"peak_memory_mib": m} for m in (900.0, 1100.0)], layer=[{"peak_memory_mib": 890.0}] * 2)
    assert list(audit_table(ablation, faster).loc["peak memory (MiB)"]) == ["1,000", "–", "890 *"]


def test_what_is_equal_is_listed(ablation: Ablation, audited: DataFrame) -> None:
    assert equal_in_all(ablation, audited) == [
        "discriminator forward pass per image: 1.368 GFLOP",
        "scores in the penalty: sum",
        "batch size: 16",
        "weight of d_gp: 10",
        "of.a.user: 0.5",
    ]


def test_a_quantity_that_one_variant_lacks_differs(ablation: Ablation) -> None:
    runs = runs_of(
        none=[{"audit": {"penalty.slope": 0.5, "images.batch_size": 4}}], layer=[{"audit": {"weights.x": 1}}]
    )
    table = audit_table(ablation, runs)
    assert list(table.loc["gradient norm of the mean score that the penalty asks for"]) == ["0.5", "–", "– *"]
    assert list(table.loc["weight of x"]) == ["–", "–", "1 *"]
    assert equal_in_all(ablation, runs) == []


def test_runs_of_older_versions(ablation: Ablation) -> None:
    older = runs_of(none=[{}], instance=[{"audit": {"images.batch_size": 16}}])
    assert list(audit_table(ablation, older).loc["batch size"]) == ["–", "16", "–"]
    assert equal_in_all(ablation, older) == []
    for runs in (runs_of(none=[{}], instance=[{}]), runs_of(none=[{"status": "failed"}])):
        assert audit_table(ablation, runs).empty and equal_in_all(ablation, runs) == []
    costs = runs_of(none=[{}], instance=[{"seconds_per_step": 0.5}])
    assert list(audit_table(ablation, costs).loc["seconds per step (s)"]) == ["–", "0.5", "–"]


def test_seeds_that_were_trained_differently(ablation: Ablation) -> None:
    runs = runs_of(
        none=[{"audit": {"images.batch_size": n}} for n in (4, 8, 4)], layer=[{"audit": {"images.batch_size": 4}}]
    )
    assert list(audit_table(ablation, runs).loc["batch size"]) == ["4 / 8", "–", "4 *"]

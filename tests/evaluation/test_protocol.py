import json
from dataclasses import fields, replace

import pytest

from stargan_lab.evaluation.protocol import Protocol, differences, metric_identity, metric_protocol, protocol_hash

PROTOCOL = Protocol(
    data={"faces": "0" * 16},
    images={"faces": {"Male": {"translated": 70, "real": 80}}},
    groups={"faces": [["Black_Hair"]]},
    checkpoint="last",
    max_images=None,
    batch_size=64,
    instruments={
        "inception": {"identity": {"faces": "ab"}, "dims": 2048},
        "attribute_classifier": {"sha256": {"faces": "cd"}},
    },
    metrics={
        "eval/fid": {"uses": ["inception"], "options": {}, "version": 1},
        "eval/accuracy": {"uses": ["attribute_classifier"], "options": {}, "version": 1},
    },
)
OTHER = {
    "data": {"faces": "1" * 16},
    "images": {"faces": {"Male": {"translated": 70, "real": 81}}},
    "groups": {"faces": [["Black_Hair", "Blond_Hair"]]},
    "max_images": 5,
    "batch_size": 8,
    "version": 4,
    "instruments": {"attribute_classifier": {}},
    "metrics": {},
}

VERSION_2 = {
    "hash": "1a2b3c4d5e6f",
    "data": {"faces": "0" * 16},
    "images": {"faces": {"Male": {"translated": 70, "real": 80}}},
    "groups": {"faces": [["Black_Hair"]]},
    "checkpoint": "last",
    "max_images": None,
    "batch_size": 64,
    "inputs": "test",
    "targets": "reference",
    "quantization": "uint8",
    "network_mode": "train-statistics",
    "version": 2,
    "instruments": {"judge": {"judges": {"faces": "cd"}}, "inception": {"identity": {"faces": "ab"}, "dims": 2048}},
    "metrics": {"eval/accuracy": "judge", "eval/fid": "inception"},
}
"""As an earlier release wrote it."""


def test_the_hash_is_twelve_hex_digits_of_the_content() -> None:
    plain = PROTOCOL.as_dict()
    assert len(plain["hash"]) == 12 and int(plain["hash"], 16) >= 0
    assert plain["hash"] == replace(PROTOCOL).as_dict()["hash"] == protocol_hash(plain)
    assert json.loads(json.dumps(plain)) == plain


def test_every_field_is_part_of_the_identity() -> None:
    for name in (field.name for field in fields(Protocol)):
        other = replace(PROTOCOL, **{name: OTHER.get(name, "other")}).as_dict()
        assert other["hash"] != PROTOCOL.as_dict()["hash"], name
        same = metric_identity(other, "eval/accuracy") == metric_identity(PROTOCOL.as_dict(), "eval/accuracy")
        assert same == (name == "seed"), name  # a score depends on it only through what it selects


def test_a_seed_of_0_leaves_the_hash_of_earlier_records() -> None:
    assert not {"seed", "image_seed"} & PROTOCOL.as_dict().keys()
    assert replace(PROTOCOL, seed=3).as_dict()["seed"] == 3


def test_a_metric_depends_only_on_the_instruments_it_uses() -> None:
    one = PROTOCOL.as_dict()
    changed = {**PROTOCOL.instruments, "inception": {"identity": {"faces": "ef"}, "dims": 192}}
    other = replace(PROTOCOL, instruments=changed).as_dict()
    assert metric_identity(one, "eval/accuracy") == metric_identity(other, "eval/accuracy")
    assert metric_identity(one, "eval/fid") != metric_identity(other, "eval/fid")
    assert metric_identity(one, "eval/fid/Male") == metric_identity(one, "eval/fid")
    listed = differences(metric_protocol(one, "eval/fid"), metric_protocol(other, "eval/fid"))
    assert listed == ["instruments.inception.identity.faces: ab, ef", "instruments.inception.dims: 2048, 192"]


@pytest.mark.parametrize("change", [{"options": {"subsets": 5}}, {"version": 2}])
def test_a_metric_depends_on_its_options_and_version(change: dict[str, object]) -> None:
    entry = {**PROTOCOL.metrics["eval/fid"], **change}
    other = replace(PROTOCOL, metrics={**PROTOCOL.metrics, "eval/fid": entry}).as_dict()
    assert metric_identity(other, "eval/fid") != metric_identity(PROTOCOL.as_dict(), "eval/fid")
    assert metric_identity(other, "eval/accuracy") == metric_identity(PROTOCOL.as_dict(), "eval/accuracy")


def test_version_2_is_read_but_never_compared_with_version_3() -> None:
    scored_elsewhere = {**VERSION_2, "instruments": {**VERSION_2["instruments"], "judge": {"judges": {"faces": "ef"}}}}
    assert metric_identity(VERSION_2, "eval/fid") == metric_identity(scored_elsewhere, "eval/fid")
    assert metric_identity(VERSION_2, "eval/accuracy") != metric_identity(scored_elsewhere, "eval/accuracy")
    listed = differences(metric_protocol(VERSION_2, "eval/fid"), metric_protocol(PROTOCOL.as_dict(), "eval/fid"))
    assert listed[0] == "version: 2, 3"

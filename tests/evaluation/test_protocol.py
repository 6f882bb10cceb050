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
        "attribute_classifier": {"classifiers": {"faces": "cd"}},
    },
    metrics={"eval/fid": "inception", "eval/accuracy": "attribute_classifier"},
)
OTHER = {
    "data": {"faces": "1" * 16},
    "images": {"faces": {"Male": {"translated": 70, "real": 81}}},
    "groups": {"faces": [["Black_Hair", "Blond_Hair"]]},
    "max_images": 5,
    "batch_size": 8,
    "version": 3,
    "instruments": {"attribute_classifier": {}},
    "metrics": {},
}


def test_hash_is_twelve_hex_digits_of_its_content() -> None:
    plain = PROTOCOL.as_dict()
    assert len(plain["hash"]) == 12 and int(plain["hash"], 16) >= 0
    assert plain["hash"] == replace(PROTOCOL).as_dict()["hash"] == protocol_hash(plain)
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize("name", [field.name for field in fields(Protocol)])
def test_every_field_is_part_of_the_identity(name: str) -> None:
    other = replace(PROTOCOL, **{name: OTHER.get(name, "other")}).as_dict()
    assert other["hash"] != PROTOCOL.as_dict()["hash"]
    if name not in ("instruments", "metrics"):  # what is common to all scores is part of each
        assert metric_identity(other, "eval/accuracy") != metric_identity(PROTOCOL.as_dict(), "eval/accuracy")


def test_a_score_depends_on_its_own_instrument_alone() -> None:
    one = PROTOCOL.as_dict()
    changed = {**PROTOCOL.instruments, "inception": {"identity": {"faces": "ef"}, "dims": 192}}
    other = replace(PROTOCOL, instruments=changed).as_dict()
    assert metric_identity(one, "eval/accuracy") == metric_identity(other, "eval/accuracy")
    assert metric_identity(one, "eval/fid") != metric_identity(other, "eval/fid")
    assert metric_identity(one, "eval/fid/Male") == metric_identity(one, "eval/fid")
    found = differences(metric_protocol(one, "eval/fid"), metric_protocol(other, "eval/fid"))
    assert found == ["instrument.identity.faces: ab, ef", "instrument.dims: 2048, 192"]

import json
from dataclasses import fields, replace

import pytest

from stargan_lab.evaluation.protocol import Protocol

PROTOCOL = Protocol(
    "inception", "ab" * 32, {"faces": "0" * 12}, {"faces": "valid"}, {"faces": [["Black_Hair"]]}, None, 64, "ema"
)
OTHER = {
    "classifiers": {"faces": "1" * 12},
    "groups": {"faces": [["Black_Hair", "Blond_Hair"]]},
    "references": {"faces": "train"},
    "max_images": 5,
    "batch_size": 8,
    "version": 2,
}


def test_hash_is_twelve_hex_digits_of_its_content() -> None:
    assert len(PROTOCOL.hash) == 12 and int(PROTOCOL.hash, 16) >= 0
    assert PROTOCOL.hash == replace(PROTOCOL).hash
    assert json.loads(json.dumps(PROTOCOL.as_dict())) == PROTOCOL.as_dict()


@pytest.mark.parametrize("name", [field.name for field in fields(Protocol)])
def test_every_field_is_part_of_the_identity(name: str) -> None:
    assert replace(PROTOCOL, **{name: OTHER.get(name, "other")}).hash != PROTOCOL.hash

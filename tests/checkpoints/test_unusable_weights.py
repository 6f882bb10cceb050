"""Weight files that cannot be loaded are named in one short line, without torch's advice to run the code in them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stargan_lab.checkpoints.weight_files import load_weights
from stargan_lab.errors import LabError
from stargan_lab.evaluation.extractors import TorchScriptExtractor
from stargan_lab.evaluation.inception import InceptionExtractor

READERS: dict[str, Callable[[Path], Any]] = {
    "checkpoint": load_weights,
    "inception": lambda path: InceptionExtractor(path, torch.device("cpu")),
    "torchscript": lambda path: TorchScriptExtractor(path, torch.device("cpu")),
}


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def write(kind: str, path: Path) -> None:
    torch.save({"path": path}, path)  # a pickle that calls pathlib's constructor
    if kind == "cut":
        path.write_bytes(half(path.read_bytes()))
    elif kind != "code":
        path.write_bytes({"text": b"not weights", "plain pickle": pickle.dumps({"a": path})}[kind])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["text", "code", "plain pickle", "cut"])
@pytest.mark.filterwarnings("error")
def test_unusable_weights_are_named_without_advice_of_torch(tmp_path: Path, reader: str, kind: str) -> None:
    path = tmp_path / "w.pt"
    write(kind, path)
    with pytest.raises(LabError) as refused:
        READERS[reader](path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 300
    assert "weights_only" not in message and "unpickl" not in message.lower()

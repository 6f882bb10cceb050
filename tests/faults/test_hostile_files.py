"""Damaged, foreign and malicious files wherever a path is taken: one line that names the file, and no code runs."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image

from stargan_lab.errors import LabError

PWNED = Path("pwned")


class Payload:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(PWNED),)


def torch_pickle() -> bytes:
    file = io.BytesIO()
    torch.save({"payload": Payload()}, file)
    return file.getvalue()


def numpy_pickle() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
    return file.getvalue()


def archive(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr(name, content)
    return file.getvalue()


def bomb(levels: int = 12) -> str:
    """A YAML text whose aliases stand for 10^levels words."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


YAML = {
    "a tag that runs code": "!!python/object/apply:os.mkdir [pwned]",
    "a tag below a key": "claim: !!python/object/apply:os.mkdir [pwned]",
    "aliases that multiply": bomb() + f"claim: *a{11}\n",
    "aliases that refer to themselves": "claim: &a [*a]\n",
    "ten thousand levels": "claim: " + "[" * 10_000,
    "binary": b"\x00\x01\x02\xff",
    "not UTF-8": "claim: Größe".encode("latin-1"),
    "empty": "",
    "a list": "[1, 2]",
    "an invalid date": "claim: 2024-99-99\n",
}

JSON = {
    "truncated": b'{"status": "finis',
    "empty": b"",
    "binary": b"\x80\x04\x95",
    "a pickle": pickle.dumps(Payload()),
    "a list": b"[1, 2]",
    "ten thousand levels": b"[" * 100_000,
    "null": b"null",
}

WEIGHTS = {
    "a payload": torch_pickle,
    "a plain pickle": lambda: pickle.dumps(Payload()),
    "half of a file": lambda: torch_pickle()[:200],
    "a ZIP archive": lambda: archive("readme.txt", b"hello"),
    "an archive with a path": lambda: archive("../../evil/data.pkl", pickle.dumps(Payload())),
    "an image": lambda: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a web page": lambda: b"<html>404</html>",
    "nothing": lambda: b"",
}


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(autouse=True)
def _nothing_is_run(here: Path) -> Any:
    yield
    assert not PWNED.exists(), "a file was run"


@pytest.mark.parametrize("kind", YAML)
def test_ablation_file(refused: Any, here: Path, kind: str) -> None:
    write(here / "experiments" / "mine.yaml", YAML[kind])
    assert "experiments/mine.yaml" in refused("sweep", "mine", "--dry-run")


@pytest.mark.parametrize("kind", [kind for kind in YAML if kind not in ("empty", "a list")])
def test_users_preset(refused: Any, here: Path, kind: str) -> None:
    write(here / "conf" / "preset" / "mine.yaml", YAML[kind])
    assert "conf/preset/mine.yaml: invalid YAML: " in refused("train", "--config-dir", "conf", "preset=mine")


@pytest.mark.parametrize("kind", YAML)
def test_config_of_a_run(refused: Any, run: Path, image: Path, kind: str) -> None:
    write(run / "config.yaml", YAML[kind])
    assert "config.yaml" in refused("translate", str(run), str(image), "--to", "Male")
    assert f"{run.name}/config.yaml: " in refused("runs", "diff", run.name, run.name)


@pytest.mark.parametrize("kind", JSON)
@pytest.mark.parametrize("name", ["result.json", "tags.json", "labels.json"])
def test_records_of_a_run(refused: Any, run: Path, image: Path, name: str, kind: str) -> None:
    write(run / name, JSON[kind])
    command = (
        ("translate", str(run), str(image), "--to", "Male") if name == "labels.json" else ("runs", "show", run.name)
    )
    assert name in refused(*command)


@pytest.mark.parametrize("kind", JSON)
def test_tracking_state(run: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    """One damaged run is named, and does not stop the others from reaching the store."""
    from stargan_lab.cli.main import main

    write(run / "tracking.json", JSON[kind])
    assert main(["track", "sync"]) == 1
    err = capfd.readouterr().err
    assert "tracking.json" in err and "Traceback" not in err


WRONG_TYPES = {
    "tracking.json": {
        "sent that is a list": '{"sent": []}',
        "sent without pairs": '{"sent": {"a": [1]}}',
        "params that are a list": '{"params": [1]}',
        "params that are no texts": '{"params": {"a": {}}}',
        "committed that is a text": '{"committed": "4"}',
        "behind that is a text": '{"behind": "no"}',
        "a run_name that is a list": '{"run_name": []}',
    },
    "result.json": {
        "metrics that are a list": '{"status": "finished", "metrics": [1], "finished_at": 1}',
        "metrics of text": '{"status": "finished", "metrics": {"eval/edit": "x"}, "finished_at": 1}',
        "a time of text": '{"status": "finished", "metrics": {}, "finished_at": "now"}',
        "another status": '{"status": "done", "metrics": {}, "finished_at": 1}',
    },
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in WRONG_TYPES for kind in WRONG_TYPES[name]])
def test_wrong_types_in_records_do_not_keep_others_from_mlflow(tmp_path: Path, name: str, kind: str) -> None:
    from stargan_lab.tracking.run_folder import RunFolder
    from stargan_lab.tracking.sync import sync

    for run in ("bad", "good"):
        RunFolder(tmp_path / "runs" / run).write_result({"status": "finished", "metrics": {}, "finished_at": 1.0})
    (tmp_path / "runs" / "bad" / name).write_text(WRONG_TYPES[name][kind])
    store = MagicMock()
    store.find.return_value, store.set_params.return_value = None, []
    store.open_run.return_value.info.run_id = "id"
    done = sync(tmp_path, store)
    assert done.written == ["good"]
    (line,) = done.damaged
    assert f"bad/{name}" in line and ("expected" in line or "unknown 'done'" in line)


METRICS = {
    "a torn last line": (b'{"step": 2, "time": 1.0, "metrics": {"loss/d_real": 1}}\n{"step": 4, "ti', True),
    "a torn line in the middle": (b'{"step": 2, "ti\n{"step": 4, "time": 1.0, "metrics": {}}\n', False),
    "binary": (b"\x80\x04\x95\n\x00\n", False),
    "a row of text": (b'{"step": "two", "time": 1.0, "metrics": {}}\n{"step": 4, "time": 1.0, "metrics": {}}\n', False),
    "metrics that are a list": (b'{"step": 2, "time": 1.0, "metrics": [1]}\n' * 2, False),
    "values of text": (b'{"step": 2, "time": 1.0, "metrics": {"loss/d_real": "x"}}\n' * 2, False),
    "ten thousand levels": (b"[" * 100_000 + b"\n\n", False),
}


@pytest.mark.parametrize("kind", METRICS)
def test_rows_of_metrics(run: Path, kind: str) -> None:
    from stargan_lab.tracking.run_folder import RunFolder

    content, readable = METRICS[kind]
    write(run / "metrics.jsonl", content)
    if readable:
        assert [row.step for row in RunFolder(run).rows()] == [2]
    else:
        with pytest.raises(LabError, match=r"metrics\.jsonl: line 1 is damaged"):
            RunFolder(run).rows()


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("role", ["initial.generator", "initial.discriminator"])
def test_initial_weights(refused: Any, here: Path, role: str, kind: str) -> None:
    write(here / "mine.pt", WEIGHTS[kind]())
    assert "mine.pt" in refused("train", "preset=tiny", f"{role}=mine.pt")


@pytest.mark.parametrize("kind", WEIGHTS)
def test_checkpoint_to_translate_with_and_to_export(refused: Any, run: Path, image: Path, kind: str) -> None:
    write(run / "checkpoints" / "last.pt", WEIGHTS[kind]())
    assert "last.pt" in refused("translate", str(run), str(image), "--to", "Male")
    assert "last.pt" in refused("export", run.name)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_extractor_weights(refused: Any, images: Path, kind: str) -> None:
    write(Path("mine.pt"), WEIGHTS[kind]())
    for extractor in ("inception", "torchscript"):
        arguments = ("--features", extractor, "--weights", "mine.pt", "--allow-unverified")
        assert "mine.pt" in refused("fid", str(images), str(images), *arguments)


NUMPY = {
    "objects": numpy_pickle,
    "half of a file": lambda: npy(np.zeros((64, 3, 16, 16), np.uint8))[:1000],
    "another shape": lambda: npy(np.zeros((2, 2), np.uint8)),
    "floats": lambda: npy(np.zeros((64, 3, 16, 16))),
    "no array": lambda: b"hello",
    "nothing": lambda: b"",
    "data that does not exist": lambda: npy(np.zeros((64, 3, 16, 16), np.uint8))[:128],
}


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("kind", NUMPY)
def test_packed_images(refused: Any, kind: str, tiny_source: Any) -> None:
    packed = tiny_source().split("train").path
    write(packed, NUMPY[kind]())
    with pytest.raises(
        LabError, match=rf"{packed.name}: cannot be read as images .*; delete it to pack the images again"
    ):
        tiny_source().split("train").images([0])


@pytest.mark.parametrize("kind", NUMPY)
def test_statistics_of_a_dataset(refused: Any, images: Path, kind: str) -> None:
    write(Path("real.npz"), NUMPY[kind]())
    assert "real.npz" in refused("fid", "real.npz", str(images), "--features", "pixels")


def test_statistics_with_objects(refused: Any, images: Path) -> None:
    np.savez("real.npz", mu=np.array([Payload()], dtype=object), sigma=np.zeros((1, 1)))
    assert "real.npz" in refused("fid", "real.npz", str(images), "--features", "pixels")


CSV = {
    "another table": "a,b\n1,2\n",
    "binary": b"\x00\xff\x00",
    "empty": "",
    "a quote that never ends": 'variant,seed\n"a,1\n',
}


@pytest.mark.parametrize("kind", CSV)
def test_csv_of_a_report(refused: Any, here: Path, kind: str) -> None:
    write(here / "runs.csv", CSV[kind])
    assert "runs.csv" in refused("report", "quickstart", "--from", "runs.csv")


def test_record_of_a_sweep(refused: Any, here: Path) -> None:
    for content in JSON.values():
        write(here / "outputs" / "reports" / "quickstart" / "cells.json", content)
        assert "cells.json" in refused("report", "quickstart")


@pytest.fixture
def image(here: Path) -> Path:
    Image.new("RGB", (20, 20)).save("face.png")
    return Path("face.png")


@pytest.fixture
def images(here: Path) -> Path:
    Path("images").mkdir()
    for number in range(4):
        Image.new("RGB", (20, 20), (number * 20, 0, 0)).save(f"images/{number}.png")
    return Path("images")


@pytest.fixture
def tiny_source(here: Path) -> Callable[[], Any]:
    """Opens the dataset of the preset tiny; images are rendered and packed once."""
    from stored import tiny_config

    from stargan_lab.runs.build import build_sources

    def opened() -> Any:
        (source,) = build_sources(tiny_config(here / "outputs"))
        source.prepare()
        return source

    return opened


def test_description_of_synthetic_faces(here: Path, tiny_source: Any) -> None:
    root = tiny_source().root
    for content in JSON.values():
        write(root / "synthfaces.json", content)
        with pytest.raises(LabError):
            tiny_source()

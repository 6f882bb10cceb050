"""Files are written completely or not at all, locks work across processes, and equal values have equal hashes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from stargan_lab.errors import LabError, LockedError
from stargan_lab.files import (
    canonical_hash,
    is_locked,
    locked,
    read_json,
    sha256_bytes,
    sha256_file,
    write_atomically,
    write_json,
    write_named,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_and_replace(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "erste Zeile: äöü\n")
    assert path.read_bytes() == "erste Zeile: äöü\n".encode()
    write_text(path, "second")
    assert path.read_text() == "second"
    assert names(path.parent) == ["a.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_named_after_its_content(tmp_path: Path) -> None:
    def write(file: BinaryIO) -> Path | None:
        file.write(b"content")
        assert len(names(tmp_path)) == 1 and names(tmp_path)[0].startswith(".partial.")
        return final

    for final in (None, tmp_path / "final"):
        write_named(tmp_path / "partial", write)
        assert names(tmp_path) == ([] if final is None else ["final"])
    assert (tmp_path / "final").read_bytes() == b"content"


@pytest.mark.parametrize("error", [RuntimeError("broken"), OSError(28, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException, old: bytes | None
) -> None:
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)

    def write(file: BinaryIO) -> None:
        file.write(b"half of the new")
        file.flush()
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert names(tmp_path) == (["a.bin"] if old is not None else [])
    assert old is None or path.read_bytes() == old


def test_a_reader_sees_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(file: BinaryIO) -> None:
        for _ in range(3):
            file.write(b"x" * 100_000)
            file.flush()
            assert path.read_text() == "old"

    write_atomically(path, write)
    assert path.read_bytes() == b"x" * 300_000


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    done = run(
        "import os, signal, sys; from pathlib import Path; from stargan_lab.files import write_atomically\n"
        "def write(file):\n"
        "    file.write(b'x' * 1_000_000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), write)",
        path,
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"b": [1, 2.5, None, True], "a": {"ä": "x"}}
    write_json(path, value)
    assert read_json(path) == value
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object()])
def test_invalid_json_values_are_refused_before_the_file_is_changed(tmp_path: Path, bad: object) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"v": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"v": bad})
    assert read_json(path) == {"v": 1}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"a": 1} x', b"\xff\xfe\x00", b"a\nb\n"])
def test_unreadable_json_raises_a_one_line_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabError) as caught:
        read_json(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_hashes_of_files_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc" * 100_000)
    expected = hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert sha256_file(path) == sha256_bytes([b"abc"] * 100_000) == expected
    assert sha256_bytes([]) == hashlib.sha256().hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ([1, 2], (1, 2)),
        ({"a": 0.1}, {"a": 0.1000000000000000055}),
        ("ä", "\u00e4"),
    ],
)
def test_equal_values_have_equal_hashes(one: object, other: object) -> None:
    assert canonical_hash(one) == canonical_hash(other)


DIFFERENT = [
    {},
    [],
    None,
    "",
    0,
    False,
    {"a": 1},
    {"a": "1"},
    {"a": 1.5},
    {"a": True},
    {"a": None},
    {"a": [1]},
    {"a": {"b": 1}},
    {"a": 1, "b": 1},
    [1, 2],
    [2, 1],
    [[1], 2],
    "a b",
    "ab",
]


def test_different_values_have_different_hashes() -> None:
    assert len({canonical_hash(value) for value in DIFFERENT}) == len(DIFFERENT)


def test_the_hash_is_pinned() -> None:
    """Run ids of finished runs depend on it."""
    assert canonical_hash({"b": [1, 2], "a": "ä"}) == hashlib.sha256(rb'{"a":"\u00e4","b":[1,2]}').hexdigest()


def test_the_hash_is_the_same_in_another_process() -> None:
    value = {"norm": "layer", "seeds": [0, 1], "rate": 1e-4}
    code = "import json, sys; from stargan_lab.files import canonical_hash as h; print(h(json.loads(sys.argv[1])))"
    assert run(code, json.dumps(value)).stdout.strip() == canonical_hash(value)


def test_nan_has_no_hash() -> None:
    with pytest.raises(ValueError):
        canonical_hash({"a": float("nan")})


HOLD = """
import sys
from pathlib import Path
from stargan_lab.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it reads a line."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_excludes_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.lock"
    assert not is_locked(path)
    assert not path.parent.exists()  # checking creates nothing
    with holder(path) as process:
        assert is_locked(path)
        with pytest.raises(LockedError, match=r"a\.lock: locked by another process"), locked(path, timeout=0):
            pass
        with pytest.raises(LockedError, match=r"^run 7 is being trained$"), locked(path, 0, "run 7 is being trained"):
            pass
        process.communicate("go\n", timeout=30)
        assert process.returncode == 0
    assert not is_locked(path)
    with locked(path, timeout=0):
        assert is_locked(path)
    assert not is_locked(path)


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with holder(path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        assert not is_locked(path)
        with locked(path, timeout=0):
            assert is_locked(path)


def test_locked_waits_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with holder(path) as process:
        assert process.stdin is not None
        start = time.monotonic()
        with pytest.raises(LabError), locked(path, timeout=0.2):
            pass
        assert time.monotonic() - start >= 0.2
        process.stdin.write("go\n")
        process.stdin.flush()
        with locked(path, timeout=30):
            pass


def test_an_exception_inside_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert not is_locked(path)


COUNT = """
import sys, time
from pathlib import Path
from stargan_lab.files import locked, read_json, write_json
counter = Path(sys.argv[1])
for _ in range(20):
    with locked(counter.with_suffix(".lock")):
        value = read_json(counter)
        time.sleep(0.002)
        write_json(counter, value + 1)
"""


def test_concurrent_processes_lose_no_update(tmp_path: Path) -> None:
    counter = tmp_path / "counter.json"
    write_json(counter, 0)
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(counter)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert read_json(counter) == 60

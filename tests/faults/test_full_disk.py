"""Disks that are full or read-only, and limits on file sizes: one line, and existing files stay intact.

A mounted file system of a few MiB needs root, as in CI; the limit on file sizes needs no rights.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobStatus
from hydra.types import HydraContext, RunMode
from scored import scoring
from stored import write_run

from hydra_plugins.stargan_lab_launchers.processes import ProcessLauncher
from stargan_lab.cli.jobs import Job, Jobs
from stargan_lab.cli.main import main
from stargan_lab.config.compose import compose_with, config_loader, resolve
from stargan_lab.errors import LabError
from stargan_lab.files import make_once, write_text
from stargan_lab.tracking.run_folder import RunFolder

SMALL = "size=1m"


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """An empty file system in memory; skips the test if mounting is not allowed."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", SMALL) as folder:
        yield folder


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_atomic_write_on_a_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    write_text(small_disk / "result.json", "old")
    fill(small_disk)
    with pytest.raises(LabError, match=r"result\.json: cannot be written \(No space left on device\)"):
        write_text(small_disk / "result.json", "x" * 100_000)
    assert (small_disk / "result.json").read_text() == "old"
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "result.json"]


def test_cache_on_a_full_disk_is_made_later(small_disk: Path) -> None:
    fill(small_disk)
    path = small_disk / "packed.npy"
    with pytest.raises(LabError, match=r"packed\.npy"):
        make_once(path, lambda file: file.write(bytes(100_000)))
    assert not path.exists()
    (small_disk / "filler").unlink()
    assert make_once(path, lambda file: file.write(b"whole")).read_bytes() == b"whole"


def test_rows_of_metrics_on_a_full_disk(small_disk: Path) -> None:
    """A row is written whole or not at all when the run resumes."""
    folder = RunFolder(small_disk / "a1b2")
    folder.append(1, {"loss/d_real": 1.0})
    fill(small_disk)
    with pytest.raises(LabError, match=r"metrics\.jsonl: cannot be written \(No space left on device\)"):
        for step in range(2, 1000):
            folder.append(step, {"loss/d_real": 1.0})
    (small_disk / "filler").unlink()
    count = folder.truncate_after(10_000)
    assert [row.step for row in folder.rows()] == list(range(1, count + 1))


@pytest.mark.parametrize("command", ["train", "data make"])
def test_command_on_a_full_disk(small_disk: Path, refused: Callable[..., str], command: str) -> None:
    fill(small_disk)
    words = ["preset=tiny", f"paths.outputs={small_disk}/outputs", "tracking.enabled=false"]
    assert "No space left on device" in refused(*command.split(), *words)


def test_run_on_a_disk_that_fills_up_resumes(small_disk: Path, refused: Callable[..., str], here: Path) -> None:
    """With enough space the same command ends as if nothing had happened."""
    words = ["train", "preset=tiny", "tracking.enabled=false", "total_steps=6", "quiet=true", "trainer.device=cpu"]
    assert main([*words, f"paths.outputs={here / 'reference'}"]) == 0
    disk = f"paths.outputs={small_disk}"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(700_000))  # data fit, checkpoints do not
    assert "No space left on device" in refused(*words, disk)
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert main([*words, disk]) == 0
    (reference,), (run,) = ((folder / "runs").iterdir() for folder in (here / "reference", small_disk))
    results = [RunFolder(folder).result() or {} for folder in (reference, run)]
    assert results[0]["state_sha256"] == results[1]["state_sha256"]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_job_of_a_sweep_on_a_full_disk_fails_in_one_line(small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Before the run can record anything: Hydra writes its own files first."""
    loader, places = config_loader(), [f"paths.outputs={small_disk}/outputs", f"hydra.sweep.dir={small_disk}/hydra"]
    base = compose_with(loader, ["preset=tiny", "hydra/launcher=basic", *places], RunMode.MULTIRUN)
    launcher = ProcessLauncher()
    context = HydraContext(config_loader=loader, callbacks=Callbacks(base))
    task = Jobs(base, [Job([], resolve(base, base.hydra), "a1b2")])
    launcher.setup(hydra_context=context, task_function=task, config=base)
    fill(small_disk)
    done = launcher.runner.only(0)([], 0)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("failed: ") and "No space left on device" in line
    assert done.status == JobStatus.FAILED and f"failed: {done._return_value}" == line


def test_limit_on_file_sizes(here: Path) -> None:
    """``ulimit -f``: writing fails with an error instead of ending the process."""
    script = "import sys; from stargan_lab.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "preset=tiny", "tracking.enabled=false", f"paths.outputs={here / 'outputs'}"]
    limit = 20_000  # bytes: smaller than the packed images

    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "File too large" in done.stderr.splitlines()[-1] and done.stderr.splitlines()[-1].startswith("error: ")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Two finished runs on a read-only file system."""
    with mounted(tmp_path / "disk", "size=16m") as folder:
        for norm in ("none", "layer"):
            run = write_run(folder / "outputs", f"discriminator.norm={norm}")
            scores = scoring({"eval/edit": 0.3})
            RunFolder(folder / "outputs" / "runs" / run).write_result({"status": "finished", **scores})
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield folder / "outputs"


def test_read_only_outputs_are_refused(read_only: Path, refused: Callable[..., str]) -> None:
    words = ["preset=tiny", f"paths.outputs={read_only}", "tracking.enabled=false", "seed=5"]
    assert "paths.outputs: cannot write to" in refused("train", *words)
    assert "paths.outputs: cannot write to" in refused("sweep", "quickstart", *words[1:3])


@pytest.mark.parametrize(
    "command", ["report --runs --by discriminator.norm", "runs rm --yes {run}", "track sync", "export {run}"]
)
def test_writing_beside_read_only_runs_is_refused(
    read_only: Path, refused: Callable[..., str], command: str, here: Path
) -> None:
    run = next((read_only / "runs").iterdir())
    message = refused(*command.format(run=run.name).split(), "--outputs", str(read_only))
    assert str(read_only) in message and "Read-only file system" in message


def test_read_only_runs_can_be_read(read_only: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = next((read_only / "runs").iterdir())
    for command in ("list", f"show {run.name}", "du"):
        assert main(["runs", *command.split(), "--outputs", str(read_only)]) == 0, capfd.readouterr().err
        assert run.name in capfd.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "outputs").mkdir(mode=0o500)
    assert "paths.outputs: cannot write to" in refused("train", "preset=tiny", f"paths.outputs={tmp_path / 'outputs'}")

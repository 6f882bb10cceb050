"""``doctor`` checks of everything a configuration reads: weights, datasets, the MLflow store, earlier runs."""

import os
import shlex
import shutil
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from platform import python_version

import torch

from stargan_lab.checkpoints.weight_files import ROLES, locate_initial
from stargan_lab.cli.doctor import Finding, Request
from stargan_lab.config import Component, RunConfig
from stargan_lab.config.machine import with_fastest_settings
from stargan_lab.config.option_help import as_yaml
from stargan_lab.config.run_identity import effective_trainer
from stargan_lab.data.sources import open_sources
from stargan_lab.errors import ConfigError, DataError, LabError, counted
from stargan_lab.evaluation.inception_weights import DOWNLOAD, cache_paths, is_official
from stargan_lab.files import check_writable, existing_parent
from stargan_lab.registry import family
from stargan_lab.runs.build import pick_device
from stargan_lab.runs.provenance import environment, git_commit
from stargan_lab.tracking.run_folder import FAILED, RunFolder, run_folders
from stargan_lab.tracking.store import default_database
from stargan_lab.tracking.uri import masked, usable

LIBRARIES = ("torch", "torchvision", "hydra-core", "omegaconf", "mlflow", "pytorch-fid")
GIB = 2**30
RUN_SPACE, SWEEP_SPACE = 1 * GIB, 5 * GIB
"""Free disk space below which a run, or a sweep, is likely to fail."""


def check(config: RunConfig, request: Request) -> Iterator[Finding]:
    """Check everything that a run of ``config`` reads.

    Args:
        request: without overrides, a missing dataset is a note, not a problem.
    """
    outputs = Path(config.paths.outputs)
    package = f"stargan-lab {version('stargan-lab')} (commit {git_commit()}), python {python_version()}"
    yield Finding("ok", "versions", package)
    yield Finding("ok", "libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    yield from _devices(config)
    yield _speed(config)
    yield _disk(outputs)
    yield _inception(config, outputs)
    yield from _initial(config, outputs)
    yield from _datasets(config, outputs, request)
    yield _mlflow(config, outputs)
    yield from _runs(outputs, request)


def _devices(config: RunConfig) -> Iterator[Finding]:
    here, memory = environment("cpu"), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding(
        "ok", "CPU", f"{here['machine']}: {counted(int(here['cores']), 'core')}, {memory / GIB:.0f} GiB memory"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about drivers it cannot use
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("ok", "GPU", f"cuda:{index} {properties.name}, {properties.total_memory / GIB:.0f} GiB")
    try:
        pick_device(config)
    except ConfigError as error:
        yield Finding("problem", "GPU", str(error))
        return
    if not count:
        reason = "torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA GPU or driver found"
        yield Finding("note", "GPU", f"none ({reason}); runs use the CPU")


def _speed(config: RunConfig) -> Finding:
    """Recommends the settings of ``trainer=fast`` that differ from the configuration's and have an effect."""
    now, fastest = effective_trainer(config), effective_trainer(with_fastest_settings(config))
    now = config.trainer.model_dump() | now
    faster = [f"trainer.{key}={as_yaml(value)}" for key, value in fastest.items() if now[key] != value]
    if not faster:
        return Finding("ok", "speed", "the fastest settings for this machine")
    text = f"faster on this machine, as with trainer=fast: {' '.join(faster)}; results differ slightly"
    return Finding("note", "speed", text)


def _disk(outputs: Path) -> Finding:
    try:
        check_writable("paths.outputs", outputs)
    except ConfigError as error:
        return Finding("problem", "outputs", str(error))
    free = shutil.disk_usage(existing_parent(outputs)).free
    text = f"{outputs.absolute()}: {free / GIB:.1f} GiB free"
    if free < RUN_SPACE:
        return Finding("problem", "outputs", f"{text}; free up space or set paths.outputs to another disk")
    return Finding("note" if free < SWEEP_SPACE else "ok", "outputs", text)


def _inception(config: RunConfig, outputs: Path) -> Finding:
    weights, extractor = config.evaluation.weights, config.evaluation.extractor
    if extractor is None or "weights" not in family("extractor").options(extractor):
        return Finding("ok", "Inception", f"not needed with evaluation.extractor={extractor or 'null'}")
    paths = cache_paths(outputs) if weights in (None, DOWNLOAD) else [Path(str(weights)).expanduser()]
    if path := next((path for path in paths if path.is_file()), None):
        if is_official(path):
            return Finding("ok", "Inception", f"{path}: official weights; the metric is called eval/fid")
        text = f"{path} is not the official file; the metric is called eval/frechet_inception_unverified"
        return Finding("note", "Inception", text)
    if weights is None:
        how = f"set evaluation.weights={DOWNLOAD} or a path, or put the official file at {paths[0]}"
        return Finding("note", "Inception", f"no weights, so FID is not computed: {how}")
    if weights == DOWNLOAD:
        return Finding("note", "Inception", f"the first evaluation will download the weights to {paths[0]}")
    text = f"evaluation.weights: {weights} is not a file; set a path or {DOWNLOAD}"
    return Finding("problem", "Inception", text)


def _initial(config: RunConfig, outputs: Path) -> Iterator[Finding]:
    for role in ROLES:
        if (weights := getattr(config.initial, role)) is not None:
            try:
                yield Finding("ok", f"initial.{role}", str(locate_initial(weights, outputs)))
            except LabError as error:
                yield Finding("problem", f"initial.{role}", str(error))


def _datasets(config: RunConfig, outputs: Path, request: Request) -> Iterator[Finding]:
    for name, component in config.data.sources.items():
        try:
            yield Finding("ok", f"data {name}", _dataset(name, component, config.data.image_size, outputs))
        except LabError as error:
            fix = _fix(name, component, request) if request.overrides and isinstance(error, DataError) else ""
            yield Finding("problem" if request.overrides else "note", f"data {name}", str(error), fix)


def _fix(name: str, component: Component, request: Request) -> str:
    """The command that lists a dataset's problems; empty for one without a directory."""
    root = component.options.get("root")
    if root is None:
        return ""
    if Path(str(root)).expanduser().is_dir():
        return f"{request.command('data check')}   # lists all problems in {root}"
    command = request.command("data check", f"data.sources.{name}.root=DIR")
    return f"{command}   # replace DIR with the directory of {name}"


def _dataset(name: str, component: Component, size: int, outputs: Path) -> str:
    """Describes a dataset from its lists or directories without opening images. Raises LabError."""
    (source,) = open_sources({name: component.flat("kind")}, size, outputs)
    root = getattr(source, "root", None)
    option = family("dataset").options(component.name).get("root")
    if option is not None and option.default is None:  # a generated dataset: the directory is optional
        exists = root is not None and root.is_dir()
        return f"{component.name}, {'generated in' if exists else 'will be generated in'} {root}"
    if not hasattr(source, "listed"):
        return f"{component.name} with {len(source.spec.names)} labels"
    counts = ", ".join(f"{split} {len(rows.names):,}" for split, rows in source.listed.items())
    return f"{component.name} in {root}: {counts} images, labels {' '.join(source.spec.names)}"


def _mlflow(config: RunConfig, outputs: Path) -> Finding:
    if not config.tracking.enabled:
        return Finding("ok", "MLflow", "disabled")
    uri = usable(config.tracking.uri) or f"sqlite:///{default_database(outputs.absolute())}"
    if not uri.startswith("sqlite:///"):
        return Finding("note", "MLflow", f"{masked(uri)}: not checked; doctor checks only SQLite stores")
    path = Path(uri.removeprefix("sqlite:///").split("?")[0])
    flags = ["--outputs", str(outputs), *(["--uri", uri] if config.tracking.uri else [])]
    sync = f"stargan-lab track sync {shlex.join(flags)}"
    runs = run_folders(outputs)
    if path.exists():
        return _sqlite(path, runs, sync)
    if runs:
        text = f"{path} does not exist, but {outputs / 'runs'} has {counted(len(runs), 'run')}"
        return Finding("note", "MLflow", text, f"{sync}   # creates the store")
    return Finding("ok", "MLflow", f"{path} does not exist; the first run creates it")


def _sqlite(path: Path, runs: Sequence[RunFolder], sync: str) -> Finding:
    """Reads the database directly: MLflow takes seconds to import and may migrate the file."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            (count,) = store.execute("select count(*) from runs where lifecycle_stage = 'active'").fetchone()
            recorded = {value for (value,) in store.execute("select distinct value from tags where key = 'run_id'")}
    except sqlite3.Error as error:
        rebuild = f"{shlex.join(['mv', str(path), f'{path}.old'])} && {sync}   # rebuilds the store from the run files"
        return Finding("problem", "MLflow", f"{path} is not a readable MLflow store ({error})", rebuild)
    if not os.access(path, os.W_OK):
        return Finding("problem", "MLflow", f"{path} is not writable; change its permissions or set tracking.uri")
    missing = [folder.run_id for folder in runs if folder.run_id not in recorded]
    if missing:
        text = f"{path}: {counted(count, 'run')}; {len(missing)} of those in {runs[0].path.parent} missing"
        return Finding("note", "MLflow", text, f"{sync}   # adds the missing runs")
    return Finding("ok", "MLflow", f"{path}: {counted(count, 'run')}")


def _runs(outputs: Path, request: Request) -> Iterator[Finding]:
    """Runs that are damaged, failed, interrupted or active, and how many are finished."""
    finished = 0
    for folder in run_folders(outputs):
        try:
            status = folder.status()
            finished += status == "finished"
            yield from _run(folder, status, request)
        except LabError as error:
            remove = (
                f"rm -r {shlex.quote(str(folder.path))}   # deletes the damaged run so that it can be trained again"
            )
            yield Finding("problem", f"run {folder.run_id}", str(error), remove)
    yield Finding("ok" if finished else "note", "runs", f"{counted(finished, 'finished run')} in {outputs / 'runs'}")


def _run(folder: RunFolder, status: str, request: Request) -> Iterator[Finding]:
    about = f"run {folder.run_id}"
    ablation = next((key.removeprefix("ablation.") for key in folder.tags() if key.startswith("ablation.")), None)
    if status in FAILED:
        error = (folder.result() or {}).get("error", "no reason recorded")
        retry = f"{request.sweep(ablation, '--retry-failed')}   # trains failed runs again" if ablation else ""
        yield Finding("note", about, f"{status}: {error}{'' if ablation else '; repeat its command to retry'}", retry)
    elif status in ("interrupted", "planned"):
        resume = f"{request.sweep(ablation)}   # resumes interrupted runs" if ablation else ""
        hint = "" if ablation else f"; repeat its command to resume (configuration: {folder.config_path})"
        yield Finding("note", about, f"interrupted{hint}", resume)
    elif status == "running":
        yield Finding("ok", about, "training in another process")

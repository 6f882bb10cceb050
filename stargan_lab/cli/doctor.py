"""What there is for a configuration, and what to do next. Looks only: nothing is written and no work begins."""

import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from os import W_OK, access
from pathlib import Path
from re import findall
from shlex import quote

import torch

from stargan_lab.checkpoints.files import locate_initial
from stargan_lab.cli.machine import Finding, devices, disk, versions
from stargan_lab.config import Component, RunConfig
from stargan_lab.data.sources import open_sources
from stargan_lab.errors import DataError, LabError
from stargan_lab.evaluation.inception_weights import DOWNLOAD, VERIFIED_SHA256
from stargan_lab.files import sha256_file
from stargan_lab.registry import family
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.tracking.sync import run_folders


@dataclass(frozen=True)
class Asked:
    """How a configuration was asked for, to be asked for again in other commands."""

    overrides: Sequence[str] = ()
    config_dir: str | None = None

    def command(self, words: str, *further: str) -> str:
        """A line for the shell: ``stargan-lab WORDS`` with the same overrides, but for those ``further`` set anew."""
        anew = {override.partition("=")[0] for override in further}
        kept = [override for override in self.overrides if override.partition("=")[0] not in anew]
        return self._line(words, [*kept, *further])

    def sweep(self, name: str, *flags: str) -> str:
        """The line that sweeps an ablation again, into the same outputs."""
        places = [override for override in self.overrides if override.startswith("paths.outputs=")]
        return self._line("sweep", [name, *flags, *places])

    def _line(self, words: str, rest: Sequence[str]) -> str:
        flags = ["--config-dir", self.config_dir] if self.config_dir else []
        return f"stargan-lab {words} {shlex.join([*rest, *flags])}".strip()


def examine(config: RunConfig, asked: Asked) -> list[Finding]:
    """Look at everything a run of ``config`` needs.

    Args:
        asked: without overrides, a dataset that only the default configuration needs is no problem when it is missing.
    """
    outputs = Path(config.paths.outputs)
    return [
        *versions(),
        *devices(config),
        *_weights(config, outputs),
        *_initial(config, outputs),
        *_datasets(config, outputs, asked),
        *disk(outputs),
        *_store(config, outputs),
        *_runs(outputs, asked),
    ]


def next_steps(findings: Sequence[Finding], asked: Asked, outputs: Path) -> list[str]:
    """One or a few commands: what mends problems, what finishes what was begun, and what to run."""
    problems = [finding for finding in findings if finding.level == "problem"]
    again = asked.command("doctor")
    mending = [f.do or f"{again}   # when this is mended: {f.about}: {f.text}" for f in problems]
    finishing = [f.do for f in findings if f.level == "note" and f.do]
    steps = list(dict.fromkeys([*mending, *finishing]))
    if asked.overrides and not problems:
        steps.append(f"{asked.command('train')}   # this configuration can run")
    if not any(f.about == "runs" and f.level == "ok" for f in findings):
        steps.append("stargan-lab train preset=tiny   # seconds: everything works, or says what does not")
        steps.append("stargan-lab sweep quickstart   # a first ablation on data it draws itself")
    else:
        where = "" if outputs == Path("outputs") else f" --outputs {quote(str(outputs))}"
        steps.append(f"stargan-lab ui{where}   # the runs in MLflow's pages")
    return steps


def _weights(config: RunConfig, outputs: Path) -> Iterator[Finding]:
    """Inception's, which only scores called FID need."""
    asked, extractor = config.evaluation.weights, config.evaluation.extractor
    if extractor is None or "weights" not in family("extractor").options(extractor):
        yield Finding("ok", "Inception", f"not needed with evaluation.extractor={extractor or 'null'}")
        return
    places = weight_places(outputs) if asked in (None, DOWNLOAD) else [Path(str(asked)).expanduser()]
    found = next((path for path in places if path.is_file()), None)
    if found is None and asked is None:
        how = f"evaluation.weights={DOWNLOAD} or a path, or put the official file at {places[0]}"
        yield Finding("note", "Inception", f"no weights, so no FID (all other scores are there): set {how}")
    elif found is None and asked == DOWNLOAD:
        yield Finding("note", "Inception", f"will be downloaded to {places[0]} at the first scoring")
    elif found is None:
        yield Finding("problem", "Inception", f"evaluation.weights: {asked} is no file; give a path or {DOWNLOAD}")
    elif sha256_file(found) == VERIFIED_SHA256:
        yield Finding("ok", "Inception", f"{found}, the official weights: scores are called eval/fid")
    else:
        text = f"{found} is not the official file: scores are called eval/frechet_inception_unverified"
        yield Finding("note", "Inception", text)


def weight_places(outputs: Path) -> list[Path]:
    """``evaluation.weights.cache_paths``, with the file's name read off pytorch-fid: importing that takes seconds."""
    spec = find_spec("pytorch_fid")
    source = Path(str(spec.origin)).with_name("inception.py").read_text() if spec else ""
    (name,) = findall(r"FID_WEIGHTS_URL = [\"'].*/([^/\"']+)[\"']", source)[:1] or ["pt_inception.pth"]
    return [outputs / "cache" / "weights" / name, Path(torch.hub.get_dir()) / "checkpoints" / name]


def _initial(config: RunConfig, outputs: Path) -> Iterator[Finding]:
    for key, text in (("generator", config.initial.generator), ("discriminator", config.initial.discriminator)):
        if text is None:
            continue
        try:
            yield Finding("ok", f"initial.{key}", str(locate_initial(text, outputs)))
        except LabError as error:
            yield Finding("problem", f"initial.{key}", str(error))


def _datasets(config: RunConfig, outputs: Path, asked: Asked) -> Iterator[Finding]:
    for name, source in config.data.sources.items():
        about = f"data {name}"
        try:
            yield Finding("ok", about, _dataset(name, source, config.data.image_size, outputs))
        except LabError as error:
            do = _mend(name, source, asked) if asked.overrides and isinstance(error, DataError) else ""
            yield Finding("problem" if asked.overrides else "note", about, str(error), do)


def _mend(name: str, component: Component, asked: Asked) -> str:
    """What to do about a dataset that cannot be read: look closer, or say where it is. Empty without a folder."""
    root = component.options.get("root")
    if root is None:
        return ""
    if Path(str(root)).expanduser().is_dir():
        return f"{asked.command('data check')}   # lists all that is wrong in {root}"
    key = f"data.sources.{name}.root"
    return f"{asked.command('data check', f'{key}=FOLDER')}   # with the folder that {name} is in for FOLDER"


def _dataset(name: str, component: Component, size: int, outputs: Path) -> str:
    """What is there of one dataset, by its lists or folders; no image is opened. Raises LabError."""
    (source,) = open_sources({name: component.flat("kind")}, size, outputs)
    root = getattr(source, "root", None)
    place = family("dataset").options(component.name).get("root")
    if place is not None and place.default is None:  # a folder one need not have: the dataset makes it
        there = root is not None and root.is_dir()
        return f"{component.name}, {'drawn already in' if there else 'will be drawn into'} {root}"
    if not hasattr(source, "listed"):
        return f"{component.name} with {len(source.spec.names)} labels"
    counts = ", ".join(f"{which} {len(rows.names):,}" for which, rows in source.listed.items())
    return f"{component.name} in {root}: {counts} images, labels {' '.join(source.spec.names)}"


def _store(config: RunConfig, outputs: Path) -> Iterator[Finding]:
    if not config.tracking.enabled:
        yield Finding("ok", "MLflow", "off; runs leave their plain files only")
        return
    uri = config.tracking.uri or f"sqlite:///{outputs.absolute() / 'mlflow.db'}"
    path = Path(uri.removeprefix("sqlite:///").split("?")[0])
    to = ["--uri", uri] if config.tracking.uri else []
    sync = f"stargan-lab track sync {shlex.join(['--outputs', str(outputs), *to])}"
    runs = run_folders(outputs)
    if not uri.startswith("sqlite:///"):
        yield Finding("note", "MLflow", f"{uri} is not looked at")
    elif path.exists():
        yield _sqlite(path, runs, sync)
    elif runs:
        yield Finding("note", "MLflow", f"{path} is not there, but {len(runs)} runs are", f"{sync}   # makes the store")
    else:
        yield Finding("ok", "MLflow", f"{path} is not there yet; the first run makes it")


def _sqlite(path: Path, runs: Sequence[RunFolder], sync: str) -> Finding:
    """Read with SQLite itself, read-only: importing mlflow takes seconds and may change the file."""
    anew = f"{shlex.join(['mv', str(path), f'{path}.old'])} && {sync}   # makes the store anew of the runs' plain files"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as store:
            (revision,) = store.execute("select version_num from alembic_version").fetchone()
            (count,) = store.execute("select count(*) from runs where lifecycle_stage = 'active'").fetchone()
            known = {value for (value,) in store.execute("select distinct value from tags where key = 'run_id'")}
    except (sqlite3.Error, TypeError) as error:
        return Finding("problem", "MLflow", f"{path} is not readable as a store ({error})", anew)
    known_revisions, newest = schema_revisions()
    if revision not in known_revisions:
        return Finding("problem", "MLflow", f"{path} is of another mlflow's schema ({revision})", anew)
    if revision != newest:
        upgrade = f"mlflow db upgrade {quote(f'sqlite:///{path.absolute()}')}   # brings the store up to date"
        return Finding("problem", "MLflow", f"{path} is of an older mlflow's schema ({revision})", upgrade)
    if not access(path, W_OK):
        return Finding("problem", "MLflow", f"{path} cannot be written: mend its permissions or set tracking.uri")
    missing = [folder.run_id for folder in runs if folder.run_id not in known]
    if missing:
        text = f"{path}: {count} runs; {len(missing)} more are in {runs[0].path.parent}"
        return Finding("note", "MLflow", text, f"{sync}   # adds them to the store")
    return Finding("ok", "MLflow", f"{path}: {count} runs, schema {revision}, writable")


def schema_revisions() -> tuple[set[str], str]:
    """Those the installed mlflow knows, and the newest, read off its migrations without importing it."""
    spec = find_spec("mlflow")
    folder = Path(str(spec.origin)).parent / "store" / "db_migrations" / "versions" if spec else Path()
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.py")))
    own = set(findall(r"(?m)^revision[^=\n]*= *[\"'](\w+)[\"']", text))
    older = set(findall(r"(?m)^down_revision[^=\n]*= *[\"'](\w+)[\"']", text))
    return own, next(iter(own - older), "")


def _runs(outputs: Path, asked: Asked) -> Iterator[Finding]:
    """What stands unfinished, and how many are finished."""
    finished = 0
    for folder in run_folders(outputs):
        about = f"run {folder.run_id}"
        try:
            status, tags, result = folder.status(), folder.tags(), folder.result() or {}
        except LabError as error:
            yield Finding("problem", about, str(error), f"rm -r {quote(str(folder.path))}   # to train it anew")
            continue
        finished += status == "finished"
        sweep = next((key.removeprefix("ablation.") for key in tags if key.startswith("ablation.")), None)
        if status == "failed":
            do = f"{asked.sweep(sweep, '--retry-failed')}   # tries failed runs again" if sweep else ""
            reason = f"failed: {result.get('error', 'no reason recorded')}"
            yield Finding("note", about, reason + ("" if sweep else "; the same command tries it again"), do)
        elif status in ("interrupted", "planned"):
            do = f"{asked.sweep(sweep)}   # goes on with what was interrupted" if sweep else ""
            again = "" if sweep else f"; the command that began it resumes it (settings: {folder.config_path})"
            yield Finding("note", about, f"interrupted{again}", do)
        elif status == "running":
            yield Finding("ok", about, "in training, by another process")
    yield Finding("ok" if finished else "note", "runs", f"{finished or 'none'} finished in {outputs / 'runs'}")

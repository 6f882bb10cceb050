"""``evaluate`` and ``fid``: finished runs scored again, and the Fréchet distance of two folders of images."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stargan_lab.ablation.spec import load
from stargan_lab.config.validate import import_user_modules
from stargan_lab.console import elsewhere, say
from stargan_lab.errors import ConfigError, DataError, LabError
from stargan_lab.evaluation.extractors import Extractor, build_extractor, metric_name
from stargan_lab.evaluation.frechet import frechet_distance
from stargan_lab.evaluation.image_folders import FolderImages, examine, find
from stargan_lab.evaluation.protocol import VERSION
from stargan_lab.files import check_writable
from stargan_lab.runs.build import find_device
from stargan_lab.runs.reevaluate import finished_run, reevaluate
from stargan_lab.tracking.metrics import lookup, order

_AS_FLAGS = {
    "evaluation.weights=": "--weights ",
    "evaluation.": "--",
    "or null for": "or leave it out for",
    "set it to null": "leave it out",
}
"""What the extractors' refusals say of the configuration's keys, as this command line has it."""


def fid(parsed: argparse.Namespace) -> int:
    """Print ``{"metric", "value", "protocol"}`` to stdout, and nothing else there."""
    outputs, device = Path(parsed.outputs).expanduser(), find_device("--device", parsed.device)
    check_writable("--outputs", outputs)
    places = find(parsed.real), find(parsed.fake)
    extractor = _extractor(parsed, outputs, device)
    real, fake = (examine(place, extractor.dims) for place in places)
    (mean, covariance), (fake_mean, fake_covariance) = (
        side.gaussian(extractor, outputs, device) for side in (real, fake)
    )
    if len(mean) != len(fake_mean):
        dims = f"{len(mean):,} features of an image in {real.path}, {len(fake_mean):,} in {fake.path}"
        raise LabError(f"{extractor.name!r} has {dims}; images of one size on both sides have equally many")
    notes = [note for side in (real, fake) for note in _notes(side, len(mean), extractor)]
    for note in dict.fromkeys(notes):  # once where both are the same folder
        say(f"note: {note}")
    result = {
        "metric": metric_name("frechet", extractor.label).removeprefix("eval/"),
        "value": frechet_distance(mean, covariance, fake_mean, fake_covariance),
        "protocol": _protocol(extractor, len(mean), real, fake),
    }
    print(json.dumps(result, indent=2, allow_nan=False))
    return 0


def _extractor(parsed: argparse.Namespace, outputs: Path, device: torch.device) -> Extractor:
    """What the flags ask for. Raises ConfigError for weights that make no FID, unless they are allowed."""
    import_user_modules([name.strip() for name in parsed.imports.split(",")] if parsed.imports else [])
    try:
        extractor = build_extractor(parsed.features, outputs, device, None, weights=parsed.weights, dims=parsed.dims)
    except LabError as error:
        message = str(error)
        for key, flag in _AS_FLAGS.items():
            message = message.replace(key, flag)
        raise type(error)(message) from None
    if _verified(extractor) is False and not parsed.allow_unverified:
        name = metric_name("frechet", extractor.label).removeprefix("eval/")
        raise ConfigError(
            f"--weights: their SHA-256 {extractor.sha256[:12]}… is not that of the official Inception weights, so this"
            f" is no FID; add --allow-unverified to have it as {name}, or --weights download"
        )
    return extractor


def _verified(extractor: Extractor) -> bool | None:
    """Whether the weights are the official ones; None for features of which there are no official ones."""
    return getattr(extractor, "verified", None)


def _protocol(extractor: Extractor, dims: int, real: FolderImages, fake: FolderImages) -> dict[str, Any]:
    """What the value depends on, beside the content of the second set."""
    return {
        "dims": dims,
        "distance": "frechet",
        "extractor": extractor.name,
        "generated": {"images": fake.count},
        "preprocessing": extractor.preprocessing,
        "quantisation": "uint8",
        "real": {"images": real.count, "sha256": real.fingerprint},
        "sha256": extractor.sha256,
        "verified": _verified(extractor),
        "version": VERSION,
    }


def _notes(side: FolderImages, dims: int, extractor: Extractor) -> list[str]:
    """What a reader of the number has to know of one side."""
    if side.count is None:
        return [f"{side.path}: does not say which weights and images it was made of; taken to be of {extractor.name!r}"]
    notes = []
    if side.count <= dims:
        notes.append(
            f"{side.path}: {side.count:,} images for {dims:,} features: the distance is biased upwards; compare it only"
            " with those of equally many images"
        )
    if side.deep:
        count = f"{side.deep:,} of {side.count:,} images have"
        notes.append(f"{side.path}: {count} more than 8 bits a channel; values above 255 are cut off")
    return notes


def evaluate(parsed: argparse.Namespace) -> int:
    """Score finished runs again and print what came out; 1 when one of several could not be scored."""
    outputs = Path(parsed.outputs)
    overrides = [word for word in parsed.words if "=" in word]
    runs = [word for word in parsed.words if "=" not in word]
    if parsed.of:
        runs += _finished_of(parsed.of, outputs)
    if not runs:
        raise ConfigError(
            "RUN_ID: name a finished run, or an ablation with --of NAME (see stargan-lab evaluate --help)"
        )
    folders = {run.run_id: run for run in (finished_run(outputs, name) for name in runs)}
    records = []
    for run_id, folder in folders.items():
        try:
            record = reevaluate(folder, overrides, again=parsed.again)
        except (ConfigError, DataError):  # as true of the others
            raise
        except LabError as error:
            if len(folders) == 1:
                raise
            say(f"run {run_id}: {error}")
            continue
        records.append(record)
        _show(record, parsed.json)
    if parsed.json:
        print(json.dumps(records[0] if len(folders) == 1 and not parsed.of else records, indent=2, allow_nan=False))
    for protocol in dict.fromkeys(record["protocol"]["hash"] for record in records) if parsed.of else ():
        say(f"next: stargan-lab report {parsed.of} --protocol {protocol}{elsewhere(outputs)}")
    return 0 if len(records) == len(folders) else 1


def _finished_of(name: str, outputs: Path) -> list[str]:
    """The finished runs of an ablation's last sweep; says how many others there are."""
    from stargan_lab.cli.sweep import recorded  # which imports all that draws reports

    rows = recorded(load(name), outputs)
    finished = [row.run_id for row in rows if row.usable]
    if not finished:
        raise LabError(f"{outputs}: no finished run of {name}; `stargan-lab sweep {name}` trains them")
    if left := len(rows) - len(finished):
        say(f"note: {left} of {len(rows)} runs of {name} are not finished and left out")
    return finished


def _show(record: Mapping[str, Any], as_json: bool) -> None:
    """The overall scores and warnings of one run on stdout; as JSON they come later, and here only what to heed."""
    warnings = [f"warning: {warning['text']}" for warning in record["warnings"]]
    for note in record["notes"]:
        say(f"note: {note}")
    if as_json:
        for line in warnings:
            say(line)
        return
    overall = sorted((name for name in record["metrics"] if name.count("/") == 1), key=order)
    shown = [(lookup(name).label, lookup(name).show(record["metrics"][name])) for name in overall]
    width, digits = max(len(label) for label, _ in shown), max(len(value) for _, value in shown)
    lines = [f"  {label:<{width}}  {value:>{digits}}" for label, value in shown]
    heading = f"run {record['run_id']}  step {record['step']:,}  protocol {record['protocol']['hash']}"
    print("\n".join([heading, *lines, *warnings]))

"""``export`` and ``translate``: networks out, and a person's own pictures through them."""

import argparse
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stargan_lab.checkpoints.export import reference_state, to_onnx
from stargan_lab.checkpoints.files import Role
from stargan_lab.console import say
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier, classifier_hash, load_classifier
from stargan_lab.files import sha256_file, write_atomically
from stargan_lab.runs.build import build_sources, find_device
from stargan_lab.runs.load import LoadedModel, load_model
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.translation.targets import Target, parse_source_labels, parse_targets
from stargan_lab.translation.translate import Frame, find_images, translate_images

WEIGHT_FILES = (".ckpt", ".pt", ".pth", ".onnx")


def export(parsed: argparse.Namespace) -> int:
    """Write a network in the form asked for; the paths go to stdout."""
    outputs = Path(parsed.outputs)
    opened = _open(parsed, outputs)
    to = Path(parsed.to).expanduser() if parsed.to else outputs / "exports" / opened.name
    write = {"reference": _export_reference, "onnx": _export_onnx}[parsed.format]
    for path in write(opened, to):
        print(path)
    return 0


def _export_reference(opened: LoadedModel, folder: Path) -> list[Path]:
    if folder.suffix in WEIGHT_FILES or folder.is_file():
        raise ConfigError(f"--to: {folder}: the reference's form is two files; name a folder for them")
    if opened.critic is None:
        raise ConfigError(f"{opened.path}: has no discriminator with it; the reference's form is a pair of files")
    networks: list[tuple[str, Role, torch.nn.Module]] = [
        ("G", "generator", opened.generator),
        ("D", "discriminator", opened.critic),
    ]
    states = {letter: reference_state(network, role, opened.image_size) for letter, role, network in networks}
    if any(value.dtype == torch.float64 for value in opened.generator.state_dict().values()):
        say("note: the run's float64 weights are rounded to float32, which the reference's are")
    written = []
    for letter, state in states.items():
        written.append(folder / f"{opened.step or 0}-{letter}.ckpt")
        write_atomically(written[-1], partial(torch.save, state))
    say(f"{_which(opened)}; in the reference: --resume_iters {opened.step or 0}, or --test_iters")
    flags = {"binary": "--attributes", "categorical": "--classes"}
    named = " ".join(f"{flags[spec.kind]} {','.join(spec.names)}" for spec in opened.layout.specs)
    say(f"the files do not name the labels; translate takes {named}")
    return written


def _export_onnx(opened: LoadedModel, to: Path) -> list[Path]:
    path = to if to.suffix == ".onnx" else to / f"{opened.step or 0}-G.onnx"
    if to.suffix in set(WEIGHT_FILES) - {".onnx"}:
        raise ConfigError(f"--to: {to}: expected a folder or a file ending in .onnx")
    about = {"made_of": opened.name, "step": opened.step, "averaged": opened.averaged}
    content, apart = to_onnx(opened.generator, opened.layout, opened.image_size, about)
    write_atomically(path, lambda file: file.write(content))
    say(f"{_which(opened)}; onnxruntime's images differ from torch's by at most {apart:.1e}")
    return [path]


def translate(parsed: argparse.Namespace) -> int:
    """Translate pictures; 1 when some could not be read."""
    outputs = Path(parsed.outputs)
    opened = _open(parsed, outputs)
    targets = parse_targets(parsed.to, opened.layout)
    translator = opened.translator(find_device("--device", parsed.device))
    size = opened.image_size if parsed.size is None else parsed.size
    frame = Frame(size, translator.size_multiple, parsed.crop, parsed.keep_aspect)
    own = _Own(opened, frame, targets, parsed.own)
    paths = find_images(parsed.images)
    out = Path(parsed.out).expanduser() if parsed.out else outputs / "translations" / opened.name
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out: {out} is no folder")
    count = "1 picture" if len(paths) == 1 else f"{len(paths)} pictures"
    say(f"{_which(opened)}; {count} to {', '.join(target.name for target in targets)}")
    for note in _other_squares(opened, frame, targets):
        say(f"note: {note}")
    if frame.keep_aspect:
        say(f"shorter side {frame.size} px, both sides rounded to multiples of {frame.multiple} px")
    unread = translate_images(translator, paths, targets, frame, own, out)
    if unread < len(paths):
        print(out / "strip.png")
    return 1 if unread else 0


def _other_squares(opened: LoadedModel, frame: Frame, targets: list[Target]) -> list[str]:
    """A line per dataset that was cropped in training, where nothing was asked for: its crop is of its own pictures."""
    if opened.config is None or frame.crop is not None or frame.keep_aspect:
        return []
    names = {opened.layout.specs[target.source].dataset for target in targets}
    crops = {name: each.options.get("crop") for name, each in opened.config.data.sources.items() if name in names}
    return [
        f"the largest square of each picture is taken; {name} was trained with crop={crop}, which is --crop {crop}"
        for name, crop in crops.items()
        if crop is not None
    ]


class _Own:
    """Source labels of an image: as given by ``--from``, else predicted by the run's attribute classifier, else all 0.

    The attribute classifier sees the square that the generator sees, in the size of training.
    """

    def __init__(self, opened: LoadedModel, frame: Frame, targets: list[Target], stated: str | None) -> None:
        self._opened = opened
        self._square = Frame(opened.image_size, crop=frame.crop)  # of a whole picture the largest
        self._stated = parse_source_labels(stated if stated is not None else "", opened.layout)
        self._attribute_classifiers: dict[int, AttributeClassifier] = {}
        asked = {target.source for target in targets if opened.layout.specs[target.source].kind == "binary"}
        if stated is not None:
            return
        for source in sorted(asked):
            dataset = opened.layout.specs[source].dataset
            attribute_classifier = cached_attribute_classifier(opened, source)
            if attribute_classifier is not None:
                self._attribute_classifiers[source] = attribute_classifier
            else:
                say(f"own labels of the pictures are not known, all of {dataset} taken to be 0; --from states them")

    def __call__(self, path: Path, picture: Image.Image) -> list[Tensor]:
        labels = list(self._stated)
        square = self._square.to_input(picture)[None]
        for source, attribute_classifier in self._attribute_classifiers.items():
            spec = self._opened.layout.specs[source]
            labels[source] = attribute_classifier.own_labels(square, spec)
            held = [name for name, value in zip(spec.names, labels[source][0], strict=True) if value]
            say(f"{path}: predicted {', '.join(held) or 'no label'} ({spec.dataset}'s attribute classifier)")
        return labels


def cached_attribute_classifier(opened: LoadedModel, source: int) -> AttributeClassifier | None:
    """The classifier that scores translations of a run's data, where one is cached; nothing is trained for it."""
    if opened.config is None:
        return None
    folder = Path(opened.config.paths.outputs) / "cache" / "classifiers"
    spec = opened.layout.specs[source]
    path = _recorded_attribute_classifier(opened, folder, spec.dataset) or _attribute_classifier_of_data(
        opened, folder, source
    )
    if path is None:
        return None
    try:
        return load_classifier(path, spec, opened.image_size, torch.device("cpu"))
    except LabError as error:
        say(f"note: {error}")
        return None


def _recorded_attribute_classifier(opened: LoadedModel, folder: Path, dataset: str) -> Path | None:
    """The one the run was scored by, found by the hash in its protocol: for that the data need not be there."""
    protocol = (RunFolder(opened.path.parent.parent).result() or {}).get("protocol") or {}
    attribute_classifier = protocol.get("instruments", {}).get(
        "attribute_classifier", protocol
    )  # earlier records have it among the rest
    digest = attribute_classifier.get("classifiers", {}).get(dataset)
    found = (path for path in sorted(folder.glob("*.pt")) if digest and sha256_file(path).startswith(digest))
    return next(found, None)


def _attribute_classifier_of_data(opened: LoadedModel, folder: Path, source: int) -> Path | None:
    """The one that another run over the same data was scored by."""
    assert opened.config is not None
    if not folder.is_dir():
        return None
    try:
        path = folder / f"{classifier_hash(build_sources(opened.config)[source], opened.image_size)}.pt"
    except LabError:  # the data are not there any more
        return None
    return path if path.exists() else None


def _open(parsed: argparse.Namespace, outputs: Path) -> LoadedModel:
    opened = load_model(parsed.what, outputs, parsed.ema, _names(parsed.attributes), _names(parsed.classes))
    for note in opened.notes:
        say(f"note: {note}")
    return opened


def _names(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _which(opened: LoadedModel) -> str:
    step = "" if opened.step is None else f" at step {opened.step:,}"
    return f"{opened.name}{step}, {'averaged' if opened.averaged else 'last'} weights"

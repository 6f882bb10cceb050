"""Labels that an input image already has: from the user, or predicted by the run's cached attribute classifier."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stargan_lab.console import say
from stargan_lab.errors import LabError
from stargan_lab.evaluation.attribute_classifier import AttributeClassifier, classifier_hash, load_classifier
from stargan_lab.files import sha256_file
from stargan_lab.runs.build import build_sources
from stargan_lab.runs.loaded_model import LoadedModel
from stargan_lab.tracking.run_folder import RunFolder
from stargan_lab.translation.requested_labels import Target, parse_source_labels
from stargan_lab.translation.translate import Frame


class SourceLabels:
    """Source labels of an image: those of ``--from``, else predicted by the run's attribute classifier, else all 0.

    The attribute classifier receives the square that the generator receives, at the training size.
    """

    def __init__(self, opened: LoadedModel, frame: Frame, targets: Sequence[Target], given: str | None) -> None:
        self._opened = opened
        self._square = Frame(opened.image_size, crop=frame.crop)  # with --keep-aspect: the largest square
        self._given = parse_source_labels(given or "", opened.layout)
        self._classifiers: dict[int, AttributeClassifier] = {}
        if given is not None:
            return
        specs = opened.layout.specs
        for source in sorted({target.source for target in targets if specs[target.source].kind == "binary"}):
            classifier = cached_attribute_classifier(opened, source)
            if classifier is not None:
                self._classifiers[source] = classifier
            else:
                say(f"note: assuming that all source labels of {specs[source].dataset} are 0; set them with --from")

    def __call__(self, path: Path, image: Image.Image) -> list[Tensor]:
        """(1, A) for each dataset."""
        labels = list(self._given)
        square = self._square.to_input(image)[None]
        for source, classifier in self._classifiers.items():
            spec = self._opened.layout.specs[source]
            labels[source] = classifier.predict_exclusive(square, spec)
            positive = [name for name, value in zip(spec.names, labels[source][0], strict=True) if value]
            say(f"{path}: predicted {', '.join(positive) or 'no label'} (attribute classifier: {spec.dataset})")
        return labels


def cached_attribute_classifier(opened: LoadedModel, source: int) -> AttributeClassifier | None:
    """The cached classifier that scored the run, or would score it; None if it is not cached. Never trains one."""
    if opened.config is None:
        return None
    folder = Path(opened.config.paths.outputs) / "cache" / "classifiers"
    spec = opened.layout.specs[source]
    path = _recorded(opened, folder, spec.dataset) or _of_dataset(opened, folder, source)
    if path is None:
        return None
    try:
        return load_classifier(path, spec, opened.image_size, torch.device("cpu"))
    except LabError as error:
        say(f"note: {error}")
        return None


def _recorded(opened: LoadedModel, folder: Path, dataset: str) -> Path | None:
    """The classifier whose hash is in the run's protocol; works without the dataset."""
    protocol = (RunFolder(opened.path.parent.parent).result() or {}).get("protocol") or {}
    instrument = protocol.get("instruments", {}).get("attribute_classifier", {})
    digest = (instrument.get("sha256") or protocol.get("classifiers", {})).get(dataset)  # the second in older records
    matching = (path for path in sorted(folder.glob("*.pt")) if digest and sha256_file(path).startswith(digest))
    return next(matching, None)


def _of_dataset(opened: LoadedModel, folder: Path, source: int) -> Path | None:
    """The classifier that another run on the same data was scored with."""
    assert opened.config is not None
    if not folder.is_dir():
        return None
    try:
        path = folder / f"{classifier_hash(build_sources(opened.config)[source], opened.image_size)}.pt"
    except LabError:  # the dataset no longer exists
        return None
    return path if path.exists() else None

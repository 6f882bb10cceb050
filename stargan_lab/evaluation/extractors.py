"""Feature extractors: the spaces in which Fréchet distance, KID, precision and recall are computed.

Register yours in the family ``extractor``. A builder takes ``(outputs, device, classifier)`` and keyword-only
options: ``weights`` and ``dims`` are set by ``evaluation.weights`` and ``evaluation.dims``, all others by
``evaluation.extractor_options``. At registration an extractor may declare ``labels``, a mapping from every label that
its features may have to a short description; by default its name is its only label. With the trait ``shared`` it does
not depend on the dataset: it is built once for all datasets, with None as the classifier.

Shapes: n images, D feature dimensions.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from stargan_lab import files
from stargan_lab.errors import LabError, OptionError
from stargan_lab.evaluation import inception_weights as weight_files
from stargan_lab.evaluation.attribute_classifier import RECIPE, AttributeClassifier
from stargan_lab.evaluation.inception import DIMS, FID_DIMS, MIB, UNVERIFIED, InceptionExtractor, inception_label
from stargan_lab.registry import family
from stargan_lab.tracking.metrics import extractor_labels

KEYS = ("weights", "dims")
"""Options with separate keys under ``evaluation``."""

extractor = family("extractor")


class Extractor(Protocol):
    name: str
    label: str
    """Part of the metrics' names, as in ``eval/frechet_<label>``; see ``tracking.metrics.metric_name``."""
    dims: int
    """Feature dimensions; 0 if they depend on the image."""
    sha256: str
    """SHA-256 of the weights; part of the cache key of features."""
    identity: str
    """Recorded in the protocol; equal for features with the same meaning."""
    preprocessing: str
    """How an image is transformed before the first layer; recorded in the protocol."""
    memory: int
    """Approximate peak memory per image in bytes; 0 if negligible."""
    options: Mapping[str, Any]
    """Set by ``build_extractor``: all options except weights and dims; part of the protocol and of the cache key."""

    def features(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) uint8 → (n, D) float32 on the CPU."""
        ...


_REQUIRED = ("name", "label", "dims", "sha256", "identity", "preprocessing", "memory")


def check_extractor(name: str, extractor: Extractor) -> None:
    """Check that the extractor registered as ``name`` has all required attributes and a declared label.

    Raises:
        LabError: an attribute is missing, or the label is invalid.
    """
    if missing := [key for key in _REQUIRED if not hasattr(extractor, key)]:
        raise LabError(f"extractor {name!r}: missing attributes {', '.join(missing)}; required: {', '.join(_REQUIRED)}")
    if not extractor.label and not getattr(extractor, "verified", False):
        raise LabError(f"extractor {name!r}: an empty label is reserved for official Inception features")
    if extractor.label not in (labels := extractor_labels(name)):
        raise LabError(
            f"extractor {name!r}: label {extractor.label!r} is not declared (declared: {', '.join(labels)}); register"
            f' it with labels={{"{extractor.label}": "description of the features"}}'
        )


class ClassifierExtractor:
    """The attribute classifier's 64 features before its logits: no download, trained on the dataset itself."""

    name = label = "classifier"
    dims = RECIPE.features
    preprocessing = "uint8 to [-1, 1]"
    memory = 0

    def __init__(self, classifier: AttributeClassifier) -> None:
        self._classifier = classifier
        self.options: Mapping[str, Any] = {}
        self.sha256 = classifier.sha256
        self.identity = classifier.sha256[:16]

    def features(self, images: Tensor) -> Tensor:
        return self._classifier.features(images)


class PixelExtractor:
    """Raw pixels in [0, 1]: a simple baseline for other features, and easy to verify."""

    name = label = "pixels"
    dims = 0
    sha256 = identity = "none"
    options: Mapping[str, Any] = {}
    preprocessing = "uint8 / 255"
    memory = 0

    def features(self, images: Tensor) -> Tensor:
        return images.cpu().flatten(1).float() / 255


class TorchScriptExtractor:
    """A network saved by ``torch.jit.save``: (n, 3, H, W) float32 in [0, 1] → (n, D)."""

    name = label = "torchscript"
    options: Mapping[str, Any] = {}
    dims = 0
    preprocessing = "uint8 / 255"
    memory = 32 * MIB

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the format is deprecated but still supported
                self._network = torch.jit.load(str(path), map_location=device).eval()
        except Exception:  # torch's messages are pages long
            raise LabError(f"{path}: cannot be read as a TorchScript module (damaged or another format)") from None
        self._device = device
        self.sha256 = self.identity = files.sha256_file(path)

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        rows: Tensor = self._network(images.to(self._device).float() / 255)
        return rows


@extractor.register("classifier", source="this project", labels={"classifier": "features of the attribute classifier"})
def classifier(outputs: Path, device: torch.device, classifier: AttributeClassifier | None) -> Extractor:
    """Features of the dataset's attribute classifier.

    Raises:
        LabError: ``classifier`` is None.
    """
    if classifier is None:
        raise LabError("extractor 'classifier': needs a dataset with labels; use 'inception' for image directories")
    return ClassifierExtractor(classifier)


@extractor.register(
    "inception",
    source="Heusel et al. 2017, weights of pytorch-fid",
    traits=("shared",),
    labels={
        "": "official Inception features",
        UNVERIFIED: "Inception features of unverified weights",
        **{inception_label(dims): f"{dims} features of an earlier layer of Inception" for dims in DIMS[:-1]},
    },
)
def inception(
    outputs: Path,
    device: torch.device,
    classifier: AttributeClassifier | None = None,
    *,
    weights: str | None = None,
    dims: int = FID_DIMS,
) -> Extractor:
    """pytorch-fid's InceptionV3.

    Args:
        weights: a path, ``download``, or None for the cached file.
        dims: 64, 192, 768 or 2048.
    Raises:
        WeightsMissing: weights is None and no cache has the file.
        OptionError: the file does not exist, or dims is another number.
        LabError: the file cannot be read or does not match the network.
    """
    if dims not in DIMS:
        raise OptionError("dims", f"expected one of {', '.join(map(str, DIMS))} for Inception, got {dims}")
    try:
        return InceptionExtractor(weight_files.find_weights(weights, outputs), device, dims)
    except weight_files.WeightsMissing as missing:
        missing.label = inception_label(dims)
        raise


@extractor.register("pixels", source="this project", traits=("shared",), labels={"pixels": "raw pixels"})
def pixels(outputs: Path, device: torch.device, classifier: AttributeClassifier | None) -> Extractor:
    """Raw pixels in [0, 1]."""
    return PixelExtractor()


@extractor.register(
    "torchscript", source="this project", traits=("shared",), labels={"torchscript": "features of a TorchScript file"}
)
def torchscript(
    outputs: Path, device: torch.device, classifier: AttributeClassifier | None, *, weights: str | None = None
) -> Extractor:
    """Your own network as a TorchScript file: (n, 3, H, W) float32 in [0, 1] to (n, D).

    A TorchScript file is a program: load only files that you trust.

    Args:
        weights: path of the file.
    Raises:
        OptionError: ``weights`` is not the path of a file.
        LabError: the file is not a TorchScript file.
    """
    if weights is None or weights == weight_files.DOWNLOAD:
        raise OptionError("weights", "extractor 'torchscript' needs the path of a TorchScript file")
    return TorchScriptExtractor(weight_files.find_weights(weights, outputs), device)


def build_extractor(
    name: str, outputs: Path, device: torch.device, classifier: AttributeClassifier | None, **options: Any
) -> Extractor:
    """Build the extractor registered as ``name``.

    Args:
        options: weights and dims, None for the extractor's defaults, and any of its other options.
    Raises:
        ConfigError: an unknown name.
        OptionError: an option that the extractor does not have, or an invalid value.
    """
    parameters = extractor.options(name)
    given = {key: value for key, value in options.items() if key not in KEYS or value is not None}
    if extra := [key for key in given if key not in parameters]:
        where = extra[0] if extra[0] in KEYS else f"extractor_options.{extra[0]}"
        raise OptionError(where, f"extractor {name!r} has no option {extra[0]}")
    built: Extractor = extractor.build(name, outputs, device, classifier, **given)
    check_extractor(name, built)
    defaults = {key: parameter.default for key, parameter in parameters.items()}
    built.options = {key: value for key, value in (defaults | given).items() if key not in KEYS}
    return built

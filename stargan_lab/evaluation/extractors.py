"""Feature extractors: what a Fréchet distance, KID, precision and recall are measured in.

Register your own under the family ``extractor``. A builder takes ``(outputs, device, classifier)`` and its keyword-only
options: of ``evaluation.weights`` and ``evaluation.dims`` those it has. Shapes: n images, D feature dimensions.
"""

import warnings
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from stargan_lab import files
from stargan_lab.errors import ConfigError, LabError
from stargan_lab.evaluation import inception_weights as weight_files
from stargan_lab.evaluation.attribute_classifier import RECIPE, AttributeClassifier
from stargan_lab.evaluation.inception import DIMS, MIB, WHOLE, InceptionExtractor
from stargan_lab.registry import family

extractor = family("extractor")


class Extractor(Protocol):
    name: str
    label: str
    """What scores of these features are called: ``eval/frechet_<label>`` …; see ``metric_name``."""
    dims: int
    """0 where only an image tells."""
    sha256: str
    """Of the weights: the key of cached statistics."""
    identity: str
    """What stands in the protocol; equal where the features mean the same."""
    preprocessing: str
    """What becomes of an image before the first layer, for the protocol."""
    memory: int
    """Bytes that an image takes at the peak, about; 0 for next to nothing."""

    def features(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) uint8 → (n, D) float32 on the CPU."""
        ...


_TOLD = ("name", "label", "dims", "sha256", "identity", "preprocessing", "memory")


def check_extractor(extractor: Extractor) -> None:
    """Refuse an extractor that does not say what it is, or passes for official Inception.

    Raises:
        LabError: names what is missing or wrong.
    """
    who = f"extractor {getattr(extractor, 'name', type(extractor).__name__)!r}"
    if missing := [told for told in _TOLD if not hasattr(extractor, told)]:
        raise LabError(f"{who}: lacks {', '.join(missing)}; each extractor has {', '.join(_TOLD)}")
    if not extractor.label and not getattr(extractor, "verified", False):
        raise LabError(f"{who}: an empty label is of scores in official Inception features alone; give it one")


def take(extractor: Extractor, images: Tensor) -> Tensor:
    """Features of (n, 3, H, W) uint8 images as (n, D) float32 on the CPU, whatever the extractor makes them as.

    Raises:
        LabError: it fails, or gives something else than a finite row for each image.
    """
    try:
        found = extractor.features(images)
    except LabError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise LabError(f"extractor {extractor.name!r}: fails on {tuple(images.shape)} images ({reason})") from error
    if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != len(images):
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise LabError(f"extractor {extractor.name!r}: should give ({len(images)}, D) features, gave {got}")
    found = found.detach().to("cpu", torch.float32)
    if not torch.isfinite(found).all():
        raise LabError(f"extractor {extractor.name!r}: gives features that are not finite")
    return found


def metric_name(kind: str, label: str) -> str:
    """``eval/fid`` for ``frechet`` of official Inception features, whose label is empty; else ``eval/<kind>_<label>``.

    Args:
        kind: frechet, kid, precision or recall; of the first also frechet_pooled and frechet_infinity.
    """
    measure, _, variety = kind.partition("_")
    if measure == "frechet" and not label:
        measure = "fid"
    return "eval/" + "_".join(part for part in (measure, label, variety) if part)


class ClassifierExtractor:
    """The 64 features the domain classifier decides on: no download, made for the dataset at hand."""

    name = label = "classifier"
    dims = RECIPE.features
    preprocessing = "uint8 to [-1, 1]"
    memory = 0

    def __init__(self, classifier: AttributeClassifier) -> None:
        self._classifier = classifier
        self.sha256 = classifier.sha256
        self.identity = classifier.sha256[:16]

    def features(self, images: Tensor) -> Tensor:
        return self._classifier.features(images)


class PixelExtractor:
    """The pixels themselves, in [0, 1]: a plain floor to hold other features against, and easy to check."""

    name = label = "pixels"
    dims = 0
    sha256 = identity = "none"
    preprocessing = "uint8 / 255"
    memory = 0

    def features(self, images: Tensor) -> Tensor:
        return images.cpu().flatten(1).float() / 255


class TorchScriptExtractor:
    """Somebody's own network, saved by ``torch.jit.save``: (n, 3, H, W) float32 in [0, 1] → (n, D)."""

    name = label = "torchscript"
    dims = 0
    preprocessing = "uint8 / 255"
    memory = 32 * MIB

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of torch, about a form that it goes on reading
                self._network = torch.jit.load(str(path), map_location=device).eval()
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise LabError(f"{path}: cannot be read as a TorchScript module ({reason})") from None
        self._path, self._device = path, device
        self.sha256 = self.identity = files.sha256_file(path)

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        try:
            found = self._network(images.to(self._device).float() / 255)
        except Exception as error:
            reason = str(error).strip().splitlines()[-1]
            raise LabError(f"{self._path}: fails on {tuple(images.shape)} images in [0, 1] ({reason})") from None
        if not isinstance(found, Tensor) or found.dim() != 2:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise LabError(f"{self._path}: should give ({len(images)}, D) features, gave {got}")
        return found


@extractor.register("classifier", source="this project")
def classifier(outputs: Path, device: torch.device, classifier: AttributeClassifier | None) -> Extractor:
    """The features of the domain classifier. Raises LabError without one."""
    if classifier is None:
        raise LabError("the extractor 'classifier' needs a dataset with labels; use 'inception' for plain images")
    return ClassifierExtractor(classifier)


@extractor.register("inception", source="Heusel et al. 2017, weights of pytorch-fid")
def inception(
    outputs: Path,
    device: torch.device,
    classifier: AttributeClassifier | None = None,
    *,
    weights: str | None = None,
    dims: int = WHOLE,
) -> Extractor:
    """pytorch-fid's InceptionV3.

    Args:
        weights: a path, ``download``, or None for what is in a cache.
        dims: 64, 192, 768 or 2048.
    Raises:
        WeightsMissing: None was asked and no cache has the file.
        LabError: the file does not exist, is not readable or does not fit the network.
    """
    if dims not in DIMS:
        raise ConfigError(f"evaluation.dims: Inception has features of {', '.join(map(str, DIMS))}, not of {dims}")
    return InceptionExtractor(weight_files.find_weights(weights, outputs), device, dims)


@extractor.register("pixels", source="this project")
def pixels(outputs: Path, device: torch.device, classifier: AttributeClassifier | None) -> Extractor:
    """The pixels themselves."""
    return PixelExtractor()


@extractor.register("torchscript", source="this project")
def torchscript(
    outputs: Path, device: torch.device, classifier: AttributeClassifier | None, *, weights: str | None = None
) -> Extractor:
    """One's own network as a TorchScript file: (n, 3, H, W) float32 in [0, 1] to (n, D).

    Such a file is a program: load none that you do not trust.

    Args:
        weights: its path.
    Raises:
        ConfigError: no path; LabError: not such a file.
    """
    if weights is None or weights == weight_files.DOWNLOAD:
        raise ConfigError("evaluation.weights: the extractor 'torchscript' needs the path of a TorchScript file")
    return TorchScriptExtractor(weight_files.find_weights(weights, outputs), device)


def build_extractor(
    name: str, outputs: Path, device: torch.device, classifier: AttributeClassifier | None, **options: Any
) -> Extractor:
    """Build extractor ``name``; of ``options`` those that are None take its own defaults.

    Raises:
        ConfigError: an unknown name, or an option the extractor does not take.
    """
    given = {key: value for key, value in options.items() if value is not None}
    taken = extractor.options(name)
    if extra := [key for key in given if key not in taken]:
        raise ConfigError(f"evaluation.{extra[0]}: the extractor {name!r} takes no {extra[0]}; set it to null")
    built: Extractor = extractor.build(name, outputs, device, classifier, **given)
    check_extractor(built)
    return built

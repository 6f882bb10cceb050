"""Feature extractors of the Fréchet distance. Register your own under the family ``extractor``.

A builder takes ``(outputs, device, classifier)`` and its keyword-only options; n images, D feature dimensions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stargan_lab import files
from stargan_lab.errors import LabError
from stargan_lab.evaluation import weights as weight_files
from stargan_lab.evaluation.classifier import RECIPE, DomainClassifier
from stargan_lab.registry import family

extractor = family("extractor")


class Extractor(Protocol):
    name: str
    metric: str
    """What a Fréchet distance of these features is called, e.g. ``eval/fid``."""
    dims: int
    sha256: str
    """Of the weights: the key of cached statistics."""
    identity: str
    """What stands in the protocol; equal where the features mean the same."""

    def features(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) uint8 → (n, D) float64 on the CPU."""
        ...


class ClassifierExtractor:
    """The 64 features the domain classifier decides on: no download, made for the dataset at hand."""

    name = "classifier"
    metric = "eval/frechet_classifier"
    dims = RECIPE.features

    def __init__(self, classifier: DomainClassifier) -> None:
        self._classifier = classifier
        self.sha256 = classifier.sha256
        self.identity = classifier.hash

    def features(self, images: Tensor) -> Tensor:
        return self._classifier.features(images)


class InceptionExtractor:
    """pytorch-fid's InceptionV3: 2,048 pool3 features at 299 × 299 (Heusel et al. 2017; Seitzer 2020).

    Attributes:
        verified: whether the weights are the official ones; if not, no distance of these features is called FID.
    """

    name = "inception"
    dims = 2048

    def __init__(self, path: Path, device: torch.device) -> None:
        self._network = _inception(path).to(device).eval()
        self._device = device
        self.sha256 = self.identity = files.sha256_file(path)
        self.verified = self.sha256 == weight_files.VERIFIED_SHA256
        self.metric = "eval/fid" if self.verified else "eval/frechet_inception_unverified"

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        features = self._network(images.to(self._device).float() / 255)[0]
        return features.flatten(1).double().cpu()


@extractor.register("classifier", source="this project")
def classifier(outputs: Path, device: torch.device, classifier: DomainClassifier | None) -> Extractor:
    """The features of the domain classifier. Raises LabError without one."""
    if classifier is None:
        raise LabError("the extractor 'classifier' needs a dataset with labels; use 'inception' for plain images")
    return ClassifierExtractor(classifier)


@extractor.register("inception", source="Heusel et al. 2017, weights of pytorch-fid")
def inception(
    outputs: Path, device: torch.device, classifier: DomainClassifier | None = None, *, weights: str | None = None
) -> Extractor:
    """pytorch-fid's InceptionV3.

    Args:
        weights: a path, ``download``, or None for what is in a cache.
    Raises:
        WeightsMissing: None was asked and no cache has the file.
        LabError: the file does not exist, is not readable or does not fit the network.
    """
    return InceptionExtractor(weight_files.find_weights(weights, outputs), device)


def build_extractor(
    name: str, outputs: Path, device: torch.device, classifier: DomainClassifier | None, **options: Any
) -> Extractor:
    """Build extractor ``name`` with those of ``options`` that it takes."""
    taken = {key: value for key, value in options.items() if key in extractor.options(name)}
    built: Extractor = extractor.build(name, outputs, device, classifier, **taken)
    return built


def _inception(path: Path) -> nn.Module:
    """pytorch-fid's network with the weights in ``path``. Its constructor would download them; here it cannot."""
    import pytorch_fid.inception as original

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise LabError(f"{path}: cannot be read as weights ({_first_line(error)})") from None
    with (
        torch.random.fork_rng(devices=[]),  # its layers' own initialisation draws from the global generator
        _no_download(original, state),
    ):
        try:
            network: nn.Module = original.InceptionV3()
        except Exception as error:
            raise LabError(f"{path}: does not fit pytorch-fid's InceptionV3 ({_first_line(error)})") from None
    return network


@contextmanager
def _no_download(module: Any, state: Any) -> Iterator[None]:
    """While held, what pytorch-fid would download is ``state``."""
    download = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *args, **kwargs: state
    try:
        yield
    finally:
        module.load_state_dict_from_url = download


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]

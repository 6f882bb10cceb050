"""The attribute classifier that scores translations: one fixed recipe, trained once per dataset and size, then cached.

Shapes: N batch, A labels, H W pixels. Real and translated images are both quantized to uint8 first.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stargan_lab import files
from stargan_lab.checkpoints.weight_files import load_weights
from stargan_lab.console import bar, inform
from stargan_lab.data.protocols import ImageSet, ImageSource
from stargan_lab.data.transforms import to_float
from stargan_lab.errors import LabError
from stargan_lab.labels import LabelKind, LabelSpec
from stargan_lab.seeding import cpu_threads, seed_for


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that the weights depend on; part of the cache key, so a changed recipe retrains."""

    version: int = 1
    seed: int = 20180618
    widths: tuple[int, ...] = (24, 48, 64, 96, 128, 128)
    features: int = 64
    batch_size: int = 64
    epochs: int = 12
    min_steps: int = 600
    max_steps: int = 6000
    lr: float = 3e-3
    weight_decay: float = 1e-4
    threads: int = 2


RECIPE = Recipe()


class ClassifierNetwork(nn.Module):
    """Strided convolutions with batch norm down to 4×4, global average pool, 64 features, linear logits."""

    def __init__(self, labels: int, image_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, size = 3, image_size
        for width in RECIPE.widths:
            if size <= 4:
                break
            layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels, size = width, (size + 1) // 2
        layers += [nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.project = nn.Linear(channels, RECIPE.features)
        self.head = nn.Linear(RECIPE.features, labels)

    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] → (N, 64)."""
        return self.project(self.trunk(images).mean(dim=(2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] → (N, A) logits."""
        return self.head(F.relu(self.features(images)))


@dataclass(frozen=True)
class AttributeClassifier:
    """A trained attribute classifier of one dataset's labels.

    Attributes:
        hash: identity of the recipe and its data (12 hex digits).
        sha256: SHA-256 of the weights file.
        accuracy: share of real test images classified correctly, per label: the ceiling of ``eval/accuracy``.
    """

    network: ClassifierNetwork
    kind: LabelKind
    device: torch.device
    hash: str
    sha256: str
    accuracy: dict[str, float]

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) uint8 → (n, A) of 0 and 1 on the CPU; one-hot of the top class for categorical labels."""
        return decide(self._logits(images), self.kind)

    @torch.no_grad()
    def predict_exclusive(self, images: Tensor, spec: LabelSpec) -> Tensor:
        """Like ``predict``, but with at most one label, the most likely, of each mutually exclusive group."""
        logits = self._logits(images)
        labels = decide(logits, self.kind)
        for group in spec.groups:
            columns = [index for index, name in enumerate(spec.names) if name in group]
            labels[:, columns] *= F.one_hot(logits[:, columns].argmax(1), len(columns))
        return labels

    @torch.no_grad()
    def _logits(self, images: Tensor) -> Tensor:
        return self.network(to_float(images.to(self.device))).cpu()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(n, 3, H, W) uint8 → (n, 64) float32 on the CPU."""
        return self.network.features(to_float(images.to(self.device))).float().cpu()


def decide(logits: Tensor, kind: LabelKind) -> Tensor:
    """(n, A) logits → (n, A) of 0 and 1."""
    if kind == "categorical":
        return F.one_hot(logits.argmax(1), logits.shape[1]).float()
    return (logits > 0).float()


def recipe_for(seed: int) -> Recipe:
    """``RECIPE`` with the initial weights and the order of images of an evaluation seed; itself for 0."""
    return replace(RECIPE, seed=seed_for(seed, "attribute classifier")) if seed else RECIPE


def classifier_hash(source: ImageSource, image_size: int, seed: int = 0) -> str:
    """Identity of the classifier of ``source`` for an evaluation seed (12 hex digits)."""
    recipe = asdict(recipe_for(seed))
    key = {"data": source.fingerprint, "flip": source.flip, "image_size": image_size, "recipe": recipe}
    return files.canonical_hash(key)[:12]


def trained_classifier(
    source: ImageSource, outputs: Path, device: torch.device, progress: bool = True, seed: int = 0
) -> AttributeClassifier:
    """The classifier of ``source`` from ``outputs/cache/classifiers``; trained first if it is missing.

    If several processes need it, one trains and the others wait. Neither uses nor changes torch's global random state.

    Args:
        seed: of the evaluation; another seed trains another classifier.
    Raises:
        LabError: the cached file cannot be read.
    """
    image_size = source.split("train").images([0]).shape[-1]
    identity = classifier_hash(source, image_size, seed)
    path = outputs / "cache" / "classifiers" / f"{identity}.pt"

    def train(file: BinaryIO) -> None:
        inform(f"{source.name}: training the attribute classifier that scores translations, once; cached as {path}")
        with cpu_threads(RECIPE.threads):
            torch.save(_train(source, image_size, device, progress, recipe_for(seed).seed), file)

    return load_classifier(files.make_once(path, train), source.spec, image_size, device)


@files.remembered(maxsize=16)
def load_classifier(path: Path, spec: LabelSpec, image_size: int, device: torch.device) -> AttributeClassifier:
    """The attribute classifier in ``<hash>.pt``, which all callers in this process share.

    Raises:
        LabError: this version cannot read the file.
    """
    network = _network(len(spec.names), image_size, RECIPE.seed)
    try:
        saved = load_weights(path)
        network.load_state_dict(saved["state"])
        accuracy = dict(zip(spec.names, saved["accuracy"], strict=True))
    except Exception as error:
        reason = str(error).split("\n", 1)[0]
        raise LabError(
            f"{path}: not a classifier that this version can read ({reason}); delete it to retrain"
        ) from None
    network.to(device).eval().requires_grad_(False)
    return AttributeClassifier(network, spec.kind, device, path.stem, files.sha256_file(path), accuracy)


def _network(labels: int, image_size: int, seed: int) -> ClassifierNetwork:
    """A new network, initialized from the seed alone."""
    with torch.random.fork_rng(devices=[]):  # the modules' initialization draws from the global generator
        network = ClassifierNetwork(labels, image_size)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def _train(source: ImageSource, image_size: int, device: torch.device, progress: bool, seed: int) -> dict[str, object]:
    """Train on the real training split; returns the content of the cache file."""
    network = _network(len(source.spec.names), image_size, seed).to(device).train()
    train = source.split("train")
    batch_size = min(RECIPE.batch_size, len(train))
    steps = min(max(len(train) * RECIPE.epochs // batch_size, RECIPE.min_steps), RECIPE.max_steps)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batches = _batches(train, batch_size, source.flip, seed)
    with torch.enable_grad():
        for _ in bar(f"training classifier of {source.name}", None, "step", shown=progress, iterable=range(steps)):
            images, labels = next(batches)
            logits = network(to_float(images.to(device)))
            loss = _loss(logits, labels.to(device), source.spec.kind)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    accuracy = _test_accuracy(network, source, device)
    return {"state": {key: value.cpu() for key, value in network.state_dict().items()}, "accuracy": accuracy}


def _batches(train: ImageSet, batch_size: int, flip: bool, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches, each image flipped left to right with probability 1/2 where ``flip``."""
    generator = torch.Generator().manual_seed(seed + 1)
    while True:
        order = torch.randperm(len(train), generator=generator)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            images = train.images(chosen.tolist())
            flipped = torch.rand(batch_size, generator=generator) < 0.5
            if flip:
                images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
            yield images, train.labels[chosen]


def _loss(logits: Tensor, labels: Tensor, kind: LabelKind) -> Tensor:
    if kind == "categorical":
        return F.cross_entropy(logits, labels.argmax(1))
    return F.binary_cross_entropy_with_logits(logits, labels)


@torch.no_grad()
def _test_accuracy(network: ClassifierNetwork, source: ImageSource, device: torch.device) -> list[float]:
    """Per label, the share of real test images classified correctly; for a class, of the images that have it."""
    test = source.split("test")
    correct = []
    for start in range(0, len(test), 250):
        indices = range(start, min(start + 250, len(test)))
        logits = network(to_float(test.images(indices).to(device))).cpu()
        correct.append(decide(logits, source.spec.kind) == test.labels[start : indices.stop])
    hits = torch.cat(correct).double()
    if source.spec.kind == "binary":
        return hits.mean(0).tolist()
    return [_share(hits[test.labels[:, index] == 1, index]) for index in range(hits.shape[1])]


def _share(hits: Tensor) -> float:
    return float(hits.mean()) if len(hits) else 1.0  # no test images of this class

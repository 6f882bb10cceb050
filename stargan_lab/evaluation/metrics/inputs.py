"""Inputs of evaluation metrics.

Shapes: n images, m real images, A labels, D feature dimensions, H W pixels, g identities in a gallery.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from torch import Tensor

from stargan_lab.evaluation.attribute_classifier import AttributeClassifier
from stargan_lab.evaluation.features import Sample
from stargan_lab.evaluation.ground_truth_images import GroundTruthImages
from stargan_lab.labels import LabelSpec

T = TypeVar("T")


@dataclass(frozen=True)
class ImageBatch:
    """A batch of test images of one dataset and their translations to one domain.

    Attributes:
        x, y: (n, 3, H, W) uint8 on the CPU, inputs and translations.
        source_labels, target_labels: (n, A) of 0 and 1 for ``spec``. For images of another dataset, the attribute
            classifier predicts the source labels.
        domain: index of the target domain in ``spec.names``.
        spec: the labels of the dataset that the domain belongs to.
        attribute_classifier: the classifier of that dataset.
        indices: positions of the images in the test split.
    """

    x: Tensor
    y: Tensor
    source_labels: Tensor
    target_labels: Tensor
    domain: int
    spec: LabelSpec
    attribute_classifier: AttributeClassifier
    indices: range
    _ground_truth: GroundTruthImages | None
    _reconstruct: Callable[[], Tensor]
    _results: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def domain_name(self) -> str:
        return self.spec.names[self.domain]

    @cached_property
    def reconstruction(self) -> Tensor:
        """(n, 3, H, W) uint8: ``y`` translated back to the source labels."""
        return self._reconstruct()

    @cached_property
    def predicted(self) -> Tensor:
        """(n, A) of 0 and 1: the labels that the attribute classifier predicts for ``y``."""
        return self.attribute_classifier.predict(self.y)

    @cached_property
    def ground_truth(self) -> Tensor | None:
        """(n, 3, H, W) uint8: ``x`` rendered with the target labels; None for a dataset without ground truth."""
        return None if self._ground_truth is None else self._ground_truth.images(self.domain, self.indices)

    def galleries(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Positions in the batch and the (g, 3, H, W) uint8 gallery that these images share: the first g identities of
        the test split, rendered with the images' target labels. Images of other identities are left out."""
        return iter(()) if self._ground_truth is None else self._ground_truth.galleries_of(self.domain, self.indices)

    def once(self, function: "Callable[[ImageBatch], T]") -> T:
        """``function(self)``, computed once for all metrics that need it."""
        if function not in self._results:
            self._results[function] = function(self)
        result: T = self._results[function]
        return result


@dataclass(frozen=True)
class FeaturePair:
    """Features of the images translated to one domain, and of the real images that belong to it.

    Attributes:
        translated: (n, D) rows and their moments; only of images that did not belong to the domain.
        real: (m, D) rows and their moments, from a different split than the translated images.
        seed: of the evaluation, for metrics with the trait ``random``.
    """

    translated: Sample
    real: Sample
    seed: int = 0
    _results: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def smaller(self) -> int:
        """Number of images on the smaller side, at least 2."""
        return min(self.translated.moments.n, self.real.moments.n)

    def once(self, function: Callable[..., T], **options: Any) -> T:
        """``function(translated, real, **options)``, computed once for all metrics that need it."""
        key = (function, tuple(sorted(options.items())))
        if key not in self._results:
            self._results[key] = function(self.translated, self.real, **options)
        result: T = self._results[key]
        return result

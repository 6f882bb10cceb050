"""Evaluation metrics: the families ``image_metric`` and ``feature_metric``.

An image metric takes an ``ImageBatch`` and returns (n,) float64 with a value per image, NaN where it does not apply; or
one float for the entire domain; or None where the dataset cannot provide what it needs. A feature metric takes a
``FeaturePair`` and returns a float, or None where there are too few images; a ``pooled`` one takes the (translated,
real) moments of all domains of a dataset. Keyword-only parameters are options under ``evaluation.metrics.NAME``. The
first line of the docstring is the meaning that reports show.

At registration a metric declares, besides its source:

- ``direction``: higher, lower or none, which direction is better (default none); ``unit`` (none), ``decimals`` (4);
- ``main``: whether the main table of a report shows it (True); ``"official"``: only with official Inception weights;
- ``version``: increase it when the meaning of the values changes (1);
- ``uses``, for image metrics: instruments that its values depend on, ``attribute_classifier``, ``ground_truth`` (none);
- ``needs`` and ``excludes``, for image metrics: text of the notes on why it is None, and on which images are NaN.

Traits of image metrics: ``cross``, also evaluated on the images of other datasets; ``zero_for_inputs``,
above 0 only if translations are closer to the ground truth than their inputs. Traits of feature metrics:
``pooled``; ``needs_many_images``, biased if there are few images; and ``random``, its value depends on
``FeaturePair.seed``. Importing this package imports all its modules.
"""

from importlib import import_module
from pkgutil import iter_modules

from stargan_lab.evaluation.metrics.inputs import FeaturePair, ImageBatch

__all__ = ["FeaturePair", "ImageBatch"]

FIRST = ("ground_truth", "accuracy", "reconstruction")
"""Modules whose metrics tables show first, in this order; those of all others follow by name of the module."""

for _module in dict.fromkeys((*FIRST, *(module.name for module in iter_modules(__path__)))):
    import_module(f"{__name__}.{_module}")

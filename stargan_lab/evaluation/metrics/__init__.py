"""Evaluation metrics: the families ``image_metric`` and ``feature_metric``.

An image metric takes an ``ImageBatch`` and returns (n,) float64 with a value per image, NaN where it does not apply; or
one float for the entire domain; or None where the dataset cannot provide what it needs. A feature metric takes a
``FeaturePair`` and returns a float, or None where there are too few images; a ``pooled`` one takes the (translated,
real) moments of all domains of a dataset. Keyword-only parameters are options under ``evaluation.metrics.NAME``. The
first line of the docstring is the meaning that reports show.

At registration a metric declares, beside its source:

- ``direction``: higher, lower or none, which way is better (default none); ``unit`` (none), ``decimals`` (4);
- ``main``: whether the main table of a report shows it (True); ``"official"``: only with official Inception weights;
- ``version``: raise it when the meaning of the values changes (1);
- ``uses``, of image metrics: ``attribute_classifier``, ``ground_truth``, what else its values depend on (nothing);
- ``needs`` and ``excludes``, of image metrics: words for the notes on why None, and on which images were NaN.

Traits of image metrics: ``cross``, also evaluated on the images of other datasets. Of feature metrics: ``pooled``, and
``needs_many_images``, biased by few images. Modules are imported in the order of tables.
"""

from importlib import import_module

from stargan_lab.evaluation.metrics.inputs import FeaturePair, ImageBatch

__all__ = ["FeaturePair", "ImageBatch"]

for _module in ("ground_truth", "accuracy", "reconstruction", "frechet", "kid", "precision_recall"):
    import_module(f"{__name__}.{_module}")

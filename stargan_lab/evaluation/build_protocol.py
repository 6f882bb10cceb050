"""The protocol of an evaluation, from its datasets, extractors and metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

from stargan_lab.data.protocols import ImageSource
from stargan_lab.errors import LabError
from stargan_lab.evaluation.context import Context
from stargan_lab.evaluation.dataset_scores import Dataset
from stargan_lab.evaluation.extractors import Extractor
from stargan_lab.evaluation.ground_truth_images import GALLERY
from stargan_lab.evaluation.metrics.selection import SelectedMetric
from stargan_lab.evaluation.protocol import Protocol
from stargan_lab.evaluation.real_images import reference_labels, reference_split
from stargan_lab.evaluation.reordered import leaves_out
from stargan_lab.tracking.metrics import cross_name, metric_name


def build_protocol(
    datasets: Sequence[Dataset],
    fingerprints: Mapping[str, str],
    metrics: Sequence[SelectedMetric],
    checkpoint: str,
    context: Context,
) -> Protocol:
    """The protocol.

    Args:
        fingerprints: of the datasets, in any order of their images, by name.
    Raises:
        LabError: two extractors or two metrics have the same name.
    """
    sources = [dataset.source for dataset in datasets]
    return Protocol(
        data={name: fingerprint[:16] for name, fingerprint in fingerprints.items()},
        images={source.name: _image_counts(source, context) for source in sources},
        groups={source.name: [list(group) for group in source.spec.groups] for source in sources},
        checkpoint=checkpoint,
        max_images=context.max_images,
        batch_size=context.batch_size,
        instruments=_instruments(datasets),
        metrics=_metrics(metrics, datasets[0].extractors, len(datasets) > 1, context.seed),
        seed=context.seed,
        image_seed=context.seed if any(leaves_out(source, context.max_images) for source in sources) else 0,
    )


def _instruments(datasets: Sequence[Dataset]) -> dict[str, dict[str, Any]]:
    """Attribute classifier, ground truth and extractors, each with everything its output depends on."""
    references = {dataset.source.name: reference_split(dataset.source) for dataset in datasets}
    classifiers = {dataset.source.name: dataset.attribute_classifier.sha256[:16] for dataset in datasets}
    instruments: dict[str, dict[str, Any]] = {
        "attribute_classifier": {"sha256": classifiers},
        "ground_truth": {"gallery": GALLERY},
    }
    for position, first in enumerate(datasets[0].extractors):
        if first.name in instruments:
            raise LabError(f"extractor {first.name!r}: the name is reserved; choose another one")
        instruments[first.name] = {
            "identity": {dataset.source.name: dataset.extractors[position].identity for dataset in datasets},
            "dims": first.dims or "image_size",
            "preprocessing": first.preprocessing,
            "references": references,
            "options": dict(first.options),
        }
    return instruments


def _metrics(
    metrics: Sequence[SelectedMetric], extractors: Sequence[Extractor], several: bool, seed: int
) -> dict[str, dict[str, Any]]:
    """Everything each metric's values depend on, by name in table order. Raises LabError for a duplicate name."""
    entries = []
    for metric in (each for each in metrics if each.family == "image_metric"):
        uses = metric.fact("uses", ())
        entries.append((f"eval/{metric.name}", metric.provenance(*uses, seed=seed)))
        if several and metric.has("cross"):  # whose source labels the classifier predicts
            entries.append((cross_name(metric.name), metric.provenance("attribute_classifier", *uses, seed=seed)))
    for extractor in extractors:
        for metric in (each for each in metrics if each.family == "feature_metric"):
            entries.append((metric_name(metric.name, extractor.label), metric.provenance(extractor.name, seed=seed)))
    provenance = dict(entries)
    if len(provenance) < len(entries):
        names = [name for name, _ in entries]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise LabError(
            f"{duplicate}: two metrics have this name; change the label of the extractor or rename the metric"
        )
    return provenance


def _image_counts(source: ImageSource, context: Context) -> dict[str, dict[str, int]]:
    """Domain → numbers of translated and real images that are compared."""
    labels = source.split("test").labels[: context.count(source)]
    references = reference_labels(source, context.max_images)
    return {
        name: {"translated": int((labels[:, index] == 0).sum()), "real": int(references[:, index].sum())}
        for index, name in enumerate(source.spec.names)
    }

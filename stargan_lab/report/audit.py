"""What differs between variants besides the change that was meant, from the audits that runs record."""

from collections.abc import Iterable, Mapping
from typing import Any

from pandas import DataFrame

from stargan_lab.report.runs import PEAK_MEMORY, finished
from stargan_lab.report.tables import MISSING

MARK = " *"
"""After a value that differs from the baseline's; needs no escaping in any format."""

TOLERANCE = 0.1
"""Relative difference from which a measured time or memory is marked, since these vary between equal runs."""

TITLES: Mapping[str, str] = {
    "parameters.generator": "generator parameters",
    "parameters.discriminator": "discriminator parameters",
    "parameters.score_head": "parameters of the score head",
    "parameters.label_head": "parameters of the label head",
    "flops.generator": "generator FLOPs per image",
    "flops.discriminator": "discriminator FLOPs per image",
    "flops.discriminator_update": "FLOPs per discriminator update",
    "flops.generator_update": "FLOPs per generator update",
    "flops.iteration": "FLOPs per generator update with its n_critic discriminator updates",
    "flops.run": "training FLOPs of the run",
    "scores_per_image": "real/fake scores per image",
    "receptive_field.convolutions": "receptive field of a score, convolutions (px)",
    "receptive_field.measured": "image region that a score depends on (px)",
    "penalty.weight": "weight of the Lipschitz penalty",
    "penalty.samples": "penalty interpolates per image",
    "penalty.reduction": "penalty on the sum or mean of scores",
    "penalty.mean_score_slope": "slope of the mean score at zero penalty",
    "updates.discriminator": "discriminator updates",
    "updates.generator": "generator updates",
    "images.batch_size": "batch size (images)",
    "images.total": "training images seen",
    "images.of.{}": "training images seen of {}",
    "weights.{}": "weight of {}",
}
"""Row titles with units by key of an audit; ``{}`` is the name of a dataset or a loss term."""

MEASURED: Mapping[str, str] = {
    "seconds_per_step": f"seconds per step (mean; {MARK.strip()} beyond {TOLERANCE:.0%})",
    PEAK_MEMORY: f"peak memory (MiB, mean; {MARK.strip()} beyond {TOLERANCE:.0%})",
}
"""Row titles by column of the runs."""


def audit_table(runs: DataFrame, baseline: str) -> DataFrame:
    """A row per quantity that differs between variants, a column per variant; cells are text.

    ``*`` marks values that differ from the baseline's. Time and memory, means over seeds, come last. Variants whose
    finished runs have no audit, e.g. those of older versions, have "–".
    """
    audits = _audits(runs)
    equal = _equal(audits)
    rows = {title_of(key): _cells(audits, key, baseline) for key in _keys(audits.values()) if key not in equal}
    means = finished(runs).groupby("variant").mean(numeric_only=True)
    for column, title in MEASURED.items():
        if column in means and means[column].notna().any():
            values = means[column].reindex(list(audits))
            far = (values / values.get(baseline, float("nan")) - 1).abs() > TOLERANCE
            rows[title] = [
                f"{value:.3g}" + MARK * bool(far[variant]) if value == value else MISSING
                for variant, value in values.items()
            ]
    titles = [f"{variant} (baseline)" if variant == baseline else variant for variant in audits]
    return DataFrame.from_dict(rows, orient="index", columns=titles, dtype=object).rename_axis("quantity")


def equal_line(runs: DataFrame) -> str:
    """``equal in all variants: batch size (images) 16; …``, or an empty string; complements ``audit_table``."""
    audits = _audits(runs)
    parts = [f"{title_of(key)} {_text(key, values)}" for key, values in _equal(audits).items()]
    return f"equal in all variants: {'; '.join(parts)}" if parts else ""


def title_of(key: str) -> str:
    """The title of a quantity; its key if it is unknown, e.g. of a newer version."""
    for known, title in TITLES.items():
        prefix, braces, _ = known.partition("{}")
        if braces and key.startswith(prefix):
            return title.format(key.removeprefix(prefix))
    return TITLES.get(key, key)


def _audits(runs: DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The distinct audits of each variant's finished runs, in the order of ``runs``; seeds usually share one."""
    audits: dict[str, list[dict[str, Any]]] = {variant: [] for variant in runs["variant"]}
    for run in finished(runs).itertuples():
        if run.audit and run.audit not in audits[run.variant]:
            audits[run.variant].append(run.audit)
    return audits


def _keys(audits: Iterable[list[dict[str, Any]]]) -> list[str]:
    """All keys in the order of ``TITLES``, then as recorded."""
    keys = dict.fromkeys(key for each in audits for audit in each for key in audit)
    prefixes = [known.partition("{}")[0] for known in TITLES]
    return sorted(keys, key=lambda key: next((i for i, p in enumerate(prefixes) if key.startswith(p)), len(prefixes)))


def _values(audits: list[dict[str, Any]], key: str) -> list[Any]:
    """Distinct values of a variant; None where its audit has no such quantity, nothing where it has no audit."""
    return list(dict.fromkeys(audit.get(key) for audit in audits))


def _equal(audits: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[Any]]:
    """Quantities with one value in every variant, and that value."""
    values = {key: [_values(each, key) for each in audits.values()] for key in _keys(audits.values())}
    return {key: each[0] for key, each in values.items() if len(each[0]) == 1 and all(v == each[0] for v in each)}


def _cells(audits: Mapping[str, list[dict[str, Any]]], key: str, baseline: str) -> list[str]:
    reference = _values(audits.get(baseline, []), key)
    values = {variant: _values(each, key) for variant, each in audits.items()}
    return [_text(key, v) + MARK * bool(reference and v and v != reference) for v in values.values()]


def _text(key: str, values: list[Any]) -> str:
    show = _flops if key.startswith("flops.") else _number
    return " / ".join(show(value) for value in values) or MISSING


def _number(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _flops(value: Any) -> str:
    """Four significant digits and an SI prefix: ``19.92 G``."""
    if not isinstance(value, int):
        return MISSING
    power = max(0, min((len(str(value)) - 1) // 3, 6))
    return f"{value / 1000**power:.4g} {' kMGTPE'[power]}".strip()

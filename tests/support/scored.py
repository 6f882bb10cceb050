"""Scores as the files of a run contain them, and rows of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

from stargan_lab.evaluation.protocol import Protocol


def scoring(
    metrics: Mapping[str, float], warnings: Sequence[Mapping[str, Any]] = (), fid: bool = False, **changes: Any
) -> dict[str, Any]:
    """Metrics, protocol and warnings of one evaluation.

    Args:
        fid: whether Inception was one of the instruments.
        changes: to the protocol.
    """
    instruments = {
        "ground_truth": {"tolerance": 1 / 255},
        "attribute_classifier": {"faces": "1a2b"},
        "classifier": {"preprocessing": "plain"},
    }
    named = {
        "eval/edit": {"uses": ["ground_truth"]},
        "eval/accuracy": {"uses": ["attribute_classifier"]},
        "eval/frechet_classifier": {"uses": ["classifier"]},
    }
    if fid:
        instruments |= {"inception": {"dims": "2048"}}
        named |= {"eval/fid": {"uses": ["inception"]}}
    images = {"faces": {"Male": {"translated": 40, "real": 30}}}
    common = {"data": {"faces": "0f0f"}, "images": images, "groups": {"faces": []}, "checkpoint": "average"}
    facts = common | {"max_images": None, "batch_size": 64, "instruments": instruments, "metrics": named} | changes
    return {"metrics": dict(metrics), "protocol": Protocol(**facts).as_dict(), "warnings": list(warnings)}


def row(variant: str, seed: int, **columns: Any) -> dict[str, Any]:
    """A finished run with the given columns; other text is empty, other numbers are missing."""
    text = dict.fromkeys(("protocol", "code", "machine", "finished", "error"), "")
    rest = {"protocols": {}, "facts": {}, "warnings": [], "descriptions": {}, "audit": {}, "folder": None}
    named = {"variant": variant, "seed": seed, "run_id": f"{variant}{seed}", "status": "finished"}
    return named | text | rest | columns

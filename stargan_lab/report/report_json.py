"""What a report says, for programs: the content of ``report.json``."""

import json
from collections.abc import Sequence
from typing import Any

from stargan_lab.report.content import Content


def report_json(content: Content, files: Sequence[str]) -> dict[str, Any]:
    """Claim, baseline, runs, verdicts on the primary metric, and ``files``; a number that is unknown is None.

    ``verdicts`` has a mapping per variant with ``metric``, ``protocol`` and the columns of ``report.effects.effects``;
    ``answers`` has the same verdicts as sentences, for a grid also those on its main effects and interactions;
    ``table`` as text in ``columns`` and ``data``, its rows.
    """
    ablation = content.ablation
    primary = ablation.primary
    named = content.effects[primary].assign(metric=primary, protocol=content.protocols[primary])
    verdicts = named.to_json(orient="records", double_precision=15)
    return {
        "name": ablation.name,
        "title": ablation.title,
        "claim": ablation.claim,
        "source": ablation.source,
        "baseline": ablation.baseline,
        "variants": ablation.ordered(),
        "primary": primary,
        "answers": list(content.answers),
        "table": _shown(content),
        "verdicts": json.loads(verdicts),
        "runs": list(content.runs["run_id"]),
        "command": content.command,
        "files": list(files),
    }


def _shown(content: Content) -> dict[str, list[Any]]:
    """The report's table of verdicts; the verdict comes first, since MLflow shows about five columns at once."""
    ablation, table = content.ablation, content.effect.reset_index()
    table["compared with"] = table["variant"].map(ablation.compared_with())
    table["protocol"] = content.protocols[ablation.primary]
    columns = [name for name in dict.fromkeys(["variant", "verdict", *table]) if name in table]
    return {"columns": columns, "data": table[columns].to_numpy().tolist()}

"""What a report says, for programs: the content of ``report.json``."""

import json
from typing import Any

from pandas import DataFrame

from stargan_lab.ablation.spec import Ablation
from stargan_lab.report.effects import effects


def summary(ablation: Ablation, runs: DataFrame, command: str) -> dict[str, Any]:
    """Claim, baseline, runs and the verdicts on the primary metric; a number that is unknown is None.

    ``verdicts`` has a mapping per variant with the columns of ``report.effects.effects``.
    """
    verdicts = json.loads(effects(ablation, runs, ablation.primary).to_json(orient="records", double_precision=15))
    return {
        "name": ablation.name,
        "title": ablation.title,
        "claim": ablation.claim,
        "source": ablation.source,
        "baseline": ablation.baseline,
        "variants": sorted(ablation.variants, key=lambda variant: variant != ablation.baseline),
        "primary": ablation.primary,
        "verdicts": verdicts,
        "runs": list(runs["run_id"]),
        "command": command,
    }

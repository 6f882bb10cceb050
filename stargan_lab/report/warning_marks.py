"""Letters that mark the scores affected by evaluation warnings, and the line that explains each letter."""

from string import ascii_letters

import pandas as pd
from pandas import DataFrame

from stargan_lab.report.runs import finished, overall, scores


class WarningMarks:
    """A letter per warning code, in the order in which the codes occur in finished runs."""

    def __init__(self, runs: DataFrame) -> None:
        shown = scores(runs)
        self._runs = len(finished(runs))
        self._warnings = [
            # a warning without metrics affects every score of its run; one with metrics also those the run lacks
            warning | {"run": run, "scores": set(map(overall, warning["metrics"])) or set(run[shown].dropna().index)}
            for _, run in finished(runs).iterrows()
            for warning in run["warnings"]
        ]
        codes = dict.fromkeys(w["code"] for w in self._warnings if w["scores"] & set(shown))
        self._letters = dict(zip(codes, ascii_letters, strict=False))

    def of(self, variant: str, metric: str) -> str:
        """The mark after a variant's value of a metric, overall or per domain: `` [a, c]``, or nothing."""
        affecting = [w for w in self._warnings if w["run"]["variant"] == variant and overall(metric) in w["scores"]]
        letters = sorted({self._letters[w["code"]] for w in affecting if w["code"] in self._letters})
        return f" [{', '.join(letters)}]" if letters else ""

    def lines(self) -> list[str]:
        """A line per code: its letter, the runs that have it, and its text in the first of them.

        Codes that affect no score in the tables come last, without a letter.
        """
        return [self._line(code) for code in dict.fromkeys([*self._letters, *(w["code"] for w in self._warnings)])]

    def _line(self, code: str) -> str:
        warnings = [w for w in self._warnings if w["code"] == code]
        runs = {w["run"]["run_id"]: w["run"] for w in warnings}
        where = "all runs"
        if len(runs) < max(self._runs, 2):
            seeds = pd.DataFrame(runs.values()).groupby("variant", sort=False)["seed"].agg(list)
            where = "; ".join(f"{v} seed{'s' * (len(s) > 1)} {', '.join(map(str, s))}" for v, s in seeds.items())
        first = next(iter(runs))
        texts = dict.fromkeys(" ".join(w["text"].split()) for w in warnings if w["run"]["run_id"] == first)
        letter = f"[{self._letters[code]}] " if code in self._letters else ""
        return ": ".join(filter(None, (letter + code, where, "; ".join(filter(None, texts)))))

"""Letters that mark the scores affected by evaluation warnings, and the line that explains each letter."""

from string import ascii_letters
from typing import Any

import pandas as pd
from pandas import DataFrame

from stargan_lab.report.collect_runs import finished, overall, scores


class WarningMarks:
    """A letter per warning code, in the order in which the codes occur in finished runs."""

    def __init__(self, runs: DataFrame) -> None:
        done, shown = finished(runs), scores(runs)
        self._runs = len(done)
        self._warnings: list[dict[str, Any]] = []
        affecting: dict[tuple[str, str], set[str]] = {}
        for index, run in zip(
            done.index, done[["variant", "seed", "run_id", "warnings"]].to_dict("records"), strict=True
        ):
            for warning in run.pop("warnings"):
                # a warning without metrics affects every score of its run; one with metrics also those the run lacks
                names = set(map(overall, warning["metrics"])) or set(done.loc[index, shown].dropna().index)
                self._warnings.append(warning | {"run": run, "shown": bool(names & set(shown))})
                for name in names:
                    affecting.setdefault((run["variant"], name), set()).add(warning["code"])
        codes = dict.fromkeys(w["code"] for w in self._warnings if w["shown"])
        self._letters = dict(zip(codes, ascii_letters, strict=False))
        self._codes = affecting

    def of(self, variant: str, metric: str) -> str:
        """The mark after a variant's value of a metric, overall or per domain: `` [a, c]``, or nothing."""
        codes = self._codes.get((variant, overall(metric)), set())
        letters = sorted(self._letters[code] for code in codes if code in self._letters)
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

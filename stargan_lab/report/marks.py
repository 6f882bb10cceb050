"""Warnings of runs: a letter at every cell they concern, and what the letters mean."""

from collections.abc import Sequence
from string import ascii_lowercase

from stargan_lab.report.rows import RunRow, scores
from stargan_lab.report.scorings import RunWarning


class Marks:
    """A letter per code of warning, in the order in which finished runs have them."""

    def __init__(self, rows: Sequence[RunRow]) -> None:
        self._rows = [row for row in rows if row.usable]
        shown = scores(rows)
        codes = dict.fromkeys(
            warning.code
            for row in self._rows
            for warning in row.warnings
            if any(_concerns(row, warning, score) for score in shown)
        )
        self._letters = {code: _letter(index) for index, code in enumerate(codes)}

    def of(self, variant: str, metric: str) -> str:
        """What a cell gets behind its number: `` [a, c]``, or nothing.

        Args:
            metric: a score, for all domains or one.
        """
        score = _whole(metric)
        found = {
            self._letters[warning.code]
            for row in self._rows
            if row.variant == variant
            for warning in row.warnings
            if warning.code in self._letters and _concerns(row, warning, score)
        }
        return f" [{', '.join(sorted(found))}]" if found else ""

    def lines(self) -> list[str]:
        """A line per code: its letter, which runs have it, and what it says of the first of them.

        Those that concern no score in the tables come last, without a letter.
        """
        codes = [*self._letters, *(warning.code for row in self._rows for warning in row.warnings)]
        return [self._line(code) for code in dict.fromkeys(codes)]

    def _line(self, code: str) -> str:
        having = [row for row in self._rows if any(warning.code == code for warning in row.warnings)]
        seeds: dict[str, list[str]] = {}
        for row in having:
            seeds.setdefault(row.variant, []).append(str(row.seed))
        where = "; ".join(f"{v} seed{'s' if len(found) > 1 else ''} {', '.join(found)}" for v, found in seeds.items())
        where = "all runs" if len(having) == len(self._rows) > 1 else where
        texts = [" ".join(warning.text.split()) for warning in having[0].warnings if warning.code == code]
        letter = f"[{self._letters[code]}] " if code in self._letters else ""
        said = "; ".join(filter(None, dict.fromkeys(texts)))
        return f"{letter}{code}: {where}{f': {said}' if said else ''}"


def _concerns(row: RunRow, warning: RunWarning, score: str) -> bool:
    """A warning that names no score concerns all that the run has; one that names some, also those it lacks."""
    return score in map(_whole, warning.metrics) if warning.metrics else score in row.metrics


def _whole(metric: str) -> str:
    """``eval/edit`` of ``eval/edit/Male``."""
    return "/".join(metric.split("/")[:2])


def _letter(index: int) -> str:
    return ascii_lowercase[index % 26] + (str(index // 26) if index >= 26 else "")

"""Problems of a dataset: training raises on the first one or skips the row; ``data check`` collects them."""

from collections.abc import Callable
from pathlib import Path

from stargan_lab.errors import DataError

BLANK = "blank lines"
WRONG_COUNT = "rows with the wrong number of values"
WRONG_VALUE = "values other than 1, -1 and 0"
DUPLICATE = "files listed twice"
MALFORMED = "malformed partition lines"
NO_SPLIT = "files without a split"
OUTSIDE = "names of files outside the directory of images"
ROW_PROBLEMS = (BLANK, WRONG_COUNT, WRONG_VALUE, DUPLICATE, MALFORMED, NO_SPLIT)
"""Kinds of problems that affect a single row, which can be skipped."""

ProblemHandler = Callable[[str, Path, str], None]
"""Called with the kind of problem (a plural such as "blank lines"), the file or directory, and a description."""


def raise_problem(kind: str, path: Path, problem: str) -> None:
    """The strict ``ProblemHandler``. Raises DataError."""
    raise DataError(f"{path}: {problem}")


def ignore_problem(kind: str, path: Path, problem: str) -> None:
    """The lenient ``ProblemHandler``."""

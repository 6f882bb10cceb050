"""What all benchmarks print the same way: spreads, and the machine."""

import os
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

from stargan_lab.runs.provenance import environment


def quartiles(values: Sequence[float], digits: int = 3) -> list[float]:
    """The lower and upper quartile; both are the value if there is only one."""
    lower, _, upper = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return [round(lower, digits), round(upper, digits)]


def machine(device: str = "cpu") -> dict[str, Any]:
    """Machine, cores, versions, date, and the load of the last 1, 5 and 15 minutes."""
    return {**environment(device), "load": [round(minutes, 1) for minutes in os.getloadavg()]}

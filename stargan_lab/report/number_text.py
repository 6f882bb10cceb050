"""Numbers rounded by their uncertainty: two significant digits of the spread; the value gets the same decimals."""

import math

from stargan_lab.tracking.metrics import Metric

MISSING = "–"


def decimals(metric: Metric, spread: float) -> int:
    """Decimals that show two significant digits of ``spread``, at most 6; the metric's own if it is 0 or unknown."""
    if not math.isfinite(spread) or spread <= 0:
        return metric.decimals
    return min(max(0, 1 - math.floor(math.log10(spread) + 1e-9)), 6)  # 9.999999999 is 10


def shown(value: float, places: int, signed: bool = False) -> str:
    """``value`` with ``places`` decimals and no negative zero; a dash for NaN, and ``∞`` for infinity."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    return text.lstrip("+-") if not text.strip("+-0.") else text


def interval(low: float, high: float, metric: Metric) -> str:
    """``[+0.012, +0.090]``, rounded by its half width."""
    if math.isnan(low):
        return MISSING
    places = decimals(metric, (high - low) / 2 if math.isfinite(high - low) else math.nan)
    return f"[{shown(low, places, signed=True)}, {shown(high, places, signed=True)}]"


def difference(effect: float, low: float, high: float, metric: Metric) -> str:
    """``+0.051``, with the decimals of its interval."""
    half = (high - low) / 2
    return shown(effect, decimals(metric, half), signed=True)

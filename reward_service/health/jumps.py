"""Did a figure jump? Robust statistics over points, each of which is the mean of at least some number of items.

What is decided here: a jump is measured against where the figure was going, not only where it was, because the score of
a run that learns rises all the time. A line is laid through the points before (Theil and Sen: the median of all slopes,
so that a quarter of the points may be nonsense), and prolonged, but never steeper than it was seen. The new points must
lie off it by `least` (what would matter to people) and by six times the scatter of the old points around their line
(what would be chance). The scatter is taken from the points and not from a binomial law: the samples of one prompt go
right or wrong together, so a mean over 256 items scatters like one over 16 to 64. Figures of false alarms and delays:
docs/telemetry.md, measured by `tests/load/alarms.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

BASELINE = 12
"""Points that the line is laid through, at most."""
LEAST_BASELINE = 6
RECENT = 2
"""New points that must all be off, on the same side."""
SIGMAS = 6.0
_MAD = 1.4826
"""Standard deviations per median absolute deviation, for a normal law."""


class Point(NamedTuple):
    """The mean of `weight` items, at `at` Unix seconds."""

    at: float
    value: float
    weight: float


class Jump(NamedTuple):
    """Where the figure went, and where it would have been."""

    value: float
    expected: float


def jumped(points: Sequence[Point], least: float, floor: float = 0.0) -> Jump | None:
    """Do the last RECENT of these points lie off the line through those before? least: the smallest difference that
    counts; floor: the least scatter to reckon with.
    """
    before = [point.value for point in points[:-RECENT][-BASELINE:]]
    if len(before) < LEAST_BASELINE:
        return None
    recent = [point.value for point in points[-RECENT:]]
    slope = median((b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(before), 2))
    level = median(value - slope * place for place, value in enumerate(before))
    off = [abs(value - slope * place - level) for place, value in enumerate(before)]
    sigma = max(_MAD * median(off), floor)
    # Prolonged as far as the middle of the recent points.
    expected = level + slope * (len(before) + (RECENT - 1) / 2)
    last = level + slope * (len(before) - 1)
    differences = [value - expected for value in recent]
    if math.copysign(1, differences[0]) != math.copysign(1, differences[-1]):
        return None
    need = max(least, SIGMAS * sigma / math.sqrt(RECENT))
    value = sum(recent) / RECENT
    # Off the line, and off the level as it was last: a slope that is an accident alone makes no alarm.
    if (
        min(map(abs, differences)) >= 0.5 * need
        and abs(value - expected) >= need
        and abs(value - last) >= need
    ):
        return Jump(value, expected)
    return None

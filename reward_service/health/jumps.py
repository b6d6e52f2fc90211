"""Did a figure jump? Robust statistics over points, each of which is the mean of at least some number of items.

What is decided here: a jump is measured against where the figure was going, not only where it was, because the score of
a run that learns rises all the time. A line is laid through the points before (Theil and Sen: the median of all slopes,
so that a quarter of the points may be nonsense), and prolonged. The last two, four or eight points must lie off it, and off
the level where it ended, by what would matter to people (`least`) and by `SIGMAS` times what chance would do. Chance is the
scatter of the old points around their line, or what items of one prompt that go right or wrong together would make of it,
whichever is more: a mean over 256 items of 16 prompts scatters like one over 32. Two points see a coarse trick at once, eight see
a small one later. Figures of false alarms and of delays: docs/telemetry.md, measured by `tests/load/alarms.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

BASELINE = 24
"""Points that the line is laid through, at most."""
LEAST_BASELINE = 8
RECENT = (2, 4, 8)
"""New points that are looked at together."""
KEPT = BASELINE + RECENT[-1]
SIGMAS = 4.5
TOGETHER = 8.0
"""Items that count as one, where samples of one prompt agree more than not."""
_MAD = 1.4826
"""Standard deviations per median absolute deviation, for a normal law."""


class Point(NamedTuple):
    """The mean of some items, at `at` Unix seconds. error: its standard error, if every item were a prompt of its own."""

    at: float
    value: float
    error: float = 0.0


class Jump(NamedTuple):
    """Where the figure went, where it would have been, and since when."""

    value: float
    expected: float
    since: float


def jumped(points: Sequence[Point], least: float, floor: float = 0.0) -> Jump | None:
    """Do the last of these points lie off the line through those before? least: the smallest difference that counts;
    floor: the least scatter to reckon with.
    """
    return next(filter(None, (_jumped(points, count, least, floor) for count in RECENT)), None)


def _jumped(points: Sequence[Point], count: int, least: float, floor: float) -> Jump | None:
    before = points[:-count][-BASELINE:]
    n = len(before)
    if n < LEAST_BASELINE:
        return None
    recent = points[-count:]
    value = sum(point.value for point in recent) / count
    old = [point.value for point in before]
    if abs(value - median(old)) < least and abs(value - old[-1]) < least:
        return None  # nearly always, and spares the rest
    slope = median((b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(old), 2))
    level = median(one - slope * place for place, one in enumerate(old))
    scatter = _MAD * median(abs(one - slope * place - level) for place, one in enumerate(old))
    chance = math.sqrt(TOGETHER) * median(point.error for point in (*before, *recent))
    sigma = max(scatter * (1 + 4 / n), chance, floor)  # few points have a smaller scatter than many
    middle = n + (count - 1) / 2
    # What prolonging a line by so much adds to the scatter (least squares' formula; Theil and Sen's is a little more).
    reach = math.sqrt(1 / count + 1 / n + 12 * (middle - (n - 1) / 2) ** 2 / (n * (n * n - 1)))
    need = max(least, SIGMAS * sigma * reach)
    expected, last = level + slope * middle, level + slope * (n - 1)
    side = math.copysign(1.0, value - expected)
    off = [side * (point.value - expected) for point in recent]
    if side * (value - expected) >= need and side * (value - last) >= need and min(off) >= 0.25 * need:
        return Jump(value, expected, recent[0].at)
    return None

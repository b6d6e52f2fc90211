"""Intervals for shares and means, and pass@k.

What is decided here: every interval is at 95 %. Samples of one prompt resemble each other, so n of them say less than n prompts
do: where rows share prompts, the variance is that of a cluster sample (the prompt is the cluster), and Student's t with one
degree of freedom less than there are prompts. A share gets Wilson's interval, of the rows, or of as many independent rows as
would have that variance (Korn and Graubard 1998); at 0 % and 100 %, where no variance shows, of as many as there are prompts.
A mean gets mean ± t · standard error, kept within the scores' range. One cluster alone says nothing of the spread between them: no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from math import comb
from statistics import NormalDist
from typing import NamedTuple

Z95 = NormalDist().inv_cdf(0.975)


class Interval(NamedTuple):
    """An estimate and its 95 % interval; NaN where there is none."""

    share: float
    low: float
    high: float


NO_INTERVAL = Interval(math.nan, math.nan, math.nan)


def wilson(successes: float, n: float, z: float = Z95) -> Interval:
    """Wilson's score interval (1927) for `successes` of `n`; both may be effective, not whole, numbers."""
    if n <= 0:
        return NO_INTERVAL
    share = successes / n
    centre = share + z**2 / (2 * n)
    spread = z * math.sqrt(max(0.0, share * (1 - share)) / n + z**2 / (4 * n * n))
    scale = 1 + z**2 / n
    return Interval(share, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale))


def t95(freedom: int) -> float:
    """Student's t: 95 % of it lies within ± this. Exact for 1 and 2 degrees of freedom, else within 0.1 %."""
    if freedom < 1:
        return math.nan
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    # Hill 1970 (CACM algorithm 396), which is what most libraries use.
    p, n = 0.05, float(freedom)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * p) ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(p * 0.5)
        y = x * x
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (
            n + 1
        ) / (n + 2) + 1 / y
    return math.sqrt(n * y)


class Clustered(NamedTuple):
    """Sums over clusters g of sizes n and totals s: how many, and of n, s, s², n·s and n²."""

    clusters: int
    n: float
    s: float
    ss: float
    ns: float
    nn: float

    @property
    def variance(self) -> float:
        """Of the mean s/n as a ratio of two sums over clusters (Cochran 1977, 6.4); NaN for fewer than two."""
        if self.clusters < 2:
            return math.nan
        mean = self.s / self.n
        spread = self.ss - 2 * mean * self.ns + mean * mean * self.nn
        return max(0.0, spread) * self.clusters / (self.clusters - 1) / self.n**2


def clustered_mean(sums: Clustered, low: float = 0.0, high: float = 1.0) -> Interval:
    """The mean of values in [low, high] that come in clusters."""
    if sums.n <= 0:
        return NO_INTERVAL
    mean = sums.s / sums.n
    if sums.clusters < 2:
        return Interval(mean, math.nan, math.nan)
    reach = t95(sums.clusters - 1) * math.sqrt(sums.variance)
    return Interval(mean, max(low, mean - reach), min(high, mean + reach))


def clustered_share(sums: Clustered) -> Interval:
    """The share of rows with a property, where rows come in clusters."""
    if sums.n <= 0:
        return NO_INTERVAL
    if sums.nn == sums.n:  # every cluster is one row
        return wilson(sums.s, sums.n)
    share = sums.s / sums.n
    if sums.clusters < 2:
        return Interval(share, math.nan, math.nan)
    variance = sums.variance
    effective = share * (1 - share) / variance if variance > 0 else float(sums.clusters)
    effective = min(sums.n, effective)
    return wilson(share * effective, effective, t95(sums.clusters - 1))


def mean_interval(
    count: float, total: float, squares: float, low: float = 0.0, high: float = 1.0
) -> Interval:
    """The mean of `count` independent values with these sums of values and of squares, kept within [low, high]."""
    if count <= 0:
        return NO_INTERVAL
    mean = total / count
    if count < 2:
        return Interval(mean, math.nan, math.nan)
    variance = max(0.0, squares - total * mean) / (count - 1)
    reach = t95(round(count) - 1) * math.sqrt(variance / count)
    return Interval(mean, max(low, mean - reach), min(high, mean + reach))


def pass_at_k(n: int, c: int, k: int) -> Fraction:
    """The chance that k of n samples, c of them correct, hold a correct one. ValueError unless 1 <= k <= n, c <= n."""
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"pass@{k} of {c} correct among {n}")
    return 1 - Fraction(comb(n - c, k), comb(n, k))


class PassAt(NamedTuple):
    """pass@k over the prompts that have at least k judged samples."""

    k: int
    prompts: int
    interval: Interval


MAX_K = 1024


def pass_curve(kinds: Iterable[tuple[int, int, int]]) -> list[PassAt]:
    """pass@k for k from 1 to the most samples of a prompt. kinds: (n, c, how many prompts have n samples, c correct).

    The unbiased estimator per prompt (Chen et al. 2021, eq. 1), and the mean and its interval over prompts.
    """
    found = [(n, c, count) for n, c, count in kinds if n > 0]
    most = min(MAX_K, max((n for n, *_ in found), default=0))
    counts, totals, squares = ([0.0] * (most + 1) for _ in range(3))
    for n, c, count in found:
        miss = 1.0
        for k in range(1, min(n, most) + 1):
            # C(n-c, k) / C(n, k), one factor at a time: no large numbers, no cancellation.
            miss = max(0.0, miss * (n - c - k + 1) / (n - k + 1))
            counts[k] += count
            totals[k] += count * (1 - miss)
            squares[k] += count * (1 - miss) ** 2
    return [
        PassAt(k, int(counts[k]), mean_interval(counts[k], totals[k], squares[k])) for k in range(1, most + 1)
    ]


def pearson(n: float, x: float, xx: float, y: float, yy: float, xy: float) -> float | None:
    """Pearson's correlation from sums; None where one of the two doesn't vary."""
    if n < 2:
        return None
    over_x, over_y = xx - x * x / n, yy - y * y / n
    if over_x <= 1e-9 * max(1.0, xx) or over_y <= 1e-9 * max(1.0, yy):
        return None
    return max(-1.0, min(1.0, (xy - x * y / n) / math.sqrt(over_x * over_y)))

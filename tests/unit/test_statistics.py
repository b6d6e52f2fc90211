"""Intervals and curves against tables, definitions and simulation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.analysis.statistics import (
    Clustered,
    clustered_mean,
    clustered_share,
    mean_interval,
    pass_at_k,
    pass_curve,
    pearson,
    t95,
    wilson,
)


@pytest.mark.parametrize(
    ("freedom", "t"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (5, 2.5706),
        (10, 2.2281),
        (30, 2.0423),
        (120, 1.9799),
    ],
)
def test_students_t_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert t95(freedom) == pytest.approx(t, rel=1e-3)


def sums_of(clusters: list[list[float]]) -> Clustered:
    sizes = [len(cluster) for cluster in clusters]
    totals = [sum(cluster) for cluster in clusters]
    return Clustered(
        len(clusters),
        sum(sizes),
        sum(totals),
        sum(total * total for total in totals),
        sum(n * total for n, total in zip(sizes, totals, strict=True)),
        sum(n * n for n in sizes),
    )


def test_a_clustered_mean_by_hand() -> None:
    # Prompts with 2 of 2, 0 of 2 and 1 of 2: mean 1/2, deviations of the totals 1, -1, 0; variance 2 · 3/2 / 36.
    found = clustered_mean(sums_of([[1, 1], [0, 0], [1, 0]]))
    reach = t95(2) * math.sqrt(1 / 12)
    assert found == pytest.approx((0.5, max(0.0, 0.5 - reach), min(1.0, 0.5 + reach)))
    share = clustered_share(sums_of([[1, 1], [0, 0], [1, 0]]))
    assert share == pytest.approx(wilson(1.5, 3, t95(2)))  # 1/4 over 1/12 is three independent rows


def test_rows_on_their_own_are_their_own_clusters() -> None:
    rows = [[1.0]] * 3 + [[0.0]] * 7
    assert clustered_share(sums_of(rows)) == wilson(3, 10)
    assert clustered_mean(sums_of(rows)) == pytest.approx(mean_interval(10, 3, 3))


def test_one_prompt_has_no_interval_and_no_row_has_nothing() -> None:
    for interval in (clustered_mean, clustered_share):
        share, low, high = interval(sums_of([[1, 0, 1, 1]]))
        assert share == 0.75 and math.isnan(low) and math.isnan(high)
        assert all(math.isnan(value) for value in interval(sums_of([])))


def test_at_all_or_nothing_only_prompts_count() -> None:
    assert clustered_share(sums_of([[0] * 16] * 10)) == wilson(0, 10, t95(9))
    assert clustered_share(sums_of([[1] * 16] * 10)) == wilson(10, 10, t95(9))


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6), min_size=2, max_size=12))
def test_intervals_hold_their_estimate_and_stay_in_range(clusters: list[list[float]]) -> None:
    for interval in (clustered_mean, clustered_share):
        share, low, high = interval(sums_of(clusters))
        assert 0.0 <= low <= share + 1e-9
        assert share - 1e-9 <= high <= 1.0


def test_the_interval_covers_the_truth_where_samples_share_prompts() -> None:
    """64 prompts of 16 samples; each prompt has a chance of its own. Rows taken as independent would cover about 45 %."""
    rng = random.Random(11)
    covered = naive = 0
    rounds = 300
    for _ in range(rounds):
        chances = [rng.betavariate(0.8, 1.2) for _ in range(64)]
        clusters = [[float(rng.random() < chance) for _ in range(16)] for chance in chances]
        sums = sums_of(clusters)
        _, low, high = clustered_share(sums)
        covered += low <= 0.4 <= high
        _, low, high = wilson(sums.s, sums.n)
        naive += low <= 0.4 <= high
    assert 0.91 <= covered / rounds <= 0.985
    assert naive / rounds < 0.6


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12), st.integers(1, 4)), min_size=1, max_size=6))
def test_the_curve_is_the_mean_of_the_estimator(kinds: list[tuple[int, int, int]]) -> None:
    kinds = [(n, min(n, c), count) for n, c, count in kinds]
    curve = pass_curve(kinds)
    assert [at.k for at in curve] == list(range(1, max(n for n, *_ in kinds) + 1))
    for at in curve:
        have = [(n, c, count) for n, c, count in kinds if n >= at.k]
        assert at.prompts == sum(count for *_, count in have)
        expected = sum(count * pass_at_k(n, c, at.k) for n, c, count in have) / at.prompts
        assert at.interval.share == pytest.approx(float(expected), abs=1e-9)


def test_many_samples_are_no_trouble() -> None:
    curve = pass_curve([(100_000, 1, 1), (5, 5, 1)])
    assert len(curve) == 1024
    assert curve[999].interval.share == pytest.approx(0.01)


def test_correlation() -> None:
    xs, ys = [1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 5.0, 4.0]
    sums = (
        4,
        sum(xs),
        sum(x * x for x in xs),
        sum(ys),
        sum(y * y for y in ys),
        sum(x * y for x, y in zip(xs, ys, strict=True)),
    )
    assert pearson(*sums) == pytest.approx(0.7181848)
    assert pearson(4, 8.0, 16.0, 11.0, 61.0, 22.0) is None

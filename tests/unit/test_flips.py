"""Two judgements of the same rows: what counts as a flip, and how sure the share is."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.analysis.flips import SHOWN, Comparison, field_at, recorded_score
from reward_service.analysis.statistics import wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (1, 1000, 0.0002, 0.0056)],
)
def test_wilsons_interval(successes: int, n: int, low: float, high: float) -> None:
    # Reference values: Wilson 1927, as tabulated by any statistics package.
    interval = wilson(successes, n)
    assert interval.share == successes / n
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)


def test_nothing_observed_is_no_number() -> None:
    assert all(math.isnan(value) for value in wilson(0, 0))


@given(st.integers(1, 5_000), st.data())
def test_the_interval_holds_the_share(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    interval = wilson(successes, n)
    assert 0.0 <= interval.low <= interval.share + 1e-12
    assert interval.share <= interval.high + 1e-12 <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ({"score": 1.0}, 1.0),
        ({"score": None}, None),
        ({}, None),
        (0.5, 0.5),
        (1, 1.0),
        (True, 1.0),
        (None, None),
        (math.nan, None),
        ("1", None),
    ],
)
def test_recorded_scores(value: Any, score: float | None) -> None:
    assert recorded_score(value) == score


def test_fields_by_path() -> None:
    assert field_at({"a": {"b": 1}}, "a.b") == 1
    assert field_at({"a": 2}, "a") == 2
    assert field_at({"a": 2}, "a.b") is None
    assert field_at({}, "a") is None


def outcome(score: float | None, reason: str = "equal") -> dict[str, Any]:
    return {"score": score, "reason": reason, "extracted": "x"}


def test_flips_partial_credit_and_rows_that_only_one_judged() -> None:
    comparison = Comparison()
    rows = [
        (outcome(1.0), outcome(0.0, "not_equal")),
        (outcome(0.0, "no_answer"), outcome(1.0)),
        (outcome(0.4), outcome(0.6)),
        (outcome(1.0), outcome(1.0)),
        (outcome(None), outcome(1.0)),
        (outcome(1.0), outcome(None)),
        (None, outcome(0.0)),
        (1, outcome(0.5)),
    ]
    for line, (before, now) in enumerate(rows, 1):
        comparison.add(line, "a" if line % 2 else "b", before, now)
    total = comparison.total()
    assert (total.rows, total.compared, total.up, total.down, total.partial) == (8, 5, 1, 2, 1)
    assert (total.only_before, total.only_now) == (1, 2)
    assert total.flips.share == 3 / 5
    assert [flip.line for flip in comparison.flips] == [1, 2, 8]
    assert (comparison.flips[1].reason_before, comparison.flips[1].reason_now) == ("no_answer", "equal")
    assert set(comparison.by_source) == {"a", "b"}


def test_only_the_first_flips_are_kept() -> None:
    comparison = Comparison()
    for line in range(100):
        comparison.add(line, "s", 1.0, outcome(0.0))
    assert len(comparison.flips) == SHOWN
    assert comparison.total().down == 100

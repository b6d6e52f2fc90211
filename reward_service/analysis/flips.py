"""What changed between two judgements of the same rows: counts with confidence intervals, and the rows themselves.

What is decided here: a flip is a row that both judged and on which `correct` (or, for a bare recorded number, "full marks")
differs; a changed score that is no flip is partial credit, counted apart; a row that only one of them judged is neither. The
interval is Wilson's, at 95 %: with few rows and rare flips the usual one would go below zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reward_service.analysis.statistics import Interval, wilson

SHOWN = 20


@dataclass(slots=True)
class Changes:
    """Counts of one data source. up: wrong to right; down: right to wrong; partial: another score, same verdict."""

    rows: int = 0
    compared: int = 0
    up: int = 0
    down: int = 0
    partial: int = 0
    only_before: int = 0
    only_now: int = 0

    @property
    def flips(self) -> Interval:
        """The share of flips among the rows that both judged."""
        return wilson(self.up + self.down, self.compared)


class Flip(NamedTuple):
    """A row whose verdict changed: its line, from what to what, and why."""

    line: int
    data_source: str
    before: float
    now: float
    reason_before: str
    reason_now: str
    extracted: str | None


@dataclass(slots=True)
class Comparison:
    """Rows compared so far, by data source, and the first flips."""

    by_source: dict[str, Changes] = field(default_factory=dict)
    flips: list[Flip] = field(default_factory=list)

    def add(self, line: int, data_source: str, before: Any, now: Mapping[str, Any]) -> None:
        """One row: what was recorded (an outcome, a number, or nothing), and the new outcome."""
        changes = self.by_source.setdefault(data_source, Changes())
        changes.rows += 1
        old, new = recorded_score(before), recorded_score(now)
        if old is None or new is None:
            changes.only_before += old is not None
            changes.only_now += new is not None
            return
        changes.compared += 1
        was, is_now = old >= 1.0, new >= 1.0
        if was == is_now:
            changes.partial += old != new
            return
        changes.up += is_now
        changes.down += was
        if len(self.flips) < SHOWN:
            reason = before.get("reason", "") if isinstance(before, Mapping) else ""
            extracted = now.get("extracted")
            self.flips.append(
                Flip(line, data_source, old, new, str(reason), str(now.get("reason", "")), extracted)
            )

    def total(self) -> Changes:
        """All data sources together."""
        whole = Changes()
        for changes in self.by_source.values():
            for name in Changes.__slots__:
                setattr(whole, name, getattr(whole, name) + getattr(changes, name))
        return whole


def recorded_score(value: Any) -> float | None:
    """The score in an outcome or a bare number; None if there is none (an error, or nothing recorded)."""
    if isinstance(value, Mapping):
        value = value.get("score")
    if isinstance(value, bool):
        return float(value)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def field_at(row: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value

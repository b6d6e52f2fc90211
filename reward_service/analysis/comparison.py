"""Two scored dumps against each other: the same responses judged twice, or two policies on the same prompts.

What is decided here: there are two questions, and a pair of files may answer one or both. Rows with the same id, prompt and
response are the same row: where their verdicts differ, the verifier changed (a flip). Rows with the same prompt only tell of
policies: there each prompt's mean score is compared with itself, which takes the prompts' difficulty out, and the interval is
Student's over prompts. Nothing is matched by its place in the file. What only one side judged is neither.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from reward_service.analysis.flips import Comparison
from reward_service.analysis.judged import Judged
from reward_service.analysis.measures import Sample
from reward_service.analysis.sketches import Smallest, mixed
from reward_service.analysis.statistics import (
    NO_INTERVAL,
    Clustered,
    Interval,
    clustered_share,
    mean_interval,
)
from reward_service.analysis.summary import group_key
from reward_service.analysis.sums import Sums

SHOWN_FLIPS = 6
"""Flips of each direction that are kept per data source."""
MAX_SHOWN_SOURCES = 200


@dataclass(frozen=True, slots=True)
class Paired:
    """Prompts that both files judged: the mean of each prompt's change of its mean score, and how many moved."""

    name: str
    prompts: int
    before: float
    now: float
    change: Interval
    better: int
    worse: int


class Flipped(NamedTuple):
    """A row whose verdict changed."""

    sample: Sample
    before: float
    now: float
    reason_before: str
    reason_now: str


@dataclass(slots=True)
class _Side:
    rows: int = 0
    errors: int = 0
    unmatched: int = 0


@dataclass(slots=True)
class Pairs:
    """Feed it `before` rows, then `now` rows; then ask."""

    cut: Callable[[Judged], Sample]
    """Makes what is shown of a row."""
    now: _Side = field(default_factory=_Side)
    before: _Side = field(default_factory=_Side)
    verdicts: Comparison = field(default_factory=Comparison)
    _flips: dict[tuple[str, bool], Smallest[Flipped]] = field(default_factory=dict)
    _prompts: Sums = field(default_factory=lambda: Sums("n0", "s0", "n1", "s1", "m", "f"))
    _lone: dict[str, list[int]] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _rows: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect("", isolation_level=None))

    def __post_init__(self) -> None:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
            self._rows.execute(f"PRAGMA {pragma}")
        self._rows.execute("CREATE TABLE t (key INTEGER PRIMARY KEY, score REAL, reason TEXT)")
        self._rows.execute("BEGIN")

    def add_before(self, row: Judged) -> None:
        """A row of the file that is compared with."""
        self.before.rows += 1
        self.before.errors += row.found.score is None
        self._add_prompt(row, 0)
        # The same response to the same prompt twice has one verdict: keep one, and rather one with a score.
        self._rows.execute(
            "INSERT INTO t VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET score = excluded.score, reason = excluded.reason"
            " WHERE score IS NULL",
            (row_key(row), row.found.score, row.found.reason),
        )

    def add_now(self, row: Judged) -> None:
        """A row of the file in question."""
        self.now.rows += 1
        self.now.errors += row.found.score is None
        self._add_prompt(row, 1)
        found = self._rows.execute("SELECT score, reason FROM t WHERE key = ?", (row_key(row),)).fetchone()
        if found is None:
            self.now.unmatched += 1
            return
        old, reason = found
        score = row.found.score
        self.verdicts.add(row.record.number, row.data_source, old, {"score": score})
        if old is None or score is None:
            return
        flipped = (old >= 1.0) != (score >= 1.0)
        if row.prompt is None:
            lone = self._lone.setdefault(row.data_source, [0, 0])
            lone[0] += 1
            lone[1] += flipped
        else:
            self._prompts.add(self._number(row.data_source), row.prompt, (0, 0.0, 0, 0.0, 1, flipped))
        if flipped:
            self._keep(row, old, score, reason)

    def _keep(self, row: Judged, old: float, score: float, reason: str) -> None:
        key = row.data_source, score >= 1.0
        kept = self._flips.get(key)
        if kept is None:
            if len(self._flips) >= 2 * MAX_SHOWN_SOURCES:
                return
            kept = self._flips[key] = Smallest(SHOWN_FLIPS)
        order = mixed(row.record.number, 1)
        if kept.wants(order):
            kept.offer(order, Flipped(self.cut(row), old, score, reason, row.found.reason))

    def _number(self, data_source: str) -> int:
        return self._numbers.setdefault(data_source, len(self._numbers))

    def _add_prompt(self, row: Judged, side: int) -> None:
        score = row.found.score
        if row.prompt is not None and score is not None:
            values = (0, 0.0, 1, score, 0, 0) if side else (1, score, 0, 0.0, 0, 0)
            self._prompts.add(self._number(row.data_source), row.prompt, values)

    def flip_shares(self) -> dict[str, Interval]:
        """The share of flips among the rows that both judged, per data source, and of `all`; prompts are clusters."""
        sums: dict[str, list[float]] = {name: [n, n, f, f, f, n] for name, (n, f) in self._lone.items()}
        names = {number: name for name, number in self._numbers.items()}
        found = self._prompts.select(
            "SELECT a, COUNT(*), SUM(m), SUM(f), SUM(f*f), SUM(m*f), SUM(m*m) FROM t WHERE m > 0 GROUP BY a"
        )
        for number, *values in found:
            before = sums.get(names[number], [0] * 6)
            sums[names[number]] = [one + other for one, other in zip(before, values, strict=True)]
        sums["all"] = [sum(column) for column in zip(*sums.values(), strict=True)] if sums else [0.0] * 6
        return {
            name: clustered_share(Clustered(int(clusters), *rest)) for name, (clusters, *rest) in sums.items()
        }

    def flips(self, most: int) -> list[Flipped]:
        """Flips to look at: right to wrong first, one of each data source in turn."""
        found: list[Flipped] = []
        for up in (False, True):
            queues = [kept.values() for (_, way), kept in sorted(self._flips.items()) if way is up]
            turns = [queue[turn] for turn in range(SHOWN_FLIPS) for queue in queues if turn < len(queue)]
            found += turns[:most]
        return found

    def paired(self, reach: float = 1.0) -> list[Paired]:
        """Prompts that both judged, per data source, and all of them last. reach: the most that a score can change."""
        sums = {
            number: rest
            for number, *rest in self._prompts.select(
                "SELECT a, COUNT(*), SUM(b0), SUM(b1), SUM(b1 - b0), SUM((b1 - b0) * (b1 - b0)), SUM(b1 > b0),"
                " SUM(b1 < b0) FROM (SELECT a, 1.0*s0/n0 AS b0, 1.0*s1/n1 AS b1 FROM t WHERE n0 > 0 AND n1 > 0) GROUP BY a"
            )
        }
        found = [
            _paired(name, sums[number], reach)
            for name, number in sorted(self._numbers.items())
            if number in sums
        ]
        if len(sums) > 1:
            found.append(_paired("all", [sum(column) for column in zip(*sums.values(), strict=True)], reach))
        return found

    def close(self) -> None:
        """Give the temporary databases back."""
        self._prompts.close()
        self._rows.close()


def _paired(name: str, sums: list[float], reach: float) -> Paired:
    prompts, before, now, total, squares, better, worse = sums
    if not prompts:
        return Paired(name, 0, math.nan, math.nan, NO_INTERVAL, 0, 0)
    change = mean_interval(prompts, total, squares, -reach, reach)
    return Paired(name, int(prompts), before / prompts, now / prompts, change, int(better), int(worse))


def row_key(row: Judged) -> int:
    """64 bits that are equal for the same row of two files: its id, data source, prompt and response."""
    response = None if row.item is None else row.item.response
    parts = [row.data_source, row.prompt, row.name, response]
    if row.item is None and row.name is None:
        return group_key([*parts, row.record.number])
    head = f"{row.data_source}\0{row.prompt}\0{row.name!r}\0".encode("utf-8", "surrogatepass")
    digest = blake2b(head + (response or "").encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)

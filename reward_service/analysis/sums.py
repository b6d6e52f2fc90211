"""Sums by key that may be more than memory holds.

What is decided here: per-prompt counts live in a temporary SQLite database (a file that has no name and goes with the process),
with as much in memory as a few thousand keys take. So a dump's prompts may be as many as the disk has room for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

HELD_KEYS = 8_192
CACHE_KIB = 32 << 10


class Sums:
    """Sums of several columns by a pair of 64-bit integers: (`a`, `b`) in the SQL of `select`, where the table is `t`."""

    def __init__(self, *columns: str) -> None:
        self._base = sqlite3.connect("")
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            self._base.execute(f"PRAGMA {pragma}")
        # The names of columns are ours, never a row's.
        self._base.execute(
            f"CREATE TABLE t (a INTEGER, b INTEGER, {', '.join(columns)}, PRIMARY KEY (a, b)) WITHOUT ROWID"
        )
        places = ", ".join("?" * (2 + len(columns)))
        added = ", ".join(f"{name} = {name} + excluded.{name}" for name in columns)
        self._store = f"INSERT INTO t VALUES ({places}) ON CONFLICT DO UPDATE SET {added}"  # noqa: S608
        self._find = f"SELECT {', '.join(columns)} FROM t WHERE a = ? AND b = ?"  # noqa: S608
        self._held: dict[tuple[int, int], list[float]] = {}

    def add(self, a: int, b: int, values: Sequence[float]) -> None:
        """Add to the sums of a key."""
        sums = self._held.get((a, b))
        if sums is None:
            if len(self._held) >= HELD_KEYS:
                self._flush()
            self._held[a, b] = list(values)
            return
        for place, value in enumerate(values):
            sums[place] += value

    def _flush(self) -> None:
        self._base.executemany(self._store, ((*key, *self._held[key]) for key in sorted(self._held)))
        self._base.commit()
        self._held.clear()

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of a query over what was added so far."""
        self._flush()
        return iter(self._base.execute(sql, parameters))

    def get(self, a: int, b: int) -> tuple[Any, ...] | None:
        """The sums of a key; None for one that was never added."""
        if self._held:
            self._flush()
        found: tuple[Any, ...] | None = self._base.execute(self._find, (a, b)).fetchone()
        return found

    def close(self) -> None:
        """Give the database back."""
        self._base.close()

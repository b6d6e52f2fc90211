"""The engine's ports in one process's memory: the default, with no server to run.

What is decided here: both stores are bounded by an estimate of their bytes (the cache by its number of outcomes
too), and throw out what was used least recently. Nothing survives the process.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reward_service.errors import Overloaded
from reward_service.types import Outcome, Status


class MemoryCache:
    """`ports.Cache` as an LRU of at most `capacity` outcomes and about `capacity_bytes` bytes.

    A policy decides how long `extracted` is: by number alone, 100,000 outcomes could hold a gigabyte.
    """

    def __init__(self, capacity: int = 200_000, capacity_bytes: int = 256 << 20) -> None:
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._used = 0
        self._entries: OrderedDict[bytes, Outcome] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get_many(self, keys: Sequence[bytes]) -> list[Outcome | None]:
        """The stored outcomes, marked as cached."""
        entries = self._entries
        found: list[Outcome | None] = []
        for key in keys:
            outcome = entries.get(key)
            if outcome is not None:
                entries.move_to_end(key)
            found.append(outcome)
        return found

    async def put_many(self, outcomes: Mapping[bytes, Outcome]) -> None:
        """Store what was scored; errors are refused, because a retry may succeed."""
        if self._capacity <= 0:
            return
        entries = self._entries
        for key, outcome in outcomes.items():
            if outcome.status is Status.SCORED:
                replaced = entries.pop(key, None)
                if replaced is not None:
                    self._used -= weight(replaced)
                entries[key] = replace(outcome, cached=True, queue_ms=0.0)
                self._used += weight(outcome)
        while entries and (len(entries) > self._capacity or self._used > self._capacity_bytes):
            self._used -= weight(entries.popitem(last=False)[1])


def weight(outcome: Outcome) -> int:
    """About the bytes of memory that a stored outcome takes."""
    bulk = sys.getsizeof(outcome.extracted) if outcome.extracted is not None else 0
    for part in (outcome.flags, outcome.detail):
        if part:
            bulk += 200 + 2 * len(str(part))
    return 500 + bulk


class MemoryGroundTruths:
    """`ports.GroundTruths` of at most `capacity_bytes` bytes on the wire."""

    def __init__(self, capacity_bytes: int = 1 << 30) -> None:
        self._capacity = capacity_bytes
        self._used = 0
        self._entries: OrderedDict[str, tuple[object, int]] = OrderedDict()

    async def put(self, digest: str, value: object, size: int) -> None:
        """Store it, and throw out the least recently used until it fits."""
        if size > self._capacity:
            raise Overloaded(f"a ground truth of {size} bytes exceeds the store of {self._capacity} bytes")
        if digest in self._entries:
            self._entries.move_to_end(digest)
            return
        self._entries[digest] = (value, size)
        self._used += size
        while self._used > self._capacity:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._used -= dropped

    async def get(self, digest: str) -> object | None:
        """The stored value, or None."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        self._entries.move_to_end(digest)
        return entry[0]

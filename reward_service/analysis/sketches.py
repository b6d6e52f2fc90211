"""What is kept of a stream: a few rows of each kind, chosen fairly, and the most costly ones.

What is decided here: samples are the rows with the smallest hashes of their place, so each row has the same chance, the same
dump always shows the same samples, and one pass with little memory is enough.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


def mixed(number: int, salt: int = 0) -> int:
    """A well-mixed 64-bit hash of an integer (splitmix64's finaliser)."""
    x = (number + (salt + 1) * 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


class Smallest(Generic[T]):
    """The `most` values with the smallest keys, of any number offered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0

    def wants(self, key: float) -> bool:
        """Would a value with this key be kept?"""
        return len(self._heap) < self._most or -self._heap[0][0] > key

    def offer(self, key: float, value: T) -> T | None:
        """Keep the value if its key is small enough; gives what goes for it (or the value itself), or None."""
        self._count += 1
        entry = (-key, -self._count, value)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
            return None
        return heapq.heappushpop(self._heap, entry)[2]

    def values(self) -> list[T]:
        """What is kept, smallest key first."""
        return [value for *_, value in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]

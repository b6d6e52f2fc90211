"""How many items a tenant may have judged in a minute or a day: a bucket that leaks.

What is decided here: a request is taken when the bucket has room for all of it, and the bucket empties evenly, so a tenant
that was silent may send a whole quota at once and then the quota's rate; in no minute more than twice the quota. The time to come
back is exact. This one counts for its own process; gateways that share a Redis count together (`adapters/redis_quotas.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Quota(NamedTuple):
    """So many items in so many seconds."""

    items: int
    seconds: int


class MemoryQuotas:
    """`ports.Quotas` of one process. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, int], tuple[float, float]] = {}

    async def take(self, tenant: str, items: int, quotas: Sequence[Quota]) -> float:
        """See `Quotas`."""
        return self.take_now(tenant, items, quotas)

    def take_now(self, tenant: str, items: int, quotas: Sequence[Quota]) -> float:
        """The same, for whoever can't wait."""
        now = self._clock()
        levels, wait = [], 0.0
        for quota in quotas:
            level, at = self._buckets.get((tenant, quota.seconds), (0.0, now))
            rate = quota.items / quota.seconds
            level = max(0.0, level - (now - at) * rate) + items
            levels.append(level)
            wait = max(wait, (level - quota.items) / rate)
        if wait <= 0.0:
            for quota, level in zip(quotas, levels, strict=True):
                self._buckets[tenant, quota.seconds] = level, now
        return wait

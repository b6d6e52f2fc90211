"""How many items may be under way at once; the rest is told to come back, or waits where waiting is safe."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reward_service.errors import Overloaded

WINDOW_SECONDS = 10.0


class Admission:
    """A count of items under way with a bound, and the rate at which they leave.

    A request larger than the bound is let in when nothing else is under way, so that none waits for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._left: deque[tuple[float, int]] = deque()
        self.under_way = 0

    def _fits(self, items: int) -> bool:
        return self.under_way == 0 or self.under_way + items <= self._limit

    @asynccontextmanager
    async def admit(self, items: int, *, wait: bool) -> AsyncIterator[None]:
        """Hold `items` places; without `wait`, Overloaded (with the time to come back) when there are none."""
        if not self._fits(items) or (wait and self._waiting):
            if not wait:
                raise Overloaded(
                    f"{self.under_way} items are under way; at most {self._limit} are taken at once",
                    retry_after=self.retry_after(items),
                )
            turn = asyncio.get_running_loop().create_future()
            entry = (items, turn)
            self._waiting.append(entry)
            try:
                await turn
            except asyncio.CancelledError:
                if entry in self._waiting:
                    self._waiting.remove(entry)
                elif turn.done() and not turn.cancelled():
                    self._leave(items)  # the places were already ours
                raise
        else:
            self.under_way += items
        try:
            yield
        finally:
            self._leave(items)

    def _leave(self, items: int) -> None:
        self.under_way -= items
        now = time.monotonic()
        self._left.append((now, items))
        while self._left and self._left[0][0] < now - WINDOW_SECONDS:
            self._left.popleft()
        while self._waiting and self._fits(self._waiting[0][0]):
            waiting, turn = self._waiting.popleft()
            if not turn.done():
                self.under_way += waiting
                turn.set_result(None)

    def retry_after(self, items: int) -> float:
        """Seconds until `items` places should be free, by the rate of the last seconds; 1 to 60."""
        now = time.monotonic()
        recent = [(at, count) for at, count in self._left if at >= now - WINDOW_SECONDS]
        if not recent:
            return 1.0
        rate = sum(count for _, count in recent) / max(0.5, now - recent[0][0])
        return min(60.0, max(1.0, (self.under_way + items - self._limit) / rate))

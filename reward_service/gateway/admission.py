"""How many items may be under way at once; the rest is told to come back, or waits where waiting is safe.

What is decided here: a request that can't make its deadline is refused at once, because all that it would do is to make others
miss theirs. Requests take turns in the pool, so without this an overload of three times left nearly everybody unanswered: measured, 6 %
of the peak were still scored in time. How long a request will take is told from how many items are under way and how fast items
are judged, and only while so many are under way that this is the rate at which the service can, and not the one at which it is
asked. And one tenant (an API key's name) can't have all places: a tenth is kept for others, and whoever waits takes turns with
other tenants.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from reward_service.engine.fleet import TENANT
from reward_service.errors import Overloaded

WINDOW_SECONDS = 10.0
BUSY_ITEMS = 512
"""Items under way from which on all that can judge are taken to be at work."""
RATE_SECONDS = 3.0
LEAST_SECONDS = 0.5
MARK_SECONDS = 0.1
LONGEST_RETURN = 10.0
"""The rate may be another one by then: who is refused for it is not sent away for long."""
TENANT_SHARE = 0.9
"""Of the places, what one tenant may have."""
DEADLINE_SHARE = 0.8
"""How much of its deadline a request may be expected to take."""
STANDING_SECONDS, STANDING_SHARE = 5.0, 0.35
"""How much, once requests have been refused for this long without a pause: a burst may fill the time that it has, but
a queue that only stands makes everybody slow, and goes on doing so long after the overload."""


class Admission:
    """A count of items under way with a bound, and the rate at which they leave.

    A request larger than the bound is let in when nothing else is under way, so that none waits for ever.
    """

    def __init__(self, limit: int, judged: Callable[[], int] = lambda: 0) -> None:
        """judged: how many items have been judged so far, cached ones aside."""
        self._limit = limit
        self._waiting: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}
        self._held: Counter[str] = Counter()
        self._left: deque[tuple[float, int]] = deque()
        self._judged = judged
        self._marks: deque[tuple[float, int]] = deque()
        self._refusing = (0.0, 0.0)
        """When the last run of refusals began, and its latest one."""
        self.under_way = 0

    def _fits(self, items: int) -> bool:
        return self.under_way == 0 or self.under_way + items <= self._limit

    def _may(self, tenant: str, items: int) -> bool:
        """Is it within the tenant's share? Without keys there is one tenant, and it may have all."""
        held = self._held[tenant]
        return not tenant or not held or held + items <= TENANT_SHARE * self._limit

    @asynccontextmanager
    async def admit(self, items: int, *, wait: bool, seconds: float | None = None) -> AsyncIterator[None]:
        """Hold `items` places. Without `wait`, Overloaded (with the time to come back) when there are none, or when the
        request would take longer than the `seconds` that it has."""
        if seconds is not None and not wait:
            self._refuse_late(items, seconds)
        tenant = TENANT.get()
        mine = self._may(tenant, items)
        if not mine or not self._fits(items) or (wait and tenant in self._waiting):
            if not wait and not mine:
                raise Overloaded(
                    f"{self._held[tenant]} items of this key's name are under way, of {self._limit} places",
                    retry_after=self.retry_after(items),
                )
            if not wait:
                raise Overloaded(
                    f"{self.under_way} items are under way; at most {self._limit} are taken at once",
                    retry_after=self.retry_after(items),
                )
            turn = asyncio.get_running_loop().create_future()
            entry = (items, turn)
            self._waiting.setdefault(tenant, deque()).append(entry)
            try:
                await turn
            except asyncio.CancelledError:
                if not self._forget(tenant, entry) and turn.done() and not turn.cancelled():
                    self._leave(tenant, items)  # the places were already ours
                raise
        else:
            self._take(tenant, items)
        self._mark()
        try:
            yield
        finally:
            self._leave(tenant, items)
            self._mark()

    def _refuse_late(self, items: int, seconds: float) -> None:
        expected, now = self.expected_seconds(items), time.monotonic()
        since, last = self._refusing
        if now - last >= STANDING_SECONDS:
            since = now
        share = STANDING_SHARE if now - since > STANDING_SECONDS else DEADLINE_SHARE
        if expected is not None and expected > share * seconds:
            self._refusing = (since, now)
            raise Overloaded(
                f"{self.under_way} items are under way, so that this request would take about {expected:.1f} s; it has "
                f"{seconds:.1f} s",
                retry_after=min(LONGEST_RETURN, max(1.0, expected - share * seconds)),
            )

    def expected_seconds(self, items: int) -> float | None:
        """About how long a request of so many items would take now; None while that can't be told."""
        self._mark()
        if not self._marks:
            return None
        (first, before), now = self._marks[0], time.monotonic()
        done = self._judged() - before
        if now - first < LEAST_SECONDS or done <= 0:
            return None
        return (self.under_way + items) * (now - first) / done

    def _mark(self) -> None:
        """Note how many items have been judged, as long as there has been enough to do."""
        now = time.monotonic()
        if self.under_way < BUSY_ITEMS:
            self._marks.clear()
        elif not self._marks or now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, self._judged()))
            while now - self._marks[0][0] > RATE_SECONDS:
                self._marks.popleft()

    def _take(self, tenant: str, items: int) -> None:
        self.under_way += items
        self._held[tenant] += items

    def _forget(self, tenant: str, entry: tuple[int, asyncio.Future[None]]) -> bool:
        """Take back who waits; whether it still did."""
        line = self._waiting.get(tenant, deque())
        if entry not in line:
            return False
        line.remove(entry)
        if not line:
            del self._waiting[tenant]
        return True

    def _leave(self, tenant: str, items: int) -> None:
        self.under_way -= items
        self._held[tenant] -= items
        if not self._held[tenant]:
            del self._held[tenant]
        now = time.monotonic()
        self._left.append((now, items))
        while self._left and self._left[0][0] < now - WINDOW_SECONDS:
            self._left.popleft()
        while self._let_in():
            pass

    def _let_in(self) -> bool:
        """Let one in that waits: of the tenant that had its turn longest ago, unless it has its share."""
        for tenant, line in self._waiting.items():
            items, turn = line[0]
            if not self._may(tenant, items):
                continue
            if not self._fits(items):
                return False  # nobody passes a large one, or it would wait for ever
            line.popleft()
            del self._waiting[tenant]
            if line:
                self._waiting[tenant] = line  # to the end of the tenants
            if not turn.done():
                self._take(tenant, items)
                turn.set_result(None)
            return True
        return False

    def retry_after(self, items: int) -> float:
        """Seconds until `items` places should be free, by the rate of the last seconds; 1 to 60."""
        now = time.monotonic()
        recent = [(at, count) for at, count in self._left if at >= now - WINDOW_SECONDS]
        if not recent:
            return 1.0
        rate = sum(count for _, count in recent) / max(0.5, now - recent[0][0])
        return min(60.0, max(1.0, (self.under_way + items - self._limit) / rate))

"""A pool of supervised child processes: chunks in, verdicts out, and nothing that a handler does gets further.

What is decided here: who pays when a child dies. The shared page names the item that it was on. Death by the
CPU timer is that item's own doing and scores 0 (`budget_exceeded`), as does running out of memory or stack
inside Python (`child.py`). Any other death is first doubted: the item is judged once more, alone; if that
child dies too, the item alone becomes `error/internal`. Everything else of the chunk goes on elsewhere. Why
not `concurrent.futures`: there one dead child fails every pending future, and nothing can end a busy one.

Time in the queue never counts against an item: its budgets start when a child starts on it. Wall time is
only a backstop: an item that used little CPU in all that time was starved by the machine (`error/deadline`).

Jobs (one `run` call each) take turns chunk by chunk, so that a large request does not hold up a small one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from reward_service.engine.channel import Task, decision_from_plain
from reward_service.engine.processes import Child, Zygote
from reward_service.errors import PoolBroken
from reward_service.registry import Decision, Registry
from reward_service.types import Outcome, Reason, cannot_judge, reject

log = logging.getLogger(__name__)

CHUNK_ITEMS = 64
CHUNK_SECONDS = 0.010
"""A chunk should take about this long: long enough to pay for its frame, short enough to be fair."""
FIRST_COST = 2e-3
"""CPU seconds that an item of a handler is taken to cost until some have been measured."""
STRIKES = 2
MAX_ATTEMPTS = 5
TICK_SECONDS = 0.05
READY_SECONDS = 60.0
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(slots=True, eq=False)
class Job:
    """One `run` call: its tasks, the positions that wait, and the outcomes so far."""

    tasks: Sequence[Task]
    submitted: float
    deadline: float
    done: asyncio.Future[None]
    waiting: deque[int]
    outcomes: list[Decision | None]
    missing: int
    suspects: deque[int] = field(default_factory=deque)
    strikes: Counter[int] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)

    def settle(self, position: int, outcome: Decision) -> None:
        """Record an outcome; the first one counts."""
        if self.outcomes[position] is None:
            self.outcomes[position] = outcome
            self.missing -= 1
            if self.missing == 0 and not self.done.done():
                self.done.set_result(None)


@dataclass(slots=True)
class Assignment:
    """What a child is working on: (job, position) by place, and the places not yet answered."""

    places: list[tuple[Job, int]]
    pending: set[int]
    starved: bool = False

    def task(self, place: int) -> Task:
        """The task at a place."""
        job, position = self.places[place]
        return job.tasks[position]


@dataclass(slots=True)
class PoolStats:
    """Counters since the start. items: planned or judged; outcomes: those that this was the end of. kills: by cause (`cpu`, `wall`, `crash`, `memory`, `zygote`)."""

    started: int = 0
    recycled: int = 0
    items: int = 0
    outcomes: int = 0
    kills: Counter[str] = field(default_factory=Counter)


class Pool:
    """`size` children at work and `spares` kept warm. Use as `async with Pool(registry) as pool`.

    loader: `module:function` that gives the children their registry. recycle_items, recycle_bytes: a child
    that has judged so many items, or has grown by so much, is replaced between two chunks.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        size: int = 0,
        spares: int = 1,
        loader: str = "reward_service.registry:load",
        recycle_items: int = 50_000,
        recycle_bytes: int = 256 << 20,
    ) -> None:
        self.size = size or os.cpu_count() or 1
        self.stats = PoolStats()
        self._registry = registry
        self._spares = spares
        self._loader = loader
        self._recycle_items = recycle_items
        self._recycle_bytes = recycle_bytes
        self._zygote: Zygote | None = None
        self._idle: deque[Child] = deque()
        self._working: dict[Child, Assignment] = {}
        self._jobs: deque[Job] = deque()
        self._unfinished: set[Job] = set()
        self._served: Counter[Child] = Counter()
        self._first_rss: dict[Child, int] = {}
        self._cost: dict[str, float] = {}
        self._up = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Pool:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @property
    def busy(self) -> int:
        """Children that are judging now."""
        return len(self._working)

    @property
    def alive(self) -> int:
        """Children that are up."""
        return len(self._idle) + len(self._working)

    @property
    def queued(self) -> int:
        """Items that wait for a child."""
        return sum(len(job.waiting) + len(job.suspects) for job in self._jobs)

    async def start(self) -> None:
        """Start the zygote and the children; returns when the first is up. PoolBroken if none comes up."""
        self._start_zygote()
        self._ticker = asyncio.create_task(self._tick(), name="pool-ticker")
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._up.wait()
        except TimeoutError:
            await self.stop()
            raise PoolBroken(f"no checking process came up within {READY_SECONDS:.0f} s") from None

    async def stop(self) -> None:
        """End every process; what is unfinished becomes `error/overloaded`, worth sending again."""
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.stop()
        for job in list(self._unfinished):
            self._give_up(job, Reason.OVERLOADED, "the service is shutting down")
        self._idle.clear()
        self._working.clear()
        self._jobs.clear()

    async def run(self, tasks: Sequence[Task], *, seconds: float = 600.0) -> list[Decision]:
        """Plan or judge tasks; the outcomes (or further work) in their order, after at most `seconds`.

        Never raises for an item. Cancelling the call drops what has not started.
        """
        if not tasks:
            return []
        if self._zygote is None:
            raise PoolBroken("the pool is not running")
        now = time.monotonic()
        count = len(tasks)
        done = asyncio.get_running_loop().create_future()
        job = Job(tasks, now, now + seconds, done, deque(range(count)), [None] * count, count)
        self._unfinished.add(job)
        self._jobs.append(job)
        self._dispatch()
        try:
            await done
        finally:
            self._unfinished.discard(job)
            job.waiting.clear()
            job.suspects.clear()
        return [outcome for outcome in job.outcomes if outcome is not None]

    # Handing out work

    def _dispatch(self) -> None:
        while self._jobs and self._idle and len(self._working) < self.size:
            places = self._cut()
            if places:
                child = self._idle.popleft()
                self._working[child] = Assignment(places, set(range(len(places))))
                child.begin()
                child.send([(*job.tasks[position], job.deadline) for job, position in places])

    def _cut(self) -> list[tuple[Job, int]]:
        """The next chunk: a suspect alone, or as many items as should take CHUNK_SECONDS.

        Jobs take turns; small ones share a chunk, so that many calls with one item cost little more than one call.
        """
        places: list[tuple[Job, int]] = []
        budget = CHUNK_SECONDS
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            if job.suspects and not places:
                places.append((job, job.suspects.popleft()))
                budget = 0.0
            fair_share = -(-len(job.waiting) // self.size)
            while job.waiting and fair_share and len(places) < CHUNK_ITEMS and budget > 0:
                position = job.waiting.popleft()
                budget -= self._cost.get(job.tasks[position].handler, FIRST_COST)
                places.append((job, position))
                fair_share -= 1
            if job.waiting or job.suspects:
                self._jobs.append(job)
            if budget <= 0 or len(places) >= CHUNK_ITEMS:
                break
        return places

    # What the processes say

    def on_ready(self) -> None:
        """The zygote can fork: fill the pool."""
        self._top_up()

    def on_started(self, child: Child) -> None:
        """One more child is up."""
        self.stats.started += 1
        self._idle.append(child)
        self._up.set()
        self._dispatch()

    def on_message(self, child: Child, message: tuple[Any, ...]) -> None:
        """Verdicts: ("V", verdicts) on the way, ("D", verdicts, peak RSS) when the chunk is done."""
        work = self._working.get(child)
        if work is None:
            return
        for place, plain, started, cpu in message[1]:
            work.pending.discard(place)
            job, position = work.places[place]
            self._settle(job, position, plain, started, cpu)
        if message[0] == "D":
            del self._working[child]
            self._served[child] += len(work.places)
            if self._worn_out(child, message[2] * _RSS_UNIT):
                self.stats.recycled += 1
                child.retire()
                self._forget(child)
            else:
                self._idle.append(child)
            self._dispatch()

    def on_dead(self, child: Child) -> None:
        """A process ended: settle or requeue what it was on, and replace it."""
        with suppress(ValueError):
            self._idle.remove(child)
        self._forget(child)
        work = self._working.pop(child, None)
        if work is not None:
            self._sort_out(child, work)
        if child.exit_code != os.EX_OSERR:  # could not be forked: the ticker tries again
            self._top_up()
        self._dispatch()

    def _settle(self, job: Job, position: int, plain: tuple[Any, ...], started: float, cpu: float) -> None:
        handler = self._registry.handlers[job.tasks[position].handler]
        known = self._cost.get(handler.name, cpu)
        self._cost[handler.name] = known + 0.05 * (cpu - known)
        self.stats.items += 1
        queue_ms = max(0.0, started - job.submitted) * 1e3
        decision = decision_from_plain(plain, handler.name, handler.version, queue_ms, cpu * 1e3)
        self.stats.outcomes += isinstance(decision, Outcome)
        job.settle(position, decision)

    def _worn_out(self, child: Child, peak_rss: int) -> bool:
        grown = peak_rss - self._first_rss.setdefault(child, peak_rss)
        return self._served[child] >= self._recycle_items or grown > self._recycle_bytes

    def _forget(self, child: Child) -> None:
        self._served.pop(child, None)
        self._first_rss.pop(child, None)

    # Deaths

    def _sort_out(self, child: Child, work: Assignment) -> None:
        """Decide what a dead child's unanswered items get."""
        place, _ = child.progress()
        if child.exit_code is None:
            pass  # it was ended for no fault of its own
        elif place in work.pending:
            work.pending.discard(place)
            self._convict(child, work, place)
        elif len(work.pending) < len(work.places):
            self.stats.kills["memory"] += 1  # it said what happened, and ended by itself
        else:
            # It died before it started on anything; no item is to blame, but it can't go on for ever.
            for place in work.pending:
                job, position = work.places[place]
                job.attempts[position] += 1
        for place in sorted(work.pending, reverse=True):
            job, position = work.places[place]
            if job.attempts[position] >= MAX_ATTEMPTS:
                self._settle_here(
                    job, position, cannot_judge(Reason.INTERNAL, "no process lived long enough")
                )
            else:
                job.waiting.appendleft(position)
                self._queue_again(job)

    def _queue_again(self, job: Job) -> None:
        if job in self._unfinished and job not in self._jobs:
            self._jobs.appendleft(job)

    def _convict(self, child: Child, work: Assignment, place: int) -> None:
        job, position = work.places[place]
        handler = self._registry.handlers[job.tasks[position].handler]
        if child.exit_code == -signal.SIGPROF:
            self.stats.kills["cpu"] += 1
            cpu = handler.limits.cpu_seconds
            self._settle_here(job, position, reject(Reason.BUDGET_EXCEEDED, None, limit="cpu"), cpu)
        elif work.starved:
            self.stats.kills["wall"] += 1
            message = "the machine was too busy to judge the item in time"
            self._settle_here(job, position, cannot_judge(Reason.DEADLINE, message))
        else:
            self.stats.kills["crash"] += 1
            job.strikes[position] += 1
            if job.strikes[position] < STRIKES:
                job.suspects.append(position)
                self._queue_again(job)
                return
            log.error("an item ended two processes of handler %s (exit %s)", handler.name, child.exit_code)
            message = "the checker crashed on this item, twice"
            flags = ("checker_crashed",)
            self._settle_here(job, position, cannot_judge(Reason.INTERNAL, message, flags=flags))

    def _settle_here(self, job: Job, position: int, outcome: Outcome, cpu: float = 0.0) -> None:
        handler = self._registry.handlers[job.tasks[position].handler]
        job.settle(
            position,
            Outcome(
                outcome.status,
                outcome.reason,
                outcome.score,
                outcome.correct,
                flags=outcome.flags,
                detail=outcome.detail,
                handler=handler.name,
                version=handler.version,
                verify_ms=cpu * 1e3,
            ),
        )

    def _give_up(self, job: Job, reason: Reason, message: str) -> None:
        job.waiting.clear()
        job.suspects.clear()
        for position, outcome in enumerate(job.outcomes):
            if outcome is None:
                self._settle_here(job, position, cannot_judge(reason, message))

    # Keeping it up

    def _start_zygote(self) -> None:
        self._zygote = Zygote(self, self._loader, 2 * (self.size + self._spares))

    def _top_up(self) -> None:
        if self._zygote is not None:
            for _ in range(self.size + self._spares - len(self._zygote.children)):
                self._zygote.fork()

    async def _tick(self) -> None:
        """Enforce wall limits and deadlines; replace what could not be replaced at once."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for child, work in list(self._working.items()):
                place, started = child.progress()
                if place in work.pending and not work.starved:
                    handler = self._registry.handlers[work.task(place).handler]
                    if now - started > handler.limits.wall_seconds:
                        work.starved = True
                        child.kill()
            for job in list(self._unfinished):
                if now > job.deadline:
                    self._give_up(job, Reason.DEADLINE, "the request's deadline passed before it was judged")
            if self._zygote is not None and self._zygote.died():
                self._replace_zygote()
            elif self._up.is_set():
                self._top_up()

    def _replace_zygote(self) -> None:
        if self._zygote is None:
            return
        log.error("the process that forks the checkers died; starting another")
        self.stats.kills["zygote"] += 1
        self._up.clear()
        zygote, self._zygote = self._zygote, None
        for child in zygote.stop():
            child.exit_code = None
            self.on_dead(child)
        self._start_zygote()

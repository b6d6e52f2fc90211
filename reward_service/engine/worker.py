"""A worker: leases chunks, has them scored, hands the results in, and says all the while that it lives.

What is decided here:
- *Turns.* Live chunks may use every place, batches all but one, and always a share of them: a flood of requests
  can't starve a batch, nor a batch keep a request waiting for a place.
- *Doubt.* A chunk that comes a second time had a holder that died, maybe of it. It is judged item by item, each
  item written down before it starts. If that holder dies too, the item it was on has a strike, and the chunk is
  judged once more with nothing else in the process, so that a second death is proof: then that item, and no other,
  is `error/internal`. Chunks of innocents that shared a worker with it are never convicted.
- *Time.* Leases are the queue's; here only intervals of the monotonic clock are measured.
- *Ends.* Told to stop, a worker takes nothing more, finishes what it can within the grace, and gives the rest back.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from reward_service.engine.ports import Done, Effect, Lane, Lease, Queue
from reward_service.engine.records import Corrupt, Entry, Judged, entries_of, results_to_json
from reward_service.engine.scorer import UNKNOWN, Row, Scored
from reward_service.errors import Overloaded, ServiceError
from reward_service.types import Outcome, Reason, Status, cannot_judge

log = logging.getLogger(__name__)
chunk_log = logging.getLogger("reward_service.chunks")
"""A line for each chunk, if all requests are logged (`logs.py`)."""

STRIKES = 2
WAIT_SECONDS = 1.0
COMMIT_TOGETHER = 16
CHUNK_SECONDS = 3600.0
"""The longest that a batch's chunk may take: its items' own limits are far below."""
SECOND_TRIES = (0.5, 2.0)
"""Pauses before a batch's items are tried again that sandbox, judge model or a busy machine could not serve."""
TRY_AGAIN = {Reason.SANDBOX_UNAVAILABLE, Reason.JUDGE_UNAVAILABLE, Reason.OVERLOADED, Reason.DEADLINE}
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 2.0


def unnamed(outcome: Outcome) -> Scored:
    """The outcome of an item that nobody got as far as routing."""
    return Scored(outcome, UNKNOWN, UNKNOWN)


class Judge(Protocol):
    """What a worker needs of the scorer."""

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        """One `Scored` per row, in their order."""
        ...


@dataclass(slots=True)
class WorkerStats:
    """Counters since the start; chunks but for `items` and `convicted`.

    late: had results already when handed in; lost: given to somebody else meanwhile; again: came a second time.
    """

    chunks: int = 0
    items: int = 0
    late: int = 0
    gone: int = 0
    lost: int = 0
    again: int = 0
    alone: int = 0
    released: int = 0
    convicted: int = 0


@dataclass(slots=True, eq=False)
class _Held:
    """A lease at work."""

    lease: Lease
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _HandIn:
    """Results on their way to the queue."""

    done: Done
    settled: asyncio.Future[None]


@dataclass(slots=True)
class _Backoff:
    """Growing pauses while something is out of reach, at different moments in different processes."""

    pause: float = FIRST_BACKOFF

    async def wait(self) -> None:
        await asyncio.sleep(self.pause * random.uniform(0.5, 1.5))  # noqa: S311 - only apart
        self.pause = min(2 * self.pause, LONGEST_BACKOFF)

    def reset(self) -> None:
        self.pause = FIRST_BACKOFF


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """places: chunks at work at once. batch_share: of the places, kept for batches however much is live.

    processes: checking processes, said to the fleet. grace_seconds: to finish in when told to stop.
    """

    places: int = 6
    batch_share: float = 0.1
    processes: int = 1
    grace_seconds: float = 20.0
    lanes: tuple[Lane, ...] = (Lane.LIVE, Lane.BATCH)


class Worker:
    """Works for a queue until told to stop.

    on_scored: hears of every batch's results, for metrics; what is judged for a gateway is counted there. Must not raise.
    """

    def __init__(
        self,
        queue: Queue,
        judge: Judge,
        options: WorkerOptions | None = None,
        on_scored: Callable[[Sequence[Row], Sequence[Scored]], object] | None = None,
    ) -> None:
        self.stats = WorkerStats()
        self.in_touch = False
        """Did the queue answer when it was last told that this worker is there?"""
        self._queue = queue
        self._judge = judge
        self._options = options or WorkerOptions()
        self._on_scored = on_scored
        self._held: dict[str, _Held] = {}
        self._suspects: list[Lease] = []
        self._alone = False
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._to_commit: asyncio.Queue[_HandIn] = asyncio.Queue()

    @property
    def at_work(self) -> int:
        """Chunks that it holds."""
        return len(self._held) + len(self._suspects)

    @property
    def stopping(self) -> bool:
        """Has it been told to stop?"""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Take nothing more; `run` returns when what is held is finished or given back."""
        self._stopping.set()
        self._changed.set()

    async def run(self) -> None:
        """Work until `stop`. An outage of the queue is waited out."""
        takers = [asyncio.create_task(self._take(lane)) for lane in self._options.lanes]
        others: list[Coroutine[Any, Any, None]] = [
            self._heartbeat(), self._reclaim(), self._presence(), self._commit(), self._isolate(),
        ]  # fmt: skip
        tasks = [asyncio.create_task(other) for other in others]
        try:
            watched = asyncio.create_task(self._stopping.wait())
            done, _ = await asyncio.wait([watched, *takers, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {watched}:
                task.result()  # none of them ends by itself: this is a defect of ours, and loud
            await asyncio.gather(*takers)
            await self._drain()
        finally:
            for task in [*takers, *tasks]:
                task.cancel()
            await asyncio.gather(*takers, *tasks, return_exceptions=True)

    # Places

    def _free(self, lane: Lane) -> int:
        """Places that a lane may fill now."""
        if self._stopping.is_set() or self._alone or self._suspects:
            return 0
        places = self._options.places
        live = sum(held.lease.lane is Lane.LIVE for held in self._held.values())
        batch = len(self._held) - live
        if lane is Lane.LIVE:
            return places - live
        share = max(1, math.ceil(places * self._options.batch_share))
        return max(share - batch, places - 1 - live - batch)

    async def _place(self, lane: Lane) -> int:
        """Wait for free places of a lane; 0 when stopping."""
        while not self._stopping.is_set():
            free = self._free(lane)
            if free > 0:
                return free
            self._changed.clear()
            await self._changed.wait()
        return 0

    async def _take(self, lane: Lane) -> None:
        backoff = _Backoff()
        while free := await self._place(lane):
            try:
                leases = await self._queue.take(lane, free)
                if self._stopping.is_set() or self._alone or self._suspects:
                    await self._release(leases)
                    continue
                for lease in leases:
                    self._start(lease)
                if not leases:
                    await self._wait(lane)
                backoff.reset()
            except ServiceError as error:
                log.warning("can't take work: %s", error.detail)
                await backoff.wait()

    async def _wait(self, lane: Lane) -> None:
        """Until there is work, or it is time to stop."""
        waiting = asyncio.create_task(self._queue.wait(lane, WAIT_SECONDS))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
        finally:
            for task in (waiting, stopping):
                task.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)

    def _start(self, lease: Lease) -> None:
        held = self._held[lease.token] = _Held(lease)
        held.task = asyncio.create_task(self._work(held))

    async def _work(self, held: _Held) -> None:
        """Judge and hand in one chunk, whatever happens."""
        lease = held.lease
        try:
            done = await self._results(lease)
            settled = asyncio.get_running_loop().create_future()
            self._to_commit.put_nowait(_HandIn(done, settled))
            await settled
        except ServiceError as error:
            log.warning("a chunk of %s could not be judged here: %s", lease.job, error.detail)
            if not self._stopping.is_set():
                await asyncio.sleep(LONGEST_BACKOFF * random.uniform(0.5, 1.0))  # noqa: S311 - only apart
            await self._release([lease])
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a defect of the worker; the chunk is left to its lease")
        finally:
            self._held.pop(lease.token, None)
            self._changed.set()

    # Judging

    async def _results(self, lease: Lease) -> Done:
        started = time.monotonic()
        try:
            entries = entries_of(lease.payload)
        except Corrupt as error:
            log.error("a chunk of %s can't be read: %s", lease.job, error)
            outcome = cannot_judge(Reason.INTERNAL, "the queued item can't be read")
            judged = [Judged(None, outcome)] * lease.items
        else:
            seconds = min(lease.seconds, CHUNK_SECONDS)
            if lease.deliveries > 1:
                scored = await self._one_by_one(lease, entries, seconds)
            else:
                scored = await self._together(lease.lane, entries, seconds)
            if self._on_scored is not None and lease.lane is Lane.BATCH:
                self._on_scored([entry.row for entry in entries], scored)
            judged = [Judged(entry.id, one.outcome) for entry, one in zip(entries, scored, strict=True)]
        failed = sum(outcome.status is Status.ERROR for _, outcome in judged)
        if chunk_log.isEnabledFor(logging.INFO):
            told = {"lane": lease.lane.value, "job": lease.job, "number": lease.number, "items": len(judged), "failed": failed,
                    "deliveries": lease.deliveries, "key": lease.tenant, "ms": round((time.monotonic() - started) * 1e3, 1)}  # fmt: skip
            chunk_log.info("chunk", extra=told)
        self.stats.chunks += 1
        self.stats.items += len(judged)
        return Done(lease, results_to_json(lease.first, judged), failed)

    async def _together(self, lane: Lane, entries: Sequence[Entry], seconds: float) -> list[Scored]:
        rows, until = [entry.row for entry in entries], time.monotonic() + seconds
        try:
            scored = await self._judge.score_many(rows, seconds=seconds)
        except ServiceError:
            raise
        except Exception:
            log.exception("scoring a chunk failed; its items are judged one by one")
            return [await self._single(row, seconds) for row in rows]
        if lane is Lane.BATCH:
            await self._second_tries(rows, scored, until)
        return scored

    async def _second_tries(self, rows: Sequence[Row], scored: list[Scored], until: float) -> None:
        """A batch has time: what failed for no fault of the items is tried again, before it is final."""
        for pause in SECOND_TRIES:
            again = [place for place, one in enumerate(scored) if one.outcome.reason in TRY_AGAIN]
            left = until - time.monotonic() - pause
            if not again or left <= 0:
                return
            if self._stopping.is_set():  # the sandbox may be going down with us: another worker has one
                raise Overloaded("this worker is stopping")
            await asyncio.sleep(pause)
            fresh = await self._judge.score_many([rows[place] for place in again], seconds=left)
            for place, one in zip(again, fresh, strict=True):
                scored[place] = one

    async def _single(self, row: Row, seconds: float) -> Scored:
        try:
            return (await self._judge.score_many([row], seconds=seconds))[0]
        except ServiceError:
            raise
        except Exception as error:
            return unnamed(cannot_judge(Reason.INTERNAL, f"judging the item failed: {type(error).__name__}"))

    async def _one_by_one(self, lease: Lease, entries: Sequence[Entry], seconds: float) -> list[Scored]:
        """A chunk whose holder died: what is on when this process dies too is written down first."""
        scored: list[Scored] = []
        for place, entry in enumerate(entries):
            if lease.strikes.get(place, 0) >= STRIKES:
                log.error(
                    "item %d of a chunk of %s ended %d workers", lease.first + place, lease.job, STRIKES
                )
                self.stats.convicted += 1
                message = "the item ended the process that judged it, twice"
                scored.append(unnamed(cannot_judge(Reason.INTERNAL, message, flags=("worker_crashed",))))
                continue
            await self._queue.note(lease, place)
            single = [await self._single(entry.row, seconds)]
            if lease.lane is Lane.BATCH:
                await self._second_tries([entry.row], single, time.monotonic() + seconds)
            scored += single
        return scored

    async def _isolate(self) -> None:
        """Judge chunks with a strike while nothing else is at work."""
        while True:
            if self._suspects and not self._held:
                self._alone = True
                lease = self._suspects.pop(0)
                self.stats.alone += 1
                self._start(lease)
                while lease.token in self._held:
                    self._changed.clear()
                    await self._changed.wait()
                self._alone = False
                self._changed.set()
            else:
                self._changed.clear()
                await self._changed.wait()

    # Leases

    def _leases(self) -> list[Lease]:
        return [held.lease for held in self._held.values()] + self._suspects

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._queue.lease_seconds / 3)
            try:
                lost = await self._queue.renew(self._leases())
            except ServiceError as error:
                log.warning("can't renew leases: %s", error.detail)
                continue
            for lease in lost:
                held = self._held.get(lease.token)
                if held is not None and held.task is not None and not held.task.done():
                    self.stats.lost += 1
                    held.task.cancel()
                self._suspects = [other for other in self._suspects if other.token != lease.token]

    async def _reclaim(self) -> None:
        """On its own timer: the last chunks of a dead worker must not wait for somebody to send more.

        Nor for a free place while there is fresh work: one such chunk of each lane may always be at work.
        """
        while True:
            await asyncio.sleep(self._queue.lease_seconds / 3 * random.uniform(0.7, 1.3))  # noqa: S311
            for lane in self._options.lanes:
                if self._stopping.is_set() or self._alone or self._suspects:
                    continue
                again = sum(h.lease.lane is lane and h.lease.deliveries > 1 for h in self._held.values())
                want = max(self._free(lane), 1 - again)
                if want <= 0:
                    continue
                try:
                    leases = await self._queue.reclaim(lane, want)
                except ServiceError as error:
                    log.warning("can't look for abandoned work: %s", error.detail)
                    break
                for lease in leases:
                    self.stats.again += 1
                    if lease.strikes:
                        self._suspects.append(lease)
                        self._changed.set()
                    else:
                        self._start(lease)

    async def _presence(self) -> None:
        while True:
            try:
                await self._queue.present(self._options.processes)
                self.in_touch = True
            except ServiceError:
                self.in_touch = False
            await asyncio.sleep(max(0.5, self._queue.lease_seconds / 2))

    async def _commit(self) -> None:
        """Hand in what is finished, several chunks in one call; an outage is waited out."""
        backoff = _Backoff()
        while True:
            ready = [await self._to_commit.get()]
            while len(ready) < COMMIT_TOGETHER and not self._to_commit.empty():
                ready.append(self._to_commit.get_nowait())
            while True:
                try:
                    effects = await self._queue.commit([entry.done for entry in ready])
                    break
                except ServiceError as error:
                    log.warning("can't hand in results: %s", error.detail)
                    await backoff.wait()
            backoff.reset()
            self.stats.late += effects.count(Effect.DUPLICATE)
            self.stats.gone += effects.count(Effect.GONE)
            for entry in ready:
                if not entry.settled.done():
                    entry.settled.set_result(None)

    # The end

    async def _release(self, leases: Sequence[Lease]) -> None:
        if not leases:
            return
        try:
            await self._queue.release(leases)
            self.stats.released += len(leases)
        except ServiceError as error:
            log.warning("can't give work back, its lease will run out: %s", error.detail)

    async def _drain(self) -> None:
        suspects, self._suspects = self._suspects, []
        await self._release(suspects)
        tasks = [held.task for held in self._held.values() if held.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._options.grace_seconds)
        left = [held for held in self._held.values() if held.task is not None and not held.task.done()]
        leases = [held.lease for held in left]
        for held in left:
            if held.task is not None:
                held.task.cancel()
        await self._release(leases)
        try:
            await self._queue.present(0)
        except ServiceError:
            pass

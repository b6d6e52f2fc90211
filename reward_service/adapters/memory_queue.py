"""The queue in one process's memory: the default, with no server to run; and what it shares with the batches.

What is decided here: the same contract as on Redis, down to leases, strikes and turns, so that a worker is one piece
of code; only that nothing survives the process. Waiting items are bounded in bytes, and so are kept results: the
batches that ended first are forgotten first. The clock never goes back: wall time at the start plus monotonic time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from reward_service.engine.batches import (
    BatchStatus,
    Event,
    Marks,
    Spec,
    advance,
)
from reward_service.engine.ports import (
    Answer,
    Ask,
    Depth,
    Done,
    Effect,
    Lane,
    Lease,
)
from reward_service.errors import Overloaded


def _clock() -> Callable[[], float]:
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


@dataclass(slots=True, eq=False)
class Message:
    """A queued chunk, who holds it and since when."""

    id: str
    lane: Lane
    tenant: str
    job: str
    number: int
    first: int
    items: int
    payload: bytes
    reply: str = ""
    until: float = 0.0
    holder: str = ""
    heard: float = 0.0
    deliveries: int = 0
    suspect: int | None = None
    strikes: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class Stream:
    """The chunks of one batch, or of one tenant's live calls: all of them, and those that nobody holds."""

    messages: dict[str, Message] = field(default_factory=dict)
    waiting: deque[str] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class StoredBatch:
    """A batch as it is stored. act_at: when `due` has something to do with it."""

    spec: Spec
    status: BatchStatus
    created_at: int
    act_at: float
    stream: Stream = field(default_factory=Stream)
    total: int = 0
    completed: int = 0
    failed: int = 0
    chunks: int = 0
    held_bytes: int = 0
    expires_at: int = 0
    forget_at: float = float("inf")
    times: dict[BatchStatus, int] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks)
    results: dict[int, bytes] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    errors: list[Mapping[str, Any]] = field(default_factory=list)


class _Turns:
    """Streams that have chunks to hand out, in turns: tenants, and within a tenant its streams."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, OrderedDict[str, Stream]] = OrderedDict()

    def join(self, tenant: str, name: str, stream: Stream) -> None:
        self._tenants.setdefault(tenant, OrderedDict()).setdefault(name, stream)

    def leave(self, tenant: str, name: str) -> None:
        streams = self._tenants.get(tenant, OrderedDict())
        streams.pop(name, None)
        if not streams:
            self._tenants.pop(tenant, None)

    def next(self) -> Message | None:
        """The next chunk in turn, no longer waiting."""
        while self._tenants:
            tenant, streams = next(iter(self._tenants.items()))
            self._tenants.move_to_end(tenant)
            name, stream = next(iter(streams.items()))
            streams.move_to_end(name)
            while stream.waiting:
                message = stream.messages.get(stream.waiting.popleft())
                if message is not None:
                    return message
            self.leave(tenant, name)
        return None


class MemoryWork:
    """What queues and stores of one process share. max_bytes: of waiting items; max_kept_bytes: of results."""

    def __init__(
        self,
        *,
        max_bytes: int = 1 << 30,
        max_kept_bytes: int = 1 << 30,
        max_live_chunks: int = 4_096,
        upload_seconds: float = 60.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_kept_bytes = max_kept_bytes
        self.max_live_chunks = max_live_chunks
        self.upload_seconds = upload_seconds
        self.clock = clock or _clock()
        self.batches: dict[str, StoredBatch] = {}
        self.keys: dict[tuple[str, str], tuple[str, str]] = {}
        self.live: dict[str, Stream] = {}
        self.turns = {lane: _Turns() for lane in Lane}
        self.bells = {lane: asyncio.Event() for lane in Lane}
        self.answers: dict[str, deque[Answer]] = {}
        self.answered: dict[str, asyncio.Event] = {}
        self.workers: dict[str, tuple[int, float]] = {}
        self.ids = count(1)

    def now(self) -> int:
        """The clock in whole milliseconds."""
        return int(self.clock() * 1e3)

    def find(self, batch: str) -> StoredBatch | None:
        """A batch that has not been forgotten."""
        found = self.batches.get(batch)
        if found is not None and self.clock() > found.forget_at:
            self.discard(found)
            return None
        return found

    def discard(self, batch: StoredBatch) -> None:
        """Forget a batch."""
        self.batches.pop(batch.spec.id, None)
        self.turns[Lane.BATCH].leave(batch.spec.tenant, batch.spec.id)
        key = (batch.spec.tenant, batch.spec.key)
        if self.keys.get(key, ("", ""))[0] == batch.spec.id:
            del self.keys[key]

    def enter(self, batch: StoredBatch, event: Event) -> None:
        """Move a batch on, if the event means something to it."""
        status = advance(batch.status, event)
        if status is batch.status:
            return
        batch.status = status
        batch.times[status] = self.now()
        if status is not BatchStatus.IN_PROGRESS:
            self.turns[Lane.BATCH].leave(batch.spec.tenant, batch.spec.id)
        if status is BatchStatus.COMPLETED:
            batch.times[BatchStatus.FINALIZING] = batch.times[status]
        if status.terminal:
            batch.stream = Stream()
            batch.act_at, batch.forget_at = float("inf"), self.clock() + batch.spec.keep_seconds
            self._make_room()

    def _make_room(self) -> None:
        ended = sorted((b for b in self.batches.values() if b.status.terminal), key=lambda b: b.forget_at)
        kept = sum(len(result) for batch in ended for result in batch.results.values())
        for batch in ended[:-1]:
            if kept <= self.max_kept_bytes and self.clock() <= batch.forget_at:
                break
            kept -= sum(map(len, batch.results.values()))
            self.discard(batch)

    def stream_of(self, lease: Lease) -> Stream | None:
        """The stream that a lease is from, if there still is one."""
        if lease.lane is Lane.LIVE:
            return self.live.get(lease.tenant)
        batch = self.batches.get(lease.job)
        return batch.stream if batch is not None else None

    def drop_live_if_empty(self, tenant: str) -> None:
        """Forget a tenant's live stream with its last chunk."""
        stream = self.live.get(tenant)
        if stream is not None and not stream.messages:
            del self.live[tenant]
            self.turns[Lane.LIVE].leave(tenant, tenant)


class MemoryQueue:
    """`ports.Queue` over a `MemoryWork`, for one holder of leases."""

    def __init__(self, work: MemoryWork, *, lease_seconds: float = 10.0, name: str = "") -> None:
        self.lease_seconds = lease_seconds
        self.name = name or secrets.token_hex(6)
        self._work = work

    async def take(self, lane: Lane, want: int) -> list[Lease]:
        """See `Queue`."""
        leases: list[Lease] = []
        while len(leases) < want and (message := self._work.turns[lane].next()):
            if (lease := self._hold(message)) is not None:
                leases.append(lease)
        if len(leases) < want:
            self._work.bells[lane].clear()
        return leases

    async def wait(self, lane: Lane, seconds: float) -> None:
        """See `Queue`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.bells[lane].wait()

    def _hold(self, message: Message) -> Lease | None:
        now = self._work.clock()
        if message.lane is Lane.LIVE:
            left = message.until - now
            if left <= 0:
                self._work.live[message.tenant].messages.pop(message.id, None)
                self._work.drop_live_if_empty(message.tenant)
                return None
        else:
            left = max(0.0, self._work.batches[message.job].expires_at / 1e3 - now)
        message.holder, message.heard = self.name, now
        message.deliveries += 1
        return lease_of(message, left)

    async def reclaim(self, lane: Lane, want: int) -> list[Lease]:
        """See `Queue`."""
        work = self._work
        streams = (
            list(work.live.values())
            if lane is Lane.LIVE
            else [b.stream for b in work.batches.values() if b.status is BatchStatus.IN_PROGRESS]
        )
        leases: list[Lease] = []
        for stream in streams:
            for message in list(stream.messages.values()):
                if len(leases) == want:
                    return leases
                if message.holder and work.clock() - message.heard >= self.lease_seconds:
                    suspect, message.suspect = message.suspect, None
                    if suspect is not None:
                        message.strikes[suspect] += 1
                    lease = self._hold(message)
                    if lease is not None:
                        leases.append(_with_suspect(lease, suspect))
        return leases

    def _held(self, lease: Lease) -> Message | None:
        stream = self._work.stream_of(lease)
        message = stream.messages.get(lease.token) if stream is not None else None
        return message if message is not None and message.holder == self.name else None

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """See `Queue`."""
        lost = []
        for lease in leases:
            message = self._held(lease)
            if message is None:
                lost.append(lease)
            else:
                message.heard = self._work.clock()
        return lost

    async def release(self, leases: Sequence[Lease]) -> None:
        """See `Queue`."""
        work = self._work
        for lease in leases:
            message, stream = self._held(lease), work.stream_of(lease)
            if message is None or stream is None:
                continue
            message.holder, message.deliveries, message.suspect = "", 0, None
            message.strikes.clear()
            stream.waiting.append(message.id)
            if lease.lane is Lane.LIVE:
                work.turns[lease.lane].join(lease.tenant, lease.tenant, stream)
            elif work.batches[lease.job].status is BatchStatus.IN_PROGRESS:
                work.turns[lease.lane].join(lease.tenant, lease.job, stream)
            work.bells[lease.lane].set()

    async def note(self, lease: Lease, place: int) -> None:
        """See `Queue`."""
        stream = self._work.stream_of(lease)
        if stream is not None and (message := stream.messages.get(lease.token)) is not None:
            message.suspect = place

    async def commit(self, done: Sequence[Done]) -> list[Effect]:
        """See `Queue`."""
        return [
            self._commit_live(entry) if entry.lease.lane is Lane.LIVE else self._commit_batch(entry)
            for entry in done
        ]

    def _commit_live(self, done: Done) -> Effect:
        work, lease = self._work, done.lease
        stream = work.live.get(lease.tenant)
        if stream is None or stream.messages.pop(lease.token, None) is None:
            return Effect.DUPLICATE
        work.answers.setdefault(lease.reply, deque()).append(Answer(lease.job, lease.number, done.results))
        if lease.reply in work.answered:
            work.answered[lease.reply].set()
        work.drop_live_if_empty(lease.tenant)
        return Effect.NEW

    def _commit_batch(self, done: Done) -> Effect:
        work, lease = self._work, done.lease
        batch = work.find(lease.job)
        if batch is None:
            return Effect.GONE
        batch.stream.messages.pop(lease.token, None)
        if batch.status.terminal or lease.number in batch.results:
            return Effect.DUPLICATE
        batch.results[lease.number] = done.results
        batch.order.append(lease.number)
        batch.failed += done.failed
        batch.completed += lease.items - done.failed
        batch.held_bytes -= len(lease.payload)
        batch.marks = batch.marks.moved(work.now(), batch.completed + batch.failed)
        if batch.completed + batch.failed >= batch.total:
            work.enter(batch, Event.ALL_DONE)
        return Effect.NEW

    async def ask(self, tenant: str, asks: Sequence[Ask], seconds: float) -> list[str]:
        """See `Queue`."""
        work = self._work
        queued = sum(len(stream.messages) for stream in work.live.values())
        if queued + len(asks) > work.max_live_chunks:
            raise Overloaded(f"{work.max_live_chunks} chunks are queued already", retry_after=1.0)
        stream = work.live.setdefault(tenant, Stream())
        tokens = []
        for ask in asks:
            token = f"{next(work.ids)}-0"
            stream.messages[token] = Message(
                token, Lane.LIVE, tenant, ask.call, ask.number, 0, ask.items, ask.payload, self.name,
                work.clock() + seconds,
            )  # fmt: skip
            stream.waiting.append(token)
            tokens.append(token)
        work.turns[Lane.LIVE].join(tenant, tenant, stream)
        work.bells[Lane.LIVE].set()
        return tokens

    async def answers(self, seconds: float) -> list[Answer]:
        """See `Queue`."""
        work = self._work
        ready = work.answered.setdefault(self.name, asyncio.Event())
        ready.clear()
        waiting = work.answers.setdefault(self.name, deque())
        if not waiting:
            try:
                async with asyncio.timeout(seconds):
                    await ready.wait()
            except TimeoutError:
                return []
        answers = list(waiting)
        waiting.clear()
        return answers

    async def withdraw(self, tenant: str, tokens: Sequence[str]) -> None:
        """See `Queue`."""
        stream = self._work.live.get(tenant)
        if stream is not None:
            for token in tokens:
                stream.messages.pop(token, None)
            self._work.drop_live_if_empty(tenant)

    async def missing(self, tenant: str, tokens: Sequence[str]) -> list[str]:
        """See `Queue`."""
        stream = self._work.live.get(tenant)
        return [token for token in tokens if stream is None or token not in stream.messages]

    async def depth(self) -> Mapping[Lane, Depth]:
        """See `Queue`."""
        work = self._work
        sealed = [b.stream for b in work.batches.values() if b.status is not BatchStatus.VALIDATING]
        return {Lane.LIVE: _depth(list(work.live.values())), Lane.BATCH: _depth(sealed)}

    async def present(self, processes: int) -> int:
        """See `Queue`."""
        now, workers = self._work.clock(), self._work.workers
        if processes:
            workers[self.name] = (processes, now + 3 * max(1.0, self.lease_seconds))
        else:
            workers.pop(self.name, None)
        for name in [name for name, (_, until) in workers.items() if until < now]:
            del workers[name]
        return sum(number for number, _ in workers.values())


def _depth(streams: Sequence[Stream]) -> Depth:
    messages = [message for stream in streams for message in stream.messages.values()]
    return Depth(len(messages), sum(bool(message.holder) for message in messages))


def lease_of(message: Message, left: float) -> Lease:
    """The message as a lease of whoever holds it; left: seconds to its deadline."""
    return Lease(
        message.lane, message.tenant, message.job, message.number, message.first, message.items, message.payload, left,
        message.deliveries, message.id, None, dict(message.strikes), message.reply,
    )  # fmt: skip


def _with_suspect(lease: Lease, suspect: int | None) -> Lease:
    return Lease(
        lease.lane, lease.tenant, lease.job, lease.number, lease.first, lease.items, lease.payload, lease.seconds,
        lease.deliveries, lease.token, suspect, lease.strikes, lease.reply,
    )  # fmt: skip

"""What can be asked about batches, over any store: submit, look, wait, read, cancel; and closing those that are due.

What is decided here: a batch is sent in pieces and exists when the last step says so, so that a sender or a process
that dies on the way leaves nothing behind, and sending it again is safe. Whoever looks after batches (`sweep`, in
every worker and gateway) may die too: closing is made of steps that the next one can take again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from reward_service.engine.batches import (
    CLOSED,
    Batch,
    BatchStatus,
    Cursor,
    Order,
    Result,
    Spec,
    results_of,
    unjudged,
)
from reward_service.engine.ports import BatchStore, Chunk, Done, Lease, Queue
from reward_service.engine.records import (
    Corrupt,
    Entry,
    Judged,
    cut,
    entries_of,
    entry_to_json,
    results_from_json,
    results_to_json,
)
from reward_service.errors import BadRequest, NotFound, ServiceError

log = logging.getLogger(__name__)

ADD_CHUNKS = 16
PAGE_CHUNKS = 16
CLOSE_CHUNKS = 16
FIRST_POLL = 0.01
LONGEST_POLL = 0.25
SWEEP_SECONDS = 1.0
_APART = random.Random()  # noqa: S311 - only to be apart from other processes


class Submitted(NamedTuple):
    """A batch, and whether it was there before under the same Idempotency-Key."""

    batch: Batch
    replayed: bool


class Upload:
    """A batch that is being sent. `add` as often as you like, then `seal`; without that it vanishes by itself."""

    def __init__(self, store: BatchStore, spec: Spec) -> None:
        self._store = store
        self._spec = spec
        self._sent = 0
        self.items = 0

    async def add(self, entries: Iterable[Entry]) -> None:
        """Send items. BadRequest for one that JSON can't carry; Overloaded if there is no room."""
        chunks: list[Chunk] = []
        for packed in cut(self._encoded(entries)):
            chunks.append(Chunk(packed.items, packed.payload))
            if len(chunks) == ADD_CHUNKS:
                await self._send(chunks)
                chunks = []
        if chunks:
            await self._send(chunks)

    async def _send(self, chunks: Sequence[Chunk]) -> None:
        await self._store.add(self._spec.id, self._sent, chunks)
        self._sent += len(chunks)

    def _encoded(self, entries: Iterable[Entry]) -> Iterable[bytes]:
        for entry in entries:
            try:
                data = entry_to_json(entry)
            except (ValueError, TypeError, RecursionError) as error:
                message = f"item {self.items} can't be written as JSON: {type(error).__name__}"
                finding: dict[str, object] = {"item": self.items, "message": message}
                raise BadRequest(message, errors=[finding]) from None
            self.items += 1
            yield data

    async def seal(self) -> Submitted:
        """It is complete. BadRequest if the key stands for another body, or there are no items."""
        sealed = await self._store.seal(self._spec.id)
        batch = await self._store.get(sealed.id)
        if batch is None:
            raise NotFound(f"there is no batch {sealed.id!r} (any more)")
        return Submitted(batch, sealed.replayed)


class Batches:
    """Batches for callers. `queue` is only needed to hand in what closing decides; keep_seconds: how long a batch
    and its results stay after it has ended."""

    def __init__(self, store: BatchStore, queue: Queue, keep_seconds: float = 7 * 86_400.0) -> None:
        self._store = store
        self._queue = queue
        self._keep_seconds = keep_seconds

    async def replay(self, tenant: str, key: str, digest: str) -> Batch | None:
        """The batch that this key stands for already. BadRequest if it stands for another body."""
        found = await self._store.find(tenant, key, digest) if key else None
        return await self._store.get(found) if found is not None else None

    async def begin(
        self,
        *,
        tenant: str = "",
        key: str = "",
        digest: str = "",
        window_seconds: float = 86_400.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> Upload:
        """Start sending a batch. The meaning of the arguments: `Spec`."""
        name = f"batch_{secrets.token_hex(12)}"
        spec = Spec(name, tenant, key, digest, window_seconds, self._keep_seconds, dict(metadata or {}))
        await self._store.begin(spec)
        return Upload(self._store, spec)

    async def submit(self, entries: Iterable[Entry], *, key: str = "", digest: str = "", tenant: str = "", **options: Any) -> Submitted:  # fmt: skip
        """A whole batch in one call; the same key and digest again is the same batch."""
        replayed = await self.replay(tenant, key, digest)
        if replayed is not None:
            return Submitted(replayed, True)
        upload = await self.begin(tenant=tenant, key=key, digest=digest, **options)
        await upload.add(entries)
        return await upload.seal()

    async def get(self, batch: str) -> Batch:
        """The batch. NotFound if it is not there (any more)."""
        found = await self._store.get(batch)
        if found is None:
            raise NotFound(f"there is no batch {batch[:100]!r} (any more)")
        return found

    async def of_tenant(self, tenant: str, after: str = "", limit: int = 20) -> list[Batch]:
        """A tenant's batches, newest first, behind the one called `after`."""
        return await self._store.of_tenant(tenant, after, limit)

    async def wait(self, batch: str, seconds: float) -> Batch:
        """The batch when it is terminal, or after `seconds`."""
        until, pause = time.monotonic() + seconds, FIRST_POLL
        while True:
            found = await self.get(batch)
            left = until - time.monotonic()
            if found.status.terminal or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_POLL)

    async def cancel(self, batch: str) -> Batch:
        """Stop working on it, and end it: what has been scored is kept. A terminal one stays as it is."""
        await self._store.cancel(batch)
        await self.close(batch)
        return await self.get(batch)

    async def results(
        self, batch: str, cursor: Cursor | None = None, *, follow: bool = True
    ) -> AsyncIterator[Result]:
        """Results from the cursor on, in its order; until the batch has ended, or what there is without `follow`.

        Each result carries the cursor behind it: reading can go on there after any interruption.
        """
        cursor = cursor or Cursor(Order.INPUT)
        pause = FIRST_POLL
        while True:
            # The state before the results: what is missing after a terminal state will never come.
            state = await self.get(batch)
            moved = False
            async for result in self._page(state, cursor):
                cursor, moved = result.cursor, True
                yield result
            if moved:
                pause = FIRST_POLL
                continue
            if state.status.terminal:
                skipped = await self._next_there(state, cursor)
                if skipped is None:
                    return
                cursor = skipped
            elif not follow:
                return
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_POLL)

    async def _page(self, state: Batch, cursor: Cursor) -> AsyncIterator[Result]:
        if cursor.order is Order.INPUT:
            numbers = list(range(cursor.chunk, min(cursor.chunk + PAGE_CHUNKS, state.chunks)))
        else:
            numbers = await self._store.finished(state.id, cursor.chunk, PAGE_CHUNKS)
        for data in await self._store.results(state.id, numbers):
            if data is None:
                return
            for result in self._read(cursor, data):
                cursor = result.cursor
                yield result

    def _read(self, cursor: Cursor, data: bytes) -> Iterable[Result]:
        try:
            first, judged = results_from_json(data)
        except Corrupt as error:
            raise ServiceError(f"stored results can't be read: {error}") from None
        return results_of(cursor, first, judged)

    async def _next_there(self, state: Batch, cursor: Cursor) -> Cursor | None:
        """Behind a hole that a loss of the store's data left in a batch that has ended; None at the end."""
        if cursor.order is Order.COMPLETION:
            return None
        for start in range(cursor.chunk, state.chunks, 1024):
            numbers = list(range(start, min(start + 1024, state.chunks)))
            for number, data in zip(numbers, await self._store.results(state.id, numbers), strict=True):
                if data is not None:
                    return None if number == cursor.chunk else Cursor(cursor.order, number, 0)
        return None

    # Closing

    async def sweep(self) -> int:
        """Close what is due; how many batches that were."""
        due = await self._store.due()
        for batch in due:
            await self.close(batch)
        return len(due)

    async def close(self, batch: str) -> None:
        """Give every chunk of a cancelled or overdue batch its result, and so end the batch."""
        state = await self._store.get(batch)
        if state is None or state.status not in CLOSED or state.status.terminal:
            return
        while leases := await self._store.unfinished(batch, CLOSE_CHUNKS):
            await self._queue.commit([closed(lease, state.status) for lease in leases])

    async def keep_sweeping(self) -> None:
        """Sweep about every SWEEP_SECONDS, for ever; several processes do, at different moments."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS * _APART.uniform(0.7, 1.3))
            try:
                await self.sweep()
            except ServiceError as error:
                log.warning("can't look after batches: %s", error.detail)


def closed(lease: Lease, status: BatchStatus) -> Done:
    """What a chunk gets that its batch ends without: an error for every item."""
    outcome = unjudged(status)
    try:
        names = [entry.id for entry in entries_of(lease.payload)]
    except Corrupt:
        names = [None] * lease.items
    judged = [Judged(name, outcome) for name in names]
    return Done(lease, results_to_json(lease.first, judged), lease.items)

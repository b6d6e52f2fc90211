"""Batches in one process's memory, over the same work as the queue (`memory_queue.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reward_service.adapters.memory_queue import MemoryWork, Message, StoredBatch, lease_of
from reward_service.engine.batches import Batch, BatchStatus, Counts, Event, Spec
from reward_service.engine.ports import Chunk, Lane, Lease, Sealed
from reward_service.errors import BadRequest, NotFound, Overloaded


class MemoryBatchStore:
    """`ports.BatchStore` over a `MemoryWork`."""

    def __init__(self, work: MemoryWork) -> None:
        self._work = work

    def _batch(self, batch: str) -> StoredBatch:
        found = self._work.find(batch)
        if found is None:
            raise NotFound(f"there is no batch {batch[:100]!r} (any more)")
        return found

    def _shown(self, batch: StoredBatch) -> Batch:
        return Batch(
            batch.spec, batch.status, Counts(batch.total, batch.completed, batch.failed), batch.chunks,
            len(batch.order), self._work.now(), batch.created_at, batch.expires_at, dict(batch.times),
            batch.marks.older, tuple(batch.errors),
        )  # fmt: skip

    async def begin(self, spec: Spec) -> Batch:
        """See `BatchStore`."""
        now = self._work.now()
        batch = StoredBatch(spec, BatchStatus.VALIDATING, now, self._work.clock() + self._work.upload_seconds)
        batch.times[BatchStatus.VALIDATING] = now
        self._work.batches[spec.id] = batch
        return self._shown(batch)

    async def add(self, batch: str, number: int, chunks: Sequence[Chunk]) -> None:
        """See `BatchStore`."""
        work, into = self._work, self._batch(batch)
        if into.status is not BatchStatus.VALIDATING:
            raise NotFound(f"there is no batch {batch[:100]!r} (any more)")
        held = sum(other.held_bytes for other in work.batches.values())
        if held + sum(len(chunk.payload) for chunk in chunks) > work.max_bytes:
            raise Overloaded(f"the items that wait already hold {work.max_bytes} bytes", retry_after=5.0)
        for place, chunk in enumerate(chunks, number):
            if place == into.chunks:
                token = f"{next(work.ids)}-0"
                into.stream.messages[token] = Message(
                    token, Lane.BATCH, into.spec.tenant, batch, place, into.total, chunk.items, chunk.payload
                )
                into.stream.waiting.append(token)
                into.chunks += 1
                into.total += chunk.items
                into.held_bytes += len(chunk.payload)
        into.act_at = work.clock() + work.upload_seconds

    async def seal(self, batch: str) -> Sealed:
        """See `BatchStore`."""
        work, sealed = self._work, self._batch(batch)
        if sealed.status is not BatchStatus.VALIDATING:
            return Sealed(batch, False)
        if not sealed.chunks:
            raise BadRequest("a batch has at least one item")
        spec = sealed.spec
        if spec.key:
            try:
                first = await self.find(spec.tenant, spec.key, spec.digest)
            except BadRequest:
                work.discard(sealed)
                raise
            if first is not None:
                work.discard(sealed)
                return Sealed(first, True)
            work.keys[spec.tenant, spec.key] = (batch, spec.digest)
        work.enter(sealed, Event.SEAL)
        sealed.act_at = work.clock() + spec.window_seconds
        sealed.expires_at = int(sealed.act_at * 1e3)
        work.turns[Lane.BATCH].join(spec.tenant, batch, sealed.stream)
        work.bells[Lane.BATCH].set()
        return Sealed(batch, False)

    async def reject(self, batch: str, errors: Sequence[Mapping[str, Any]]) -> Batch:
        """See `BatchStore`."""
        rejected = self._batch(batch)
        if rejected.status is BatchStatus.VALIDATING:
            rejected.errors, rejected.held_bytes = list(errors), 0
            self._work.enter(rejected, Event.REJECT)
        return self._shown(rejected)

    async def find(self, tenant: str, key: str, digest: str) -> str | None:
        """See `BatchStore`."""
        first = self._work.keys.get((tenant, key)) if key else None
        if first is None or self._work.find(first[0]) is None:
            return None
        if first[1] != digest:
            raise BadRequest("this Idempotency-Key was used with another body")
        return first[0]

    async def get(self, batch: str) -> Batch | None:
        """See `BatchStore`."""
        found = self._work.find(batch)
        return None if found is None else self._shown(found)

    async def of_tenant(self, tenant: str, after: str, limit: int) -> list[Batch]:
        """See `BatchStore`."""
        mine = [
            batch
            for batch in list(self._work.batches.values())
            if batch.spec.tenant == tenant
            and batch.status is not BatchStatus.VALIDATING
            and self._work.find(batch.spec.id)
        ]
        entered = {
            batch.spec.id: batch.times.get(BatchStatus.IN_PROGRESS, batch.times.get(BatchStatus.FAILED, 0))
            for batch in mine
        }
        mine.sort(key=lambda batch: (entered[batch.spec.id], batch.spec.id), reverse=True)
        names = [batch.spec.id for batch in mine]
        if after:
            if after not in names:
                return []
            mine = mine[names.index(after) + 1 :]
        return [self._shown(batch) for batch in mine[:limit]]

    async def cancel(self, batch: str) -> Batch:
        """See `BatchStore`."""
        cancelled = self._batch(batch)
        if cancelled.status is BatchStatus.IN_PROGRESS:
            cancelled.act_at = self._work.clock()
        self._work.enter(cancelled, Event.CANCEL)
        return self._shown(cancelled)

    async def due(self) -> list[str]:
        """See `BatchStore`."""
        work, found = self._work, []
        for batch in list(work.batches.values()):
            if batch.act_at > work.clock():
                work.find(batch.spec.id)
            elif batch.status is BatchStatus.VALIDATING:
                work.discard(batch)
            else:
                work.enter(batch, Event.OVERDUE)
                found.append(batch.spec.id)
        return found

    async def unfinished(self, batch: str, count: int) -> list[Lease]:
        """See `BatchStore`."""
        closing = self._work.find(batch)
        if closing is None or closing.status not in (BatchStatus.FINALIZING, BatchStatus.CANCELLING):
            return []
        messages = list(closing.stream.messages.values())[:count]
        if not messages:
            self._work.enter(closing, Event.ALL_DONE)
        return [lease_of(message, 0.0) for message in messages]

    async def results(self, batch: str, numbers: Sequence[int]) -> list[bytes | None]:
        """See `BatchStore`."""
        found = self._work.find(batch)
        return [None if found is None else found.results.get(number) for number in numbers]

    async def finished(self, batch: str, start: int, count: int) -> list[int]:
        """See `BatchStore`."""
        found = self._work.find(batch)
        return [] if found is None else found.order[start : start + max(0, count)]

"""What every `ports.BatchStore` keeps to: sealed wholly or not at all, one batch for a key, an end for each."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reward_service.adapters.memory_batches import MemoryBatchStore
from reward_service.adapters.memory_queue import MemoryQueue, MemoryWork
from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
from reward_service.engine.batches import BatchStatus, Cursor, Order, Spec
from reward_service.engine.desk import Batches
from reward_service.engine.ports import BatchStore, Chunk, Done, Effect, Lane, Queue
from reward_service.engine.records import Entry, Judged, entries_of, results_to_json
from reward_service.engine.scorer import Row
from reward_service.errors import BadRequest, NotFound, Overloaded
from reward_service.types import Reason, accept

ADAPTERS = ["memory", "redis", "cluster"]


class Place:
    """A store, a queue to work on its batches, and the desk over both."""

    def __init__(self, store: BatchStore, queue: Queue) -> None:
        self.store = store
        self.queue = queue
        self.desk = Batches(store, queue)

    async def work(self, chunks: int = 10_000) -> int:
        """Judge everything right, as a worker would; the chunks that had no results."""
        new = 0
        for lease in await self.queue.take(Lane.BATCH, chunks):
            judged = [Judged(entry.id, accept(entry.row.response)) for entry in entries_of(lease.payload)]
            (effect,) = await self.queue.commit([Done(lease, results_to_json(lease.first, judged), 0)])
            new += effect is Effect.NEW
        return new


MakePlace = Callable[..., Awaitable[Place]]


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.redis if name != "memory" else ()) for name in ADAPTERS]
)
def make_place(request: pytest.FixtureRequest, options: Any, closing: Any) -> MakePlace:
    """Makes an empty place. max_bytes, upload_seconds: as in the adapters."""

    async def make(max_bytes: int = 1 << 30, upload_seconds: float = 60.0) -> Place:
        if request.param == "memory":
            work = MemoryWork(max_bytes=max_bytes, upload_seconds=upload_seconds)
            return Place(MemoryBatchStore(work), MemoryQueue(work))
        where = options(request.param)
        store = RedisBatchStore(where, max_bytes=max_bytes, upload_seconds=upload_seconds)
        queue = RedisQueue(where)
        closing(store.close)
        closing(queue.close)
        return Place(store, queue)

    return make


def entries(count: int, text: str = "r") -> list[Entry]:
    return [Entry(f"id{number}", Row("noop", f"{text}{number}", "gold")) for number in range(count)]


async def read(place: Place, batch: str, cursor: Cursor | None = None) -> list[tuple[int, Any, str]]:
    return [
        (result.place, result.id, result.outcome.reason.value)
        async for result in place.desk.results(batch, cursor, follow=False)
    ]


def name() -> str:
    return f"batch_{secrets.token_hex(6)}"


# A life


async def test_a_life_in_states_times_and_counts(make_place: MakePlace) -> None:
    place = await make_place()
    upload = await place.desk.begin(tenant="t", metadata={"run": 7, "é": [None, 0.1]}, window_seconds=100)
    await upload.add(entries(100))
    (batch_id,) = {upload._spec.id}
    batch = await place.desk.get(batch_id)
    assert (batch.status, batch.counts, batch.chunks) == (BatchStatus.VALIDATING, (100, 0, 0), 2)
    submitted = await upload.seal()
    batch = submitted.batch
    assert not submitted.replayed
    assert (batch.status, batch.spec.tenant, batch.spec.metadata) == (
        BatchStatus.IN_PROGRESS,
        "t",
        {"run": 7, "é": [None, 0.1]},
    )
    assert batch.expires_at - batch.times[BatchStatus.IN_PROGRESS] == 100_000
    assert batch.created_at <= batch.times[BatchStatus.IN_PROGRESS] <= batch.now
    assert await place.work(1) == 1
    batch = await place.desk.get(batch_id)
    assert (batch.status, batch.counts, batch.finished) == (BatchStatus.IN_PROGRESS, (100, 64, 0), 1)
    assert await place.work() == 1
    batch = await place.desk.get(batch_id)
    assert (batch.status, batch.counts, batch.finished) == (BatchStatus.COMPLETED, (100, 100, 0), 2)
    assert batch.times[BatchStatus.COMPLETED] == batch.times[BatchStatus.FINALIZING] <= batch.now
    assert await read(place, batch_id) == [(n, f"id{n}", "equal") for n in range(100)]


async def test_unknown_batches(make_place: MakePlace) -> None:
    place = await make_place()
    assert await place.store.get("batch_x") is None
    assert await place.store.results("batch_x", [0]) == [None]
    assert await place.store.finished("batch_x", 0, 5) == []
    assert await place.store.unfinished("batch_x", 5) == []
    for call in (
        place.store.add("batch_x", 0, [Chunk(1, b"")]),
        place.store.seal("batch_x"),
        place.store.cancel("batch_x"),
        place.store.reject("batch_x", []),
        place.desk.get("batch_x"),
        place.desk.cancel("batch_x"),
        read(place, "batch_x"),
    ):
        with pytest.raises(NotFound):
            await call


async def test_a_batch_has_at_least_one_item(make_place: MakePlace) -> None:
    place = await make_place()
    with pytest.raises(BadRequest):
        await place.desk.submit([])


async def test_an_item_that_is_no_json_names_its_place(make_place: MakePlace) -> None:
    place = await make_place()
    with pytest.raises(BadRequest) as caught:
        await place.desk.submit([*entries(70), Entry(None, Row("noop", "r", {1, 2}))])
    assert caught.value.errors[0]["item"] == 70


async def test_sealing_and_adding_twice_is_once(make_place: MakePlace) -> None:
    """Whoever got no answer asks again."""
    place = await make_place()
    batch = name()
    await place.store.begin(Spec(batch))
    for _ in range(2):
        await place.store.add(batch, 0, [Chunk(3, b"a"), Chunk(2, b"b")])
    for _ in range(2):
        await place.store.add(batch, 1, [Chunk(2, b"b"), Chunk(1, b"c")])
    for _ in range(2):
        assert await place.store.seal(batch) == (batch, False)
    found = await place.store.get(batch)
    assert found is not None
    assert (found.counts.total, found.chunks) == (6, 3)
    assert [(lease.first, lease.payload) for lease in await place.queue.take(Lane.BATCH, 9)] == [
        (0, b"a"),
        (3, b"b"),
        (5, b"c"),
    ]
    with pytest.raises(NotFound):
        await place.store.add(batch, 3, [Chunk(1, b"d")])


async def test_a_batch_that_is_not_sealed_vanishes(make_place: MakePlace) -> None:
    place = await make_place(upload_seconds=0.2)
    upload = await place.desk.begin(key="k", digest="d")
    await upload.add(entries(10))
    await asyncio.sleep(0.3)
    assert await place.desk.sweep() == 0
    with pytest.raises(NotFound):
        await upload.seal()
    assert not (await place.desk.submit(entries(10), key="k", digest="d")).replayed


async def test_what_cant_be_used_has_failed(make_place: MakePlace) -> None:
    place = await make_place()
    batch = name()
    await place.store.begin(Spec(batch, "t"))
    await place.store.add(batch, 0, [Chunk(1, b"a")])
    errors = [{"line": 3, "code": "invalid-json", "message": "é"}]
    failed = await place.store.reject(batch, errors)
    assert (failed.status, list(failed.errors)) == (BatchStatus.FAILED, errors)
    assert failed.times[BatchStatus.FAILED]
    assert (await place.store.get(batch)) is not None
    assert await place.store.seal(batch) == (batch, False)
    assert await place.queue.take(Lane.BATCH, 1) == []
    assert (await place.desk.cancel(batch)).status is BatchStatus.FAILED
    assert [found.id for found in await place.desk.of_tenant("t")] == [batch]


async def test_there_is_room_for_so_many_bytes(make_place: MakePlace) -> None:
    place = await make_place(max_bytes=1_000)
    first, second = name(), name()
    await place.store.begin(Spec(first))
    await place.store.begin(Spec(second))
    await place.store.add(first, 0, [Chunk(1, b"x" * 900)])
    with pytest.raises(Overloaded) as caught:
        await place.store.add(second, 0, [Chunk(1, b"x" * 200)])
    assert caught.value.retry_after
    await place.store.seal(first)
    (lease,) = await place.queue.take(Lane.BATCH, 1)
    await place.queue.commit([Done(lease, b"[]", 0)])
    await place.store.add(second, 0, [Chunk(1, b"x" * 200)])


# One batch for a key


async def test_the_same_key_and_body_is_the_same_batch_and_another_body_a_conflict(
    make_place: MakePlace,
) -> None:
    place = await make_place()
    first = await place.desk.submit(entries(3), key="k", digest="d", tenant="t")
    again = await place.desk.submit(entries(3), key="k", digest="d", tenant="t")
    assert (again.batch.id, again.replayed) == (first.batch.id, True)
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        await place.desk.submit(entries(3), key="k", digest="other", tenant="t")
    other = await place.desk.submit(entries(3), key="k", digest="d", tenant="u")
    assert other.batch.id != first.batch.id
    await place.work()
    again = await place.desk.submit(entries(3), key="k", digest="d", tenant="t")
    assert (again.batch.id, again.batch.status) == (first.batch.id, BatchStatus.COMPLETED)


async def test_fifty_at_once_with_one_key_are_one_batch(make_place: MakePlace) -> None:
    place = await make_place()
    submitted = await asyncio.gather(
        *(place.desk.submit(entries(100), key="k", digest="d") for _ in range(50))
    )
    assert len({entry.batch.id for entry in submitted}) == 1
    assert sum(not entry.replayed for entry in submitted) == 1
    assert await place.work() == 2
    assert len(await place.desk.of_tenant("")) == 1
    assert (await place.queue.depth())[Lane.BATCH] == (0, 0)


async def test_two_bodies_at_once_with_one_key_are_one_batch_and_a_conflict(make_place: MakePlace) -> None:
    place = await make_place()
    uploads = [await place.desk.begin(key="k", digest=digest) for digest in ("a", "b")]
    for upload in uploads:
        await upload.add(entries(5))
    first = await uploads[0].seal()
    with pytest.raises(BadRequest):
        await uploads[1].seal()
    assert [batch.id for batch in await place.desk.of_tenant("")] == [first.batch.id]
    assert await place.work() == 1


# Reading


async def test_results_in_order_and_as_they_come_from_any_cursor(make_place: MakePlace) -> None:
    place = await make_place()
    batch = (await place.desk.submit(entries(200))).batch.id
    leases = await place.queue.take(Lane.BATCH, 10)
    assert len(leases) == 4
    for lease in (leases[2], leases[0], leases[3], leases[1]):
        judged = [Judged(entry.id, accept("x")) for entry in entries_of(lease.payload)]
        await place.queue.commit([Done(lease, results_to_json(lease.first, judged), 0)])
    everything = [(n, f"id{n}", "equal") for n in range(200)]
    assert await read(place, batch) == everything
    by_completion = [*everything[128:192], *everything[:64], *everything[192:], *everything[64:128]]
    assert await read(place, batch, Cursor(Order.COMPLETION)) == by_completion
    for order, expected in ((Order.INPUT, everything), (Order.COMPLETION, by_completion)):
        cursors = [result.cursor async for result in place.desk.results(batch, Cursor(order))]
        for position in (0, 1, 62, 63, 64, 65, 190, 199):
            assert await read(place, batch, cursors[position]) == expected[position + 1 :]


async def test_reading_along_while_it_is_worked_on(make_place: MakePlace) -> None:
    place = await make_place()

    async def work_slowly() -> None:
        for _ in range(10):
            await place.work(1)
            await asyncio.sleep(0.01)

    for order in Order:
        batch = (await place.desk.submit(entries(640))).batch.id
        working = asyncio.create_task(work_slowly())
        seen = [result.place async for result in place.desk.results(batch, Cursor(order))]
        await working
        assert sorted(seen) == list(range(640))
        assert (seen == list(range(640))) or order is Order.COMPLETION


async def test_in_order_stops_at_a_gap_and_as_completed_does_not(make_place: MakePlace) -> None:
    place = await make_place()
    batch = (await place.desk.submit(entries(200))).batch.id
    leases = await place.queue.take(Lane.BATCH, 10)
    judged = [Judged(entry.id, accept("x")) for entry in entries_of(leases[1].payload)]
    await place.queue.commit([Done(leases[1], results_to_json(64, judged), 0)])
    assert await read(place, batch) == []
    assert [row[0] for row in await read(place, batch, Cursor(Order.COMPLETION))] == list(range(64, 128))


async def test_listing(make_place: MakePlace) -> None:
    place = await make_place()
    made = []
    for _ in range(5):
        made.append((await place.desk.submit(entries(1), tenant="t")).batch.id)
        await asyncio.sleep(0.003)
    await place.desk.submit(entries(1), tenant="u")
    await place.desk.begin(tenant="t")
    newest = made[::-1]
    assert [batch.id for batch in await place.desk.of_tenant("t")] == newest
    assert [batch.id for batch in await place.desk.of_tenant("t", limit=2)] == newest[:2]
    assert [batch.id for batch in await place.desk.of_tenant("t", newest[1], 2)] == newest[2:4]
    assert await place.desk.of_tenant("t", newest[-1]) == await place.desk.of_tenant("t", "nothing") == []


# Ends


async def test_a_cancelled_batch_ends_and_keeps_what_was_scored(make_place: MakePlace) -> None:
    place = await make_place()
    batch = (await place.desk.submit(entries(300))).batch.id
    await place.work(2)
    (held,) = await place.queue.take(Lane.BATCH, 1)
    cancelled = await place.desk.cancel(batch)
    assert (cancelled.status, cancelled.counts) == (BatchStatus.CANCELLED, (300, 128, 172))
    assert cancelled.times[BatchStatus.CANCELLING] <= cancelled.times[BatchStatus.CANCELLED]
    rows = await read(place, batch)
    assert [row[:2] for row in rows] == [(n, f"id{n}") for n in range(300)]
    assert [row[2] for row in rows] == ["equal"] * 128 + [Reason.DEADLINE.value] * 172
    assert await place.queue.take(Lane.BATCH, 9) == []
    assert await place.queue.renew([held]) == [held]
    assert await place.queue.commit([Done(held, b"late", 0)]) == [Effect.DUPLICATE]
    assert (await place.queue.depth())[Lane.BATCH] == (0, 0)
    assert (await place.desk.cancel(batch)).times == cancelled.times
    assert len(await read(place, batch)) == 300


async def test_who_cancels_may_die_and_a_sweep_ends_the_batch(make_place: MakePlace) -> None:
    place = await make_place()
    batch = (await place.desk.submit(entries(100))).batch.id
    assert (await place.store.cancel(batch)).status is BatchStatus.CANCELLING
    assert await place.queue.take(Lane.BATCH, 9) == []
    await place.store.unfinished(batch, 1)
    assert await place.desk.sweep() == 1
    assert (await place.desk.get(batch)).status is BatchStatus.CANCELLED
    assert await place.desk.sweep() == 0
    assert len(await read(place, batch)) == 100


async def test_a_batch_out_of_time_expires_with_a_result_for_every_item(make_place: MakePlace) -> None:
    place = await make_place()
    late = await place.desk.submit(entries(200), window_seconds=0.2)
    early = await place.desk.submit(entries(200), window_seconds=100)
    for lease in await place.queue.take(Lane.BATCH, 1):
        judged = [Judged(entry.id, accept("x")) for entry in entries_of(lease.payload)]
        await place.queue.commit([Done(lease, results_to_json(lease.first, judged), 0)])
    await asyncio.sleep(0.3)
    assert await place.desk.sweep() == 1
    batch = await place.desk.get(late.batch.id)
    assert (batch.status, batch.counts) == (BatchStatus.EXPIRED, (200, 64, 136))
    assert batch.times[BatchStatus.FINALIZING] <= batch.times[BatchStatus.EXPIRED]
    assert [row[2] for row in await read(place, batch.id)] == ["equal"] * 64 + ["deadline"] * 136
    assert (await place.desk.get(early.batch.id)).status is BatchStatus.IN_PROGRESS
    assert await place.work() == 4


async def test_several_may_sweep_at_once(make_place: MakePlace) -> None:
    place = await make_place()
    batches = [(await place.desk.submit(entries(100), window_seconds=0.01)).batch.id for _ in range(5)]
    await asyncio.sleep(0.05)
    await asyncio.gather(*(place.desk.sweep() for _ in range(5)))
    for batch in batches:
        found = await place.desk.get(batch)
        assert (found.status, found.counts) == (BatchStatus.EXPIRED, (100, 0, 100))
        assert found.finished == found.chunks == 2


async def test_results_are_kept_for_a_while_and_then_forgotten(make_place: MakePlace) -> None:
    place = await make_place()
    kept = await place.desk.submit(entries(3), key="a", digest="d")
    short = Batches(place.store, place.queue, keep_seconds=0.2)
    batch = (await short.submit(entries(3), key="k", digest="d")).batch.id
    await place.work()
    assert len(await read(place, batch)) == 3
    await asyncio.sleep(0.35)
    assert await place.store.get(batch) is None
    with pytest.raises(NotFound):
        await place.desk.get(batch)
    assert (await place.desk.get(kept.batch.id)).counts.done == 3
    assert await place.store.results(batch, [0]) == [None]
    assert [found.id for found in await place.desk.of_tenant("")] == [kept.batch.id]
    assert not (await place.desk.submit(entries(3), key="k", digest="d")).replayed


async def test_waiting_for_the_end(make_place: MakePlace) -> None:
    place = await make_place()
    batch = (await place.desk.submit(entries(10))).batch.id
    assert (await place.desk.wait(batch, 0.05)).status is BatchStatus.IN_PROGRESS
    waiting = asyncio.create_task(place.desk.wait(batch, 10))
    await asyncio.sleep(0.02)
    await place.work()
    assert (await asyncio.wait_for(waiting, 2)).status is BatchStatus.COMPLETED

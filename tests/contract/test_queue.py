"""What every `ports.Queue` keeps to: turns, leases, doubt, commits that count once, and live calls."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from reward_service.adapters.memory_batches import MemoryBatchStore
from reward_service.adapters.memory_queue import MemoryQueue, MemoryWork
from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
from reward_service.engine.batches import BatchStatus, Spec
from reward_service.engine.ports import Ask, BatchStore, Chunk, Done, Effect, Lane, Lease, Queue
from reward_service.errors import Overloaded

LEASE = 1.0
PAST_LEASE = 1.3
ADAPTERS = ["memory", "redis", "cluster"]


class Place:
    """A queue's data: as many holders of leases as a test wants, and the store of the batches in it."""

    def __init__(self, holder: Callable[[], Queue], store: BatchStore) -> None:
        self.holder = holder
        self.store = store

    async def batch(self, tenant: str, *payloads: bytes, **options: Any) -> str:
        """A sealed batch of one-item chunks."""
        name = f"batch_{secrets.token_hex(6)}"
        await self.store.begin(Spec(name, tenant, **options))
        await self.store.add(name, 0, [Chunk(1, payload) for payload in payloads])
        await self.store.seal(name)
        return name


MakePlace = Callable[..., Awaitable[Place]]


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.redis if name != "memory" else ()) for name in ADAPTERS]
)
def make_place(request: pytest.FixtureRequest, options: Any, closing: Any) -> MakePlace:
    """Makes an empty place. live_chunks: how many live chunks it takes."""

    async def make(live_chunks: int = 4096) -> Place:
        if request.param == "memory":
            work = MemoryWork(max_live_chunks=live_chunks)
            return Place(lambda: MemoryQueue(work, lease_seconds=LEASE), MemoryBatchStore(work))
        where = options(request.param)

        def holder() -> Queue:
            queue = RedisQueue(where, lease_seconds=LEASE, max_live_chunks=live_chunks)
            closing(queue.close)
            return queue

        store = RedisBatchStore(where)
        closing(store.close)
        return Place(holder, store)

    return make


def done(lease: Lease, results: bytes = b"[]", failed: int = 0) -> Done:
    return Done(lease, results, failed)


def asks(count: int, call: str = "call", payload: bytes = b"x") -> list[Ask]:
    return [Ask(call, number, 1, payload) for number in range(count)]


# Handing out


async def test_an_empty_queue_has_nothing_and_waiting_ends(make_place: MakePlace) -> None:
    queue = (await make_place()).holder()
    assert await queue.take(Lane.LIVE, 5) == await queue.take(Lane.BATCH, 5) == []
    assert await queue.reclaim(Lane.BATCH, 5) == []
    await asyncio.wait_for(queue.wait(Lane.BATCH, 0.05), 1)
    assert await queue.renew([]) == await queue.commit([]) == []
    await queue.release([])


async def test_what_was_put_is_what_is_handed_out_in_order_and_once(make_place: MakePlace) -> None:
    place = await make_place()
    one, two = place.holder(), place.holder()
    payloads = [bytes([number]) * 10 for number in range(6)]
    name = await place.batch("t", *payloads)
    leases = [*await one.take(Lane.BATCH, 4), *await two.take(Lane.BATCH, 4)]
    assert [lease.payload for lease in leases] == payloads
    assert [(lease.number, lease.first, lease.items) for lease in leases] == [(n, n, 1) for n in range(6)]
    assert {(lease.lane, lease.tenant, lease.job, lease.deliveries) for lease in leases} == {
        (Lane.BATCH, "t", name, 1)
    }
    assert all(86_000 < lease.seconds <= 86_400 for lease in leases)
    assert await one.take(Lane.BATCH, 4) == []


async def test_nothing_of_a_batch_is_handed_out_before_it_is_sealed(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    await place.store.begin(Spec("batch_x", "t"))
    await place.store.add("batch_x", 0, [Chunk(1, b"a")])
    assert await queue.take(Lane.BATCH, 1) == []
    await place.store.seal("batch_x")
    assert len(await queue.take(Lane.BATCH, 1)) == 1


async def test_who_waits_is_woken(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    for lane in Lane:
        waiting = asyncio.create_task(queue.wait(lane, 5))
        await asyncio.sleep(0.05)
        started = asyncio.get_running_loop().time()
        if lane is Lane.BATCH:
            await place.batch("t", b"a")
        else:
            await queue.ask("t", asks(1), 10)
        await waiting
        assert asyncio.get_running_loop().time() - started < 0.7
        assert len(await queue.take(lane, 1)) == 1


async def test_a_wait_may_be_cancelled(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    waiting = asyncio.create_task(queue.wait(Lane.BATCH, 5))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await place.batch("t", b"a")
    await asyncio.wait_for(queue.wait(Lane.BATCH, 5), 2)
    assert len(await queue.take(Lane.BATCH, 1)) == 1


async def test_tenants_take_turns_and_so_do_a_tenants_batches(make_place: MakePlace) -> None:
    """A large dump of one tenant does not hold up another's."""
    place = await make_place()
    queue = place.holder()
    large = await place.batch("large", *[b"l"] * 40)
    first, second = await place.batch("small", *[b"1"] * 5), await place.batch("small", *[b"2"] * 5)
    taken = [(await queue.take(Lane.BATCH, 1))[0].job for _ in range(20)]
    assert Counter(taken) == {large: 10, first: 5, second: 5}
    assert [name == large for name in taken] == [
        place % 2 == (0 if taken[0] == large else 1) for place in range(20)
    ]
    rest = await queue.take(Lane.BATCH, 100)
    assert len(rest) == 30


async def test_live_calls_take_turns_by_tenant(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    await queue.ask("flood", asks(50, "f"), 10)
    await queue.ask("one", asks(1, "o"), 10)
    assert "o" in [lease.job for lease in await queue.take(Lane.LIVE, 2)]


# Leases


async def test_a_silent_holders_chunks_go_to_somebody_else_and_a_speaking_ones_stay(
    make_place: MakePlace,
) -> None:
    place = await make_place()
    silent, speaking, other = place.holder(), place.holder(), place.holder()
    await place.batch("t", b"a", b"b")
    (lost,), (kept,) = await silent.take(Lane.BATCH, 1), await speaking.take(Lane.BATCH, 1)
    assert await other.reclaim(Lane.BATCH, 5) == []
    for _ in range(4):
        await asyncio.sleep(PAST_LEASE / 4)
        assert await speaking.renew([kept]) == []
    (again,) = await other.reclaim(Lane.BATCH, 5)
    assert (again.number, again.payload, again.deliveries) == (lost.number, lost.payload, 2)
    assert await silent.renew([lost]) == [lost]
    assert await other.renew([again]) == []
    assert await other.reclaim(Lane.BATCH, 5) == []


async def test_reclaiming_takes_no_more_than_it_wants(make_place: MakePlace) -> None:
    place = await make_place()
    silent, other = place.holder(), place.holder()
    await place.batch("t", *[b"a"] * 30)
    await silent.take(Lane.BATCH, 30)
    await asyncio.sleep(PAST_LEASE)
    assert len(await other.reclaim(Lane.BATCH, 7)) == 7
    assert len(await other.reclaim(Lane.BATCH, 100)) == 23


async def test_live_chunks_are_reclaimed_too(make_place: MakePlace) -> None:
    place = await make_place()
    silent, other = place.holder(), place.holder()
    await other.ask("t", asks(2), 10)
    assert len(await silent.take(Lane.LIVE, 2)) == 2
    await asyncio.sleep(PAST_LEASE)
    again = await other.reclaim(Lane.LIVE, 5)
    assert [lease.deliveries for lease in again] == [2, 2]
    assert await other.commit([done(lease) for lease in again]) == [Effect.NEW] * 2


async def test_what_is_given_back_is_as_if_never_handed_out(make_place: MakePlace) -> None:
    """A deployment must not make suspects."""
    place = await make_place()
    one, two = place.holder(), place.holder()
    await place.batch("t", b"a", b"b")
    leases = await one.take(Lane.BATCH, 2)
    await one.note(leases[0], 0)
    await one.release(leases)
    again = await two.take(Lane.BATCH, 5)
    assert sorted(lease.number for lease in again) == [0, 1]
    assert {(lease.deliveries, lease.suspect, len(lease.strikes)) for lease in again} == {(1, None, 0)}
    assert await one.renew(leases) == leases
    assert await two.commit([done(lease) for lease in again]) == [Effect.NEW] * 2


async def test_only_the_holder_gives_back(make_place: MakePlace) -> None:
    place = await make_place()
    one, two = place.holder(), place.holder()
    await place.batch("t", b"a")
    leases = await one.take(Lane.BATCH, 1)
    await asyncio.sleep(PAST_LEASE)
    (again,) = await two.reclaim(Lane.BATCH, 1)
    await one.release(leases)
    assert await one.take(Lane.BATCH, 1) == []
    assert await two.renew([again]) == []


async def test_strikes_are_counted_by_item(make_place: MakePlace) -> None:
    place = await make_place()
    await place.batch("t", b"abc")
    (lease,) = await place.holder().take(Lane.BATCH, 1)
    assert lease.strikes == {}
    seen = []
    for noted in (None, 2, 2, 0, None):
        await asyncio.sleep(PAST_LEASE)
        holder = place.holder()
        (lease,) = await holder.reclaim(Lane.BATCH, 1)
        seen.append((lease.deliveries, lease.suspect, dict(lease.strikes)))
        if noted is not None:
            await holder.note(lease, 1)
            await holder.note(lease, noted)
    assert seen == [
        (2, None, {}),
        (3, None, {}),
        (4, 2, {2: 1}),
        (5, 2, {2: 2}),
        (6, 0, {2: 2, 0: 1}),
    ]


# Handing in


async def test_of_several_commits_the_first_counts(make_place: MakePlace) -> None:
    place = await make_place()
    slow, fast = place.holder(), place.holder()
    name = await place.batch("t", b"a", b"b")
    leases = await slow.take(Lane.BATCH, 2)
    await asyncio.sleep(PAST_LEASE)
    again = await fast.reclaim(Lane.BATCH, 2)
    assert await fast.commit([done(again[0], b"fast", 1)]) == [Effect.NEW]
    assert await slow.commit([done(leases[0], b"slow"), done(leases[1], b"slow")]) == [
        Effect.DUPLICATE,
        Effect.NEW,
    ]
    assert await fast.commit([done(again[1], b"fast", 1)]) == [Effect.DUPLICATE]
    assert await place.store.results(name, [0, 1]) == [b"fast", b"slow"]
    batch = await place.store.get(name)
    assert batch is not None
    assert (batch.status, batch.counts, batch.finished) == (BatchStatus.COMPLETED, (2, 1, 1), 2)
    assert all(depth == (0, 0) for depth in (await slow.depth()).values())


async def test_one_call_may_commit_the_same_chunk_twice(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    await place.batch("t", b"a")
    (lease,) = await queue.take(Lane.BATCH, 1)
    assert await queue.commit([done(lease), done(lease)]) == [Effect.NEW, Effect.DUPLICATE]


async def test_a_job_that_is_gone(make_place: MakePlace) -> None:
    queue = (await make_place()).holder()
    stray = Lease(Lane.BATCH, "t", "batch_gone", 0, 0, 1, b"", 1.0, 1, "b:batch_gone:w\x001-0")
    assert await queue.commit([done(stray)]) == [Effect.GONE]
    assert await queue.renew([stray]) == [stray]
    await queue.note(stray, 0)
    await queue.release([stray])
    assert await queue.reclaim(Lane.BATCH, 1) == []


async def test_results_are_bytes_of_any_kind_and_size(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    blobs = [b"", bytes(range(256)) * 8, b"\r\n$-1\r\n", b"x" * (1 << 20)]
    name = await place.batch("t", *blobs)
    leases = await queue.take(Lane.BATCH, 10)
    assert [lease.payload for lease in leases] == blobs
    await queue.commit([done(lease, lease.payload[::-1]) for lease in leases])
    assert await place.store.results(name, [3, 1, 0, 2, 9]) == [
        blobs[3][::-1], blobs[1][::-1], b"", blobs[2][::-1], None,
    ]  # fmt: skip


# Live calls


async def test_an_answer_reaches_who_asked_and_nobody_else(make_place: MakePlace) -> None:
    place = await make_place()
    one, two, worker = place.holder(), place.holder(), place.holder()
    await one.ask("t", asks(2, "one"), 10)
    await two.ask("t", asks(1, "two"), 10)
    leases = await worker.take(Lane.LIVE, 10)
    assert {lease.job for lease in leases} == {"one", "two"}
    assert all(9 < lease.seconds <= 10 for lease in leases)
    assert await worker.commit([done(lease, lease.job.encode()) for lease in leases]) == [Effect.NEW] * 3
    answers = await one.answers(1)
    assert sorted(answers) == [("one", 0, b"one"), ("one", 1, b"one")]
    assert await two.answers(1) == [("two", 0, b"two")]
    assert await one.answers(0.05) == await worker.answers(0.05) == []
    assert all(depth == (0, 0) for depth in (await one.depth()).values())


async def test_a_second_answer_is_a_duplicate(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    await queue.ask("t", asks(1), 10)
    (lease,) = await queue.take(Lane.LIVE, 1)
    assert await queue.commit([done(lease, b"1")]) == [Effect.NEW]
    assert await queue.commit([done(lease, b"2")]) == [Effect.DUPLICATE]
    assert await queue.answers(1) == [("call", 0, b"1")]


async def test_live_chunks_past_their_deadline_are_dropped(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    await queue.ask("t", asks(3, "late"), 0.05)
    await queue.ask("t", asks(1, "soon"), 10)
    await asyncio.sleep(0.1)
    assert [lease.job for lease in await queue.take(Lane.LIVE, 10)] == ["soon"]


async def test_what_is_withdrawn_is_not_handed_out_and_what_is_out_is_lost(make_place: MakePlace) -> None:
    place = await make_place()
    queue = place.holder()
    tokens = await queue.ask("t", asks(3), 10)
    (lease,) = await queue.take(Lane.LIVE, 1)
    assert await queue.missing("t", tokens) == []
    await queue.withdraw("t", tokens)
    assert await queue.missing("t", tokens) == tokens
    assert await queue.missing("nobody", tokens) == tokens
    assert await queue.take(Lane.LIVE, 5) == []
    assert await queue.renew([lease]) == [lease]
    assert await queue.commit([done(lease)]) == [Effect.DUPLICATE]


async def test_a_full_queue_says_so_and_takes_all_or_none(make_place: MakePlace) -> None:
    place = await make_place(live_chunks=5)
    queue = place.holder()
    await queue.ask("t", asks(4), 10)
    with pytest.raises(Overloaded) as caught:
        await queue.ask("u", asks(2), 10)
    assert caught.value.retry_after
    assert (await queue.depth())[Lane.LIVE] == (4, 0)
    await queue.ask("u", asks(1), 10)


async def test_depth_and_presence(make_place: MakePlace) -> None:
    place = await make_place()
    one, two = place.holder(), place.holder()
    await place.batch("t", b"a", b"b", b"c")
    await one.ask("t", asks(2), 10)
    await one.take(Lane.BATCH, 2)
    assert await one.depth() == {Lane.LIVE: (2, 0), Lane.BATCH: (3, 2)}
    assert await one.present(2) == 2
    assert await two.present(3) == 5
    assert await one.present(0) == 3


@pytest.mark.parametrize("tenant", ["", "é", "a b", "x" * 300, "{x}", "a:b", "\0", "\n"])
async def test_tenants_have_any_name(make_place: MakePlace, tenant: str) -> None:
    place = await make_place()
    queue = place.holder()
    name = await place.batch(tenant, b"a", key="k", digest="d")
    assert await place.store.find(tenant, "k", "d") == name
    assert await place.store.find(tenant + "!", "k", "d") is None
    tokens = await queue.ask(tenant, asks(2), 10)
    leases = [*await queue.take(Lane.BATCH, 5), *await queue.take(Lane.LIVE, 1)]
    assert len(leases) == 2
    assert await queue.renew(leases) == []
    await queue.release([leases[1]])
    await queue.withdraw(tenant, tokens)
    assert await queue.commit([done(leases[0])]) == [Effect.NEW]
    (batch,) = await place.store.of_tenant(tenant, "", 5)
    assert (batch.id, batch.spec.tenant, batch.spec.key) == (name, tenant, "k")


async def test_a_lease_of_somebody_else_is_not_renewed(make_place: MakePlace) -> None:
    place = await make_place()
    one, two = place.holder(), place.holder()
    await place.batch("t", b"a")
    (lease,) = await one.take(Lane.BATCH, 1)
    assert await two.renew([lease]) == [lease]
    assert await one.renew([replace(lease)]) == []

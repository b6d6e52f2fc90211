"""The worker over a queue in memory: turns, doubt and conviction, outages, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.adapters.memory_batches import MemoryBatchStore
from reward_service.adapters.memory_queue import MemoryQueue, MemoryWork
from reward_service.engine.desk import Batches
from reward_service.engine.fleet import LONGEST_RETURN, FleetScorer, _Question
from reward_service.engine.ports import Ask, Chunk, Done, Effect, Lane, Lease
from reward_service.engine.records import Entry, cut, entry_to_json, results_from_json
from reward_service.engine.scorer import Row, Scored
from reward_service.engine.worker import Worker, WorkerOptions
from reward_service.errors import Overloaded, PoolBroken
from reward_service.registry import Registry
from reward_service.types import Outcome, Reason, accept, cannot_judge

LEASE = 0.3


class Killed(BaseException):
    """Stands for the death of the whole process."""


class Judge:
    """Accepts everything, after a while, unless told otherwise. calls: the responses of each call."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls: list[list[str]] = []
        self.now: list[str] = []
        self.act: Callable[[str], Outcome | None] = lambda response: None

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        self.calls.append([row.response for row in rows])
        self.now += [row.response for row in rows]
        try:
            await asyncio.sleep(self.seconds)
            return [Scored(self.act(row.response) or accept(row.response), "s", "d") for row in rows]
        finally:
            for row in rows:
                self.now.remove(row.response)


class Place:
    """A queue's data, and workers on it."""

    def __init__(self) -> None:
        self.work = MemoryWork()
        self.queue = MemoryQueue(self.work, lease_seconds=LEASE)
        self.desk = Batches(MemoryBatchStore(self.work), self.queue)

    async def submit(self, responses: Sequence[str], tenant: str = "", size: int = 64) -> str:
        """A batch of these responses, in chunks of `size`."""
        upload = await self.desk.begin(tenant=tenant)
        for start in range(0, len(responses), size):
            await upload.add(Entry(r, Row("s", r, "g")) for r in responses[start : start + size])
        return (await upload.seal()).batch.id

    async def outcomes(self, batch: str, seconds: float = 10.0) -> dict[Any, Outcome]:
        """Every result by id, when the batch has ended."""
        await self.desk.wait(batch, seconds)
        found = {result.id: result.outcome async for result in self.desk.results(batch, follow=False)}
        assert all(depth == (0, 0) for depth in (await self.queue.depth()).values())
        return found

    @asynccontextmanager
    async def worker(self, judge: Judge, **options: Any) -> AsyncIterator[Worker]:
        """A worker for as long as the block lasts; then it is told to stop."""
        worker = Worker(MemoryQueue(self.work, lease_seconds=LEASE), judge, WorkerOptions(**options))
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait_for(task, 30)


async def run_until_killed(place: Place, judge: Judge, **options: Any) -> None:
    """A worker whose process dies at once, without a word, when the judge says so."""
    worker = Worker(MemoryQueue(place.work, lease_seconds=LEASE), judge, WorkerOptions(**options))
    died = asyncio.Event()

    def watched(act: Callable[[str], Outcome | None]) -> Callable[[str], Outcome | None]:
        def inner(response: str) -> Outcome | None:
            try:
                return act(response)
            except Killed:
                died.set()
                raise asyncio.CancelledError from None

        return inner

    judge.act = watched(judge.act)
    task = asyncio.create_task(worker.run())
    death = asyncio.create_task(died.wait())
    await asyncio.wait([task, death], return_when=asyncio.FIRST_COMPLETED)
    for held in worker._held.values():
        if held.task is not None:
            held.task.cancel()
    task.cancel()
    await asyncio.gather(task, death, return_exceptions=True)


async def test_a_batch_is_judged_and_its_results_are_in_order() -> None:
    place, judge = Place(), Judge()
    async with place.worker(judge) as worker:
        batch = await place.submit([f"r{n}" for n in range(300)])
        found = await place.outcomes(batch)
        assert list(found) == [f"r{n}" for n in range(300)]
        assert all(outcome.extracted == response for response, outcome in found.items())
    assert (worker.stats.items, worker.stats.chunks, worker.at_work) == (300, 5, 0)
    assert max(len(call) for call in judge.calls) == 64


async def test_a_live_call_is_answered_in_milliseconds_while_batches_fill_the_worker() -> None:
    place, judge = Place(), Judge(0.05)
    async with place.worker(judge, places=4):
        await place.submit(["b"] * 2_000, size=10)
        await asyncio.sleep(0.1)
        for number in range(5):
            (chunk,) = cut([entry_to_json(Entry(None, Row("s", f"live{number}", "g")))])
            started = asyncio.get_running_loop().time()
            await place.queue.ask("t", [Ask("c", number, 1, chunk.payload)], 10)
            assert [answer.number for answer in await place.queue.answers(5)] == [number]
            assert asyncio.get_running_loop().time() - started < 0.8


async def test_batches_keep_a_share_under_a_flood_of_live_calls() -> None:
    place, judge = Place(), Judge(0.01)
    (chunk,) = cut([entry_to_json(Entry(None, Row("s", "live", "g")))])
    await place.submit(["batch"] * 1_000, size=1)
    for call in range(40):
        await place.queue.ask("t", [Ask(f"c{call}", n, 1, chunk.payload) for n in range(25)], 60)
    async with place.worker(judge, places=8, batch_share=0.1):
        await asyncio.sleep(0.6)
    done = Counter(response for call in judge.calls for response in call)
    assert done["batch"] >= 0.05 * sum(done.values())
    assert done["live"] >= 0.7 * sum(done.values())


async def test_tenants_share_a_worker_fairly() -> None:
    place, judge = Place(), Judge(0.002)
    await place.submit(["large"] * 5_000, "eval", size=5)
    async with place.worker(judge, places=2):
        await asyncio.sleep(0.05)
        small = await place.submit(["small"] * 50, "training", size=5)
        await place.desk.wait(small, 5)
        done = Counter(response for call in judge.calls for response in call)
        assert (await place.desk.get(small)).counts.done == 50
        assert done["large"] < 1_000


async def test_a_poison_item_is_convicted_after_two_strikes_and_nobody_else() -> None:
    """Each life of a worker ends at the poison; the chunk goes on alone, item by item, with the suspect noted."""
    place = Place()
    batch = await place.submit([f"r{n}" if n != 37 else "poison" for n in range(200)])
    deaths = 0

    def act(response: str) -> Outcome | None:
        if response == "poison":
            raise Killed
        return None

    for _ in range(6):
        judge = Judge()
        judge.act = act
        living = asyncio.create_task(run_until_killed(place, judge, places=4))
        ended = asyncio.create_task(place.desk.wait(batch, 5))
        await asyncio.wait([living, ended], return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            deaths += 1
            ended.cancel()
            continue
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        break
    found = await place.outcomes(batch)
    assert len(found) == 200
    assert found["poison"].reason is Reason.INTERNAL
    assert found["poison"].flags == ("worker_crashed",)
    assert all(outcome.reason is Reason.EQUAL for response, outcome in found.items() if response != "poison")
    assert deaths == 3


async def test_an_innocent_that_shares_a_worker_with_the_poison_is_acquitted_alone() -> None:
    """Chunks with strikes are judged with nothing else at work."""
    place, judge = Place(), Judge(0.02)
    batch = await place.submit([f"r{n}" for n in range(12)], size=3)
    dead = MemoryQueue(place.work, lease_seconds=LEASE)
    leases = await dead.take(Lane.BATCH, 2)
    for lease in leases:
        await dead.note(lease, 1)
    await asyncio.sleep(LEASE + 0.1)
    together: list[set[str]] = []
    judge.act = lambda response: together.append(set(judge.now))
    async with place.worker(judge, places=4) as worker:
        found = await place.outcomes(batch)
        assert worker.stats.alone == 2
    assert all(outcome.reason is Reason.EQUAL for outcome in found.values())
    suspects = {f"r{n}" for n in range(6)}
    assert all(len(names) == 1 for names in together if names & suspects)


async def test_work_of_a_dead_worker_is_taken_up_without_any_new_message() -> None:
    place, judge = Place(), Judge()
    batch = await place.submit(["a", "b"])
    assert len(await MemoryQueue(place.work, lease_seconds=LEASE).take(Lane.BATCH, 5)) == 1
    async with place.worker(judge) as worker:
        started = asyncio.get_running_loop().time()
        assert len(await place.outcomes(batch)) == 2
        assert asyncio.get_running_loop().time() - started < LEASE + 3
        assert worker.stats.again == 1


async def test_work_of_a_dead_worker_does_not_wait_for_the_end_of_fresh_work() -> None:
    place, judge = Place(), Judge(0.02)
    old = await place.submit(["old"])
    assert len(await MemoryQueue(place.work, lease_seconds=LEASE).take(Lane.BATCH, 1)) == 1
    fresh = await place.submit(["fresh"] * 5_000, size=1)
    async with place.worker(judge, places=2, grace_seconds=0.1):
        await place.desk.wait(old, 5)
        assert (await place.desk.get(old)).status.terminal
        assert not (await place.desk.get(fresh)).status.terminal


async def test_a_chunk_that_was_given_to_somebody_else_is_dropped_here() -> None:
    place, judge = Place(), Judge(5.0)
    await place.submit(["a"])
    async with place.worker(judge, grace_seconds=0.1) as worker:
        await asyncio.sleep(0.05)
        (message,) = next(iter(place.work.batches.values())).stream.messages.values()
        message.holder = "somebody else"
        async with asyncio.timeout(5):
            while worker.at_work:  # noqa: ASYNC110 - the worker says it to nobody
                await asyncio.sleep(0.02)
        assert worker.stats.lost == 1


async def test_a_worker_that_is_told_to_stop_finishes_what_it_can_and_gives_back_the_rest() -> None:
    place = Place()
    quick, slow = Judge(0.2), Judge(5.0)
    batch = await place.submit(["a"] * 10, size=1)
    async with place.worker(quick, places=3, grace_seconds=5):
        await asyncio.sleep(0.05)
    done = (await place.desk.get(batch)).counts.done
    assert done == 2
    async with place.worker(slow, places=3, grace_seconds=0.1) as worker:
        await asyncio.sleep(0.05)
        assert worker.at_work == 2
    assert worker.stats.released == 2
    again = await place.queue.take(Lane.BATCH, 20)
    assert len(again) == 8
    assert {lease.deliveries for lease in again} == {1}


class Flaky(MemoryQueue):
    """Is out of reach every other time."""

    calls = 0

    def trouble(self) -> None:
        self.calls += 1
        if self.calls % 2:
            raise Overloaded("out of reach", problem="not-ready", retry_after=1)

    async def take(self, lane: Lane, want: int) -> list[Lease]:
        self.trouble()
        return await super().take(lane, want)

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        self.trouble()
        return await super().renew(leases)

    async def commit(self, done: Sequence[Done]) -> list[Effect]:
        self.trouble()
        return await super().commit(done)

    async def reclaim(self, lane: Lane, want: int) -> list[Lease]:
        self.trouble()
        return await super().reclaim(lane, want)


async def test_an_outage_of_the_queue_is_waited_out() -> None:
    place, judge = Place(), Judge()
    batch = await place.submit([f"r{n}" for n in range(100)], size=10)
    worker = Worker(Flaky(place.work, lease_seconds=LEASE), judge, WorkerOptions(places=3))
    task = asyncio.create_task(worker.run())
    found = await place.outcomes(batch)
    assert all(outcome.reason is Reason.EQUAL for outcome in found.values())
    worker.stop()
    await task


async def test_a_defect_in_scoring_costs_the_item_that_has_it() -> None:
    place, judge = Place(), Judge()

    def act(response: str) -> Outcome | None:
        if response == "r5":
            raise RuntimeError("a defect")
        return None

    judge.act = act
    async with place.worker(judge):
        found = await place.outcomes(await place.submit([f"r{n}" for n in range(20)]))
    assert {r for r, outcome in found.items() if outcome.reason is Reason.INTERNAL} == {"r5"}
    assert len(found) == 20


async def test_a_chunk_that_cant_be_read_is_an_error_of_ours() -> None:
    place = Place()
    store = MemoryBatchStore(place.work)
    upload = await place.desk.begin()
    await store.add(upload._spec.id, 0, [Chunk(2, b"\x80\x04nonsense")])
    batch = (await upload.seal()).batch.id
    async with place.worker(Judge()):
        assert (await place.desk.wait(batch, 5)).counts == (2, 0, 2)
    first, judged = results_from_json((await store.results(batch, [0]))[0] or b"")
    assert (first, [outcome.reason for _, outcome in judged]) == (0, [Reason.INTERNAL] * 2)


async def test_a_broken_pool_gives_the_chunk_back() -> None:
    place, judge = Place(), Judge()
    batch = await place.submit(["a"])
    broken = True

    def act(response: str) -> Outcome | None:
        if broken:
            raise PoolBroken("no process comes up")
        return None

    judge.act = act
    async with place.worker(judge) as worker:
        await asyncio.sleep(0.1)
        broken = False
        found = await place.outcomes(batch)
        assert found["a"].reason is Reason.EQUAL
        assert worker.stats.released >= 1


@pytest.mark.parametrize("reason", [Reason.SANDBOX_UNAVAILABLE, Reason.JUDGE_UNAVAILABLE, Reason.DEADLINE])
async def test_a_batch_waits_for_what_is_away_for_a_moment(reason: Reason) -> None:
    """And for a machine that is too busy: none of these says anything about the item."""
    place, judge = Place(), Judge()
    seen: Counter[str] = Counter()

    def act(response: str) -> Outcome | None:
        seen[response] += 1
        if response == "code" and seen[response] == 1:
            return cannot_judge(reason, "restarting")
        return None

    judge.act = act
    async with place.worker(judge):
        found = await place.outcomes(await place.submit(["a", "code", "b"]))
    assert all(outcome.reason is Reason.EQUAL for outcome in found.values())
    assert seen == {"a": 1, "code": 2, "b": 1}


async def test_a_worker_that_stops_hands_in_no_errors_of_its_own_end() -> None:
    """Its sandbox goes down with it: the chunk is for another worker."""
    place, judge = Place(), Judge()
    judge.act = lambda response: cannot_judge(Reason.SANDBOX_UNAVAILABLE, "going down")
    batch = await place.submit(["a"] * 10)
    async with place.worker(judge, grace_seconds=5):
        await asyncio.sleep(0.1)
    assert (await place.desk.get(batch)).counts.done == 0
    (lease,) = await place.queue.take(Lane.BATCH, 5)
    assert lease.deliveries == 1


async def test_metrics_hear_of_every_result_of_a_batch_once_and_of_no_request() -> None:
    place, heard = Place(), []
    judge = Judge()
    failures = iter([cannot_judge(Reason.SANDBOX_UNAVAILABLE, "for a moment")])
    judge.act = lambda response: next(failures, None) if response == "r3" else None
    worker = Worker(
        MemoryQueue(place.work),
        judge,
        None,
        lambda rows, scored: heard.extend(zip(rows, scored, strict=True)),
    )
    (chunk,) = cut([entry_to_json(Entry(None, Row("s", "live", "g")))])
    task = asyncio.create_task(worker.run())
    await place.queue.ask("t", [Ask("c", 0, 1, chunk.payload)], 10)
    assert await place.queue.answers(5)
    await place.desk.wait(await place.submit([f"r{n}" for n in range(70)]), 10)
    worker.stop()
    await task
    assert sorted(row.response for row, _ in heard) == sorted(f"r{n}" for n in range(70))
    assert all(one.outcome.extracted == row.response for row, one in heard)


@pytest.mark.parametrize("places", [1, 2, 5])
async def test_any_number_of_places_serves_both_lanes(places: int) -> None:
    place, judge = Place(), Judge()
    (chunk,) = cut([entry_to_json(Entry(None, Row("s", "live", "g")))])
    async with place.worker(judge, places=places):
        batch = await place.submit(["b"] * 20, size=1)
        await place.queue.ask("t", [Ask("c", 0, 1, chunk.payload)], 10)
        assert await place.queue.answers(5)
        await place.outcomes(batch)


async def test_chunks_are_logged_when_asked_for_and_never_with_what_is_in_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    with caplog.at_level(logging.INFO, "reward_service.chunks"):
        async with place.worker(Judge()):
            batch = await place.submit(["canary"] * 100, tenant="a")
            await place.outcomes(batch)
    lines = [vars(record) for record in caplog.records if record.name == "reward_service.chunks"]
    assert sum(line["items"] for line in lines) == 100
    assert {(line["lane"], line["job"], line["key"]) for line in lines} == {("batch", batch, "a")}
    assert "canary" not in str(lines)


async def test_a_full_fleet_says_when_by_the_rate_of_its_answers() -> None:
    work = MemoryWork(max_live_chunks=1)
    scorer = FleetScorer(Registry(), MemoryQueue(work), MemoryCache(10), MemoryGroundTruths())
    now = time.monotonic()
    scorer._answered.extend(now - 8.0 + second for second in range(8))  # one a second
    assert scorer.drain_seconds(4) == pytest.approx(4.0, rel=0.1)
    assert scorer.drain_seconds(1_000) == LONGEST_RETURN
    ask = Ask("c", 0, 1, b"x")
    with pytest.raises(Overloaded) as refused:
        await scorer._send("", [_Question(ask), _Question(ask._replace(number=1))], now + 60)
    assert refused.value.retry_after == pytest.approx(2.0, rel=0.1)

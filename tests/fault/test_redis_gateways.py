"""Gateways in front of a fleet: killed while they send, restarted one by one, flooded, and left alone (F9, F10, F15, F24)."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.adapters.redis_queue import RedisQueue
from reward_service.engine.batches import Cursor, Order, parse_cursor
from reward_service.engine.fleet import TENANT, FleetScorer
from reward_service.engine.pool import Pool
from reward_service.engine.scorer import Row, Scorer
from reward_service.errors import Overloaded
from reward_service.types import Reason, Status
from tests.fault import fleet_handlers
from tests.fault.fleet_handlers import score_of
from tests.fault.fleets import HANDLERS, Fleet, entries, finished, often, until

pytestmark = [pytest.mark.fault, pytest.mark.redis, pytest.mark.timeout(600)]


@asynccontextmanager
async def fronting(fleet: Fleet, **options: int) -> AsyncIterator[FleetScorer]:
    """A gateway's scorer in this process."""
    queue = RedisQueue(fleet.server.options(), lease_seconds=fleet.lease, **options)
    scorer = FleetScorer(fleet_handlers.registry(), queue, MemoryCache(0), MemoryGroundTruths())
    try:
        async with scorer.running():
            yield scorer
    finally:
        await queue.close()


def rows(count: int, text: str) -> list[Row]:
    return [Row("fleet", f"{text} {number}", "g") for number in range(count)]


# F9: whoever sends may die


async def test_f9_a_batch_exists_wholly_or_not_at_all_when_its_sender_is_killed(fleet: Fleet) -> None:
    sent = entries(640)
    await fleet.workers(1)
    rng, kills, whole = random.Random(2), often(4, 25), 0
    async with fleet.desk(upload_seconds=1.0) as desk:
        for number in range(kills):
            key = f"key{number}"
            sender = fleet.start(
                [sys.executable, "-m", "tests.fault.submitter", fleet.server.url, key, "640", "0.02"],
                fleet.environment(),
            )
            await until(lambda: has_uploads(fleet) or "accepted" in sender.text(), 60)  # noqa: B023
            await asyncio.sleep(rng.uniform(0, 1.5))
            sender.signal(signal.SIGKILL)
            sender.wait()
            there = await desk.replay("", key, "d")
            accepted = "accepted" in sender.text()
            assert there is not None or not accepted, "an accepted batch is there"
            whole += there is not None
            if there is not None:
                assert there.counts.total == 640
            again = await desk.submit(sent, key=key, digest="d")
            assert again.replayed == (there is not None)
            await finished(desk, again.batch.id, 30)
            listed = [batch for batch in await desk.of_tenant("", limit=100) if batch.counts.total]
            assert len(listed) == number + 1, "one batch for each key"
        await until(lambda: not has_uploads(fleet), 10)
        await fleet.check(desk, again.batch.id, sent)
    fleet.figures |= {"kills": kills, "batches that were there already": whole, "halves": 0}


def has_uploads(fleet: Fleet) -> bool:
    with fleet.server.client() as client:
        return client.zcard("{reward}:due") > 0


async def test_f9_reading_results_goes_on_at_the_cursor_whatever_broke(fleet: Fleet) -> None:
    sent = entries(1_500, "spin 1")
    await fleet.workers(1)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        for order in Order:
            seen: list[int] = []
            cursor = str(Cursor(order))
            rng, breaks = random.Random(3), 0
            while len(seen) < len(sent):
                left = rng.randrange(1, 400)
                async with fleet.desk() as reader:  # a new process each time, as far as the store can tell
                    async for result in reader.results(batch, parse_cursor(cursor)):
                        seen.append(result.place)
                        cursor, left = str(result.cursor), left - 1
                        if not left:
                            breaks += 1
                            break
            assert sorted(seen) == list(range(len(sent)))
            assert order is Order.COMPLETION or seen == list(range(len(sent)))
            fleet.figures[f"breaks of {order.value} order"] = breaks
        await fleet.check(desk, batch, sent)


# F10: gateways restarted under load


@pytest.mark.long
async def test_f10_a_rolling_restart_of_gateways_fails_no_request(fleet: Fleet) -> None:
    """A balancer that honours readiness; each gateway leaves it before it is told to stop."""
    await fleet.workers(1)
    gateways = [fleet.gateway() for _ in range(2)]
    for url, _ in gateways:
        await ready(url)
    balancer = [url for url, _ in gateways]
    failures: list[str] = []
    done, stopping = 0, False

    async def load(number: int) -> None:
        nonlocal done
        async with httpx2.AsyncClient(timeout=20) as client:
            count = 0
            while not stopping:
                count += 1
                text = f"load {number} {count}"
                item = {"data_source": "fleet", "response": text, "ground_truth": "g"}
                reply = await client.post(f"{random.choice(balancer)}/v1/score", json=item)
                if reply.status_code != 200 or reply.json()["score"] != score_of(text):
                    failures.append(f"{reply.status_code} {reply.text[:200]}")
                done += 1
                await asyncio.sleep(0.02)

    clients = [asyncio.create_task(load(number)) for number in range(4)]
    restarts, slowest = often(2, 8), 0.0
    try:
        for _ in range(restarts):
            url, old = gateways.pop(0)
            new, process = fleet.gateway()
            await ready(new)
            balancer.append(new)
            gateways.append((new, process))
            balancer.remove(url)
            await asyncio.sleep(0.5)  # preStop: what is under way at the old one ends
            old.signal(signal.SIGTERM)
            started = time.monotonic()
            await until(lambda old=old: not old.alive, 30)
            slowest = max(slowest, time.monotonic() - started)
            assert not [client for client in clients if client.done()]
    finally:
        stopping = True
        await asyncio.gather(*clients)
    fleet.figures |= {
        "restarts": restarts,
        "requests": done,
        "failed": len(failures),
        "s slowest drain": round(slowest, 2),
    }
    assert not failures
    assert slowest < 25


async def ready(url: str) -> None:
    end = time.monotonic() + 60
    async with httpx2.AsyncClient() as client:
        while True:
            try:
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            assert time.monotonic() < end, "the gateway is not ready"
            await asyncio.sleep(0.1)


# Live calls


async def test_a_fleet_answers_with_the_same_scores_as_a_pool_and_a_few_milliseconds_later(
    fleet: Fleet,
) -> None:
    await fleet.workers(1)
    registry = fleet_handlers.registry()
    async with Pool(registry, size=1, loader=HANDLERS) as pool, fronting(fleet) as far:
        near = Scorer(registry, pool, MemoryCache(0), MemoryGroundTruths())
        took: dict[str, list[float]] = {"near": [], "far": []}
        for number in range(often(150, 600)):
            for name, scorer in (("near", near), ("far", far)):
                started = time.perf_counter()
                (result,) = await scorer.score_many([Row("fleet", f"one {number}", "g")])
                took[name].append(time.perf_counter() - started)
                assert result.outcome.score == score_of(f"one {number}")
                assert (result.data_source, result.domain) == ("fleet", "gym")
        many = rows(1_000, "many")
        assert [r.outcome.score for r in await far.score_many(many)] == [
            score_of(row.response) for row in many
        ]
        fleet.check_keys()
    near_ms, far_ms = (1e3 * sorted(took[name])[len(took[name]) // 2] for name in ("near", "far"))
    fleet.figures |= {"ms median embedded": round(near_ms, 2), "ms median by the fleet": round(far_ms, 2)}
    assert far_ms - near_ms <= 5


async def test_a_worker_that_dies_with_a_live_call_costs_a_lease_and_no_answer(fleet: Fleet) -> None:
    first, second = await fleet.workers(2)
    async with fronting(fleet) as scorer:
        call = asyncio.create_task(scorer.score_many(rows(64, "nap 20"), seconds=60))
        await asyncio.sleep(0.5)
        for worker in (first, second):
            worker.signal(signal.SIGKILL)
        fleet.worker()
        results = await call
        assert [result.outcome.score for result in results] == [
            score_of(row.response) for row in rows(64, "nap 20")
        ]


async def test_a_call_that_nobody_answers_ends_at_its_deadline_and_leaves_nothing(fleet: Fleet) -> None:
    async with fronting(fleet) as scorer:
        started = time.monotonic()
        results = await scorer.score_many(rows(100, "x"), seconds=0.5)
        assert time.monotonic() - started < 1.5
        assert {result.outcome.reason for result in results} == {Reason.DEADLINE}
        assert all(result.outcome.handler == "fleet" for result in results)
        await until(lambda: not list_keys(fleet, "{reward}:l:*"), 5)
        call = asyncio.create_task(scorer.score_many(rows(100, "y"), seconds=60))
        await until(lambda: bool(list_keys(fleet, "{reward}:l:*")), 5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: not list_keys(fleet, "{reward}:l:*"), 5)
        fleet.check_keys()


def list_keys(fleet: Fleet, pattern: str) -> list[str]:
    with fleet.server.client() as client:
        return list(client.scan_iter(pattern))


async def test_live_calls_survive_redis_losing_everything(fleet: Fleet) -> None:
    """What the queue has lost is asked again, long before the deadline."""
    async with fronting(fleet) as scorer:
        call = asyncio.create_task(scorer.score_many(rows(100, "x"), seconds=60))
        await until(lambda: bool(list_keys(fleet, "{reward}:l:*")), 5)
        with fleet.server.client() as client:
            client.flushall()
        await fleet.workers(1)
        results = await asyncio.wait_for(call, 20)
        assert all(result.outcome.status is Status.SCORED for result in results)


async def test_a_full_or_absent_queue_refuses_a_request_at_once(fleet: Fleet) -> None:
    async with fronting(fleet, max_live_chunks=4) as scorer:
        waiting = asyncio.create_task(scorer.score_many(rows(200, "x"), seconds=10))
        await until(lambda: bool(list_keys(fleet, "{reward}:l:*")), 5)
        assert scorer.waiting == 4
        started = time.monotonic()
        with pytest.raises(Overloaded) as caught:
            await scorer.score_many(rows(200, "y"), seconds=10)
        assert (caught.value.problem, time.monotonic() - started < 1) == ("overloaded", True)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        fleet.server.kill()
        started = time.monotonic()
        with pytest.raises(Overloaded) as caught:
            await scorer.score_many(rows(10, "z"), seconds=10)
        assert (caught.value.problem, time.monotonic() - started < 1) == ("not-ready", True)


async def test_f15_fifty_gateways_send_one_key_at_once(fleet: Fleet) -> None:
    sent = entries(300)
    await fleet.workers(1)
    async with fleet.desk() as one, fleet.desk() as two, fleet.desk() as three:
        submitted = await asyncio.gather(
            *(desk.submit(sent, key="k", digest="d") for _ in range(17) for desk in (one, two, three))
        )
        assert len({entry.batch.id for entry in submitted}) == 1
        assert sum(not entry.replayed for entry in submitted) == 1
        batch = submitted[0].batch.id
        await finished(one, batch, 30)
        await fleet.check(one, batch, sent)
        assert len(await one.of_tenant("", limit=100)) == 1
    fleet.figures |= {"submissions at once": len(submitted), "batch": 1, "replays": len(submitted) - 1}


async def test_f24_live_calls_overtake_a_flood_of_batches_which_goes_on(fleet: Fleet) -> None:
    """And between tenants: the small batch of one is not behind the dump of another."""
    await fleet.workers(1)
    async with fleet.desk() as desk, fronting(fleet) as scorer:
        flood = (await desk.submit(entries(often(6_000, 30_000), "spin 2"), tenant="eval")).batch.id
        await asyncio.sleep(0.5)
        small = (await desk.submit(entries(128, "spin 1"), tenant="training")).batch.id
        waits, before, began = [], (await desk.get(flood)).counts.done, time.monotonic()
        TENANT.set("training")
        for number in range(often(15, 60)):
            started = time.perf_counter()
            await scorer.score_many([Row("fleet", f"live {number}", "g")], seconds=20)
            waits.append(time.perf_counter() - started)
        speed = ((await desk.get(flood)).counts.done - before + len(waits)) / (time.monotonic() - began)
        state = await finished(desk, small, 60)
        while_small = (await desk.get(flood)).counts.done
        # A flood of live calls in its turn: batches keep their share.
        start, served = time.monotonic(), 0
        before_live = (await desk.get(flood)).counts.done
        while time.monotonic() - start < often(3, 10):
            served += len(
                await scorer.score_many(
                    [Row("fleet", f"spin 2 {served + n}", "live") for n in range(256)], seconds=60
                )
            )
        share = ((await desk.get(flood)).counts.done - before_live) / max(1, served)
        await desk.cancel(flood)
        fleet.check_keys()
    middle = 1e3 * sorted(waits)[len(waits) // 2]
    fleet.figures |= {
        "ms median live call under a flood": round(middle),
        "of the flood before it": before,
        "of the flood before the small batch": while_small,
        "batch items per live item": round(share, 3),
    }
    assert state.counts.completed == 128
    assert middle / 1e3 < 2 * 64 / speed, "it waited for more than two chunks"
    assert share >= 0.05

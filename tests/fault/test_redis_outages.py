"""What happens to Redis: killed, emptied, failed over, slow, silent, cut off, full, with new passwords (F4–F8, F22)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from reward_service.adapters.memory import MemoryGroundTruths
from reward_service.adapters.redis import RedisCache, RedisGroundTruths
from reward_service.adapters.redis_client import RedisOptions
from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
from reward_service.engine.desk import Batches
from reward_service.engine.pool import Pool
from reward_service.engine.scorer import Row, Scorer
from reward_service.errors import NotFound, Overloaded
from reward_service.types import Status
from tests.fault import fleet_handlers
from tests.fault.fleets import HANDLERS, Fleet, entries, finished, often, patiently, some_done
from tests.fault.proxy import Proxy
from tests.redis_server import Server

pytestmark = [pytest.mark.fault, pytest.mark.redis, pytest.mark.timeout(600)]

SOCKET_SECONDS = 2.0


@pytest.fixture
def proxy(fleet: Fleet) -> Iterator[Proxy]:
    """A proxy in front of the fleet's Redis; workers that start later go through it."""
    with Proxy(fleet.server.port) as running:
        fleet.url = f"redis://127.0.0.1:{running.port}"
        yield running


def sockets(proxy: Proxy) -> int:
    """This process's open sockets to the proxy."""
    mine = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            mine.add(str(entry.readlink()))
        except OSError:
            continue
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    far = f":{proxy.port:04X}"
    return sum(line[2].endswith(far) and f"socket:[{line[9]}]" in mine for line in lines)


async def test_f4_redis_is_killed_and_comes_back_while_a_batch_is_sent_and_worked_on(fleet: Fleet) -> None:
    sent = entries(often(3_000, 20_000), "spin 1")
    await fleet.workers(2)
    rounds = often(2, 5)
    refused: list[float] = []
    recovered: list[float] = []
    async with fleet.desk() as desk:
        upload = await desk.begin()
        for start in range(0, len(sent), 500):
            if start == 1_000:
                fleet.server.settle()
                fleet.server.kill()
                asked = time.monotonic()
                with pytest.raises(Overloaded) as caught:
                    await upload.add(sent[start : start + 500])
                refused.append(time.monotonic() - asked)
                assert caught.value.problem == "not-ready"
                assert caught.value.retry_after
                fleet.server.start()
                upload.items = start  # what was refused is sent again
            await patiently(lambda start=start: upload.add(sent[start : start + 500]))
        batch = (await patiently(upload.seal)).batch.id
        for number in range(rounds):
            await some_done(desk, batch, (number + 1) * len(sent) // (rounds + 2))
            fleet.server.settle()
            fleet.server.kill()
            await asyncio.sleep(0.5)
            fleet.server.start()
            back = time.monotonic()
            done = (await patiently(lambda: desk.get(batch))).counts.done
            await patiently(lambda done=done: some_done(desk, batch, done + 1))
            recovered.append(time.monotonic() - back)
        await finished(desk, batch, 200)
        await fleet.check(desk, batch, sent)
    assert all(process.alive for process in fleet.processes), "no restart may be needed"
    fleet.figures |= {
        "kills of Redis": rounds + 1,
        "items": len(sent),
        "lost": 0,
        "s until refused": round(max(refused), 3),
        "s until results come again": round(max(recovered), 2),
    }
    assert max(refused) < 1
    assert max(recovered) < 2 + 2.5  # two seconds, and a worker's longest back-off


async def test_f5_redis_loses_everything_and_the_same_key_makes_it_whole(fleet: Fleet) -> None:
    sent = entries(2_000, "spin 1")
    workers = await fleet.workers(2)
    async with fleet.desk() as desk:
        first = await desk.submit(sent, key="k", digest="d")
        await some_done(desk, first.batch.id, 200)
        with fleet.server.client() as client:
            client.flushall()
        with pytest.raises(NotFound):
            await desk.get(first.batch.id)
        second = await desk.submit(sent, key="k", digest="d")
        assert not second.replayed
        await finished(desk, second.batch.id, 60)
        await fleet.check(desk, second.batch.id, sent)
        with pytest.raises(NotFound):
            await desk.get(first.batch.id)
    assert all(worker.alive for worker in workers)
    fleet.figures |= {"items": len(sent), "lost after the same key again": 0, "workers restarted": 0}


@pytest.mark.long
async def test_f5_redis_comes_back_with_a_cut_off_journal(fleet: Fleet) -> None:
    """What a power failure leaves: the last second is missing."""
    sent = entries(2_000, "spin 1")
    await fleet.workers(2)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent, key="k", digest="d")).batch.id
        await some_done(desk, batch, 300)
        fleet.server.kill()
        journal = max(
            (fleet.server.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime
        )
        os.truncate(journal, int(journal.stat().st_size * 0.97))
        fleet.server.start()

        async def again() -> str:
            return (await desk.submit(sent, key="k", digest="d")).batch.id

        batch = await patiently(again)
        await patiently(lambda: finished(desk, batch, 60))
        await fleet.check(desk, batch, sent)
    assert all(process.alive for process in fleet.processes)
    fleet.figures |= {"% of the journal lost": 3, "items": len(sent), "lost after the same key again": 0}


@pytest.mark.long
async def test_f6_a_failover_to_a_replica_that_lags(fleet: Fleet, proxy: Proxy) -> None:
    """What the replica does not have is gone, what it has is whole: no batch is half of one state, half of another."""
    replica = Server(port=0)
    try:
        with replica.client() as client, fleet.server.client() as primary:
            client.replicaof("127.0.0.1", fleet.server.port)
            end = time.monotonic() + 20
            while client.info("replication")["master_link_status"] != "up":
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            await fleet.workers(2)
            kept, lost = entries(1_500, "spin 1"), entries(500, "spin 2")
            async with fleet.desk(fleet.url) as desk:
                batch = (await desk.submit(kept, key="kept", digest="d")).batch.id
                await some_done(desk, batch, 200)
                primary.execute_command("WAIT", 1, 2000)
                client.replicaof("no", "one")
                await some_done(desk, batch, 400)
                later = await desk.submit(lost, key="lost", digest="d")
                proxy.target = replica.port
                proxy.drop()
                assert not (await patiently(lambda: desk.submit(lost, key="lost", digest="d"))).replayed
                with pytest.raises(NotFound):
                    await desk.get(later.batch.id)
                fleet.server, primary_server = replica, fleet.server
                second = await desk.replay("", "lost", "d")
                assert second is not None
                for name in (batch, second.id):
                    await patiently(lambda name=name: finished(desk, name, 90))
                for name, sent in ((batch, kept), (second.id, lost)):
                    await fleet.check(desk, name, sent)
                fleet.server = primary_server
        assert all(process.alive for process in fleet.processes)
        fleet.figures |= {"items kept": len(kept), "items lost and sent again": len(lost), "split": 0}
    finally:
        replica.close()


async def scored(scorer: Scorer, text: str) -> float:
    """Seconds that scoring 20 new items took; all must be scored."""
    started = time.monotonic()
    results = await scorer.score_many([Row("fleet", f"{text} {number}", "g") for number in range(20)])
    assert all(result.outcome.status is Status.SCORED for result in results)
    return time.monotonic() - started


async def test_f7_scoring_goes_on_without_its_cache_whatever_redis_does(fleet: Fleet, proxy: Proxy) -> None:
    """Slow, cut in the middle of an answer, silent, gone: a request costs a time-out at most, and no socket leaks."""
    cache = RedisCache(RedisOptions(fleet.url, seconds=0.5))
    registry = fleet_handlers.registry()
    took: dict[str, list[float]] = {}
    try:
        async with Pool(registry, size=1, loader=HANDLERS) as pool:
            scorer = Scorer(registry, pool, cache, MemoryGroundTruths())
            before = 0
            for trouble in ("none", "slow", "cut", "silent", "gone", "none again"):
                proxy.delay = 0.2 if trouble == "slow" else 0.0
                proxy.cut_after = 3 if trouble == "cut" else 0
                proxy.silent = trouble == "silent"
                if trouble == "gone":
                    fleet.server.kill()
                if trouble == "none again":
                    fleet.server.start()
                    await asyncio.sleep(5.5)
                end = time.monotonic() + often(2, 30 if trouble == "silent" else 5)
                number = 0
                while time.monotonic() < end or number < 5:
                    number += 1
                    took.setdefault(trouble, []).append(await scored(scorer, f"{trouble} {number}"))
                    await asyncio.sleep(0.02)
                if trouble == "none":
                    before = sockets(proxy)
            assert sockets(proxy) <= before + 2
            again = await scorer.score_many([Row("fleet", f"none again 1 {n}", "g") for n in range(20)])
            assert all(result.outcome.cached for result in again), "the cache is used again"
    finally:
        await cache.close()
    fleet.figures |= {f"ms slowest, {name}": round(1e3 * max(times)) for name, times in took.items()}
    assert max(max(times) for times in took.values()) < SOCKET_SECONDS
    assert sorted(took["silent"])[len(took["silent"]) // 2] < 0.2, (
        "an outage costs one time-out, not one per request"
    )


async def test_f7_submitting_to_a_silent_redis_is_refused_in_time_and_works_afterwards(
    fleet: Fleet, proxy: Proxy
) -> None:
    sent = entries(600, "spin 1")
    await fleet.workers(1)
    async with fleet.desk(fleet.url) as desk:
        await desk.submit(entries(1, "warm"))
        open_before = sockets(proxy)
        proxy.silent = True
        for _ in range(often(2, 10)):
            started = time.monotonic()
            with pytest.raises(Overloaded) as caught:
                await desk.submit(sent, key="k", digest="d")
            assert caught.value.problem == "not-ready"
            assert time.monotonic() - started < SOCKET_SECONDS + 0.5
        assert sockets(proxy) <= open_before + 1
        await asyncio.sleep(often(3, 30))
        proxy.silent = False
        batch = (await patiently(lambda: desk.submit(sent, key="k", digest="d"))).batch.id
        await patiently(lambda: finished(desk, batch, 60))
        await fleet.check(desk, batch, sent)


async def test_f7_workers_and_senders_behind_a_connection_that_is_slow_and_breaks(
    fleet: Fleet, proxy: Proxy
) -> None:
    """Every answer late, and connections cut in the middle of one: asked again, and still once in effect."""
    sent = entries(often(2_000, 10_000), "spin 1")
    await fleet.workers(2)
    proxy.delay = 0.01
    async with fleet.desk(fleet.url) as desk:
        upload = await desk.begin(key="k", digest="d")
        for start in range(0, len(sent), 250):
            proxy.cut_after = 2 if start // 250 % 2 else 0
            await asyncio.sleep(0.05)
            proxy.cut_after = 0
            items = upload.items

            async def add(start: int = start, items: int = items) -> None:
                upload.items = items
                await upload.add(sent[start : start + 250])

            await patiently(add)
        batch = (await patiently(upload.seal)).batch.id
        end = time.monotonic() + 200
        while not (await patiently(lambda: desk.get(batch))).status.terminal:
            assert time.monotonic() < end
            proxy.cut_after = 3
            await asyncio.sleep(0.05)
            proxy.cut_after = 0
            await asyncio.sleep(0.5)
        await fleet.check(desk, batch, sent)
    fleet.figures |= {"connections cut": proxy.cuts, "items": len(sent), "lost": 0}
    assert proxy.cuts > 3


async def test_f8_redis_without_memory_refuses_work_and_finishes_what_it_has(fleet: Fleet) -> None:
    sent = entries(1_000, "spin 1")
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        with fleet.server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        with pytest.raises(Overloaded) as caught:
            await desk.submit(entries(1_000, "more"))
        assert (caught.value.problem, bool(caught.value.retry_after)) == ("overloaded", True)
        await fleet.workers(1)
        await finished(desk, batch, 60)
        await fleet.check(desk, batch, sent)
        with fleet.server.client() as client:
            client.config_set("maxmemory", 0)
        again = (await desk.submit(entries(100, "more"))).batch.id
        await finished(desk, again, 30)
    fleet.figures |= {
        "items accepted before": len(sent),
        "lost": 0,
        "s to come back": caught.value.retry_after,
    }


@pytest.mark.long
async def test_f22_passwords_are_changed_without_a_restart(fleet: Fleet) -> None:
    """An ACL user with no more rights than the documented ones; two passwords for as long as both are in use."""
    rights = ["~reward:*", "~{reward*", "+@all", "-@dangerous", "-@admin", "+eval", "+evalsha"]
    with fleet.server.client() as client:
        client.execute_command("ACL", "SETUSER", "rewarder", "on", ">first", *rights)
    sent = entries(1_500, "spin 1")
    (old,) = await fleet.workers(1, redis_username="rewarder", redis_password="first")
    where = RedisOptions(fleet.server.url, username="rewarder", password="first")
    store, queue = RedisBatchStore(where), RedisQueue(where)
    truths, cache = RedisGroundTruths(where), RedisCache(where)
    try:
        desk = Batches(store, queue)
        await truths.put("a" * 64, [1], 3)
        assert await truths.get("a" * 64) == [1]
        batch = (await desk.submit(sent)).batch.id
        await some_done(desk, batch, 100)
        with fleet.server.client() as client:
            client.execute_command("ACL", "SETUSER", "rewarder", ">second")
        (new,) = await fleet.workers(1, redis_username="rewarder", redis_password="second")
        old.popen.terminate()
        assert old.wait() == 0
        with fleet.server.client() as client:
            client.execute_command("ACL", "SETUSER", "rewarder", "<first")
        await finished(desk, batch, 60)
        await fleet.check(desk, batch, sent)
        assert new.alive
        assert "refused" not in new.text() + old.text()
        assert cache.failures == 0
        fleet.figures |= {"items through a change of the password": len(sent), "lost": 0, "restarts": 0}
        with (
            pytest.raises(redis.AuthenticationError),
            redis.Redis(port=fleet.server.port, username="rewarder", password="first") as plain,
        ):
            plain.ping()
    finally:
        for part in (store, queue, truths, cache):
            await part.close()

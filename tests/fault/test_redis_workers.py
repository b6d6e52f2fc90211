"""What happens to workers: killed, stopped, frozen, poisoned, upgraded, with a wrong clock (F1, F2, F3, F17, F20, F21)."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reward_service.engine.batches import progress
from reward_service.engine.records import Entry
from reward_service.engine.scorer import Row
from reward_service.types import Reason
from tests.fault.clock import SteppedClock
from tests.fault.fleet_handlers import score_of
from tests.fault.fleets import (
    HANDLERS,
    LEASE,
    Fleet,
    entries,
    expected,
    finished,
    often,
    some_done,
    total,
    until,
    up,
)
from tests.redis_server import Server

pytestmark = [pytest.mark.fault, pytest.mark.redis, pytest.mark.timeout(600)]


async def test_f1_a_killed_workers_chunks_are_taken_up_though_no_message_comes(fleet: Fleet) -> None:
    """The tail: the only worker that holds anything dies, nobody sends anything any more."""
    (victim,) = await fleet.workers(1)
    sent = entries(192, "nap 20")
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        await until(lambda: held(fleet) == 3, 10)
        await fleet.workers(1)
        victim.signal(signal.SIGKILL)
        killed = time.monotonic()
        first = await when_reclaimed(fleet)
        await finished(desk, batch, 60)
        await fleet.check(desk, batch, sent)
    fleet.figures |= {"s to resume": round(first - killed, 2), "items": len(sent), "lost": 0}
    assert first - killed < LEASE + 2


def held(fleet: Fleet) -> int:
    with fleet.server.client() as client:
        return sum(client.xpending(key, "w")["pending"] for key in client.scan_iter("*:w"))


async def when_reclaimed(fleet: Fleet) -> float:
    """The moment at which a chunk has been delivered a second time."""
    end = time.monotonic() + 30
    with fleet.server.client() as client:
        while time.monotonic() < end:
            for key in client.scan_iter("*:w"):
                if any(
                    entry["times_delivered"] > 1 for entry in client.xpending_range(key, "w", "-", "+", 100)
                ):
                    return time.monotonic()
            await asyncio.sleep(0.02)
    raise AssertionError("nothing was taken up")


@pytest.mark.long
async def test_f1_workers_are_killed_at_random_and_nothing_is_lost(fleet: Fleet) -> None:
    kills, rng = often(4, 12), random.Random(1)
    sent = entries(often(6_000, 20_000), "spin 1")
    workers = await fleet.workers(3)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        for number in range(kills):
            await some_done(desk, batch, (number + 1) * len(sent) // (kills + 3))
            victim = workers.pop(rng.randrange(len(workers)))
            victim.signal(signal.SIGKILL)
            workers.append(fleet.worker())
        await finished(desk, batch, 400)
        await fleet.check(desk, batch, sent)
        for worker in workers:
            worker.signal(signal.SIGTERM)
        assert [worker.wait() for worker in workers] == [0] * len(workers)
    again = total(workers, "again")
    fleet.figures |= {
        "kills survived": kills,
        "items": len(sent),
        "lost": 0,
        "chunks judged again (seen)": again,
    }
    assert again <= kills * 4, "more was judged again than was in flight"


@pytest.mark.long
async def test_f2_a_rolling_restart_judges_nothing_twice(fleet: Fleet) -> None:
    sent = entries(often(3_000, 20_000), "spin 1")
    workers, restarts = await fleet.workers(2), often(3, 10)
    slowest = 0.0
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        for number in range(restarts):
            await some_done(desk, batch, (number + 1) * len(sent) // (restarts + 2))
            old = workers[number]
            old.signal(signal.SIGTERM)
            started = time.monotonic()
            workers.append(fleet.worker())
            await until(lambda old=old: not old.alive, 20)
            assert old.wait() == 0
            slowest = max(slowest, time.monotonic() - started)
            await up(workers[-1])
        await finished(desk, batch, 200)
        await fleet.check(desk, batch, sent)
        for worker in workers:
            worker.signal(signal.SIGTERM)
            worker.wait()
    fleet.figures |= {"restarts": restarts, "items": len(sent), "judged twice": total(workers, "items") - len(sent), "s slowest exit": round(slowest, 2)}  # fmt: skip
    assert total(workers, "items") == len(sent)
    assert total(workers, "again") == 0
    assert slowest < 5 + 3


async def test_f2_what_does_not_finish_in_its_grace_is_given_back_at_once(fleet: Fleet) -> None:
    (slow,) = await fleet.workers(1, worker_grace_seconds=0.2)
    sent = entries(256, "nap 15")
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        await until(lambda: held(fleet) > 0, 10)
        (other,) = await fleet.workers(1)
        await some_done(desk, batch, 1)
        slow.signal(signal.SIGTERM)
        assert slow.wait(10) == 0
        assert slow.stats()["released"] > 0
        await finished(desk, batch, 60)
        await fleet.check(desk, batch, sent)
        other.signal(signal.SIGTERM)
        other.wait()
        assert other.stats()["again"] == 0, "a given back chunk is no suspect"
    fleet.figures |= {"chunks given back": slow.stats()["released"], "judged twice": 0}


async def test_f3_a_frozen_worker_comes_back_late_and_changes_nothing(fleet: Fleet) -> None:
    sent = entries(often(1_500, 8_000), "spin 2")
    frozen, other = await fleet.workers(2)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        await some_done(desk, batch, 100)
        frozen.signal(signal.SIGSTOP)
        await asyncio.sleep(3 * LEASE)
        frozen.signal(signal.SIGCONT)
        await finished(desk, batch, 120)
        await fleet.check(desk, batch, sent)
        for worker in (frozen, other):
            worker.signal(signal.SIGTERM)
            assert worker.wait() == 0
    late = total((frozen, other), "late") + total((frozen, other), "lost")
    fleet.figures |= {"items": len(sent), "chunks late or lost to another": late, "duplicate results": 0}
    assert total((frozen, other), "again") > 0


async def test_f17_an_item_that_kills_its_worker_is_convicted_alone(fleet: Fleet) -> None:
    """Whoever supervises starts the worker again; three deaths, one error, no innocent."""
    sent = entries(often(640, 5_000), "spin 1")
    poison = [100] if not often(0, 1) else [100, 2_000]
    for place in poison:
        sent[place] = Entry(f"id-{place}", Row("fleet", f"kill-worker {place}", "gold"))
    workers = await fleet.workers(2)
    deaths = 0
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        end = time.monotonic() + 300
        while not (await desk.get(batch)).status.terminal:
            assert time.monotonic() < end
            for place, worker in enumerate(workers):
                if not worker.alive:
                    deaths += 1
                    workers[place] = fleet.worker()
            await asyncio.sleep(0.05)
        found = await fleet.check(
            desk,
            batch,
            sent,
            lambda entry: Reason.INTERNAL if "kill" in entry.row.response else expected(entry),
        )
    for place in poison:
        assert found[place][1].flags == ("worker_crashed",)
    fleet.figures |= {"deaths": deaths, "convicted": len(poison), "innocents affected": 0, "items": len(sent)}
    assert deaths <= 3 * len(poison) + len(poison) - 1


async def test_f17_hostile_items_cost_themselves_only(fleet: Fleet) -> None:
    hostile = {
        "segfault": Reason.INTERNAL, "exit": Reason.INTERNAL, "kill": Reason.INTERNAL, "raise": Reason.INTERNAL,
        "regex": Reason.BUDGET_EXCEEDED, "loop": Reason.BUDGET_EXCEEDED, "hoard": Reason.BUDGET_EXCEEDED,
        "allocate": Reason.BUDGET_EXCEEDED, "recurse": Reason.BUDGET_EXCEEDED,
    }  # fmt: skip
    sent = entries(1_000)
    for number, what in enumerate(hostile):
        sent[number * 100 + 50] = Entry(f"id-{number * 100 + 50}", Row("fleet", f"hostile {what}", "gold"))
    workers = await fleet.workers(2)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        await finished(desk, batch, 120)
        await fleet.check(
            desk,
            batch,
            sent,
            lambda e: hostile[e.row.response.split()[1]] if "hostile" in e.row.response else expected(e),
        )
    assert all(worker.alive for worker in workers)
    fleet.figures |= {"hostile": len(hostile), "innocents affected": 0}


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
async def test_f20_a_worker_whose_clock_is_an_hour_off_expires_nothing(
    fleet: Fleet, tmp_path: Path, offset: str
) -> None:
    clock = SteppedClock(tmp_path)
    clock.step(3600 if offset == "+1h" else -3600)
    sent = entries(600, "spin 1")
    (wrong,) = await fleet.workers(1, wrapper=clock.wrapper)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent, window_seconds=60)).batch.id
        await some_done(desk, batch, 64)
        (right,) = await fleet.workers(1)
        await finished(desk, batch, 50)
        found = await fleet.check(desk, batch, sent)
        state = await desk.get(batch)
    assert 0 <= state.times[state.status] - state.created_at < 60_000
    assert all(
        0 <= outcome.queue_ms < 60_000 and 0 <= outcome.verify_ms < 60_000 for _, outcome in found.values()
    )
    for worker in (wrong, right):
        worker.signal(signal.SIGTERM)
        worker.wait()
    fleet.figures |= {
        "clock of a worker": offset,
        "items": len(sent),
        "expired": 0,
        "judged by it": wrong.stats()["items"],
    }
    assert wrong.stats()["items"] > 0


@pytest.mark.parametrize("step", [3600, -3600])
async def test_f20_the_clock_of_redis_is_set_by_an_hour(
    tmp_path: Path, step: int, record_property: Callable[[str, object], None]
) -> None:
    """Forward, every lease is over at once; back, a dead worker's would be held for an hour."""
    clock = SteppedClock(tmp_path)
    server = Server(port=0, wrapper=clock.wrapper)
    fleet = Fleet(server, tmp_path)
    try:
        victim, *_ = await fleet.workers(2)
        sent = entries(often(800, 3_000), "spin 2")
        async with fleet.desk() as desk:
            batch = (await desk.submit(sent)).batch.id
            await some_done(desk, batch, 128)
            victim.signal(signal.SIGSTOP)  # it holds chunks, and does not give them back
            await asyncio.sleep(0.2)
            clock.step(step)
            with server.client() as client:
                assert abs(client.time()[0] - time.time() - step) < 5
            victim.signal(signal.SIGKILL)
            stepped = time.monotonic()
            await finished(desk, batch, 60)
            took = time.monotonic() - stepped
            found = await fleet.check(desk, batch, sent)
            state = await desk.get(batch)
        assert all(0 <= o.queue_ms < 2 * 3_600_000 and 0 <= o.verify_ms < 60_000 for _, o in found.values())
        assert state.counts.done == len(sent) and progress(state).rate >= 0
        record_property(
            "figures",
            f"{took:.1f} s to the end of {len(sent)} items after a step of {step:+d} s, 0 lost, 0 twice",
        )
    finally:
        fleet.stop()
        server.close()


@pytest.mark.long
async def test_f21_an_upgrade_in_the_middle_is_told_by_every_outcome(fleet: Fleet) -> None:
    """Old and new workers share a batch: each outcome names its version, and the cache keeps them apart."""
    old = await fleet.workers(1)
    sent = entries(often(1_000, 5_000), "spin 1")
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        await some_done(desk, batch, 200)
        await fleet.workers(1, handlers="tests.fault.fleet_handlers:upgraded")
        old[0].signal(signal.SIGTERM)
        await finished(desk, batch, 100)
        found = await fleet.results(desk, batch)
        versions = [outcome.version for _, outcome in found.values()]
        assert {"1", "2"} == set(versions)
        for place, (item_id, outcome) in found.items():
            assert item_id == sent[place].id
            assert outcome.score == score_of(sent[place].row.response, outcome.version)
        second = (await desk.submit(sent)).batch.id
        await finished(desk, second, 100)
        await fleet.check(desk, second, sent, lambda entry: score_of(entry.row.response, "2"))
        again = await fleet.results(desk, second)
    cached = sum(outcome.cached for _, outcome in again.values())
    assert cached == versions.count("2"), "only what the new version judged may come from the cache"
    fleet.figures |= {
        "judged by 1": versions.count("1"),
        "by 2": versions.count("2"),
        "of those from the cache": cached,
    }


async def test_a_worker_whose_starter_is_gone_stops(fleet: Fleet) -> None:
    starter = fleet.start(
        [
            "sh",
            "-c",
            f"{sys.executable} -m tests.fault.fleet_worker {HANDLERS} & echo $! > {fleet.folder}/pid; wait",
        ],
        fleet.environment(),
    )
    await until(lambda: "working with" in starter.text(), 60)
    pid = int((fleet.folder / "pid").read_text())
    starter.signal(signal.SIGKILL)
    await until(lambda: not running(pid), 15)
    assert "is gone; stopping" in starter.text()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

"""Batches on a fleet: identical items, everybody back at once, cancelled and out of time, and real handlers (F16, F23, F25)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import pytest

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.engine.batches import BatchStatus
from reward_service.engine.pool import Pool
from reward_service.engine.records import Entry
from reward_service.engine.scorer import Row, Scorer
from reward_service.registry import load
from reward_service.types import Outcome, Reason
from reward_service.wire import encode
from tests.fault.fleets import Fleet, entries, expected, finished, often, some_done, total, until

pytestmark = [pytest.mark.fault, pytest.mark.redis, pytest.mark.timeout(900)]


async def test_f16_ids_may_repeat_and_identical_items_are_judged_once(fleet: Fleet) -> None:
    """A place in the batch is what names a result; ids are the sender's business and come back as they were."""
    sent = [Entry("same", Row("fleet", "spin 5 same", "gold"))] * 640 + [
        Entry(None, Row("fleet", "other", "gold"))
    ]
    await fleet.workers(1, worker_places=2)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        await finished(desk, batch, 30)
        found = await fleet.check(desk, batch, sent)
    fresh = [outcome for _, outcome in found.values() if not outcome.cached]
    # One chunk is at work at a time, so that all but the first find it in the cache.
    assert len(fresh) <= 64 + 1 + 64
    fleet.figures |= {"items": len(sent), "from the cache": len(sent) - len(fresh)}


@pytest.mark.parametrize("how", ["cancel", pytest.param("expire", marks=pytest.mark.long)])
async def test_f25_a_batch_that_is_ended_in_the_middle_has_a_result_for_every_item(
    fleet: Fleet, how: str
) -> None:
    sent = entries(often(3_000, 30_000), "spin 2")
    await fleet.workers(2)
    async with fleet.desk() as desk:
        window = 3.0 if how == "expire" else 600.0
        batch = (await desk.submit(sent, window_seconds=window)).batch.id
        await some_done(desk, batch, 128)
        if how == "expire":
            state = await desk.get(batch)
            await asyncio.sleep(max(0.0, (state.expires_at - state.now) / 1e3))
        started = time.monotonic()
        state = await (desk.cancel(batch) if how == "cancel" else desk.wait(batch, 20))
        took = time.monotonic() - started
        assert state.status is (BatchStatus.CANCELLED if how == "cancel" else BatchStatus.EXPIRED)
        done = state.counts.completed
        found = await fleet.results(desk, batch)
        assert sum(outcome.reason is Reason.PARTIALLY_EQUAL for _, outcome in found.values()) == done > 0
        await fleet.check(
            desk, batch, sent,
            lambda entry: expected(entry) if scored_at(found, entry) else Reason.DEADLINE,
        )  # fmt: skip
        await asyncio.sleep(fleet.lease)
        assert (await desk.get(batch)).counts == state.counts, "late results change nothing"
        fleet.check_keys()
    fleet.figures |= {"items": len(sent), "scored before": done, "s to the end": round(took, 2)}
    assert took < 10


def scored_at(found: dict[int, tuple[object, Outcome]], entry: Entry) -> bool:
    place = int(str(entry.id).removeprefix("id-"))
    return found[place][1].score is not None


@pytest.mark.timeout(3600)
async def test_f23_everybody_comes_back_at_once_to_a_full_queue(fleet: Fleet) -> None:
    """A million items wait (`make fault`; `FAULT_ITEMS` for another number), and every worker starts at the same moment."""
    fleet.lease = 10.0  # the service's own: who starves on a full machine for a second is not dead
    each = int(os.environ.get("FAULT_ITEMS", often(6_000, 1_000_000))) // 2
    sent = entries(each, "herd")
    url, gateway = fleet.gateway()
    await until(lambda: answers(url), 60)
    started = time.monotonic()
    batches = [await asyncio.to_thread(submitted, url, sent, f"t{number}") for number in range(2)]
    sending = time.monotonic() - started
    waiting = peak(fleet.server.pid)
    async with fleet.desk() as desk:
        workers = [fleet.worker() for _ in range(often(3, 6))]
        started = time.monotonic()
        await some_done(desk, batches[0], 64, 120)
        first = time.monotonic() - started
        rates, last, seen = [], time.monotonic(), 0
        while not all([(await desk.get(batch)).status.terminal for batch in batches]):
            await asyncio.sleep(often(1, 10) / 2)
            now, done = time.monotonic(), sum([(await desk.get(batch)).counts.done for batch in batches])
            rates.append((done - seen) / (now - last))
            last, seen = now, done
            assert now - started < 3600
        took = time.monotonic() - started
        assert await asyncio.to_thread(lines_of, url, batches[0]) == each
        for batch in batches:
            await fleet.check(desk, batch, sent)
    largest = max(peak(worker.popen.pid) for worker in workers)
    for worker in workers:
        worker.signal(signal.SIGTERM)
        worker.wait()
    refused = sum(worker.text().count("Redis can't be reached") for worker in workers)
    again = total(workers, "again")
    fleet.figures |= {
        "items": 2 * each, "workers": len(workers), "s to send them": round(sending, 1), "s to the first result": round(first, 1),
        "s to the last": round(took, 1), "items/s": round(2 * each / took), "items/s at best": round(max(rates)),
        "MB of Redis while they wait": waiting >> 20, "MB of Redis at most": peak(fleet.server.pid) >> 20,
        "MB of the gateway at most": peak(gateway.popen.pid) >> 20,
        "MB of the largest worker": largest >> 20, "chunks given twice": again, "times without Redis": refused,
    }  # fmt: skip
    assert refused <= 2 * len(workers), "a storm of time-outs"
    assert again == 0, "leases ran out"
    assert peak(gateway.popen.pid) < 600 << 20, "the gateway holds what it should pass on"


def answers(url: str) -> bool:
    """Is somebody there?"""
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def submitted(url: str, sent: Sequence[Entry], key: str) -> str:
    """Send a batch over HTTP, a line at a time; its id."""

    def lines() -> Iterator[bytes]:
        for start in range(0, len(sent), 1_000):
            yield b"".join(
                encode({"id": entry.id, "data_source": "fleet", "response": entry.row.response, "ground_truth": "gold"}) + b"\n"
                for entry in sent[start : start + 1_000]
            )  # fmt: skip

    headers = {"content-type": "application/x-ndjson", "idempotency-key": key}
    reply = httpx2.post(f"{url}/v1/batches", content=lines(), headers=headers, timeout=1_200)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def lines_of(url: str, batch: str) -> int:
    """How many results the gateway streams."""
    with httpx2.stream("GET", f"{url}/v1/batches/{batch}/results", timeout=600) as reply:
        return sum(data.count(b"\n") for data in reply.iter_bytes())


def peak(pid: int) -> int:
    """The most bytes that a process was resident with."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.long
async def test_the_real_handlers_score_the_same_by_a_fleet_that_is_being_killed(fleet: Fleet) -> None:
    """Examples of every data source that needs no sandbox or model, right and wrong; oracle: one pool without faults."""
    registry = load()
    rng, rows = random.Random(4), []
    for handler in registry.handlers.values():
        if handler.judge is None:
            for source in handler.sources:
                example, name = source.example, source.name.replace("*", "x")
                for response in (example.response, "I don't know.", example.response[::-1]):
                    for attempt in range(often(2, 60)):
                        extra = dict(example.extra_info) or None
                        text = f"Attempt {attempt}.\n{response}"
                        rows.append(Row(name, text, example.ground_truth, extra_info=extra))
    rng.shuffle(rows)
    async with Pool(registry, size=2) as pool:
        scorer = Scorer(registry, pool, MemoryCache(0), MemoryGroundTruths())
        oracle = [result.outcome for result in await scorer.score_many(rows)]
    sent = [Entry(place, row) for place, row in enumerate(rows)]
    workers = await fleet.workers(2, handlers="reward_service.registry:load")
    kills = often(1, 10)
    async with fleet.desk() as desk:
        batch = (await desk.submit(sent)).batch.id
        for number in range(kills):
            await some_done(desk, batch, (number + 1) * len(sent) // (kills + 2), 300)
            workers.pop(0).signal(signal.SIGKILL)
            workers.append(fleet.worker(handlers="reward_service.registry:load"))
        await finished(desk, batch, 600)
        found = await fleet.check(desk, batch, sent, lambda entry: wanted(oracle[int(str(entry.id))]))
    for place, (_, outcome) in found.items():
        assert (outcome.reason, outcome.extracted) == (oracle[place].reason, oracle[place].extracted)
    fleet.figures |= {
        "items": len(sent),
        "handlers": len(registry.handlers),
        "kills": kills,
        "differences": 0,
    }


def wanted(outcome: Outcome) -> float | Reason:
    return outcome.reason if outcome.score is None else outcome.score

"""What the pool promises while its children are being killed: one item pays, and nobody else."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest

from reward_service.engine.channel import Task
from reward_service.engine.pool import Pool
from reward_service.types import Outcome, Reason, Status
from tests.fault import hostile

pytestmark = pytest.mark.fault


def task(response: str, gold: str = "right") -> Task:
    handler = "sleepy" if response == "idle" else "hostile"
    return Task(handler, handler, handler, response, gold, {})


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with Pool(hostile.registry(), size=2, loader="tests.fault.hostile:registry") as running:
        yield running


def assert_innocent(outcomes: list[Outcome]) -> None:
    assert all(outcome.status is Status.SCORED and outcome.correct for outcome in outcomes)


HOSTILE = [
    ("regex", Reason.BUDGET_EXCEEDED, hostile.CPU_SECONDS),
    ("loop", Reason.BUDGET_EXCEEDED, hostile.CPU_SECONDS),
    ("hoard", Reason.BUDGET_EXCEEDED, hostile.CPU_SECONDS),
    ("allocate", Reason.BUDGET_EXCEEDED, 0.0),
    ("recurse", Reason.BUDGET_EXCEEDED, hostile.CPU_SECONDS),
    ("segfault", Reason.INTERNAL, 0.0),
    ("exit", Reason.INTERNAL, 0.0),
    ("exit3", Reason.INTERNAL, 0.0),
    ("kill", Reason.INTERNAL, 0.0),
    ("raise", Reason.INTERNAL, 0.0),
    ("idle", Reason.DEADLINE, hostile.IDLE_SECONDS),
]


@pytest.mark.parametrize(("response", "reason", "deadline"), HOSTILE)
async def test_f17_a_hostile_item_costs_itself_only_and_half_a_second(
    pool: Pool, response: str, reason: Reason, deadline: float, record_property: Callable[[str, object], None]
) -> None:
    tasks = [task("right") for _ in range(200)]
    tasks[77] = task(response)
    started = time.monotonic()
    outcomes = await pool.run(tasks)
    spent = time.monotonic() - started
    assert len(outcomes) == 200
    assert outcomes[77].reason is reason
    assert outcomes[77].score == (0.0 if reason is Reason.BUDGET_EXCEEDED else None)
    assert_innocent(outcomes[:77] + outcomes[78:])
    # The clock of the budget is CPU time, and wall time is as much longer as the machine is busy: the half second
    # of an idle machine is measured in tests/load/overshoot_bench.py.
    record_property("figures", f"199 of 199 others right; over after {spent:.2f} s, budget {deadline:.2f} s")
    assert spent <= 10 * (deadline + 0.5)


async def test_f17_many_hostile_items_of_every_kind_in_one_batch(
    pool: Pool, record_property: Callable[[str, object], None]
) -> None:
    tasks = [task("right") for _ in range(300)]
    for number, (response, _, _) in enumerate(HOSTILE):
        tasks[7 + 20 * number] = task(response)
    outcomes = await pool.run(tasks)
    for number, (response, reason, _) in enumerate(HOSTILE):
        assert outcomes[7 + 20 * number].reason is reason, response
    hostile_places = {7 + 20 * number for number in range(len(HOSTILE))}
    assert_innocent([o for place, o in enumerate(outcomes) if place not in hostile_places])
    record_property("figures", f"{len(HOSTILE)} hostile among {len(tasks)}: 0 innocents affected")


async def test_waiting_never_counts_against_an_item(pool: Pool) -> None:
    # Each takes 0.3 of its 0.5 CPU seconds; the last one waits for several times its own budgets.
    outcomes = await pool.run([task("spin 0.3") for _ in range(12)])
    assert [outcome.reason for outcome in outcomes] == [Reason.NOT_EQUAL] * 12
    assert outcomes[-1].queue_ms > 1e3 * hostile.CPU_SECONDS
    assert all(250 < outcome.verify_ms < 500 for outcome in outcomes)


async def test_a_small_job_does_not_wait_for_a_large_one(pool: Pool) -> None:
    large = asyncio.create_task(pool.run([task("spin 0.05") for _ in range(80)]))
    await asyncio.sleep(0.2)
    assert_innocent(await pool.run([task("right")]))
    assert not large.done()
    await large


async def test_a_request_that_runs_out_of_time_gets_every_item_back(pool: Pool) -> None:
    started = time.monotonic()
    outcomes = await pool.run([task("spin 0.05") for _ in range(400)], seconds=1.5)
    assert time.monotonic() - started < 4.0
    assert len(outcomes) == 400
    assert {outcome.reason for outcome in outcomes} == {Reason.NOT_EQUAL, Reason.DEADLINE}
    assert all(outcome.score is None for outcome in outcomes if outcome.reason is Reason.DEADLINE)
    assert_innocent(await pool.run([task("right")]))


async def test_killed_children_and_a_killed_zygote_cost_nothing(pool: Pool) -> None:
    running = asyncio.create_task(pool.run([task("nap 0.02") for _ in range(150)]))
    await asyncio.sleep(0.3)
    assert pool._zygote is not None
    os.kill(pool._zygote.pid, signal.SIGKILL)
    outcomes = await running
    assert {outcome.reason for outcome in outcomes} == {Reason.NOT_EQUAL}
    for _ in range(4):
        running = asyncio.create_task(pool.run([task("nap 0.01") for _ in range(100)]))
        await asyncio.sleep(0.1)
        for child in pool._zygote.children:
            child.kill()
        assert {outcome.reason for outcome in await running} == {Reason.NOT_EQUAL}


async def test_cancelling_a_call_drops_what_waits(pool: Pool) -> None:
    call = asyncio.create_task(pool.run([task("spin 0.2") for _ in range(500)]))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.queued == 0
    assert_innocent(await pool.run([task("right") for _ in range(10)]))


async def test_children_are_recycled_and_know_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_SERVICE_API_KEY", "secret")
    registry = hostile.registry()
    async with Pool(
        registry, size=1, spares=1, loader="tests.fault.hostile:registry", recycle_items=20
    ) as pool:
        pids = set()
        for _ in range(6):
            pids |= {outcome.extracted for outcome in await pool.run([task("pid") for _ in range(20)])}
            await asyncio.sleep(0.05)
        assert len(pids) >= 3
        assert pool.stats.recycled >= 2
        (outcome,) = await pool.run([task("environment")])
        assert outcome.extracted is not None
        assert "SECRET" not in outcome.extracted.upper()
        assert "API_KEY" not in outcome.extracted


async def test_stopping_leaves_no_process_and_no_call_hanging() -> None:
    pool = Pool(hostile.registry(), size=2, loader="tests.fault.hostile:registry")
    await pool.start()
    assert pool._zygote is not None
    pids = [pool._zygote.pid, *(child.pid for child in pool._zygote.children if child.pid)]
    running = asyncio.create_task(pool.run([task("idle"), task("right")]))
    await asyncio.sleep(0.2)
    await pool.stop()
    outcomes = await running
    assert outcomes[0].reason is Reason.OVERLOADED
    assert outcomes[0].retryable
    await asyncio.sleep(0.1)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

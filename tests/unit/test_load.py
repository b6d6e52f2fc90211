"""The load generator: what it sends, what its times mean, what it notices, and how it finds a peak."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from typing import Any

import httpx2
import pytest

from reward_service.load.generator import Plan, Record, Sample, moments, percentiles, send, summary
from reward_service.load.ramp import climb
from reward_service.load.traffic import MIXES, Traffic
from reward_service.types import Reason, cannot_judge, scored
from reward_service.wire import decode_batch, encode, result

PLAN = Plan("http://s", rate=400, seconds=0.5, batch=8, poisson=False)


class Fake(httpx2.AsyncBaseTransport):
    """A service that knows the rewards because the test told it, and misbehaves from time to time."""

    def __init__(self, trouble: str = "", stall: float = 0.0) -> None:
        self.trouble = trouble
        self.stall = stall
        self.asked = 0
        self.open = asyncio.Event()
        self.rewards: dict[str, float] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.stall:
            if self.asked == 1:
                asyncio.get_running_loop().call_later(self.stall, self.open.set)
            await self.open.wait()
        first = self.asked == 1
        if self.trouble == "refuse" and first:
            return httpx2.Response(429, headers={"retry-after": "1"})
        if self.trouble == "defect" and first:
            return httpx2.Response(500)
        if self.trouble == "cut" and first:
            raise httpx2.ReadError("cut")
        if self.trouble == "hang" and first:
            await asyncio.sleep(60)
        body = json.loads(await request.aread())
        results = [
            json.loads(encode(result(scored(self.rewards[item["response"]], Reason.EQUAL, "x"), n, None)))
            for n, item in enumerate(body["items"])
        ]
        if first and self.trouble == "wrong":
            results[2]["score"] = 0.5
        if first and self.trouble == "error":
            results[2] = json.loads(encode(result(cannot_judge(Reason.DEADLINE, "no"), 2, None)))
        if first and self.trouble == "lose":
            results.pop()
        if first and self.trouble == "swap":
            results[0], results[1] = results[1], results[0]
        if first and self.trouble == "html":
            return httpx2.Response(200, content=b"<html>")
        return httpx2.Response(200, json={"results": results})


class Told(Traffic):
    """Traffic that tells the fake what it expects."""

    def __init__(self, fake: Fake) -> None:
        super().__init__("rules", base=64)
        self._fake = fake

    def request(self, items: int) -> Any:
        made = super().request(items)
        for item, reward in zip(json.loads(made.body)["items"], made.rewards, strict=True):
            self._fake.rewards[item["response"]] = 0.25 if reward is None else reward
        return made


async def sent(fake: Fake, plan: Plan = PLAN) -> Record:
    record = Record()
    await send(plan, Told(fake), record, fake)
    return record


async def test_all_is_well() -> None:
    record = await sent(Fake())
    said = summary(PLAN, record)
    assert record.clean
    assert said["requests"] == {"answered": 24}
    assert said["items"] == {"sent": 192, "scored": 192, "errors": {}, "wrong": 0, "missing": 0}
    assert json.loads(json.dumps(said)) == said


@pytest.mark.parametrize(
    ("trouble", "wrong", "missing", "errors", "fates"),
    [
        ("wrong", 1, 0, {}, {"answered": 24}),
        ("error", 0, 0, {"deadline": 1}, {"answered": 24}),
        ("lose", 0, 1, {}, {"answered": 24}),
        ("swap", 0, 2, {}, {"answered": 24}),
        ("html", 0, 8, {}, {"answered": 24}),
        ("refuse", 0, 0, {}, {"answered": 23, "refused": 1}),
        ("defect", 0, 0, {}, {"answered": 23, "failed": 1}),
        ("cut", 0, 0, {}, {"answered": 23, "failed": 1}),
        ("hang", 0, 0, {}, {"answered": 23, "timeout": 1}),
    ],
)
async def test_what_is_noticed(
    trouble: str, wrong: int, missing: int, errors: dict[str, int], fates: dict[str, int]
) -> None:
    plan = Plan(
        "http://s", rate=400, seconds=0.5, batch=8, poisson=False, timeout=3.0 if trouble == "hang" else 60.0
    )
    record = await sent(Fake(trouble), plan)
    assert (record.wrong, record.missing, dict(record.errors), dict(record.fates)) == (
        wrong,
        missing,
        errors,
        fates,
    )
    assert not record.clean
    assert bool(record.examples) is (trouble == "wrong")


async def test_waiting_counts_from_when_a_request_was_due() -> None:
    """Nobody is answered for half a second: every request that was due meanwhile waited, not only the first."""
    record = await sent(Fake(stall=0.5))
    first = [sample for sample in record.samples if sample.due < 0.25]
    assert len(first) > 5
    assert all(sample.due + sample.seconds >= 0.5 for sample in first)


@pytest.mark.parametrize("poisson", [False, True])
def test_moments(poisson: bool) -> None:
    plan = Plan("x", rate=1_000, seconds=100, batch=10, poisson=poisson)
    found = list(moments(plan))
    assert found == sorted(found) == list(moments(plan)) and found[-1] < 100
    assert 9_500 < len(found) < 10_500
    gaps = [later - before for before, later in itertools.pairwise(found)]
    assert (max(gaps) > 0.03) is poisson


def test_percentiles_are_exact() -> None:
    assert percentiles([n / 1e3 for n in range(1_001)]) == {
        "p50": 500.0, "p90": 900.0, "p95": 950.0, "p99": 990.0, "p99.9": 999.0, "p100": 1000.0,
    }  # fmt: skip
    assert percentiles([]) == {}


@pytest.mark.parametrize("mix", MIXES)
def test_requests_are_valid_and_all_different(mix: str) -> None:
    traffic = Traffic(mix, base=128)
    items, rewards = [], []
    for _ in range(8):
        request = traffic.request(32)
        items += decode_batch(request.body, 32).items
        rewards += request.rewards
    assert len({item.response for item in items}) == 256
    sources = Counter(str(item.data_source).partition("_")[0] for item in items)
    assert ("codegen" in sources) is (mix in ("guru", "code"))
    assert {0.0, 1.0} <= set(rewards) <= {0.0, 1.0, None}
    repeated = Traffic(mix, repeats=1.0, base=128)
    assert len({item.response for item in decode_batch(repeated.request(32).body, 32).items}) == 1


async def test_the_peak_is_found(monkeypatch: Any) -> None:
    monkeypatch.setattr("reward_service.load.ramp.PAUSE_SECONDS", 0.0)

    async def service(plan: Plan, record: Record) -> None:
        """Carries 1,000 items/s; beyond that it scores those, late."""
        record.seconds, record.sent = plan.seconds, int(plan.rate * plan.seconds)
        done, late = min(plan.rate, 1_000.0) * plan.seconds, 5.0 if plan.rate > 1_000 else 0.01
        record.samples = [Sample(0.0, late, 0.0, int(done / 100), "answered") for _ in range(100)]

    for start in (100, 5_000):
        found = await climb(Plan("x", rate=start, seconds=10, batch=1), service, 500, lambda _: None)
        assert 850 < found.peak <= 1_000
        assert any(step.carried for step in found.steps) and not all(step.carried for step in found.steps)

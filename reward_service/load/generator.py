"""Open-loop load: requests leave when they are due, however slow the service is, and waiting counts from then.

What is decided here: a closed loop (send, wait, send) slows down with the service that it measures and so leaves out exactly the
requests that would have waited: "coordinated omission". Here the moments of sending are drawn before, evenly or as a Poisson process,
and a request's time runs from its moment, whether or not the generator got round to it. How late it was is reported as well: when that
is a good part of the latency, the generator is what was measured. Nothing is tried again: a refusal is a refusal.

Latencies are kept one by one, so that percentiles are exact.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import httpx2
from pydantic_core import from_json

from reward_service import __version__
from reward_service.load.traffic import Request

BUSY = frozenset({429, 503, 507})
CONNECTIONS = 1_024
MAX_IN_FLIGHT = 8_192
"""Requests that wait at once; beyond it, one that is due counts as timed out, unsent."""
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 100.0)
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send. rate: items per second; batch: items in a request; timeout: seconds for one request."""

    url: str
    rate: float
    seconds: float
    batch: int = 32
    poisson: bool = True
    timeout: float = 30.0
    seed: int = 7
    api_key: str | None = None


class Sample(NamedTuple):
    """One request: when it was due (seconds from the start), how long until its answer, how late it left, its items and
    what became of it: answered, refused, timeout, failed."""

    due: float
    seconds: float
    late: float
    items: int
    fate: str


@dataclass(slots=True)
class Record:
    """What came of a plan. Counts are of items, but for `fates`, which is of requests."""

    samples: list[Sample] = field(default_factory=list)
    in_flight: int = 0
    seconds: float = 0.0
    scored: int = 0
    wrong: int = 0
    missing: int = 0
    """Items of answered requests without a result of their own, or with one too many."""
    sent: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    """Words of what went wrong with requests."""
    examples: list[str] = field(default_factory=list)
    """Some wrong results, in words."""

    @property
    def fates(self) -> Counter[str]:
        """Requests by what became of them."""
        return Counter(sample.fate for sample in self.samples)

    @property
    def clean(self) -> bool:
        """Did every item get its own right reward?"""
        return not (self.wrong or self.missing or self.errors or self.fates.keys() - {"answered"})

    def take(self, request: Request, results: Sequence[Mapping[str, Any]]) -> None:
        """Compare an answer with what was expected."""
        self.missing += abs(len(request.rewards) - len(results))
        for place, (reward, found) in enumerate(zip(request.rewards, results, strict=False)):
            try:
                if found["index"] != place:
                    self.missing += 1
                elif found["status"] == "error":
                    self.errors[str(found["reason"])] += 1
                else:
                    self.scored += 1
                    if reward is not None and abs(found["score"] - reward) > TOLERANCE:
                        self._wrong(reward, found)
            except (KeyError, TypeError):
                self.missing += 1

    def _wrong(self, reward: float, found: Mapping[str, Any]) -> None:
        self.wrong += 1
        if len(self.examples) < 5:
            words = f"{found.get('handler')}: {found['score']} for {reward}, {found['reason']}, {found.get('extracted')!r}"
            self.examples.append(words[:300])


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50 … p100 in milliseconds, exactly; nothing of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {f"p{share:g}": round(1e3 * ordered[round(share / 100 * last)], 2) for share in PERCENTILES}


def moments(plan: Plan) -> Iterator[float]:
    """Seconds from the start at which requests are due."""
    dice = random.Random(plan.seed)  # noqa: S311 - load, not secrets
    gap = plan.batch / plan.rate
    due = 0.0
    while True:
        due += dice.expovariate(1 / gap) if plan.poisson else gap
        if due >= plan.seconds:
            return
        yield due


def client_of(plan: Plan, transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """A client with room for everything that may be under way."""
    headers = {"user-agent": f"reward-service-load/{__version__}", "content-type": "application/json"}
    if plan.api_key:
        headers["authorization"] = f"Bearer {plan.api_key}"
    return httpx2.AsyncClient(
        headers=headers,
        timeout=httpx2.Timeout(plan.timeout),
        limits=httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        transport=transport,
    )


class Requests(Protocol):
    """Where requests come from: `Traffic`, or what a test makes."""

    def request(self, items: int) -> Request:
        """The next request of so many items."""
        ...


class Delivery(NamedTuple):
    """What became of a request: its fate, the results if it was answered, and what went wrong in words."""

    fate: str
    results: Sequence[Mapping[str, Any]] | None = None
    problem: str = ""


Deliver = Callable[[Request], Awaitable[Delivery]]


async def send(
    plan: Plan, traffic: Requests, record: Record, transport: httpx2.AsyncBaseTransport | None = None
) -> None:
    """Carry out a plan, with one attempt for each request; `record` may be read meanwhile."""
    url = f"{plan.url.rstrip('/')}/v1/score/batch?deadline_seconds={plan.timeout:g}"
    async with client_of(plan, transport) as client:

        async def once(request: Request) -> Delivery:
            try:
                async with asyncio.timeout(plan.timeout):
                    reply = await client.post(url, content=request.body)
            except (TimeoutError, httpx2.TimeoutException):
                return Delivery("timeout")
            except httpx2.HTTPError as error:
                return Delivery("failed", None, f"{type(error).__name__}: {error}"[:120].removesuffix(": "))
            if reply.status_code != 200:
                fate = "refused" if reply.status_code in BUSY else "failed"
                return Delivery(fate, None, f"{reply.status_code} {reply.reason_phrase}")
            try:
                return Delivery("answered", from_json(reply.content)["results"])
            except (ValueError, KeyError, TypeError):
                return Delivery("answered", [], "the answer is no batch of results")

        await send_by(plan, traffic, record, once)


async def send_by(plan: Plan, traffic: Requests, record: Record, deliver: Deliver) -> None:
    """Carry out a plan, each request by `deliver`. Ends when every request has ended."""
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for due in moments(plan):
            request = traffic.request(plan.batch)
            wait = started + due - time.perf_counter()
            await asyncio.sleep(max(0.0, wait))
            record.sent += len(request.rewards)
            record.seconds = time.perf_counter() - started
            if record.in_flight >= MAX_IN_FLIGHT:
                record.problems["too many requests are under way"] += 1
                record.samples.append(Sample(due, plan.timeout, 0.0, plan.batch, "timeout"))
                continue
            record.in_flight += 1
            group.create_task(_one(deliver, request, started, due, record))
    record.seconds = max(plan.seconds, record.seconds)


async def _one(deliver: Deliver, request: Request, started: float, due: float, record: Record) -> None:
    late = time.perf_counter() - started - due
    try:
        found = await deliver(request)
    finally:
        record.in_flight -= 1
    seconds = time.perf_counter() - started - due
    record.samples.append(Sample(due, seconds, late, len(request.rewards), found.fate))
    if found.problem:
        record.problems[found.problem] += 1
    if found.results is not None:
        record.take(request, found.results)


def summary(plan: Plan, record: Record) -> dict[str, Any]:
    """Everything that can be said, as plain values. Times in milliseconds, rates in items per second."""
    answered = [sample for sample in record.samples if sample.fate == "answered"]
    refused = [sample.seconds for sample in record.samples if sample.fate == "refused"]
    times = percentiles(array("d", (sample.seconds for sample in answered)))
    # What was sent last is still on its way when the sending ends, and that is no backlog.
    end = record.seconds + times.get("p50", 0.0) / 1e3
    in_time = sum(sample.items for sample in answered if sample.due + sample.seconds <= end)
    return {
        "seconds": round(record.seconds, 3),
        "asked_rate": plan.rate,
        "batch": plan.batch,
        "arrivals": "poisson" if plan.poisson else "constant",
        "requests": dict(sorted(record.fates.items())),
        "items": {
            "sent": record.sent, "scored": record.scored, "errors": dict(record.errors), "wrong": record.wrong,
            "missing": record.missing,
        },
        "goodput": round(in_time / record.seconds, 1) if record.seconds else 0.0,
        "latency_ms": times,
        "refusal_ms": percentiles(array("d", refused)),
        "generator_late_ms": percentiles(array("d", (sample.late for sample in record.samples))),
        "problems": dict(record.problems.most_common(20)),
        "wrong_examples": list(record.examples),
        "clean": record.clean,
    }  # fmt: skip

"""`score_batch`: a durable batch that outlives connections, refusals and a service that forgets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from reward_service.client import AsyncClient, Client, ClientError, Reward
from reward_service.client.durable import BatchRun
from reward_service.types import Reason, accept
from reward_service.wire import encode, result
from tests.gateway.rollouts import item

Handler = Callable[[httpx2.Request], httpx2.Response]
ScoreBatch = Callable[..., list[Reward]]


@pytest.fixture(params=["sync", "async"])
def score_batch(request: pytest.FixtureRequest) -> ScoreBatch:
    """Both clients behind one function."""

    def run(url: str, items: list[Any], handler: Handler | None = None, **options: Any) -> list[Reward]:
        transport = httpx2.MockTransport(handler) if handler is not None else None
        if request.param == "sync":
            with Client(url, transport=transport) as client:
                return client.score_batch(items, **options)

        async def with_async() -> list[Reward]:
            async with AsyncClient(url, transport=transport) as client:
                return await client.score_batch(items, **options)

        return asyncio.run(with_async())

    return run


class Service:
    """A service that keeps batches, and misbehaves as told: after so many lines it cuts, forgets or is busy."""

    def __init__(self, trouble: list[str]) -> None:
        self.trouble = trouble
        self.batches: dict[str, list[dict[str, Any]]] = {}
        self.created = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            key = request.headers["idempotency-key"]
            self.created += 1
            self.batches[key] = [json.loads(line) for line in request.content.splitlines()]
            return httpx2.Response(200, json={"id": key})
        key = request.url.path.split("/")[3]
        trouble = self.trouble.pop(0) if self.trouble else ""
        if trouble == "busy":
            return httpx2.Response(503, headers={"retry-after": "0"})
        if trouble == "forget":
            self.batches.clear()
        if key not in self.batches:
            return httpx2.Response(404, json={"title": "Not found", "detail": "no such batch"})
        items = self.batches[key]
        start = int(request.url.params.get("cursor", "c0")[1:])
        order = list(reversed(range(len(items))))[start : start + 2 if trouble == "cut" else None]
        lines = [
            encode({**result(accept(items[place]["response"]), place, place), "cursor": f"c{start + n + 1}"})
            for n, place in enumerate(order)
        ]
        return httpx2.Response(200, content=b"\n".join(lines) + b"\n")


def test_line_ends_inside_a_result_end_no_line(score_batch: ScoreBatch) -> None:
    """A response may hold what many libraries take for a line end; it must not cost the others their results."""
    texts = ["a\u2028b", "c\x0cd\x85e", "f\x1cg\u2029"]
    found = score_batch("http://s", [{"data_source": "d", "response": text} for text in texts], Service([]))
    assert [reward.extracted for reward in found] == texts


def test_against_the_real_service(url: str, score_batch: ScoreBatch) -> None:
    seen: list[tuple[int, int]] = []
    items = [item(n, n % 3 > 0) for n in range(500)]
    rewards = score_batch(url, items, deadline_seconds=60, progress=lambda *now: seen.append(now))
    assert [reward.score for reward in rewards] == [float(n % 3 > 0) for n in range(500)]
    assert seen[-1] == (500, 500)
    assert score_batch(url, items, deadline_seconds=60) == rewards  # the same batch again


@pytest.mark.parametrize(
    "trouble", [[], ["cut", "cut"], ["busy"], ["forget"], ["cut", "forget", "busy", "cut"]]
)
def test_nothing_on_the_way_loses_a_result(score_batch: ScoreBatch, trouble: list[str]) -> None:
    service = Service(list(trouble))
    items = [item(n) for n in range(7)]
    rewards = score_batch("http://test", items, service, deadline_seconds=30)
    assert [reward.extracted for reward in rewards] == [one["response"] for one in items]
    assert service.created == 1 + trouble.count("forget")


def test_a_deadline_ends_it_without_a_score(score_batch: ScoreBatch) -> None:
    rewards = score_batch("http://test", [item(1)], Service(["busy"] * 1_000), deadline_seconds=1.0)
    assert (rewards[0].score, rewards[0].reason) == (None, Reason.SERVICE_UNREACHABLE)
    rewards = score_batch("http://127.0.0.1:9", [item(1)], deadline_seconds=0.5)
    assert rewards[0].score is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx2.Response(422, json={"title": "No items", "detail": "line 1"}),
        lambda _: httpx2.Response(401),
        lambda _: httpx2.Response(200, text="hello"),
    ],
)
def test_mistakes_are_raised(score_batch: ScoreBatch, answer: Handler) -> None:
    with pytest.raises(ClientError):
        score_batch("http://test", [item(1)], answer, deadline_seconds=5)


def test_no_items_no_request(score_batch: ScoreBatch) -> None:
    assert score_batch("http://nowhere.invalid", []) == []


def test_the_key_is_the_items_own_hash_unless_given() -> None:
    first, again, other = (
        BatchRun([item(1)], 1, None, "1h"),
        BatchRun([item(1)], 1, None, "1h"),
        BatchRun([item(2)], 1, None, "1h"),
    )
    assert first.key == again.key != other.key
    assert BatchRun([item(1)], 1, "mine", "1h").key == "mine"


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "x",
        '{"index": 9, "cursor": "c1"}',
        '{"index": 0, "cursor": "c1", "status": "scored", "score": null, "reason": "equal"}',
    ],
)
def test_lines_that_are_no_results_are_refused(line: str) -> None:
    with pytest.raises(ClientError):
        BatchRun([item(1)], 5, None, "1h").line(line)

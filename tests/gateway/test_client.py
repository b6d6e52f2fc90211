"""The clients: order, outages that are never a score, mistakes that are raised, and use from strange places."""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

import reward_service.client
from reward_service.client import (
    AsyncClient,
    Client,
    ClientError,
    Reward,
    advantages,
    group_statistics,
    scores,
    valid_mask,
)
from reward_service.client.protocol import Call, backoff, chunks, retry_after, unscored
from reward_service.types import Reason, Status, accept, cannot_judge
from reward_service.wire import encode, result
from tests.gateway.rollouts import item

Handler = Callable[[httpx2.Request], httpx2.Response]
Score = Callable[..., list[Reward]]


@pytest.fixture(params=["sync", "async"])
def score(request: pytest.FixtureRequest) -> Score:
    """Both clients behind one function: (url, items, transport handler, options) -> rewards."""

    def run(url: str, items: list[Any], handler: Handler | None = None, **options: Any) -> list[Reward]:
        transport = httpx2.MockTransport(handler) if handler is not None else None
        call = {name: options.pop(name) for name in ("progress",) if name in options}
        if request.param == "sync":
            with Client(url, transport=transport, **options) as client:
                return client.score(items, **call)

        async def with_async() -> list[Reward]:
            async with AsyncClient(url, transport=transport, **options) as client:
                return await client.score(items, **call)

        return asyncio.run(with_async())

    return run


def good(request: httpx2.Request) -> httpx2.Response:
    """A service that accepts everything and says what it got."""
    items = json.loads(request.content)["items"]
    results = [result(accept(one["response"]), place, None) for place, one in enumerate(items)]
    return httpx2.Response(200, content=encode({"results": results}))


def test_the_public_names_are_complete_and_sorted() -> None:
    assert sorted(reward_service.client.__all__) == reward_service.client.__all__
    for name in reward_service.client.__all__:
        assert getattr(reward_service.client, name).__doc__


def test_rewards_in_the_order_of_the_items(url: str, score: Score) -> None:
    seen: list[tuple[int, int]] = []
    rewards = score(
        url,
        [item(n, n % 3 > 0) for n in range(1_000)],
        chunk_items=100,
        compress=True,
        progress=lambda *now: seen.append(now),
    )
    assert [reward.score for reward in rewards] == [float(n % 3 > 0) for n in range(1_000)]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (1_000, 1_000)


def test_no_items_no_request(score: Score) -> None:
    assert score("http://nowhere.invalid", []) == []


def test_an_unjudged_item_has_no_score_and_a_reason(url: str, score: Score) -> None:
    rewards = score(url, [item(1), {**item(2), "data_source": "unknown thing"}, item(3, False)])
    assert [reward.score for reward in rewards] == [1.0, None, 0.0]
    assert (rewards[1].status, rewards[1].reason, rewards[1].valid) == (
        Status.ERROR,
        Reason.UNKNOWN_DATA_SOURCE,
        False,
    )


def test_one_unacceptable_item_costs_only_itself(url: str, score: Score) -> None:
    items: list[Any] = [item(n) for n in range(40)]
    items[17] = {"data_source": "x", "response": {"not": "text"}}
    items[31] = {"data_source": "x"}
    rewards = score(url, items)
    assert [n for n, reward in enumerate(rewards) if reward.score != 1.0] == [17, 31]
    assert rewards[17].reason is rewards[31].reason is Reason.MALFORMED_ITEM


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx2.Response(503, headers={"retry-after": "1"}),
        lambda _: httpx2.Response(429),
        lambda _: httpx2.Response(500, text="boom"),
        lambda _: httpx2.Response(502, text="<html>"),
    ],
)
def test_an_outage_is_no_score_and_no_exception(score: Score, answer: Handler) -> None:
    started = time.monotonic()
    rewards = score("http://test", [item(n) for n in range(5)], answer, deadline_seconds=0.7)
    assert time.monotonic() - started < 3
    assert [reward.score for reward in rewards] == [None] * 5
    assert {reward.reason for reward in rewards} <= {Reason.OVERLOADED, Reason.SERVICE_UNREACHABLE}
    assert all(reward.retryable for reward in rewards)


def test_no_service_at_all(score: Score) -> None:
    rewards = score("http://127.0.0.1:9", [item(1)], deadline_seconds=0.5)
    assert (rewards[0].score, rewards[0].reason) == (None, Reason.SERVICE_UNREACHABLE)


def test_it_is_tried_again_and_then_goes_through(score: Score) -> None:
    lock, tries = threading.Lock(), 0

    def flapping(request: httpx2.Request) -> httpx2.Response:
        nonlocal tries
        with lock:
            tries += 1
            if tries % 2:
                return httpx2.Response(503) if tries % 4 == 1 else _cut(request)
        return good(request)

    rewards = score("http://test", [item(n) for n in range(6)], flapping, chunk_items=2, deadline_seconds=30)
    assert [reward.score for reward in rewards] == [1.0] * 6
    assert [reward.extracted for reward in rewards] == [item(n)["response"] for n in range(6)]


def _cut(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadError("cut", request=request)


def test_items_with_a_passing_error_are_sent_again_alone(score: Score) -> None:
    sizes: list[int] = []

    def busy_once(request: httpx2.Request) -> httpx2.Response:
        items = json.loads(request.content)["items"]
        sizes.append(len(items))
        reply = good(request).json()
        if len(sizes) == 1:
            for place in (1, 3):
                reply["results"][place] |= {
                    "status": "error", "score": None, "correct": None, "reason": "sandbox_unavailable", "retryable": True,
                }  # fmt: skip
        return httpx2.Response(200, json=reply)

    rewards = score("http://test", [item(n) for n in range(5)], busy_once)
    assert sizes == [5, 2]
    assert [reward.extracted for reward in rewards] == [item(n)["response"] for n in range(5)]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx2.Response(404, text="nginx"),
        lambda _: httpx2.Response(401),
        lambda _: httpx2.Response(200, text="hello"),
        lambda _: httpx2.Response(200, json={"results": []}),
        lambda _: httpx2.Response(
            200, json={"results": [{"status": "scored", "score": None, "reason": "equal"}]}
        ),
    ],
)
def test_mistakes_of_the_caller_are_raised_and_can_be_pickled(score: Score, answer: Handler) -> None:
    with pytest.raises(ClientError) as raised:
        score("http://test", [item(1)], answer)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.status) == (str(raised.value), raised.value.status)


def test_one_client_over_several_event_loops(url: str) -> None:
    client = AsyncClient(url)
    for n in range(3):

        async def step(number: int = n) -> Reward:
            try:
                return await client.score_one(item(number))
            finally:
                await client.aclose()

        assert asyncio.run(step()).score == 1.0


def in_another_process(client: Client, pipe: Any) -> None:
    pipe.send(client.score_one(item(5)).score)


def test_a_client_goes_to_other_processes(url: str) -> None:
    client = Client(url, deadline_seconds=17)
    assert client.score_one(item(4)).score == 1.0
    again = pickle.loads(pickle.dumps(client))
    assert again._options == client._options
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=in_another_process, args=(client, theirs))
    process.start()
    assert ours.poll(30)
    assert ours.recv() == 1.0
    process.join(10)
    client.close()
    assert pickle.loads(pickle.dumps(AsyncClient(url, api_key="k")))._options.api_key == "k"


def test_a_shared_client_in_many_threads(url: str) -> None:
    client = Client(url)
    found: list[float | None] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(client.score_one(item(n)).score)) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert found == [1.0] * 20


@pytest.mark.parametrize("value", ["text", ["owl", "crow"], {"a": [1, 2]}, 7])
def test_ground_truths_are_uploaded(url: str, value: Any) -> None:
    with Client(url) as client:
        assert len(client.put_ground_truth(value)) == 64

    async def upload() -> str:
        async with AsyncClient(url) as other:
            return await other.put_ground_truth(value)

    assert len(asyncio.run(upload())) == 64


class Array:
    """Like numpy's, without numpy."""

    def tolist(self) -> list[Any]:
        return ["owl", "crow"]


def test_values_that_json_does_not_know(url: str, score: Score) -> None:
    rewards = score(
        url,
        [
            {**item(1), "ground_truth": Array()},
            {**item(2), "ground_truth": ("owl", "crow")},
            {**item(3), "response": "\ud800 <answer>['owl', 'crow']</answer>"},
            {**item(4), "extra_info": {"x": math.nan}},
        ],
    )
    assert [reward.score for reward in rewards][:2] == [1.0, 1.0]
    assert rewards[3].score == 1.0
    assert rewards[2].score in (1.0, None)


# Without input or output


def test_chunks_are_even_and_bounded() -> None:
    assert [len(chunk.places) for chunk in chunks([{"response": "x"}] * 600, 256)] == [200, 200, 200]
    large = list(chunks([{"response": "x" * (4 << 20)}] * 3))
    assert [chunk.places for chunk in large] == [[0], [1], [2]]
    assert json.loads(next(chunks([{"response": "ä"}])).content) == {"items": [{"response": "ä"}]}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("3", 3),
        ("-1", 0),
        ("nan", 0),
        ("1e9", 3600),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("soon", 0),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_waits_grow_to_half_a_minute_and_no_further_however_often() -> None:
    assert all(0.25 <= backoff(1) <= 0.75 for _ in range(50))
    assert all(15 <= backoff(attempt) <= 45 for attempt in (8, 20, 5_000, 10**9))


def reward(value: float | None) -> Reward:
    if value is None:
        return unscored(Reason.DEADLINE, "late")
    return Reward(value, Status.SCORED, Reason.EQUAL)


def test_masks_and_statistics_leave_out_what_was_not_judged() -> None:
    rewards = [reward(value) for value in (1.0, None, 0.0, 1.0, None, None)]
    groups = ["a", "a", "a", "b", "b", "c"]
    assert valid_mask(rewards) == [True, False, True, True, False, False]
    assert scores(rewards, missing=-1.0) == [1.0, -1.0, 0.0, 1.0, -1.0, -1.0]
    found = group_statistics(rewards, groups)
    assert found["a"] == (2, 0.5, 0.5)
    assert found["b"].constant
    assert (found["c"].valid, math.isnan(found["c"].mean), found["c"].constant) == (0, True, True)
    assert advantages(rewards, groups) == pytest.approx([1.0, 0.0, -1.0, 0.0, 0.0, 0.0], abs=1e-5)
    with pytest.raises(ValueError, match="zip"):
        group_statistics(rewards, groups[:-1])


@pytest.mark.parametrize("attempts", [1, 6, 40])
def test_an_outage_that_ends_before_the_deadline_costs_nothing(attempts: int) -> None:
    # The pause never skips the rest of the time: there is always one more try.
    call = Call([item(1)], 8.0)
    (chunk,) = call.to_send
    chunk.attempts = attempts
    again, pause = call.failed(chunk, "refused")
    assert again == [chunk]
    assert 0.0 < pause <= 4.0


def test_an_item_that_a_busy_machine_could_not_judge_in_time_is_sent_again(score: Score) -> None:
    tries = 0

    def busy_once(request: httpx2.Request) -> httpx2.Response:
        nonlocal tries
        tries += 1
        outcome = cannot_judge(Reason.DEADLINE, "the machine was too busy") if tries == 1 else accept("x")
        return httpx2.Response(200, content=encode({"results": [result(outcome, 0, None)]}))

    assert [reward.score for reward in score("http://test", [item(1)], busy_once)] == [1.0]
    assert tries == 2

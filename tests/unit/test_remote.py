"""Scoring on a service: what is retried, what is refused for good, and what ends the run. Never a made-up score."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
import zstandard

from reward_service.bulk import Stopped
from reward_service.remote import Service, backoff, retry_after, wire_item
from reward_service.types import Reason, accept, cannot_judge
from reward_service.wire import ItemIn, result

Answer = Callable[[list[dict[str, Any]]], httpx2.Response]


FORGED = {**json.loads(json.dumps(result(accept("x"), 0, None), default=dict)), "status": "error"}
"""A score beside an error."""


def items(count: int, **more: Any) -> list[ItemIn]:
    return [ItemIn(data_source="d", response=f"r{number}", **more) for number in range(count)]


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(answer, default=dict))


class Fake:
    """A service that gives the next of its answers, the last one for ever. `waits` are the pauses asked for."""

    def __init__(self, *answers: Answer | httpx2.Response | Exception, patience: float = 300.0) -> None:
        self.answers = list(answers)
        self.asked: list[list[dict[str, Any]]] = []
        self.waits: list[float] = []
        self.said: list[str] = []
        self.service = Service(
            "http://service/",
            patience=patience,
            say=self.said.append,
            transport=httpx2.MockTransport(self.answer),
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.waits.append(seconds)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        assert str(request.url) == "http://service/v1/score/batch?deadline_seconds=600"
        body = zstandard.ZstdDecompressor().decompress(request.content)
        asked = json.loads(body)["items"]
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx2.Response) else answer(asked)

    async def score(self, batch: list[ItemIn]) -> list[Any]:
        async with self.service as service:
            return [(one["score"], one["reason"]) for one in await service.score(batch)]


def good_json(asked: list[dict[str, Any]]) -> httpx2.Response:
    results = [plain(result(accept(item["response"]), 0, None)) for item in asked]
    return httpx2.Response(200, json={"results": results})


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.Response(429, headers={"retry-after": "7"}),
        httpx2.Response(503, headers={"retry-after": "7"}),
        httpx2.Response(502),
        httpx2.Response(504),
        httpx2.Response(500),
        httpx2.ConnectError("refused"),
        httpx2.ReadError("cut"),
        httpx2.RemoteProtocolError("half an answer"),
        httpx2.ReadTimeout("slow"),
    ],
)
async def test_trouble_that_passes_costs_nothing(trouble: Any) -> None:
    fake = Fake(trouble, good_json)
    assert await fake.score(items(3)) == [(1.0, "equal")] * 3
    assert len(fake.asked) == 2 and fake.asked[0] == fake.asked[1]
    if getattr(trouble, "headers", {}).get("retry-after"):
        assert fake.waits == [7.0]
    else:
        assert len(fake.waits) == 1 and 0.0 < fake.waits[0] < 1.0


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (
            httpx2.Response(503, json={"title": "Not now", "detail": "restarting"}),
            "503 .*Not now: restarting",
        ),
        (httpx2.ConnectError("refused"), "ConnectError: refused"),
        (httpx2.Response(429, headers={"retry-after": "9999"}), "429"),
    ],
)
async def test_patience_ends_the_run(trouble: Any, words: str) -> None:
    with pytest.raises(Stopped, match=words):
        await Fake(trouble, patience=0.1).score(items(3))


async def test_what_is_waited_for_is_said_once() -> None:
    busy, cut = httpx2.Response(503), httpx2.ReadError("cut")
    fake = Fake(busy, busy, busy, cut, good_json)
    await fake.score(items(1))
    assert fake.said == [
        "waiting for http://service: 503 Service Unavailable",
        "waiting for http://service: ReadError: cut",
    ]


async def test_a_service_that_never_answered_is_given_up_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward_service.remote.FIRST_PATIENCE", 0.0)
    with pytest.raises(Stopped, match="refused"):
        await Fake(httpx2.ConnectError("refused")).score(items(1))
    fake = Fake(good_json, httpx2.ConnectError("refused"), httpx2.ConnectError("refused"), good_json)
    async with fake.service as service:
        for _ in range(2):
            assert (await service.score(items(1)))[0]["score"] == 1.0


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 415, 501])
async def test_what_waiting_can_not_mend_ends_the_run_at_once(status: int) -> None:
    fake = Fake(httpx2.Response(status))
    with pytest.raises(Stopped, match=f"can't be used: {status}"):
        await fake.score(items(3))
    assert fake.waits == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>welcome</html>"),
        httpx2.Response(200, json={"results": []}),
        httpx2.Response(200, json={"results": [{"score": 1.0}, {"score": 1.0}]}),
        httpx2.Response(200, json=[1.0, 1.0]),
        httpx2.Response(200, json={"results": None}),
        httpx2.Response(200, json={"results": [1, 2]}),
        httpx2.Response(200, json={"results": [FORGED, FORGED]}),
    ],
)
async def test_another_server_gives_no_scores(answer: httpx2.Response) -> None:
    with pytest.raises(Stopped, match="is it this service"):
        await Fake(answer).score(items(2))


@pytest.mark.parametrize(
    ("status", "reason"), [(413, "malformed_item"), (422, "malformed_item"), (500, "internal")]
)
async def test_a_row_that_the_service_refuses_costs_itself_alone(status: int, reason: str) -> None:
    def choosy(asked: list[dict[str, Any]]) -> httpx2.Response:
        if any(item["response"] == "r5" for item in asked):
            return httpx2.Response(status, json={"title": "No", "detail": "not this one"})
        return good_json(asked)

    found = await Fake(choosy).score(items(9))
    assert [place for place, one in enumerate(found) if one != (1.0, "equal")] == [5]
    assert found[5] == (None, reason)


async def test_items_that_are_worth_a_retry_are_sent_again_alone() -> None:
    def shutting_down(asked: list[dict[str, Any]]) -> httpx2.Response:
        outcomes = [
            accept(item["response"])
            if item["response"] != "r1"
            else cannot_judge(Reason.OVERLOADED, "stopping")
            for item in asked
        ]
        return httpx2.Response(200, json={"results": [plain(result(one, 0, None)) for one in outcomes]})

    fake = Fake(shutting_down, good_json)
    assert await fake.score(items(3)) == [(1.0, "equal")] * 3
    assert [[item["response"] for item in asked] for asked in fake.asked] == [["r0", "r1", "r2"], ["r1"]]

    fake = Fake(shutting_down)
    assert (await fake.score(items(3)))[1] == (None, "overloaded")
    assert len(fake.asked) == 3


async def test_a_large_batch_is_sent_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward_service.remote.BODY_BYTES", 1_000)
    fake = Fake(good_json)
    assert await fake.score(items(8, ground_truth="x" * 300)) == [(1.0, "equal")] * 8
    assert [item["response"] for asked in fake.asked for item in asked] == [
        f"r{number}" for number in range(8)
    ]
    assert len(fake.asked) == 4


def test_what_is_sent_of_a_row() -> None:
    row = ItemIn.model_validate(
        {
            "id": 7,
            "data_source": "d",
            "solution_str": None,
            "reward_model": {"ground_truth": [1]},
            "extra_info": {"question": "q"},
            "prompt": "p",
            "unknown": "column",
        }
    )
    assert wire_item(row) == {
        "response": None,
        "data_source": "d",
        "ground_truth": [1],
        "extra_info": {"question": "q"},
        "prompt": "p",
        "profile": "strict",
    }


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 0), ("", 0), ("3", 3), ("0.5", 0.5), ("-4", 0), ("nan", 0), ("1e9", 3600), ("soon", 0)],
)
def test_retry_after(value: str | None, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_retry_after_as_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < retry_after(at) <= 60
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_backoff_grows_to_a_bound() -> None:
    assert 0.25 <= backoff(1) <= 0.75
    assert max(backoff(attempt) for attempt in range(1, 2_000)) <= 45.0

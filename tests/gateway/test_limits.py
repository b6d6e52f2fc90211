"""What the gateway refuses, how it says so, and that refusing costs nobody else anything."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import zstandard
from starlette.requests import Request

from reward_service.engine.fleet import TENANT
from reward_service.errors import PROBLEMS, Overloaded, TooSlow
from reward_service.gateway import middleware
from reward_service.gateway.admission import Admission

ITEM = {"data_source": "logic__ordering_puzzle", "response": "<answer>['a']</answer>", "ground_truth": ["a"]}
ALIVE = json.dumps(ITEM)


def problem(reply: httpx2.Response, name: str) -> dict[str, Any]:
    body: dict[str, Any] = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:reward-service:problem:{name}"
    assert reply.status_code == body["status"] == PROBLEMS[name].status
    assert body["title"] == PROBLEMS[name].title
    assert body["advice"] == PROBLEMS[name].advice
    assert body["request_id"] == reply.headers["x-request-id"]
    return body


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"items": [1,]}', b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("route", ["/v1/score", "/v1/score/batch"])
def test_no_json(http: httpx2.Client, route: str, body: bytes) -> None:
    problem(http.post(route, content=body), "invalid-json")


@pytest.mark.parametrize(
    ("items", "item", "field"),
    [
        ([ITEM, {**ITEM, "response": 7}], 1, "response"),
        ([ITEM, ITEM, {"data_source": "x"}], 2, "response"),
        ([{**ITEM, "data_source": 1}], 0, "data_source"),
        ([{**ITEM, "extra_info": [1]}], 0, "extra_info"),
        ([{**ITEM, "profile": "kind"}], 0, "profile"),
        ([{**ITEM, "ground_truth_ref": "abc"}], 0, "ground_truth_ref"),
    ],
)
def test_a_malformed_item_is_named_with_its_field(
    http: httpx2.Client, items: list[Any], item: int, field: str
) -> None:
    body = problem(http.post("/v1/score/batch", json={"items": items}), "invalid-body")
    (error,) = body["errors"]
    assert (error["item"], error["field"]) == (item, field)
    assert error["pointer"].startswith(f"/items/{item}/{field}")
    assert f"/items/{item}/" in body["detail"]


def test_what_was_sent_is_never_quoted(http: httpx2.Client) -> None:
    reply = http.post("/v1/score", json={**ITEM, "response": {"secret": "s3cr3t"}})
    assert "s3cr3t" not in reply.text


@pytest.mark.parametrize("body", [{"item": []}, {"items": {}}, {"items": [], "deadline_seconds": -1}, []])
def test_a_batch_of_another_shape(http: httpx2.Client, body: object) -> None:
    problem(http.post("/v1/score/batch", json=body), "invalid-body")


def test_too_many_items(http: httpx2.Client) -> None:
    body = problem(http.post("/v1/score/batch", json={"items": [ITEM] * 301}), "too-large")
    assert "300" in body["detail"]


@pytest.mark.parametrize("declared", [True, False])
def test_too_many_bytes(http: httpx2.Client, declared: bool) -> None:
    body = json.dumps({**ITEM, "response": "x" * (1 << 20)}).encode()
    problem(http.post("/v1/score", content=body if declared else iter([body])), "too-large")
    assert http.post("/v1/score", content=ALIVE).json()["score"] == 1.0


BOMB = b'{"items": [' + b" " * (64 << 20)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("name", "body"), [("gzip", gzip.compress(BOMB)), ("zstd", zstandard.ZstdCompressor().compress(BOMB))]
)
def test_f18_bombs(
    http: httpx2.Client, name: str, body: bytes, record_property: Callable[[str, object], None]
) -> None:
    assert len(body) < 1 << 17
    record_property("figures", f"{len(body) >> 10} KiB of {name} that hold 64 MiB: 413")
    problem(http.post("/v1/score/batch", content=body, headers={"content-encoding": name}), "too-large")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gzip", b"plain"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4]),
        ("gzip", zlib.compress(b"{}")),
        ("zstd", b"plain"),
    ],
)
def test_broken_compression(http: httpx2.Client, name: str, body: bytes) -> None:
    problem(http.post("/v1/score", content=body, headers={"content-encoding": name}), "invalid-encoding")


@pytest.mark.parametrize(
    "headers",
    [{"content-encoding": "br"}, {"content-type": "text/csv"}, {"content-type": "multipart/form-data"}],
)
def test_unsupported_kinds(http: httpx2.Client, headers: dict[str, str]) -> None:
    problem(http.post("/v1/score", content=ALIVE, headers=headers), "unsupported-media-type")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded"]
)
def test_what_curl_sends_is_taken(http: httpx2.Client, kind: str) -> None:
    assert http.post("/v1/score", content=ALIVE, headers={"content-type": kind}).json()["score"] == 1.0


@pytest.mark.parametrize("asked", ["0", "-1", "nan", "inf", "soon", "1e12"])
def test_deadlines_that_are_none(http: httpx2.Client, asked: str) -> None:
    reply = http.post("/v1/score", content=ALIVE, params={"deadline_seconds": asked})
    assert problem(reply, "invalid-body")["errors"][0]["pointer"] == "/query/deadline_seconds"


def test_a_deadline_that_is_over_is_an_error_of_each_item(http: httpx2.Client) -> None:
    item = {**ITEM, "response": "never seen before <answer>['a']</answer>"}
    reply = http.post("/v1/score/batch", json={"items": [item]}, params={"deadline_seconds": "1e-9"})
    (result,) = reply.json()["results"]
    assert (result["status"], result["reason"], result["score"], result["retryable"]) == (
        "error", "deadline", None, True,
    )  # fmt: skip
    # Not cached: the same item is judged when there is time.
    assert http.post("/v1/score", json=item).json()["score"] == 1.0


def test_unknown_routes_and_methods(http: httpx2.Client) -> None:
    problem(http.get("/v2/score"), "not-found")
    reply = http.get("/v1/score")
    problem(reply, "method-not-allowed")
    assert "POST" in reply.headers["allow"]


@pytest.mark.parametrize(
    ("given", "echoed"),
    [
        ("run-7/step:3", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("with space", False),
        ("<script>", False),
        ("", False),
    ],
)
def test_request_ids(http: httpx2.Client, given: str, echoed: bool) -> None:
    for reply in (
        http.post("/v1/score", content=ALIVE, headers={"x-request-id": given}),
        http.get("/nothing", headers={"x-request-id": given}),
    ):
        assert (reply.headers["x-request-id"] == given) is echoed
        assert reply.headers["x-request-id"]


# Admission


async def test_beyond_the_limit_requests_are_told_when_to_come_back() -> None:
    admission = Admission(10)
    async with admission.admit(8, wait=False):
        with pytest.raises(Overloaded) as refused:
            async with admission.admit(3, wait=False):
                pass
        assert refused.value.retry_after is not None
        assert 1.0 <= refused.value.retry_after <= 60.0
        async with admission.admit(2, wait=False):
            assert admission.under_way == 10
    assert admission.under_way == 0


async def test_who_cannot_make_its_deadline_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward_service.gateway.admission.LEAST_SECONDS", 0.1)
    started = time.monotonic()
    admission = Admission(100_000, lambda: int(1_000 * (time.monotonic() - started)))  # a thousand a second
    async with admission.admit(5_000, wait=False, seconds=1.0):  # nothing is known yet
        assert admission.expected_seconds(0) is None
        await asyncio.sleep(0.2)
        expected = admission.expected_seconds(0)
        assert expected is not None and 3.0 < expected < 8.0
        with pytest.raises(Overloaded, match="it has 2"):
            async with admission.admit(10, wait=False, seconds=2.0):
                pass
        async with admission.admit(10, wait=False, seconds=60.0), admission.admit(10, wait=True, seconds=2.0):
            pass  # who has the time, and a stream, which waits
    async with admission.admit(10, wait=False, seconds=0.01):
        assert admission.expected_seconds(0) is None  # too little to tell


async def test_a_queue_that_stands_may_be_less_long_than_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward_service.gateway.admission.LEAST_SECONDS", 0.1)
    monkeypatch.setattr("reward_service.gateway.admission.STANDING_SECONDS", 0.5)
    started = time.monotonic()
    admission = Admission(100_000, lambda: int(1_000 * (time.monotonic() - started)))  # a thousand a second

    async def let_in(seconds: float) -> bool:
        try:
            async with admission.admit(10, wait=False, seconds=seconds):
                return True
        except Overloaded:
            return False

    async with admission.admit(5_000, wait=False):
        await asyncio.sleep(0.3)
        assert await let_in(10.0)  # some five seconds of the ten that it has: a burst
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            assert not await let_in(1.0)
            await asyncio.sleep(0.05)
        assert not await let_in(10.0) and await let_in(30.0)
        await asyncio.sleep(0.7)  # nobody was refused meanwhile
        assert await let_in(10.0)


async def test_what_stands_still_says_nothing() -> None:
    admission = Admission(100_000)
    async with admission.admit(5_000, wait=False):
        await asyncio.sleep(0.6)
        async with admission.admit(10, wait=False, seconds=0.1):
            pass


async def test_a_request_larger_than_the_limit_is_let_in_alone() -> None:
    admission = Admission(10)
    async with admission.admit(50, wait=False):
        with pytest.raises(Overloaded):
            async with admission.admit(1, wait=False):
                pass
    async with admission.admit(1, wait=False):
        with pytest.raises(Overloaded):
            async with admission.admit(50, wait=False):
                pass


async def test_streams_wait_for_their_turn_in_order_and_cancelled_ones_leave_no_hole() -> None:
    admission = Admission(10)
    order: list[int] = []

    async def stream(number: int) -> None:
        async with admission.admit(6, wait=True):
            order.append(number)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(stream(number)) for number in range(6)]
    await asyncio.sleep(0.005)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 3, 4, 5]
    assert admission.under_way == 0


async def test_retry_after_follows_the_rate_at_which_items_leave() -> None:
    admission = Admission(100)
    for _ in range(20):
        async with admission.admit(10, wait=False):
            await asyncio.sleep(0.001)
    fast = admission.retry_after(10)
    assert fast == 1.0
    slow = Admission(100)
    async with slow.admit(1, wait=False):
        await asyncio.sleep(0.01)
    async with slow.admit(100, wait=False):
        assert slow.retry_after(10) > fast


async def test_one_tenant_can_not_have_all_places_and_tenants_take_turns() -> None:
    admission = Admission(100)
    order: list[str] = []
    go = asyncio.Event()

    async def request(tenant: str, items: int, wait: bool = True) -> None:
        TENANT.set(tenant)
        async with admission.admit(items, wait=wait):
            order.append(tenant)
            await go.wait()

    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    greedy = [asyncio.create_task(request("greedy", 45)) for _ in range(10)]
    await settle()
    assert admission.under_way == 90
    with pytest.raises(Overloaded, match="90 items of this key's name"):
        await asyncio.create_task(request("greedy", 10, wait=False))
    others = [asyncio.create_task(request("other", 10, wait=False))]  # a tenth is kept for it
    await settle()
    assert admission.under_way == 100
    others += [asyncio.create_task(request("other", 45)) for _ in range(3)]
    await settle()
    assert order == ["greedy", "greedy", "other"]
    go.set()
    await asyncio.gather(*greedy, *others)
    assert len(order) == 14 and admission.under_way == 0 and not admission._held and not admission._waiting
    assert "other" in order[3:6], "it waits for one turn, not for all that came before"


async def test_who_waited_and_gave_up_leaves_nothing_behind() -> None:
    admission = Admission(10)
    TENANT.set("a")
    async with admission.admit(9, wait=False):
        waiting = asyncio.create_task(admission.admit(5, wait=True).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not admission._waiting
    assert admission.under_way == 0


async def test_a_body_that_does_not_go_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.05)
    begun = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if begun.is_set():
            await asyncio.sleep(60)
        begun.set()
        return {"type": "http.request", "body": b"{", "more_body": True}

    def request() -> Request:
        begun.clear()
        return Request({"type": "http", "method": "POST", "headers": []}, receive)

    with pytest.raises(TooSlow):
        await middleware.whole_body(request(), 100, 100)
    with pytest.raises(TooSlow):
        async for piece in middleware.pieces(request(), None, None, silent=0.05):
            assert piece == b"{"
    assert begun.is_set()
    assert PROBLEMS[TooSlow.problem].status == 408


def test_a_slow_body_is_waited_for(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    body = ALIVE.encode()
    head = (
        f"POST /v1/score HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(head.encode())
        for at in range(0, len(body), 20):
            slow.sendall(body[at : at + 20])
            time.sleep(0.02)
        reply = b""
        while piece := slow.recv(65_536):
            reply += piece
    assert reply.startswith(b"HTTP/1.1 200 ")

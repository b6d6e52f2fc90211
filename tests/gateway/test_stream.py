"""NDJSON in, NDJSON out: order, bad lines, clients that read late or leave, and memory that doesn't grow."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.engine.scorer import Scored
from reward_service.gateway import stream
from reward_service.gateway.stream import Spool, answer, lines
from reward_service.types import Reason, accept
from reward_service.wire import ItemIn

NDJSON = {"content-type": "application/x-ndjson"}


def row(number: int, right: bool = True) -> dict[str, Any]:
    words = ["owl", "crow"] if right else ["crow", "owl"]
    return {
        "id": number,
        "data_source": "logic__ordering_puzzle",
        "response": f"{number}: <answer>{words}</answer>",
        "ground_truth": ["owl", "crow"],
    }


def post(http: httpx2.Client, body: bytes | Iterator[bytes], **headers: str) -> list[dict[str, Any]]:
    reply = http.post("/v1/score/batch", content=body, headers={**NDJSON, **headers})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == NDJSON["content-type"]
    return [json.loads(line) for line in reply.text.split("\n") if line]


def encoded(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in rows).encode()


def test_results_come_in_the_order_of_the_lines_and_without_a_cap(http: httpx2.Client) -> None:
    results = post(http, encoded([row(n, n % 2 == 0) for n in range(3_000)]))
    assert [result["id"] for result in results] == list(range(3_000))
    assert [result["index"] for result in results] == list(range(3_000))
    assert [result["score"] for result in results] == [float(n % 2 == 0) for n in range(3_000)]


def test_a_bad_line_is_an_error_in_its_place_and_the_stream_goes_on(http: httpx2.Client) -> None:
    body = b"\n".join(
        [
            json.dumps(row(0)).encode(),
            b"{not json",
            b"",
            json.dumps({"id": "no response", "data_source": "x"}).encode(),
            b"[1, 2]",
            b"\xff\xfe",
            json.dumps(row(6)).encode(),
        ]
    )
    results = post(http, body)
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4, 5]
    assert [result["reason"] for result in results] == ["equal", *["malformed_item"] * 4, "equal"]
    bad = results[1]
    assert (bad["status"], bad["score"], bad["retryable"], bad["detail"]["line"]) == ("error", None, False, 2)
    assert "line 4" in results[2]["detail"]["message"]
    assert "response" in results[2]["detail"]["message"]


def test_a_line_that_is_too_long_is_an_error_in_its_place(http: httpx2.Client) -> None:
    long = {**row(1), "response": "x" * (5 << 20)}
    results = post(http, encoded([row(0), long, row(2)]))
    assert [result["reason"] for result in results] == ["equal", "malformed_item", "equal"]


@pytest.mark.parametrize("cut", [10, 40])
def test_a_body_that_is_cut_off_says_so_in_a_last_line(http: httpx2.Client, cut: int) -> None:
    body = gzip.compress(encoded([row(n) for n in range(200)]))
    results = post(http, body[:-cut], **{"content-encoding": "gzip"})
    assert results[-1]["reason"] == "malformed_item"
    assert "gzip" in results[-1]["detail"]["message"]
    assert all(result["score"] == 1.0 for result in results[:-1])


def test_a_client_that_sends_all_before_it_reads_does_not_deadlock(url: str) -> None:
    place = urlsplit(url)
    body = encoded([{**row(n), "response": "x" * 1_000 + row(n)["response"]} for n in range(20_000)])
    head = (
        f"POST /v1/score/batch HTTP/1.1\r\nHost: {place.hostname}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(head.encode() + body)
        received = bytearray()
        while data := connection.recv(1 << 20):
            received += data
    assert received.count(b'"equal"') == 20_000


def test_results_flow_while_the_request_is_still_being_sent(url: str) -> None:
    place = urlsplit(url)

    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data)

    head = (
        f"POST /v1/score/batch HTTP/1.1\r\nHost: {place.hostname}\r\nContent-Type: application/x-ndjson\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head.encode() + chunk(encoded([row(n) for n in range(600)])))
        received = bytearray()
        while received.count(b'"equal"') < 256:  # whole groups of the 600 that were sent
            received += connection.recv(1 << 20)
        connection.sendall(chunk(encoded([row(600)])) + chunk(b""))
        while data := connection.recv(1 << 20):
            received += data
    assert received.count(b'"equal"') == 601


def test_a_client_that_leaves_frees_its_places(http: httpx2.Client, url: str) -> None:
    place = urlsplit(url)
    body = encoded(
        [
            {"data_source": "table__hitab", "response": f"\\boxed{{{n}}}", "ground_truth": "1"}
            for n in range(5_000)
        ]
    )
    head = (
        f"POST /v1/score/batch HTTP/1.1\r\nHost: {place.hostname}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {10 * len(body)}\r\n\r\n"
    )
    for _ in range(5):
        with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
            connection.sendall(head.encode() + body)
    until = time.monotonic() + 10
    while http.get("/v1/info").json()["items_in_flight"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(post(http, encoded([row(1)]))) == 1


# The pieces


@given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
async def test_lines_do_not_depend_on_how_the_bytes_arrive(parts: list[bytes], longest: int) -> None:
    async def arrive(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    whole = b"".join(parts)
    expected = [None if len(line) > longest else line for line in whole.split(b"\n")]
    if not whole.split(b"\n")[-1]:
        expected.pop()
    assert [line async for line in lines(arrive(parts), longest)] == expected


@given(st.lists(st.integers(0, 300), max_size=30), st.integers(50, 200))
def test_pieces_are_small_and_end_where_lines_do(lengths: list[int], most: int) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "PIECE_BYTES", most)
        pieces = list(stream.pieces_of(data))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= most for piece in pieces)
    if max(lengths, default=0) < most:
        assert all(piece.endswith(b"\n") for piece in pieces)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(0, 60))
async def test_a_spool_gives_back_what_was_put_in_order(pieces: list[bytes], memory: int) -> None:
    spool = Spool(memory)
    for piece in pieces:
        spool.put(piece)
    spool.end()
    out = b""
    while data := await spool.get():
        out += data
    spool.close()
    assert out == b"".join(pieces)


async def test_a_full_spool_holds_reading_up_until_results_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SPOOL_BYTES", 2 << 20)
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for number in range(80):
            read = number
            yield encoded([row(number * 256 + place) for place in range(256)])

    async def score(items: Sequence[ItemIn]) -> list[Scored]:
        await asyncio.sleep(0)
        return [Scored(accept("x" * 400), "s", "d") for _ in items]

    reply = answer(body(), 1 << 20, score)
    out = [await anext(reply)]
    await asyncio.sleep(0.5)
    held_up_at = read
    async for data in reply:
        out.append(data)
    assert held_up_at < 60 and read == 79
    assert [json.loads(line)["index"] for line in b"".join(out).splitlines()] == list(range(80 * 256))


async def test_a_defect_in_scoring_ends_the_stream_with_an_exception() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield encoded([row(1)])

    async def score(_: Sequence[ItemIn]) -> list[Scored]:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        async for _ in answer(body(), 1 << 20, score):
            pass


async def test_groups_are_scored_while_others_are_read_but_only_a_few() -> None:
    under_way = most = 0

    async def body() -> AsyncIterator[bytes]:
        for number in range(4_000):
            yield encoded([row(number)])

    async def score(items: Sequence[ItemIn]) -> list[Scored]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.002)
        under_way -= 1
        return [Scored(accept("x"), "s", "d") for _ in items]

    out = b"".join([data async for data in answer(body(), 1 << 20, score)])
    assert out.count(b"\n") == 4_000
    assert 1 < most <= 5
    assert json.loads(out.splitlines()[0])["reason"] == Reason.EQUAL

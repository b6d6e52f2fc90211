"""Heads of requests that don't end, are too large, or whose trailers don't; and clients that take no answer."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from reward_service.gateway import http1, stream
from tests.gateway.conftest import live
from tests.load.measure import rss

pytestmark = pytest.mark.fault
MIB = 1 << 20
HEAD = "POST /echo HTTP/1.1\r\nhost: x\r\n"


class Slow:
    """The pieces of an endless body, and whether it was given up."""

    piece = stream.PIECE_BYTES - 16
    ended = threading.Event()


async def echo(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def endless(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * Slow.piece
                await asyncio.sleep(0)  # who is gone makes `send` return at once
        finally:
            Slow.ended.set()

    return StreamingResponse(body())


APP = Starlette(
    routes=[
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/endless", endless, methods=["GET", "POST"]),
    ]
)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Where the app listens, with a minute that lasts 0.4 s."""
    monkeypatch.setattr(http1, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(http1, "STALL_SECONDS", 0.5)
    with live(APP) as url:  # type: ignore[arg-type]
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


def opened(place: tuple[str, int]) -> socket.socket:
    return socket.create_connection(place, timeout=10)


def rest(connection: socket.socket) -> bytes:
    """All that still comes, until the service closes."""
    got = b""
    while True:
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            return got
        if not piece:
            return got
        got += piece


def problem(reply: bytes) -> tuple[int, str]:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head and b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["type"].rpartition(":")[2]


def answer(connection: socket.socket) -> bytes:
    """One answer with a length."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(1 << 16)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(1 << 16)
    return body


@pytest.mark.parametrize("said", ["", "P", HEAD, HEAD + "x-a: "], ids=["nothing", "a byte", "lines", "half"])
def test_f13_a_head_that_does_not_end_is_given_up(place: tuple[str, int], said: str) -> None:
    with opened(place) as connection:
        connection.sendall(said.encode())
        assert problem(rest(connection)) == (408, "too-slow")


def test_f13_a_head_byte_by_byte_is_given_up_all_the_same(place: tuple[str, int]) -> None:
    with opened(place) as connection:
        started = time.monotonic()
        connection.sendall(HEAD.encode() + b"x-a: ")
        with pytest.raises(OSError):
            while time.monotonic() < started + 8:
                connection.sendall(b"y")
                time.sleep(0.02)
        assert time.monotonic() - started < 5


def test_a_second_request_has_a_minute_too_and_quick_ones_are_not_hurt(place: tuple[str, int]) -> None:
    with opened(place) as connection:
        for _ in range(3):
            connection.sendall((HEAD + "content-length: 2\r\n\r\nhi").encode())
            assert answer(connection) == b"2"
            time.sleep(0.3)
        time.sleep(0.4)  # idle between requests: that is uvicorn's keep-alive, not this
        connection.sendall(b"GET /echo HT")
        assert problem(rest(connection)) == (408, "too-slow")


@pytest.mark.parametrize("body", ["content-length: 2\r\n\r\nhi", "\r\n"], ids=["with a body", "without"])
@pytest.mark.parametrize("shape", ["one header", "many headers", "path"])
def test_f18_a_head_beyond_its_size_is_refused(place: tuple[str, int], shape: str, body: str) -> None:
    size = http1.HEAD_BYTES + 4096
    many = "".join(f"x-{number}: {'y' * 90}\r\n" for number in range(size // 100))
    sent = {
        "one header": HEAD + f"x-a: {'y' * size}\r\n",
        "many headers": HEAD + many,
        "path": f"POST /echo?{'y' * size} HTTP/1.1\r\nhost: x\r\n",
    }[shape] + body
    for pieces in (1, 20):
        with opened(place) as connection:
            step = -(-len(sent) // pieces)
            try:
                for at in range(0, len(sent), step):
                    connection.sendall(sent[at : at + step].encode())
                    time.sleep(0.01 if pieces > 1 else 0)
            except OSError:
                continue  # refused before all of it was sent, and what was said is lost to a reset
            got = rest(connection)
            assert not got or problem(got) == (431, "head-too-large")


def test_f18_heads_and_trailers_without_an_end_hold_no_memory(place: tuple[str, int]) -> None:
    line = b"x-trailer: " + b"y" * 1000 + b"\r\n"
    before = rss(os.getpid())
    for begin in (
        HEAD.encode(),
        HEAD.encode() + b"x-one: ",
        HEAD.encode() + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
        HEAD.encode() + b"transfer-encoding: chunked\r\n\r\n2;",
    ):
        with opened(place) as connection:
            connection.sendall(begin)
            sent = 0
            with pytest.raises(OSError):
                while sent < 64 * MIB:
                    connection.sendall(line if begin[-1:] == b"\n" else b"y" * 1000)
                    sent += len(line)
            assert sent < 8 * MIB  # what the sockets' own buffers hold
    assert rss(os.getpid()) - before < 32 * MIB


def test_a_body_in_chunks_of_a_byte_is_a_body(place: tuple[str, int]) -> None:
    count = 40_000
    with opened(place) as connection:
        connection.sendall(HEAD.encode() + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * count)
        connection.sendall(b"0\r\nx-checksum: 1\r\n\r\n")
        assert answer(connection) == str(count).encode()


def test_many_requests_in_one_read_are_all_answered(place: tuple[str, int]) -> None:
    count = 1500  # 60 kB and more of heads
    with opened(place) as connection:
        connection.sendall(b"GET /echo HTTP/1.1\r\nhost: x\r\nx-pad: 1234567890\r\n\r\n" * count)
        got = b""
        while got.count(b"HTTP/1.1 200") < count:
            piece = connection.recv(1 << 16)
            assert piece, got[-200:]
            got += piece


def test_f13_who_takes_no_answer_is_given_up_and_little_waits_for_it(
    place: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    waited: list[int] = []
    stalled = http1.Connection._stalled

    def look(connection: http1.Connection) -> None:
        waited.append(connection.transport.get_write_buffer_size())
        stalled(connection)

    monkeypatch.setattr(http1.Connection, "_stalled", look)
    Slow.ended.clear()
    with opened(place) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        assert Slow.ended.wait(10)
    record_property("figures", f"{max(waited) >> 10} KiB wait in the service for a reader that takes nothing")
    assert 0 < max(waited) <= 64 << 10


def test_f13_who_still_sends_may_take_its_answer_later(place: tuple[str, int]) -> None:
    with opened(place) as connection:
        connection.sendall(b"POST /endless HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(20):  # twice the time after which it would be given up
            connection.sendall(b"y")
            time.sleep(0.05)
        taken = 0
        while taken < 4 * MIB:
            piece = connection.recv(1 << 20)
            assert piece
            taken += len(piece)

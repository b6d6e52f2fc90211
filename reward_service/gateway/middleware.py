"""What holds for every request: its id, its headers, its line in the log; and bodies read within their limits.

What is decided here: bytes are counted before they are parsed, on the wire and after decompression, so that
neither a large body nor a bomb is ever held. Plain ASGI: Starlette's BaseHTTPMiddleware hides disconnects.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import zstandard
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reward_service.errors import BadRequest, TooLarge, TooSlow
from reward_service.gateway.browsers import refused
from reward_service.gateway.problems import problem_response
from reward_service.gateway.weight import BODY, check_values
from reward_service.logs import NOTE, Note, RequestLog

log = logging.getLogger(__name__)

_ID = re.compile(r"^[\w.:/+=-]{1,128}$", re.ASCII)


class Requests:
    """Echo the caller's `X-Request-Id` or make one; log under it; count answers by route and status; refuse pages.

    local_names_only: see `browsers`. ending: is the service about to end? Then an answer ends its connection, so that a client
    with a pool of them goes elsewhere before they break.
    """

    def __init__(
        self,
        app: ASGIApp,
        answered: Callable[[str, int], object],
        log_requests: str = "failed",
        local_names_only: bool = False,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._answered = answered
        self._lines = RequestLog(log_requests)
        self._local_names_only = local_names_only
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        identity = given if _ID.match(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = identity
        note = Note(identity)
        token = NOTE.set(note)
        started, status = time.perf_counter(), 499

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = identity
                headers["x-content-type-options"] = "nosniff"
                headers.setdefault("cache-control", "no-store")
                if self._ending():
                    headers["connection"] = "close"
                self._answered(route_of(scope), status)
            await send(message)

        try:
            if why := refused(scope, local_names_only=self._local_names_only):
                answer = problem_response(Request(scope), "forbidden", why)
                await answer(scope, receive, send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("the client went away")
        except Exception:
            log.exception("the request failed")
            raise
        finally:
            if self._lines.wants(status, route_of(scope)):
                seconds = time.perf_counter() - started
                self._lines.add(note, scope["method"], route_of(scope), status, seconds)
            NOTE.reset(token)


def route_of(scope: Scope) -> str:
    """The route's own path, not the request's: nobody outside can make labels or write lines."""
    return str(getattr(scope.get("route"), "path", "none"))


class Decoder(Protocol):
    """Incremental decompression: lazy, so that whoever counts the pieces can stop a bomb."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data decompresses to, in pieces of bounded size."""
        ...

    def finish(self) -> None:
        """BadRequest if the stream is cut off."""
        ...


class Identity:
    """No compression."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data."""
        yield data

    def finish(self) -> None:
        """Nothing can be missing."""


class Gzip:
    """gzip (RFC 1952), also several members in a row, in pieces of at most 1 MiB."""

    def __init__(self) -> None:
        self._machine = zlib.decompressobj(wbits=31)
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data decompresses to."""
        while data:
            if self._machine.eof:
                self._machine = zlib.decompressobj(wbits=31)
            self._started = True
            try:
                piece = self._machine.decompress(data, 1 << 20)
            except zlib.error as error:
                raise BadRequest(f"not gzip: {error}", problem="invalid-encoding") from None
            data = self._machine.unused_data if self._machine.eof else self._machine.unconsumed_tail
            yield piece

    def finish(self) -> None:
        """BadRequest if the last member is cut off."""
        if self._started and not self._machine.eof:
            raise BadRequest("the gzip body is cut off", problem="invalid-encoding")


class Zstd:
    """Zstandard (RFC 8878) with a window of at most 8 MiB, as that RFC advises.

    The library has no cap on what one call puts out, but a kilobyte can't hold more than 32 MiB.
    """

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=8 << 20)
        self._machine = decompressor.decompressobj(read_across_frames=True)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data decompresses to."""
        for start in range(0, len(data), 1024):
            try:
                piece = self._machine.decompress(data[start : start + 1024])
            except zstandard.ZstdError as error:
                raise BadRequest(f"not zstd: {error}", problem="invalid-encoding") from None
            yield piece

    def finish(self) -> None:
        """A cut-off stream lacks the end of its JSON, which the parser reports."""


SILENT_SECONDS = 300.0
"""How long a streamed body may bring nothing: a trainer's next rollouts may take minutes."""
BODY_SECONDS = 60.0
"""How long a body that is read as a whole may take to arrive: nobody keeps a place by sending a byte now and then."""
DECODERS: dict[str, Callable[[], Decoder]] = {"": Identity, "identity": Identity, "gzip": Gzip, "zstd": Zstd}


async def pieces(
    request: Request, on_wire: int | None, decoded: int | None, silent: float = SILENT_SECONDS
) -> AsyncIterator[bytes]:
    """The body, decompressed, piece by piece. TooLarge beyond either limit (None: no limit), TooSlow after a pause."""
    name = request.headers.get("content-encoding", "").strip().lower()
    if name not in DECODERS:
        raise BadRequest(f"content-encoding {name[:40]!r} is not supported", problem="unsupported-media-type")
    declared = request.headers.get("content-length", "")
    if on_wire is not None and declared.isdigit() and int(declared) > on_wire:
        raise TooLarge(f"the body has {declared} bytes; at most {on_wire} are taken")
    decoder = DECODERS[name]()
    received = produced = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(silent):
                data = await anext(stream, None)
        except TimeoutError:
            raise TooSlow(f"nothing of the body came for {silent:.0f} s") from None
        if data is None:
            break
        received += len(data)
        if on_wire is not None and received > on_wire:
            raise TooLarge(f"the body has more than {on_wire} bytes")
        for piece in decoder.feed(data):
            produced += len(piece)
            if decoded is not None and produced > decoded:
                raise TooLarge(f"the body decompresses to more than {decoded} bytes")
            yield piece
    decoder.finish()


async def whole_body(request: Request, on_wire: int, decoded: int) -> bytes:
    """The body in one piece, within the limits: of bytes, and (where it is JSON) of values."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = b"".join([piece async for piece in pieces(request, on_wire, decoded)])
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {BODY_SECONDS:.0f} s") from None
    check_values(body, BODY)
    return body

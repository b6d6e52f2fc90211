"""A container's standard streams over the engine's attach call, for asyncio.

What is decided here: the engine's socket is spoken to directly (one HTTP request that is upgraded, then frames
with 8-byte headers), since the SDK's stream blocks a thread per container. What the container writes is read
whatever happens: an attached stream that nobody drains makes the engine's own `kill` hang.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from reward_service.adapters.docker_api import EngineError

_STDOUT = 1
_HEADER = 8
_STDERR_KEPT = 4096
_BUFFER = 1 << 20
_MAX_HEAD = 1 << 14


class Attached(NamedTuple):
    """The streams of one container: its stdout, its stdin, and what else happens on the connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stream: Demultiplexer


class Demultiplexer(asyncio.StreamReaderProtocol):
    """Takes the engine's frames apart: stdout goes to the reader, the end of stderr is kept."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.stderr = bytearray()
        self.lost = False
        self.on_lost: Callable[[], None] | None = None
        self._buffer = bytearray()
        self._left = 0
        self._kind = 0
        self._discarding = False
        self._wire: asyncio.ReadTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's: the connection is open."""
        super().connection_made(transport)
        self._wire = transport  # type: ignore[assignment]  # uvloop's are no instances of ReadTransport

    def data_received(self, data: bytes) -> None:
        """Asyncio's: the head of the response first, frames after it."""
        if self._discarding:
            return
        if self.head.done():
            self._frames(data)
            return
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end >= 0:
            head, rest = bytes(self._buffer[:end]), bytes(self._buffer[end + 4 :])
            self._buffer.clear()
            self.head.set_result(head)
            self._frames(rest)
        elif len(self._buffer) > _MAX_HEAD and self._wire is not None:
            self._wire.close()

    def _frames(self, data: bytes) -> None:
        position, size = 0, len(data)
        while position < size:
            if not self._left:
                missing = _HEADER - len(self._buffer)
                self._buffer += data[position : position + missing]
                position += missing
                if len(self._buffer) < _HEADER:
                    return
                self._kind = self._buffer[0]
                self._left = int.from_bytes(self._buffer[4:], "big")
                self._buffer.clear()
                continue
            part = data[position : position + self._left]
            position += len(part)
            self._left -= len(part)
            if self._kind == _STDOUT:
                super().data_received(part)
            else:
                self.stderr += part
                del self.stderr[:-_STDERR_KEPT]

    def eof_received(self) -> bool:
        """Asyncio's: the other end is done, so the connection is: nobody would read what we write."""
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's: nothing more will come."""
        self.lost = True
        if not self.head.done():
            self.head.set_exception(EngineError("the engine closed the attach call"))
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def discard(self) -> None:
        """From now on read and forget, so that the engine can end the container."""
        self._discarding = True
        if self._wire is not None and not self.lost:
            self._wire.resume_reading()

    def complaint(self) -> str:
        """The end of what the container wrote to stderr, for error messages."""
        return self.stderr.decode(errors="replace").strip()


async def attach(host: str, api_version: str, container: str, tls: ssl.SSLContext | None = None) -> Attached:
    """Attach to a container that has been created; do it before the start, so that nothing is missed. EngineError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_BUFFER)
    stream = Demultiplexer(reader)
    address = urlsplit(host)
    try:
        transport: asyncio.WriteTransport
        if address.scheme == "unix":
            transport, _ = await loop.create_unix_connection(lambda: stream, address.path)
        elif address.scheme in ("tcp", "http", "https"):
            secure = tls if tls is not None or address.scheme == "https" else None
            transport, _ = await loop.create_connection(
                lambda: stream,
                address.hostname or "localhost",
                address.port or (2376 if secure else 2375),
                ssl=secure,
            )
        else:
            raise EngineError(
                f"{host}: only unix:// and tcp:// engines can be used; forward the socket of others"
            )
    except OSError as error:
        raise EngineError(f"{host}: {error}") from error
    transport.write(
        f"POST /v{api_version}/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
        f"Host: {address.hostname or 'engine'}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )
    try:
        head = await stream.head
    except BaseException:
        transport.close()
        raise
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or status[1] not in (b"101", b"200"):
        transport.close()
        raise EngineError(f"{host}: attach: {head.splitlines()[0].decode(errors='replace')}")
    return Attached(reader, asyncio.StreamWriter(transport, stream, reader, loop), stream)

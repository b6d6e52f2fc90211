"""A connection of HTTP/1.1 with bounds that uvicorn's has not: on a request's head, and on who takes no answer.

What is decided here: the head of a request has a minute to arrive, from the connection's first moment on, and a size.
What else is no body (trailers, the framing of chunks) counts as head, in proportion to the body, so that it has a bound too.
A client that takes nothing of its answer and sends nothing either is given up after five minutes: with its connection go its
place in the service and what was kept for it. Before that, the 64 KiB of the transport's buffer are all that waits for it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from reward_service.gateway.problems import MEDIA_TYPE, problem
from reward_service.wire import encode

HEAD_SECONDS = 60.0
HEAD_BYTES = 64 << 10
FRAMING_RATIO = 16
"""Bytes of framing for one of a body: a chunk of one byte has five, and a `;name=value` is allowed."""
STALL_SECONDS = 300.0
WAITING_BYTES = 48 << 10
"""Beyond which a stream makes no more; with the last piece of it (`stream.PIECE_BYTES`) 64 KiB wait for a reader."""
TOO_LARGE = f"the head of the request has more than {HEAD_BYTES} bytes"


class Connection(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`. Refuses with problem+json while no answer has begun; else it just ends."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._refused = False
        self._unframed = 0
        """Bytes of the head, then those behind it that were no body; more or less what one read brings."""
        self._body = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._heard = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """uvicorn's."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(WAITING_BYTES)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn's."""
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """uvicorn's."""
        self._heard = time.monotonic()
        self._unframed += len(data)
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if self._unframed > HEAD_BYTES + FRAMING_RATIO * self._body:
            self._refuse("head-too-large", TOO_LARGE)
        elif self._in_head and self._head_timer is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        """httptools'."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """httptools'."""
        self._in_head = False
        self._unframed = self._body = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if size > HEAD_BYTES:
            self._refuse("head-too-large", TOO_LARGE)
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """httptools'."""
        self._unframed -= len(body)
        self._body += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """httptools'."""
        self._unframed = 0
        if not self._refused:
            super().on_message_complete()

    def pause_writing(self) -> None:
        """The transport's: the client takes nothing at the moment."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self._stalled)

    def resume_writing(self) -> None:
        """The transport's."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """uvicorn's. Closing waits until all has been written; who has taken nothing for so long takes nothing more."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _stalled(self) -> None:
        silent = time.monotonic() - self._heard
        if silent < STALL_SECONDS:  # it still sends, and will read when it has sent everything
            self._stall_timer = self.loop.call_later(STALL_SECONDS - silent, self._stalled)
        else:
            self.transport.abort()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:  # the head of a pipelined request
            self._expect_head()
        else:
            self._refuse("too-slow", f"the head of the request did not arrive within {HEAD_SECONDS:.0f} s")

    def _refuse(self, name: str, detail: str) -> None:
        """Say why and close; in the middle of an answer there is no saying."""
        self._refused = True
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = problem(name, detail)
        content = encode(body)
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[body["status"]] + head.encode() + content)
        self.transport.close()

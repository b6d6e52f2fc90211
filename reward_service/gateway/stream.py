"""NDJSON in, NDJSON out: a stream of any length in bounded memory.

What is decided here: a client that sends everything before it reads anything (most HTTP libraries do) must
not deadlock with a server that answers while it reads. So answers that nobody takes yet go to a temporary
file, and reading goes on. A line that is not an item gets an `error/malformed_item` result with its line
number, in its place, and the stream goes on.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import BinaryIO, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reward_service.engine.scorer import Scored
from reward_service.errors import BadRequest, ServiceError, TooLarge
from reward_service.gateway.weight import LINE, check_values
from reward_service.types import Reason, cannot_judge
from reward_service.wire import ItemIn, decode_item, encode, result

GROUP_ITEMS = 256
GROUP_BYTES = 4 << 20
IN_FLIGHT = 3
"""Groups being scored while the next one is read."""
IDLE_SECONDS = 0.02
PIECE_BYTES = 16 << 10
SPOOL_BYTES = 4 << 30
"""Of results that nobody has taken: then reading waits until they are taken, or the connection is given up."""


class StreamedReply(Response):
    """Sends a body as it is made, while the request is still being read.

    Starlette's StreamingResponse listens for a disconnect with the same `receive` that the body comes from, and
    so swallows pieces of the body. Here the body's reader notices a disconnect first, and this class afterwards.
    """

    def __init__(self, request: Request, body: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._request = request
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(cast("AsyncGenerator[bytes, None]", self._body)) as body:
            async for data in body:
                for piece in pieces_of(data):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if self._request._stream_consumed and await self._request.is_disconnected():
                    raise ClientDisconnect
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def pieces_of(data: bytes) -> Iterator[bytes]:
    """The bytes in pieces of at most PIECE_BYTES that end where a line does, if a line is no longer than that."""
    start = 0
    while start < len(data):
        end = start + PIECE_BYTES
        if end < len(data):
            end = data.rfind(b"\n", start, end) + 1 or end
        yield data[start:end]
        start = end


Score = Callable[[Sequence[ItemIn]], Awaitable[list[Scored]]]
Line = tuple[int, ItemIn | str]
"""A line's number from 1, and the item or what is wrong with it."""


class Spool:
    """A byte pipe between two tasks that keeps a little in memory and the rest in a temporary file."""

    def __init__(self, memory: int = 1 << 20) -> None:
        self._memory = memory
        self._queue: deque[bytes] = deque()
        self._held = 0
        self._file: BinaryIO | None = None
        self._read_at = self._write_at = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._emptied = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Append; never waits."""
        if self._file is None and self._held + len(data) <= self._memory:
            self._queue.append(data)
            self._held += len(data)
        else:
            if self._file is None:
                self._file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by `close`
                self._read_at = self._write_at = 0
            self._file.seek(self._write_at)
            self._file.write(data)
            self._write_at += len(data)
        self._changed.set()

    def end(self) -> None:
        """Nothing more will be put."""
        self._closed = True
        self._changed.set()

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._emptied.set()

    async def room(self, limit: int) -> None:
        """Wait until the file is smaller than that; it becomes so when all of it has been taken."""
        while self._file is not None and self._write_at >= limit:
            self._emptied.clear()
            await self._emptied.wait()

    async def get(self) -> bytes:
        """The next bytes in order; b"" at the end."""
        while True:
            if self._queue:
                data = self._queue.popleft()
                self._held -= len(data)
                return data
            if self._file is not None:
                self._file.seek(self._read_at)
                data = self._file.read(min(1 << 16, self._write_at - self._read_at))
                self._read_at += len(data)
                if self._read_at == self._write_at:
                    self.close()
                if data:
                    return data
                continue
            if self._closed:
                return b""
            self._changed.clear()
            await self._changed.wait()


async def lines(pieces: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes | None]:
    """The lines of a byte stream without their ends; None for a line longer than `longest`."""
    rest: list[bytes] = []
    size = 0
    async for piece in pieces:
        # Only the new piece is searched: a line that comes in many pieces would else be searched as often.
        *whole, last = piece.split(b"\n")
        for end in whole:
            size += len(end)
            yield None if size > longest else b"".join([*rest, end])
            rest.clear()
            size = 0
        size += len(last)
        if size > longest:
            rest.clear()
        elif last:
            rest.append(last)
    if size:
        yield None if size > longest else b"".join(rest)


def read_line(number: int, line: bytes | None, longest: int) -> Line | None:
    """The item of a line or what is wrong with it; None for a blank line."""
    if line is None:
        return number, f"line {number}: longer than {longest} bytes"
    if not line.strip():
        return None
    try:
        check_values(line, LINE)
        return number, decode_item(line)
    except (BadRequest, TooLarge) as error:
        return number, f"line {number}: {error.detail}"


async def answer(pieces: AsyncIterator[bytes], longest: int, score: Score) -> AsyncIterator[bytes]:
    """The results of a stream, in the order of its lines, a group of them at a time."""
    spool = Spool()
    work = asyncio.create_task(_work(pieces, longest, score, spool))
    work.add_done_callback(lambda _: spool.end())
    try:
        while data := await spool.get():
            yield data
        await work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        spool.close()


async def _work(pieces: AsyncIterator[bytes], longest: int, score: Score, spool: Spool) -> None:
    groups = Groups(score)
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_read(pieces, longest, groups))
            both.create_task(_deliver(groups, spool))
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    finally:
        groups.close()


class Groups:
    """Lines gathered into groups, and the groups being scored, in order.

    A group is closed when it is full or when no further line came for `IDLE_SECONDS`, so that a client may wait
    for a result before it sends the next line.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._lines: list[Line] = []
        self._bytes = self._index = 0
        self._timer: asyncio.TimerHandle | None = None
        self.running: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()

    def add(self, line: Line, size: int) -> None:
        """One more line of `size` bytes."""
        self._lines.append(line)
        self._bytes += size
        if len(self._lines) >= GROUP_ITEMS or self._bytes >= GROUP_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.flush)

    def flush(self) -> None:
        """Start on what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            self.running.put_nowait(asyncio.create_task(_score_group(self._lines, self._index, self._score)))
            self._index += len(self._lines)
            self._lines, self._bytes = [], 0
            if self.running.qsize() > IN_FLIGHT:
                self.room.clear()

    def close(self) -> None:
        """Drop what nobody will read."""
        self._lines = []
        self.flush()
        while not self.running.empty():
            task = self.running.get_nowait()
            if task is not None:
                task.cancel()


async def _read(pieces: AsyncIterator[bytes], longest: int, groups: Groups) -> None:
    number = 0
    try:
        async for line in lines(pieces, longest):
            number += 1
            read = read_line(number, line, longest)
            if read is not None:
                groups.add(read, len(line or b""))
                await groups.room.wait()
    except (TooLarge, BadRequest) as error:
        # The status line is out already: say it as a result, in its place.
        groups.add((number + 1, f"after line {number}: {error.detail}"), 0)
    groups.flush()
    groups.running.put_nowait(None)


async def _deliver(groups: Groups, spool: Spool) -> None:
    while (task := await groups.running.get()) is not None:
        if groups.running.qsize() <= IN_FLIGHT:
            groups.room.set()
        try:
            spool.put(await task)
            await spool.room(SPOOL_BYTES)
        finally:
            task.cancel()


async def _score_group(group: list[Line], first: int, score: Score) -> bytes:
    items = [read for _, read in group if isinstance(read, ItemIn)]
    try:
        outcomes = iter([scored.outcome for scored in await score(items)])
    except ServiceError as error:
        failed = cannot_judge(Reason.OVERLOADED, error.detail)
        outcomes = iter([failed] * len(items))
    out: list[bytes] = []
    for place, (number, read) in enumerate(group):
        if isinstance(read, ItemIn):
            line = result(next(outcomes), first + place, read.id)
        else:
            line = result(cannot_judge(Reason.MALFORMED_ITEM, read, line=number), first + place, None)
        out += (encode(line), b"\n")
    return b"".join(out)

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
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import BinaryIO, cast

from reward_service.engine.scorer import Scored
from reward_service.errors import BadRequest, ServiceError, TooLarge
from reward_service.types import Reason, cannot_judge
from reward_service.wire import ItemIn, decode_item, encode, result

GROUP_ITEMS = 256
GROUP_BYTES = 4 << 20
IN_FLIGHT = 3
"""Groups being scored while the next one is read."""

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
    rest = bytearray()
    skipping = False
    async for piece in pieces:
        rest += piece
        *whole, last = rest.split(b"\n")
        for line in whole:
            yield None if skipping or len(line) > longest else bytes(line)
            skipping = False
        rest = last
        if len(rest) > longest:
            rest.clear()
            skipping = True
    if rest or skipping:
        yield None if skipping else bytes(rest)


def read_line(number: int, line: bytes | None, longest: int) -> Line | None:
    """The item of a line or what is wrong with it; None for a blank line."""
    if line is None:
        return number, f"line {number}: longer than {longest} bytes"
    if not line.strip():
        return None
    try:
        return number, decode_item(line)
    except BadRequest as error:
        return number, f"line {number}: {error.detail}"


async def answer(pieces: AsyncIterator[bytes], longest: int, score: Score) -> AsyncIterator[bytes]:
    """The results of a stream, in the order of its lines, a group of them at a time."""
    spool = Spool()
    producer = asyncio.create_task(_produce(pieces, longest, score, spool))
    producer.add_done_callback(lambda _: spool.end())
    try:
        while data := await spool.get():
            yield data
        await producer
    finally:
        producer.cancel()
        await asyncio.gather(producer, return_exceptions=True)
        spool.close()


async def _produce(pieces: AsyncIterator[bytes], longest: int, score: Score, spool: Spool) -> None:
    running: deque[asyncio.Task[bytes]] = deque()
    group: list[Line] = []
    size = index = number = 0
    try:
        async for line in lines(pieces, longest):
            number += 1
            read = read_line(number, line, longest)
            if read is None:
                continue
            group.append(read)
            size += len(line or b"")
            if len(group) >= GROUP_ITEMS or size >= GROUP_BYTES:
                running.append(asyncio.create_task(_score_group(group, index, score)))
                index, group, size = index + len(group), [], 0
            while running and (len(running) > IN_FLIGHT or running[0].done()):
                spool.put(await running.popleft())
    except (TooLarge, BadRequest) as error:
        # The status line is out already: say it as a result, in its place.
        group.append((number + 1, f"after line {number}: {error.detail}"))
    if group:
        running.append(asyncio.create_task(_score_group(group, index, score)))
    try:
        while running:
            spool.put(await running.popleft())
    finally:
        for task in running:
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

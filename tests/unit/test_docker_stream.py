"""What is taken out of an engine's attach stream, however it is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from reward_service.adapters.docker_api import EngineError
from reward_service.adapters.docker_stream import Attached, attach

STDOUT, STDERR = 1, 2
HEAD = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


class Engine:
    """A server that answers an attach call with these bytes, in pieces of `step`, and keeps what it was sent."""

    def __init__(self, answer: bytes, step: int = 1 << 16, *, stay: bool = True) -> None:
        self.answer, self.step, self.stay = answer, step, stay
        self.request = b""
        self.received = asyncio.Queue[bytes]()
        self.done = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = await reader.readuntil(b"\r\n\r\n")
        for start in range(0, len(self.answer), self.step):
            writer.write(self.answer[start : start + self.step])
            await writer.drain()
            await asyncio.sleep(0)
        while self.stay and (data := await reader.read(1 << 16)):
            self.received.put_nowait(data)
        self.done.set()
        writer.close()


@asynccontextmanager
async def attached(engine: Engine) -> AsyncIterator[Attached]:
    async with await asyncio.start_server(engine, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        streams = await attach(f"tcp://127.0.0.1:{port}", "1.41", "abc")
        try:
            yield streams
        finally:
            streams.writer.close()
            await asyncio.wait_for(engine.done.wait(), 10)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 8, 9, 64, 1 << 16])
async def test_frames_are_put_together_whatever_the_pieces(step: int) -> None:
    texts = [b"", b"x", b"hello " * 3, bytes(range(256)), b"end"]
    wire = HEAD + b"".join(frame(STDERR, b"!") + frame(STDOUT, t) for t in texts)
    engine = Engine(wire, step)
    async with attached(engine) as streams:
        expected = b"".join(texts)
        assert await streams.reader.readexactly(len(expected)) == expected
        assert streams.stream.complaint() == "!" * len(texts)
        streams.writer.write(b"to the container")
        assert await engine.received.get() == b"to the container"
    assert engine.request.startswith(
        b"POST /v1.41/containers/abc/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
    )


async def test_only_the_end_of_stderr_is_kept() -> None:
    wire = HEAD + b"".join(frame(STDERR, b"%07d " % number) for number in range(5000)) + frame(STDOUT, b".")
    async with attached(Engine(wire)) as streams:
        await streams.reader.readexactly(1)
        assert len(streams.stream.stderr) == 4096
        assert streams.stream.complaint().endswith("0004999")


async def test_a_flood_is_read_and_forgotten_after_discard() -> None:
    flood = frame(STDOUT, b"x" * (1 << 20)) * 16
    engine = Engine(HEAD + flood, stay=False)
    async with attached(engine) as streams:
        await asyncio.sleep(0.05)
        assert not engine.done.is_set(), "the reader's limit must hold the sender back"
        streams.stream.discard()
        await asyncio.wait_for(engine.done.wait(), 10)


async def test_the_end_of_the_connection_is_told_once() -> None:
    async with attached(Engine(HEAD + frame(STDOUT, b"last"), stay=False)) as streams:
        lost = asyncio.Event()
        streams.stream.on_lost = lost.set
        assert await streams.reader.read() == b"last"
        await asyncio.wait_for(lost.wait(), 5)
        assert streams.stream.lost


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 " + b"x" * (1 << 16),
    ],
    ids=["nothing", "404", "500", "nonsense", "endless head"],
)
async def test_an_engine_that_does_not_attach_is_an_engine_error(answer: bytes) -> None:
    with pytest.raises(EngineError):
        async with asyncio.timeout(5), attached(Engine(answer, stay=False)):
            pytest.fail("attached")


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "ssh://somewhere"])
async def test_an_engine_that_is_not_there_is_an_engine_error(host: str) -> None:
    with pytest.raises(EngineError, match=r"nowhere|127\.0\.0\.1|only unix"):
        await attach(host, "1.41", "abc")

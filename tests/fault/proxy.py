"""A TCP proxy that misbehaves on demand: late, silent, cut in the middle of a frame, or pointing somewhere else.

It runs in a thread with an event loop of its own, so that tests of any kind can steer it while they wait.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Self


class Proxy:
    """In front of one TCP port. All its switches take effect on open connections too."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.delay = 0.0
        """Seconds that every piece waits, each way."""
        self.silent = False
        """Nothing is passed on; connections stay open, and new ones are taken."""
        self.cut_after = 0
        """Bytes of an answer after which its connection is reset; 0 for never."""
        self.cuts = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: None)  # what it breaks, it breaks on purpose
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def open(self) -> int:
        """Connections of clients that are open now."""
        return len(self._writers)

    def drop(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in list(self._writers)])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            back, far = await asyncio.open_connection("127.0.0.1", self.target)
            ways = [self._pass(reader, far, False), self._pass(back, writer, True)]
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        while data := await reader.read(1 << 16):
            if self.delay:
                await asyncio.sleep(self.delay)
            while self.silent:  # noqa: ASYNC110 - switched from another thread
                await asyncio.sleep(0.02)
            if answers and self.cut_after and len(data) > self.cut_after:
                writer.write(data[: self.cut_after])
                await writer.drain()
                self.cuts += 1
                return
            writer.write(data)
            await writer.drain()

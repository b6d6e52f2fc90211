"""`python -m tests.load.connections`: idle connections, slow requests and endless bodies against a live service.

What is decided here: what is measured is whether others notice. While the abuse goes on an honest client scores, and its answers must be right;
memory is the service's own resident set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2

from tests.load.measure import rss, service

ITEM = {"data_source": "logic__graph", "response": "<answer>a</answer>", "ground_truth": "a"}
HEAD = (
    b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n"
)


class Seen(NamedTuple):
    """What an honest client saw meanwhile, and what the service held."""

    honest: int
    wrong: int
    slowest_seconds: float
    rss_before: int
    rss_peak: int

    def words(self, what: str) -> str:
        """A line for people."""
        grown = (self.rss_peak - self.rss_before) >> 20
        return f"{what}: {self.honest} honest requests, {self.wrong} wrong, slowest {self.slowest_seconds:.2f} s; RSS +{grown} MB (at most {self.rss_peak >> 20} MB)"


async def open_slowly(url: str, count: int, sent: bytes) -> list[asyncio.StreamWriter]:
    """Connections that have sent this much of a request, and no more."""
    parts = urlsplit(url)
    writers: list[asyncio.StreamWriter] = []
    for start in range(0, count, 200):
        made = await asyncio.gather(
            *(asyncio.open_connection(parts.hostname, parts.port) for _ in range(min(200, count - start)))
        )
        for _, writer in made:
            writer.write(sent)
            writers.append(writer)
    await asyncio.gather(*(writer.drain() for writer in writers))
    return writers


async def meanwhile(url: str, pid: int, before: int, requests: int, abuse: object = None) -> Seen:
    """Honest requests one after the other, until there were `requests` of them and the abuse (a task) is over."""
    wrong = count = 0
    slowest = 0.0
    peak = rss(pid)
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        while count < requests or (isinstance(abuse, asyncio.Task) and not abuse.done()):
            started = time.perf_counter()
            body = json.dumps({**ITEM, "response": f"{count} <answer>a</answer>"})
            reply = await client.post("/v1/score", content=body)
            slowest = max(slowest, time.perf_counter() - started)
            wrong += reply.status_code != 200 or reply.json()["score"] != 1.0
            peak = max(peak, rss(pid))
            count += 1
            await asyncio.sleep(0.02)
    return Seen(count, wrong, slowest, before, peak)


async def held(url: str, pid: int, count: int, sent: bytes, requests: int = 50) -> Seen:
    """Many connections that say nothing, or the beginning of a request, while an honest client works."""
    before = rss(pid)
    writers = await open_slowly(url, count, sent)
    try:
        return await meanwhile(url, pid, before, requests)
    finally:
        for writer in writers:
            writer.transport.abort()


async def dripped(url: str, pid: int, count: int, seconds: float) -> Seen:
    """Slow-loris: bodies that come byte by byte."""
    before = rss(pid)
    writers = await open_slowly(url, count, HEAD)

    async def drip() -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for writer in writers:
                writer.write(b" ")
            await asyncio.sleep(0.25)

    try:
        return await meanwhile(url, pid, before, 20, asyncio.create_task(drip()))
    finally:
        for writer in writers:
            writer.transport.abort()


async def poured(url: str, pid: int, path: str, size: int, kind: str, line: bool) -> tuple[Seen, int]:
    """A body of `size` bytes in pieces, without a length; the status of its answer. line: with line ends in it."""
    piece = (b"x" * 1023 + b"\n") * 64 if line else b"x" * (1 << 16)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    async def pour() -> int:
        async with httpx2.AsyncClient(base_url=url, timeout=300) as client:
            try:
                async with client.stream(
                    "POST", path, content=body(), headers={"content-type": kind}
                ) as reply:
                    async for _ in reply.aiter_bytes():
                        pass
                    return reply.status_code
            except httpx2.HTTPError:
                return 0  # it closed the connection rather than read on

    before = rss(pid)
    task = asyncio.create_task(pour())
    seen = await meanwhile(url, pid, before, 10, task)
    return seen, await task


async def run(url: str, pid: int, connections: int, size: int) -> list[tuple[str, Seen]]:
    """All of it, one after the other."""
    found = [
        (f"{connections:,} idle connections", await held(url, pid, connections, b"")),
        (f"{connections:,} with half a head", await held(url, pid, connections, HEAD[:40])),
        (f"{connections:,} with a body that doesn't come", await held(url, pid, connections, HEAD)),
        (f"{connections // 10:,} bodies byte by byte", await dripped(url, pid, connections // 10, 5.0)),
    ]
    for path, kind, line in (
        ("/v1/score", "application/json", False),
        ("/v1/score/batch", "application/x-ndjson", False),
        ("/v1/score/batch", "application/x-ndjson", True),
        ("/v1/files", "application/x-ndjson", True),
    ):
        seen, status = await poured(url, pid, path, size, kind, line)
        lines = "lines" if line else "one line"
        found.append(
            (f"{size >> 20} MB to {path} ({kind.partition('/')[2]}, {lines}) -> {status or 'closed'}", seen)
        )
    return found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=1024)
    asked = parser.parse_args()
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    connections = min(asked.connections, room - 500)
    with service("reward_service.registry:load", processes="1", sandbox="none", log_level="error") as (
        url,
        pid,
    ):
        found = asyncio.run(run(url, pid, connections, asked.megabytes << 20))
    for what, seen in found:
        print(seen.words(what))
    return 1 if any(seen.wrong for _, seen in found) else 0


if __name__ == "__main__":
    sys.exit(main())

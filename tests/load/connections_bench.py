"""Many connections with one item each, as most trainers call: `python -m tests.load.connections_bench`.

Prints requests per second and CPU per item for 1 to 2,000 connections at once against the no-op handler, and the
same items in batches; counts refused or reset connections (there must be none).
"""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import urlsplit

import uvloop

from tests.load.measure import cpu_of, service

REQUESTS = 20_000


async def one_connection(host: str, port: int, bodies: asyncio.Queue[bytes], lost: list[str]) -> None:
    """Send requests one after another on one kept connection until there are none."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        lost.append(repr(error))
        return
    while not bodies.empty():
        body = bodies.get_nowait()
        try:
            writer.write(
                b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            reply = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200") or json.loads(reply)["score"] != 1.0:
                lost.append(head.decode()[:60])
        except (OSError, asyncio.IncompleteReadError) as error:
            lost.append(repr(error))
            return
    writer.close()


async def run(url: str, connections: int, start: int) -> tuple[float, list[str]]:
    """Wall seconds for all requests, and what was lost."""
    place = urlsplit(url)
    bodies: asyncio.Queue[bytes] = asyncio.Queue()
    for number in range(start, start + REQUESTS):
        row = {"data_source": "noop", "response": f"{number} " + "apples " * 100, "ground_truth": "x"}
        bodies.put_nowait(json.dumps(row).encode())
    lost: list[str] = []
    began = time.monotonic()
    await asyncio.gather(
        *(one_connection(str(place.hostname), int(place.port or 0), bodies, lost) for _ in range(connections))
    )
    return time.monotonic() - began, lost


def main() -> None:
    """Print the table."""
    print(f"{'connections':>11} {'requests/s':>10} {'gateway µs':>10} {'pool µs':>10} {'lost':>6}")
    with service("tests.load.noop:registry", cache_items="0") as (url, pid):
        start = 0
        for connections in (1, 8, 64, 512, 2_000):
            before = cpu_of(pid)
            wall, lost = uvloop.run(run(url, connections, start))
            spent = cpu_of(pid) - before
            start += REQUESTS
            print(
                f"{connections:11,} {REQUESTS / wall:10,.0f} {1e6 * spent.own / REQUESTS:10.1f} "
                f"{1e6 * spent.below / REQUESTS:10.1f} {len(lost):6}",
                flush=True,
            )
            for reason in sorted(set(lost))[:3]:
                print("   ", reason)


if __name__ == "__main__":
    main()

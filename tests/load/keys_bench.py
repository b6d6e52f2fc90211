"""`python -m tests.load.keys_bench`: CPU time that keys cost a request, by 1, 100 and 10,000 keys, and with a quota."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from reward_service import keys
from reward_service.engine.quotas import MemoryQuotas
from reward_service.gateway.access import Access, Guard
from reward_service.gateway.scopes import need_of
from reward_service.keys import Keys, Scope

ROUNDS = 50_000


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """The application."""


async def cost(app: Any, scope: Any) -> float:
    """CPU microseconds of a call."""
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        for _ in range(ROUNDS):
            await app(scope, None, None)
        best = min(best, time.process_time() - started)
    return best / ROUNDS * 1e6


async def main() -> None:
    """Print them."""
    other = [
        (b"host", b"h"),
        (b"user-agent", b"a"),
        (b"accept", b"*/*"),
        (b"content-type", b"application/json"),
    ]
    base = await cost(nothing, {})
    for count in (1, 100, 10_000):
        made = [keys.make("a", [Scope.SCORE], items_per_day=10**12) for _ in range(count)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "keys.json"
            keys.write(path, [key for _, key in made])
            access = Access(Keys(path), MemoryQuotas())
            app = Guard(nothing, access, need_of("/v1/score"))
            header = (b"authorization", f"Bearer {made[-1][0]}".encode())
            scope = {"type": "http", "headers": [*other, header]}
            print(f"{count:6} keys: {await cost(app, scope) - base:.1f} µs a request")

            async def charged(scope: Any, receive: Any, send: Any, access: Access = access) -> None:
                await access.charge(1)

            quota = Guard(charged, access, need_of("/v1/score"))
            print(f"{count:6} keys, a quota in memory: {await cost(quota, scope) - base:.1f} µs a request")


if __name__ == "__main__":
    asyncio.run(main())

"""Whether whoever asked is still there, and an end to work that nobody waits for.

What is decided here: a request is watched from the moment that it has taken a while, so that a quick one pays nothing for it.
When its client goes away its task is cancelled: what has not started is dropped by the pool, the sandbox's queue or the fleet,
its places are free for others, and its items are counted. What is being judged at that moment ends as it would have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

CONNECTION: ContextVar[Receive | None] = ContextVar("connection", default=None)
"""Of a request whose body has been read: from then on it says nothing but that the client went away."""
FIRST_LOOK_SECONDS = 0.1


@asynccontextmanager
async def while_connected(on_gone: Callable[[], object]) -> AsyncIterator[None]:
    """The block, for as long as the request's client is there. ClientDisconnect (after `on_gone`) if it went away."""
    receive, task = CONNECTION.get(), asyncio.current_task()
    if receive is None or task is None:
        yield
        return
    loop = asyncio.get_running_loop()
    watcher: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    def begin() -> None:
        nonlocal watcher
        watcher = loop.create_task(watch())

    timer = loop.call_later(FIRST_LOOK_SECONDS, begin)
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        on_gone()
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()

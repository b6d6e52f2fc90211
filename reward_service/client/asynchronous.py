"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx2

from reward_service.client.durable import BatchRun
from reward_service.client.options import BROKEN, Options, post_of
from reward_service.client.protocol import Call, Chunk, Reward


class AsyncClient:
    """Scores items at a service's URL. Use as `async with AsyncClient(url) as client`, or not.

    Each event loop gets connections of its own: trainers that call `asyncio.run` in every step can share one client.
    It can be pickled: nothing is connected before the first call.
    """

    def __init__(
        self, url: str, *, transport: httpx2.AsyncBaseTransport | None = None, **options: Any
    ) -> None:
        """options: the fields of `Options` (api_key, deadline_seconds, connections, chunk_items, compress)."""
        self._options = Options(url.rstrip("/"), **options)
        self._transport = transport
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._options,)

    async def aclose(self) -> None:
        """Close this loop's connections; a later call opens new ones."""
        client = self._loops.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def score(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        deadline_seconds: float | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Reward]:
        """One `Reward` per item, in their order, within about `deadline_seconds`; see `Client.score`."""
        call = Call(items, deadline_seconds or self._options.deadline_seconds, self._options.chunk_items)
        places = asyncio.Semaphore(self._options.connections)

        async def carry(chunk: Chunk) -> None:
            async with places:
                await self._carry(call, chunk)
            if progress is not None:
                progress(call.done, len(items))

        try:
            async with asyncio.TaskGroup() as group:
                for chunk in call.to_send:
                    group.create_task(carry(chunk))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return call.rewards()

    async def score_one(self, item: Mapping[str, Any], *, deadline_seconds: float | None = None) -> Reward:
        """One item's reward."""
        return (await self.score([item], deadline_seconds=deadline_seconds))[0]

    async def score_batch(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        key: str | None = None,
        window: str = "24h",
        deadline_seconds: float = 86_400.0,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Reward]:
        """One `Reward` per item, in their order, through a durable batch; see `Client.score_batch`."""
        run = BatchRun(items, deadline_seconds, key, window, progress)
        while not run.over:
            try:
                pause = await self._batch_step(run)
            except BROKEN as error:
                pause = run.broken(self._options.trouble(error))
            await asyncio.sleep(pause)
        return run.rewards()

    async def _batch_step(self, run: BatchRun) -> float:
        if run.batch_id is None:
            reply = await self._http().post(**run.create())
            return run.created(reply.status_code, reply.headers, reply.content)
        async with self._http().stream("GET", **run.read()) as reply:
            if reply.status_code != 200:
                return run.ended(reply.status_code, reply.headers, await reply.aread())
            async for data in reply.aiter_bytes():
                run.feed(data)
                if run.over:
                    return 0.0
        return run.ended(200, {}, b"")

    async def put_ground_truth(self, value: Any) -> str:
        """Upload a ground truth; its `ground_truth_ref`. ClientError if the service doesn't take it."""
        path, content, kind = self._options.ground_truth(value)
        reply = await self._http().put(path, content=content, headers={"content-type": kind})
        return self._options.reference(reply.status_code, reply.content)

    async def _carry(self, call: Call, chunk: Chunk) -> None:
        todo = [chunk]
        while todo:
            chunk = todo.pop()
            if call.remaining <= 0:
                continue
            request = post_of(self._options, chunk, call.remaining)
            try:
                reply = await self._http().post(**request)
            except BROKEN as error:
                again, pause = call.failed(chunk, self._options.trouble(error))
            else:
                again, pause = call.answered(chunk, reply.status_code, reply.headers, reply.content)
            todo += again
            if pause:
                await asyncio.sleep(pause)

    def _http(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._loops.get(loop)
        if client is None:
            client = self._loops[loop] = httpx2.AsyncClient(**self._options.http(), transport=self._transport)
        return client


def _rebuild(options: Options) -> AsyncClient:
    return AsyncClient(options.url, **options.but_url())

"""The client for programs without an event loop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import httpx2

from reward_service.client.durable import BatchRun
from reward_service.client.options import BROKEN, Options, post_of
from reward_service.client.protocol import Call, Chunk, Reward


class Client:
    """Scores items at a service's URL. Safe to share between threads; use as `with Client(url) as client` or not.

    After a fork it opens connections of its own, and it can be pickled: nothing is connected before the first call.
    """

    def __init__(self, url: str, *, transport: httpx2.BaseTransport | None = None, **options: Any) -> None:
        """options: the fields of `Options` (api_key, deadline_seconds, connections, chunk_items, compress)."""
        self._options = Options(url.rstrip("/"), **options)
        self._transport = transport
        self._local = _Connections()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (Client, self._options)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._local.close()

    def score(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        deadline_seconds: float | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Reward]:
        """One `Reward` per item, in their order, within about `deadline_seconds`.

        An outage or an error of the service is a Reward without a score. ClientError for a mistake of the caller's.
        progress: called with (items that have their reward, all items).
        """
        call = Call(items, deadline_seconds or self._options.deadline_seconds, self._options.chunk_items)
        if len(call.to_send) <= 1:
            for chunk in call.to_send:
                self._carry(call, chunk)
                if progress is not None:
                    progress(call.done, len(items))
            return call.rewards()
        with ThreadPoolExecutor(min(self._options.connections, len(call.to_send))) as threads:
            running: set[Future[None]] = {threads.submit(self._carry, call, chunk) for chunk in call.to_send}
            try:
                while running:
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                    if progress is not None:
                        progress(call.done, len(items))
            except BaseException:
                for future in running:
                    future.cancel()
                raise
        return call.rewards()

    def score_one(self, item: Mapping[str, Any], *, deadline_seconds: float | None = None) -> Reward:
        """One item's reward."""
        return self.score([item], deadline_seconds=deadline_seconds)[0]

    def score_batch(
        self,
        items: Sequence[Mapping[str, Any]],
        *,
        key: str | None = None,
        window: str = "24h",
        deadline_seconds: float = 86_400.0,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Reward]:
        """One `Reward` per item, in their order, through a durable batch: for dumps, and for jobs that outlive a connection.

        key: the Idempotency-Key; the items' own hash otherwise, so that calling again goes on with the same batch.
        window: the batch's own time limit. ClientError for a mistake of the caller's, such as an item that is none.
        """
        run = BatchRun(items, deadline_seconds, key, window, progress)
        while not run.over:
            try:
                pause = self._batch_step(run)
            except BROKEN as error:
                pause = run.broken(self._options.trouble(error))
            time.sleep(pause)
        return run.rewards()

    def _batch_step(self, run: BatchRun) -> float:
        if run.batch_id is None:
            reply = self._http().post(**run.create())
            return run.created(reply.status_code, reply.headers, reply.content)
        with self._http().stream("GET", **run.read()) as reply:
            if reply.status_code != 200:
                return run.ended(reply.status_code, reply.headers, reply.read())
            for data in reply.iter_bytes():
                run.feed(data)
                if run.over:
                    return 0.0
        return run.ended(200, {}, b"")

    def put_ground_truth(self, value: Any) -> str:
        """Upload a ground truth; its `ground_truth_ref`. ClientError if the service doesn't take it."""
        path, content, kind = self._options.ground_truth(value)
        reply = self._http().put(path, content=content, headers={"content-type": kind})
        return self._options.reference(reply.status_code, reply.content)

    def _carry(self, call: Call, chunk: Chunk) -> None:
        todo = [chunk]
        while todo:
            chunk = todo.pop()
            if call.remaining <= 0:
                continue
            request = post_of(self._options, chunk, call.remaining)
            try:
                reply = self._http().post(**request)
            except BROKEN as error:
                again, pause = call.failed(chunk, self._options.trouble(error))
            else:
                again, pause = call.answered(chunk, reply.status_code, reply.headers, reply.content)
            todo += again
            if pause:
                time.sleep(pause)

    def _http(self) -> httpx2.Client:
        return self._local.get(lambda: httpx2.Client(**self._options.http(), transport=self._transport))


def _rebuild(kind: Callable[..., Any], options: Options) -> Any:
    return kind(options.url, **options.but_url())


class _Connections:
    """One connection pool per process, made when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None
        self._pid = 0

    def get(self, make: Callable[[], httpx2.Client]) -> httpx2.Client:
        """This process's pool."""
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client, self._pid = make(), os.getpid()
            return self._client

    def close(self) -> None:
        """Close it."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

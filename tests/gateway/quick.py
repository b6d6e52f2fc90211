"""The application over a scorer of the test's own, in this process: no server, no pool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.testclient import TestClient

from reward_service.adapters.memory import MemoryGroundTruths
from reward_service.adapters.memory_batches import MemoryBatchStore
from reward_service.adapters.memory_queue import MemoryQueue, MemoryWork
from reward_service.engine.desk import Batches
from reward_service.engine.scorer import Row, Scored
from reward_service.gateway.app import create_app
from reward_service.gateway.core import Engine
from reward_service.registry import Registry
from reward_service.settings import Settings
from reward_service.types import accept

ITEM = {"data_source": "s", "response": "r", "ground_truth": "g"}


class Yes:
    """A scorer that accepts everything."""

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        return [Scored(accept("x"), "s", "d") for _ in rows]


def quick(scorer: Any = None, **settings: Any) -> TestClient:
    """A client of the service by these settings."""

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        yield

    work = MemoryWork()
    jobs = Batches(MemoryBatchStore(work), MemoryQueue(work))
    up = {"pool_processes": ("", lambda: 1)}
    engine = Engine(scorer or Yes(), Registry(), MemoryGroundTruths(), running(), None, up, {})
    return TestClient(create_app(engine, Settings(**settings), jobs), raise_server_exceptions=False)

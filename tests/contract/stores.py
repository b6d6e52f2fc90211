"""The Redis that the contract suites run on: one server, and one cluster, for the whole session."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from reward_service.adapters.redis_client import RedisOptions
from tests import redis_server

Options = Callable[[], RedisOptions]


@pytest.fixture(scope="session")
def redis_one() -> Iterator[redis_server.Server]:
    """A server."""
    server = redis_server.Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[redis_server.Server]:
    """A cluster."""
    server = redis_server.cluster()
    yield server
    server.close()


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Callable[[str], RedisOptions]:
    """Options for `redis` or `cluster`, each time with a prefix that nobody else uses."""

    def make(kind: str) -> RedisOptions:
        prefix = f"t{secrets.token_hex(6)}"
        if kind == "redis":
            return request.getfixturevalue("redis_one").options(prefix)
        server: redis_server.Server = request.getfixturevalue("redis_cluster")
        return RedisOptions(f"redis+cluster://127.0.0.1:{server.port}", prefix)

    return make


@pytest.fixture
async def closing() -> AsyncIterator[Callable[[Callable[[], Awaitable[Any]]], None]]:
    """Register what must be closed at the end of the test."""
    async with AsyncExitStack() as stack:
        yield lambda close: stack.push_async_callback(close) and None

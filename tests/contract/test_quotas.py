"""Quotas that gateways count together on Redis, and alone while it is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reward_service.adapters.redis_quotas import RedisQuotas
from reward_service.engine.quotas import Quota
from tests.redis_server import Server

BOTH = [Quota(600, 60), Quota(2_000, 86_400)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.mark.redis
async def test_two_gateways_count_together(server: Server) -> None:
    one, two = RedisQuotas(server.options()), RedisQuotas(server.options())
    try:
        assert await one.take("a", 400, BOTH) == 0
        assert await two.take("a", 200, BOTH) == 0
        wait = await one.take("a", 100, BOTH)
        assert 0 < wait <= 10  # 100 of 600 leak in ten seconds
        assert await two.take("b", 600, BOTH) == 0
        client = server.client()
        assert all(0 < client.ttl(key) <= 86_400 for key in client.scan_iter())
        assert len(client.keys()) == 4
    finally:
        await one.close()
        await two.close()


@pytest.mark.redis
async def test_without_redis_each_counts_for_itself() -> None:
    server = Server()
    quotas = RedisQuotas(server.options(seconds=0.5))
    try:
        assert await quotas.take("a", 600, BOTH) == 0
        server.close()
        assert await quotas.take("a", 600, BOTH) == 0
        assert await quotas.take("a", 600, BOTH) > 0
    finally:
        await quotas.close()

"""Quotas that all gateways of a Redis count together.

What is decided here: one script and the clock of Redis, so that gateways don't have to agree on the time. While Redis can't be
reached every gateway counts for itself: a quota is there to share capacity fairly, and no reason to stop a training.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from reward_service.adapters.redis_client import RedisOptions, close, connect, failures
from reward_service.engine.quotas import MemoryQuotas, Quota
from reward_service.errors import ServiceError

log = logging.getLogger(__name__)

TAKE = """
local time = redis.call('TIME')
local now, items, wait, levels = time[1] + time[2] / 1000000, tonumber(ARGV[1]), 0, {}
for i, key in ipairs(KEYS) do
  local limit, seconds = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local kept = redis.call('HMGET', key, 'level', 'at')
  local level = tonumber(kept[1] or '0') - (now - tonumber(kept[2] or now)) * limit / seconds
  levels[i] = math.max(0, level) + items
  wait = math.max(wait, (levels[i] - limit) * seconds / limit)
end
if wait > 0.000001 then return tostring(wait) end
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, 'level', string.format('%.6f', levels[i]), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', key, ARGV[2 * i + 1])
end
return '0'
"""
"""KEYS: a bucket per quota. ARGV: items, then each quota's items and seconds. Returns the seconds to wait, 0 if taken."""


class RedisQuotas:
    """`ports.Quotas` on Redis."""

    def __init__(self, options: RedisOptions) -> None:
        self._client = connect(options)
        self._prefix = options.prefix
        self._alone = MemoryQuotas()

    async def close(self) -> None:
        """Close the connections."""
        await close(self._client)

    async def take(self, tenant: str, items: int, quotas: Sequence[Quota]) -> float:
        """See `Quotas`."""
        keys = [f"{{{self._prefix}:quota:{tenant}}}:{quota.seconds}" for quota in quotas]
        limits = [number for quota in quotas for number in quota]
        try:
            with failures():
                wait = await self._client.execute_command("EVAL", TAKE, len(keys), *keys, items, *limits)
            return float(wait)
        except ServiceError as error:
            log.warning("quotas are counted by each gateway alone: %s", error.detail)
            return self._alone.take_now(tenant, items, quotas)

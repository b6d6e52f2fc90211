"""The shared cache and the shared store of ground truths on Redis, and a cache of two tiers.

What is decided here: a cache is optional. One that can't be reached, is slow or out of memory has no hits and
forgets what it is told; after a failure it isn't asked for a while, so that an outage costs one time-out and not
one per request. Values are JSON with every field checked when read; what can't be read is a miss. Keys carry a
bucket as hash tag, so that on a Cluster one call becomes at most BUCKETS commands, and elsewhere one.

Ground truths are not optional: if they can't be read, whoever asks is told so, and no item is judged without.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis.asyncio import RedisCluster

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.adapters.redis_client import BROKEN, RedisOptions, close, connect, failures
from reward_service.engine.ports import Cache, GroundTruths
from reward_service.engine.records import (
    Corrupt,
    outcome_from_json,
    outcome_to_json,
    value_from_json,
    value_to_json,
)
from reward_service.errors import Overloaded
from reward_service.types import NOTHING, Outcome, Status

log = logging.getLogger(__name__)

BUCKETS = 16
KEYS_AT_ONCE = 4_096
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0

WRITE = """
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'EX', ARGV[1]) end
"""


class RedisCache:
    """`ports.Cache`. days: outcomes are kept this long; the server's eviction policy may forget them earlier."""

    def __init__(self, options: RedisOptions, *, days: float = 14.0) -> None:
        self._client = connect(options)
        self._clustered = isinstance(self._client, RedisCluster)
        self._prefix = options.prefix
        self._seconds = max(1, round(days * 86_400))
        self._pause = FIRST_PAUSE
        self._quiet_until = 0.0
        self.failures = 0

    @property
    def in_touch(self) -> bool:
        """Did the server answer when it was last asked?"""
        return self._pause == FIRST_PAUSE

    async def close(self) -> None:
        """Close the connections."""
        await close(self._client)

    async def get_many(self, keys: Sequence[bytes]) -> list[Outcome | None]:
        """See `Cache`."""
        found: list[Outcome | None] = [None] * len(keys)
        if not keys or time.monotonic() < self._quiet_until:
            return found
        try:
            groups = self._groups(keys)
            values = await asyncio.gather(
                *(self._client.execute_command("MGET", *[name for _, name in group]) for group in groups)
            )
        except BROKEN as error:
            self._failed(error)
            return found
        self._pause = FIRST_PAUSE
        for group, row in zip(groups, values, strict=True):
            for (place, _), value in zip(group, row, strict=True):
                if value is not None:
                    try:
                        found[place] = outcome_from_json(value)
                    except Corrupt:
                        log.warning("an entry of the cache can't be read; it counts as a miss")
        return found

    async def put_many(self, outcomes: Mapping[bytes, Outcome]) -> None:
        """See `Cache`."""
        kept = [(key, outcome) for key, outcome in outcomes.items() if outcome.status is Status.SCORED]
        if not kept or time.monotonic() < self._quiet_until:
            return
        values = [outcome_to_json(_as_hit(outcome)) for _, outcome in kept]
        try:
            await asyncio.gather(
                *(
                    self._client.execute_command(
                        "EVAL", WRITE, len(group), *[name for _, name in group], self._seconds, *[values[place] for place, _ in group]
                    )
                    for group in self._groups([key for key, _ in kept])
                )
            )  # fmt: skip
        except BROKEN as error:
            self._failed(error)

    def _groups(self, keys: Sequence[bytes]) -> list[list[tuple[int, str]]]:
        """(place, name) of each key: all in one list, or on a Cluster by bucket; in pieces that Redis answers fast."""
        named = [(place, self._name(key)) for place, key in enumerate(keys)]
        parts = [named]
        if self._clustered:
            buckets: dict[int, list[tuple[int, str]]] = {}
            for entry, key in zip(named, keys, strict=True):
                buckets.setdefault(_bucket(key), []).append(entry)
            parts = list(buckets.values())
        return [
            part[start : start + KEYS_AT_ONCE]
            for part in parts
            for start in range(0, len(part), KEYS_AT_ONCE)
        ]

    def _name(self, key: bytes) -> str:
        return f"{self._prefix}:c:{{{_bucket(key):x}}}:{key.hex()}"

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        self._quiet_until = time.monotonic() + self._pause
        log.warning("the cache can't be used (%s); not asked for %.1f s", type(error).__name__, self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _bucket(key: bytes) -> int:
    return key[-1] % BUCKETS if key else 0


def _as_hit(outcome: Outcome) -> Outcome:
    """What a later reader gets: it did not wait."""
    return replace(outcome, trace=NOTHING, queue_ms=0.0, cached=True)


class TieredCache:
    """`ports.Cache`: this process's memory in front of a shared one."""

    def __init__(self, near: MemoryCache, far: Cache) -> None:
        self._near = near
        self._far = far

    async def get_many(self, keys: Sequence[bytes]) -> list[Outcome | None]:
        """See `Cache`; what comes from afar is kept near."""
        found = await self._near.get_many(keys)
        missing = [place for place, hit in enumerate(found) if hit is None]
        if missing:
            hits = await self._far.get_many([keys[place] for place in missing])
            fetched: dict[bytes, Outcome] = {}
            for place, hit in zip(missing, hits, strict=True):
                if hit is not None:
                    found[place] = fetched[keys[place]] = hit
            if fetched:
                await self._near.put_many(fetched)
        return found

    async def put_many(self, outcomes: Mapping[bytes, Outcome]) -> None:
        """See `Cache`."""
        await self._near.put_many(outcomes)
        await self._far.put_many(outcomes)


PUT = """
local total, capacity, size = KEYS[1] .. ':total', tonumber(ARGV[4]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
if redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('EXISTS', KEYS[1] .. ':' .. ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[1] .. ':' .. ARGV[1], ARGV[5])
  return 0
end
redis.call('SET', KEYS[1] .. ':' .. ARGV[1], ARGV[2], 'PX', ARGV[5])
local old = redis.call('HGET', total, ARGV[1])
redis.call('HSET', total, ARGV[1], size)
local used = redis.call('HINCRBY', total, '', size - (old or 0))
redis.call('ZADD', KEYS[1], now, ARGV[1])
while used > capacity do
  local oldest = redis.call('ZPOPMIN', KEYS[1])[1]
  if not oldest then break end
  redis.call('DEL', KEYS[1] .. ':' .. oldest)
  used = redis.call('HINCRBY', total, '', 0 - (redis.call('HGET', total, oldest) or 0))
  redis.call('HDEL', total, oldest)
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', total, ARGV[5])
return 1
"""
GET = """
local value = redis.call('GET', KEYS[1] .. ':' .. ARGV[1])
if value then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[1])
  for _, key in ipairs({ KEYS[1], KEYS[1] .. ':total', KEYS[1] .. ':' .. ARGV[1] }) do redis.call('PEXPIRE', key, ARGV[2]) end
end
return value
"""


class RedisGroundTruths:
    """`ports.GroundTruths` of at most `capacity_bytes` on the wire; thrown out by least recent use, or unused for days."""

    def __init__(
        self, options: RedisOptions, capacity_bytes: int = 4 << 30, *, days: float = 7.0, prefix: str = "gold"
    ) -> None:
        self._client = connect(options)
        self._key = f"{{{options.prefix}:{prefix}}}"
        self._capacity = capacity_bytes
        self._keep_ms = int(days * 86_400_000)

    async def close(self) -> None:
        """Close the connections."""
        await close(self._client)

    async def put(self, digest: str, value: object, size: int) -> None:
        """See `GroundTruths`."""
        if size > self._capacity:
            raise Overloaded(f"a ground truth of {size} bytes exceeds the store of {self._capacity} bytes")
        data = await asyncio.to_thread(value_to_json, value) if size > 1 << 16 else value_to_json(value)
        await self._eval(PUT, digest, data, size, self._capacity, self._keep_ms)

    async def get(self, digest: str) -> object | None:
        """See `GroundTruths`. Overloaded (`not-ready`) if the store can't be reached."""
        data = await self._eval(GET, digest, self._keep_ms)
        if data is None:
            return None
        try:
            value: object = value_from_json(data)
        except Corrupt:
            log.warning("a stored ground truth can't be read; it counts as absent")
            return None
        return value

    async def _eval(self, script: str, *arguments: Any) -> Any:
        with failures():
            return await self._client.execute_command("EVAL", script, 1, self._key, *arguments)


class TieredGroundTruths:
    """`ports.GroundTruths`: this process's memory in front of a shared store."""

    def __init__(self, near: MemoryGroundTruths, far: GroundTruths) -> None:
        self._near = near
        self._far = far

    async def put(self, digest: str, value: object, size: int) -> None:
        """See `GroundTruths`."""
        await self._far.put(digest, value, size)

    async def get(self, digest: str) -> object | None:
        """See `GroundTruths`; what comes from afar is kept near."""
        value = await self._near.get(digest)
        if value is None:
            value = await self._far.get(digest)
            if value is not None:
                size = len(value_to_json(value)) if isinstance(value, str) else len(str(value))
                try:
                    await self._near.put(digest, value, size)
                except Overloaded:
                    pass
        return value

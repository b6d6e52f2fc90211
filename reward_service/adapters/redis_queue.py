"""Queue and batches on Redis: consumer groups on streams, one script for every change (`fleet.lua`).

What is decided here: the keys and their order in time are the script's; this module only speaks to it. Waiting is
done with BLPOP on a list of tokens and XREAD on the stream of answers, on connections of their own, for less time
than a socket may be silent. Tenants come from outside, keys and names of any length become digests.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from reward_service.adapters.redis_client import RedisOptions, Script, close, connect, failures
from reward_service.engine.batches import Batch, BatchStatus, Counts, Mark, Spec
from reward_service.engine.ports import (
    Answer,
    Ask,
    Chunk,
    Depth,
    Done,
    Effect,
    Lane,
    Lease,
    Sealed,
)
from reward_service.engine.records import Corrupt, mapping_from_json, mapping_to_json
from reward_service.errors import BadRequest, NotFound, Overloaded

log = logging.getLogger(__name__)

UPLOAD_SECONDS = 60.0
"""A batch whose next chunk doesn't come in this time vanishes."""
ANSWERS_AT_ONCE = 256
ADD_BYTES = 4 << 20
"""Of payloads in one command: Redis serves nobody else meanwhile."""


def consumer_name() -> str:
    """A name that no other process has."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


def _tenant(name: str) -> str:
    """The name where it is short and plain, else its digest."""
    return (
        name
        if len(name) <= 64 and name.replace("-", "").replace("_", "").isalnum() and name.isascii()
        else _digest(name)
    )


class _Shared:
    """A connection, the script, and the name of this process, for queue and store."""

    def __init__(self, options: RedisOptions, client: Redis | RedisCluster | None = None) -> None:
        self.client = client or connect(options)
        self.prefix = f"{{{options.prefix}}}:"
        self.script = Script(self.client, options.prefix)
        self.block = max(0.05, options.seconds / 2)

    async def close(self) -> None:
        await close(self.client)


class RedisQueue:
    """`ports.Queue`. lease_seconds: silence after which a chunk goes to somebody else.

    max_live_chunks: chunks of live calls in the queue, of all tenants, beyond which `ask` says Overloaded.
    """

    def __init__(
        self,
        options: RedisOptions,
        *,
        lease_seconds: float = 10.0,
        max_live_chunks: int = 4_096,
        name: str = "",
    ) -> None:
        self.lease_seconds = lease_seconds
        self.name = name or consumer_name()
        self._shared = _Shared(options)
        self._script = self._shared.script
        self._max_live_chunks = max_live_chunks
        self._read = "0-0"
        self._looked = False

    async def close(self) -> None:
        """Close the connections."""
        await self._shared.close()

    async def take(self, lane: Lane, want: int) -> list[Lease]:
        """See `Queue`."""
        return _leases(lane, await self._script.call("take", lane.value, self.name, want))

    async def wait(self, lane: Lane, seconds: float) -> None:
        """See `Queue`."""
        bell = f"{self._shared.prefix}bell:{lane.value}"
        with failures():
            await self._shared.client.execute_command(
                "BLPOP", bell, max(0.01, min(seconds, self._shared.block))
            )

    async def reclaim(self, lane: Lane, want: int) -> list[Lease]:
        """See `Queue`."""
        lease_ms, rotation = int(self.lease_seconds * 1e3), random.randrange(1 << 20)  # noqa: S311 - fairness only
        return _leases(
            lane, await self._script.call("reclaim", lane.value, self.name, want, lease_ms, rotation)
        )

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """See `Queue`."""
        if not leases:
            return []
        names = [part for lease in leases for part in lease.token.split("\0")]
        ours = await self._script.call("renew", self.name, *names)
        return [lease for lease, held in zip(leases, ours, strict=True) if not held]

    async def release(self, leases: Sequence[Lease]) -> None:
        """See `Queue`."""
        if leases:
            names = [
                part
                for lease in leases
                for part in (lease.lane.value, lease.tenant, *lease.token.split("\0"))
            ]
            await self._script.call("release", self.name, *names)

    async def note(self, lease: Lease, place: int) -> None:
        """See `Queue`."""
        await self._script.call("note", *lease.token.split("\0"), place)

    async def commit(self, done: Sequence[Done]) -> list[Effect]:
        """See `Queue`."""
        arguments: list[Any] = []
        for lease, results, failed in done:
            stream, message = lease.token.split("\0")
            arguments += (
                lease.lane.value, lease.tenant, stream, message, lease.job, lease.number, lease.items, failed,
                len(lease.payload), lease.reply, results,
            )  # fmt: skip
        return [Effect(word.decode()) for word in await self._script.call("commit", *arguments)]

    async def ask(self, tenant: str, asks: Sequence[Ask], seconds: float) -> list[str]:
        """See `Queue`."""
        arguments = [part for ask in asks for part in (ask.call, ask.number, ask.items, ask.payload)]
        said = await self._script.call_growing(
            "ask", _tenant(tenant), self.name, max(1, int(seconds * 1e3)), self._max_live_chunks, *arguments
        )
        if said == b"full":
            raise Overloaded(f"{self._max_live_chunks} chunks are queued already", retry_after=1.0)
        return [token.decode() for token in said]

    async def answers(self, seconds: float) -> list[Answer]:
        """See `Queue`."""
        key = f"{self._shared.prefix}a:{self.name}"
        block = max(1, int(1e3 * min(seconds, self._shared.block)))
        client = self._shared.client
        with failures():
            # What has been read goes with the next question; until then it is read again after a broken connection.
            if self._read != "0-0":
                await client.execute_command("XTRIM", key, "MINID", _after(self._read))
            found = await client.execute_command(
                "XREAD", "COUNT", ANSWERS_AT_ONCE, "BLOCK", block, "STREAMS", key, self._read
            )
        if not found:
            return []
        answers = []
        for message, fields in found[0][1]:
            self._read = message.decode()
            if fields:
                answers.append(Answer(fields[b"c"].decode(), int(fields[b"n"]), fields[b"p"]))
        return answers

    async def withdraw(self, tenant: str, tokens: Sequence[str]) -> None:
        """See `Queue`."""
        if tokens:
            await self._script.call("withdraw", _tenant(tenant), *tokens)

    async def missing(self, tenant: str, tokens: Sequence[str]) -> list[str]:
        """See `Queue`."""
        if not tokens:
            return []
        return [token.decode() for token in await self._script.call("missing", _tenant(tenant), *tokens)]

    async def depth(self) -> Mapping[Lane, Depth]:
        """See `Queue`."""
        sums = await self._script.call("depth")
        return {Lane.LIVE: Depth(sums[0], sums[1]), Lane.BATCH: Depth(sums[2], sums[3])}

    async def _warn_of_eviction(self) -> None:
        """A Redis that evicts throws out queued items as readily as cached outcomes: say so, once."""
        self._looked = True
        if isinstance(self._shared.client, Redis):
            with suppress(RedisError, OSError, TimeoutError):  # INFO may be forbidden
                memory = await self._shared.client.info("memory")
                policy = memory.get("maxmemory_policy", "noeviction")
                if memory.get("maxmemory") and policy != "noeviction":
                    log.warning(
                        "Redis evicts (%s): batches can be lost; set maxmemory-policy noeviction", policy
                    )

    async def present(self, processes: int) -> int:
        """See `Queue`."""
        if not self._looked:
            await self._warn_of_eviction()
        return int(
            await self._script.call("present", self.name, processes, int(3e3 * max(1.0, self.lease_seconds)))
        )


def _leases(lane: Lane, rows: Sequence[Any]) -> list[Lease]:
    leases = []
    for row in rows:
        stream, message, tenant, job, number, first, items, payload, reply, left, count, suspect, strikes = (
            row
        )
        leases.append(
            Lease(
                lane, tenant.decode(), job.decode(), int(number), int(first), int(items), payload,
                int(left) / 1e3, int(count), f"{stream.decode()}\0{message.decode()}",
                int(suspect) if suspect else None, _strikes(strikes), reply.decode(),
            )
        )  # fmt: skip
    return leases


def _strikes(text: bytes) -> dict[int, int]:
    pairs = (pair.partition("=") for pair in text.decode().split(",") if pair)
    return {int(place): int(count) for place, _, count in pairs}


def _after(message: str) -> str:
    left, _, right = message.partition("-")
    return f"{left}-{int(right) + 1}"


class RedisBatchStore:
    """`ports.BatchStore`. max_bytes: of items that wait, in all batches together, beyond which `add` says Overloaded."""

    def __init__(
        self, options: RedisOptions, *, max_bytes: int = 4 << 30, upload_seconds: float = UPLOAD_SECONDS
    ) -> None:
        self._shared = _Shared(options)
        self._script = self._shared.script
        self._max_bytes = max_bytes
        self._upload_ms = int(upload_seconds * 1e3)

    async def close(self) -> None:
        """Close the connections."""
        await self._shared.close()

    async def begin(self, spec: Spec) -> Batch:
        """See `BatchStore`."""
        # The names as they were given, beside the keys that they became.
        named = {"tenant": spec.tenant, "key": spec.key, "metadata": dict(spec.metadata)}
        fields = await self._script.call_growing(
            "begin", spec.id, _tenant(spec.tenant), _digest(spec.key), spec.digest, int(spec.window_seconds * 1e3),
            int(spec.keep_seconds * 1e3), mapping_to_json(named), self._upload_ms,
        )  # fmt: skip
        return _batch(fields)

    async def add(self, batch: str, number: int, chunks: Sequence[Chunk]) -> None:
        """See `BatchStore`."""
        start = 0
        while start < len(chunks):
            end, weight = start, 0
            while end < len(chunks) and (end == start or weight + len(chunks[end].payload) <= ADD_BYTES):
                weight += len(chunks[end].payload)
                end += 1
            arguments = [part for chunk in chunks[start:end] for part in chunk]
            said = await self._script.call_growing(
                "add", batch, number + start, self._max_bytes, self._upload_ms, *arguments
            )
            if said == b"gone":
                raise _unknown(batch)
            if said == b"full":
                raise Overloaded(f"the items that wait already hold {self._max_bytes} bytes", retry_after=5.0)
            start = end

    async def seal(self, batch: str) -> Sealed:
        """See `BatchStore`."""
        # Not "growing": the items are in, and refusing now would only mean sending them again.
        what, found = await self._script.call("seal", batch)
        match what:
            case b"gone":
                raise _unknown(batch)
            case b"empty":
                raise BadRequest("a batch has at least one item")
            case b"conflict":
                raise _conflict()
        return Sealed(found.decode(), what == b"replayed")

    async def reject(self, batch: str, errors: Sequence[Mapping[str, Any]]) -> Batch:
        """See `BatchStore`."""
        fields = await self._script.call("reject", batch, mapping_to_json({"errors": list(errors)}))
        if not fields:
            raise _unknown(batch)
        return _batch(fields)

    async def find(self, tenant: str, key: str, digest: str) -> str | None:
        """See `BatchStore`."""
        if not key:
            return None
        what, found = await self._script.call("find", _tenant(tenant), _digest(key), digest)
        if what == b"conflict":
            raise _conflict()
        return found.decode() if what == b"replayed" else None

    async def get(self, batch: str) -> Batch | None:
        """See `BatchStore`."""
        fields = await self._script.call("get", batch)
        return _batch(fields) if fields else None

    async def of_tenant(self, tenant: str, after: str, limit: int) -> list[Batch]:
        """See `BatchStore`."""
        return [_batch(fields) for fields in await self._script.call("list", _tenant(tenant), after, limit)]

    async def cancel(self, batch: str) -> Batch:
        """See `BatchStore`."""
        fields = await self._script.call("cancel", batch)
        if not fields:
            raise _unknown(batch)
        return _batch(fields)

    async def due(self) -> list[str]:
        """See `BatchStore`."""
        return [batch.decode() for batch in await self._script.call("due")]

    async def unfinished(self, batch: str, count: int) -> list[Lease]:
        """See `BatchStore`."""
        rows = await self._script.call("unfinished", batch, count)
        return _leases(Lane.BATCH, rows)

    async def results(self, batch: str, numbers: Sequence[int]) -> list[bytes | None]:
        """See `BatchStore`."""
        if not numbers:
            return []
        with failures():
            found: list[bytes | None] = await self._shared.client.execute_command(
                "HMGET", f"{self._shared.prefix}b:{batch}:r", *numbers
            )
        return found

    async def finished(self, batch: str, start: int, count: int) -> list[int]:
        """See `BatchStore`."""
        if count <= 0:
            return []
        with failures():
            found = await self._shared.client.execute_command(
                "LRANGE", f"{self._shared.prefix}b:{batch}:d", start, start + count - 1
            )
        return [int(number) for number in found]


def _unknown(batch: str) -> NotFound:
    return NotFound(f"there is no batch {batch[:100]!r} (any more)")


def _conflict() -> BadRequest:
    return BadRequest("this Idempotency-Key was used with another body")


_TIMES = {status: f"{status.value}_at".encode() for status in BatchStatus}


def _batch(flat: Sequence[bytes]) -> Batch:
    """A batch from the fields that the script returns."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))

    def number(name: bytes) -> int:
        return int(fields.get(name, 0))

    try:
        named = mapping_from_json(fields[b"metadata"])
        errors = mapping_from_json(fields[b"errors"])["errors"] if b"errors" in fields else ()
    except (Corrupt, KeyError):
        named, errors = {}, ()
    spec = Spec(
        fields[b"id"].decode(), str(named.get("tenant", "")), str(named.get("key", "")), fields[b"digest"].decode(),
        number(b"window_ms") / 1e3, number(b"keep_ms") / 1e3, dict(named.get("metadata", {})),
    )  # fmt: skip
    return Batch(
        spec,
        BatchStatus(fields[b"status"].decode()),
        Counts(number(b"total"), number(b"completed"), number(b"failed")),
        number(b"chunks"),
        number(b"finished"),
        number(b"now"),
        number(b"created_at"),
        number(b"expires_at"),
        {status: number(name) for status, name in _TIMES.items() if name in fields},
        Mark(number(b"older_at"), number(b"older_done")),
        errors,
    )

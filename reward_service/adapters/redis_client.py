"""The connection to Redis: one server, a Sentinel group or a Cluster, by URL; and what its failures become.

What is decided here: no socket waits for ever (a worker of another system hung for good on a lost broker because
one did): connecting, reading and writing have timeouts, sockets are kept alive and pools are bounded, and a caller
that can't get a connection in that time is told so. A command whose connection broke is tried again once, on a fresh
one (all that this service sends may be sent twice); one that got no answer in time is not. Only commands of Redis 7.0.

URLs: `redis://`, `rediss://` (TLS), `unix://`; `redis+sentinel://host:26379,host:26379/master/db`;
`redis+cluster://host:6379,host:6379`; both also as `rediss+…`. User and password may stand in the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError

from reward_service.errors import Overloaded

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
HEALTH_SECONDS = 15


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How to reach Redis. prefix: of every key; several services can share a server, each with its own.

    username, password: of an ACL user, if not in the URL. ca: PEM file that TLS certificates are checked with.
    seconds: for a command and its answer; connect_seconds: to get a connection.
    """

    url: str
    prefix: str = "reward"
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    seconds: float = 2.0
    connect_seconds: float = 1.0
    connections: int = MAX_CONNECTIONS


def connect(options: RedisOptions) -> Redis | RedisCluster:
    """A client; nothing is sent yet. ValueError for a URL of another kind."""
    parts = urlsplit(options.url)
    scheme, _, kind = parts.scheme.partition("+")
    if (
        scheme not in ("redis", "rediss", "unix")
        or kind not in ("", "sentinel", "cluster")
        or (kind and scheme == "unix")
    ):
        raise ValueError(
            f"{parts.scheme}:// is no URL of Redis; redis, rediss, unix, redis+sentinel or redis+cluster"
        )
    shared: dict[str, Any] = {
        "socket_timeout": options.seconds,
        "socket_connect_timeout": options.connect_seconds,
        "retry": Retry(NoBackoff(), 1, (ConnectionLost,)),
        "health_check_interval": HEALTH_SECONDS,
        "protocol": 2,
        "client_name": "reward-service",
    }  # fmt: skip
    if scheme != "unix":
        shared["socket_keepalive"] = True
    for name, value in (("username", options.username), ("password", options.password)):
        if value:
            shared[name] = value
    if scheme == "rediss" and options.ca:
        shared["ssl_ca_certs"] = options.ca
    if not kind:
        pool = BlockingConnectionPool.from_url(
            options.url, max_connections=options.connections, timeout=options.seconds, **shared
        )
        return Redis.from_pool(pool)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    shared |= {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}
    if scheme == "rediss":
        shared["ssl"] = True
    nodes = [_address(host, 26379 if kind == "sentinel" else 6379) for host in hosts.split(",")]
    if kind == "cluster":
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in nodes],
            max_connections=options.connections,
            **shared,
        )
    master, _, database = parts.path.strip("/").partition("/")
    if not master:
        raise ValueError("a URL of redis+sentinel names the master: redis+sentinel://host:26379/mymaster")
    known = {"socket_timeout": options.connect_seconds, "socket_connect_timeout": options.connect_seconds}
    sentinel = Sentinel(nodes, sentinel_kwargs=known | {"protocol": 2}, **shared)  # type: ignore[no-untyped-call]
    found: Redis = sentinel.master_for(master, db=int(database or 0), max_connections=options.connections)
    return found


async def close(client: Redis | RedisCluster) -> None:
    """Close every connection, those to Sentinels too."""
    await client.aclose()
    if isinstance(client, Redis):
        pool = client.connection_pool
        await pool.disconnect()
        for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
            await sentinel.aclose()


def _address(text: str, port: int) -> tuple[str, int]:
    host, colon, number = text.rpartition(":")
    if not colon or not number.isdigit():
        return text.strip("[]"), port
    return host.strip("[]"), int(number)


def unreachable(error: BaseException) -> Overloaded:
    """What a failure of Redis is to our callers. Its text may quote an address, never a password."""
    return Overloaded(f"Redis can't be reached: {type(error).__name__}", problem="not-ready", retry_after=1.0)


BROKEN = (RedisError, OSError, TimeoutError, RuntimeError)
"""What a command raises when it can't be done. RuntimeError: uvloop's, for a write to a socket that has just closed."""


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Whatever Redis or its socket raises in the block becomes Overloaded.

    And a cancellation comes out as one: the client writes with `asyncio.wait_for`, which in Python 3.11 forgets a
    cancellation that comes in the moment the write is done; a loop around it would then never end.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
    except OutOfMemoryError:
        raise Overloaded("Redis has no memory left for more work", retry_after=5.0) from None
    except BROKEN as error:
        if isinstance(error, ResponseError):  # it answered: a role, a right or a command that it refuses
            log.error("Redis refused a command: %s", str(error)[:300])
        raise unreachable(error) from error


class Script:
    """`fleet.lua`, called by command. `call` may run when Redis is out of memory, `call_growing` may not."""

    def __init__(self, client: Redis | RedisCluster, prefix: str) -> None:
        self._client = client
        self._key = f"{{{prefix}}}:due"
        body = (files("reward_service.adapters") / "fleet.lua").read_text()
        self._freeing = _Body("#!lua flags=allow-oom\n" + body)
        self._growing = _Body("#!lua\n" + body)

    async def call(self, command: str, *arguments: Any) -> Any:
        """Run a command of the script. Overloaded (`not-ready`) if that can't be done now."""
        return await self._run(self._freeing, command, arguments)

    async def call_growing(self, command: str, *arguments: Any) -> Any:
        """The same for what brings in work: Overloaded (`overloaded`) when memory has run out."""
        return await self._run(self._growing, command, arguments)

    async def _run(self, body: _Body, command: str, arguments: Sequence[Any]) -> Any:
        with failures():
            try:
                return await self._client.execute_command(
                    "EVALSHA", body.sha, 1, self._key, command, *arguments
                )
            except NoScriptError:
                return await self._client.execute_command(
                    "EVAL", body.text, 1, self._key, command, *arguments
                )


class _Body:
    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

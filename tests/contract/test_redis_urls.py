"""Every way to reach Redis that a URL can name: plain, Unix socket, TLS, Sentinel (with a failover), Cluster; and none."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import RedisCluster

from reward_service.adapters.redis import RedisCache
from reward_service.adapters.redis_client import RedisOptions, connect
from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
from reward_service.engine.batches import Spec
from reward_service.engine.ports import Chunk, Lane
from reward_service.errors import Overloaded
from reward_service.types import accept
from tests.engine import unavailable
from tests.load.measure import free_port
from tests.redis_server import Server

pytestmark = pytest.mark.redis


async def works(options: RedisOptions, name: str = "b") -> None:
    """A batch can be sent and taken, and an outcome cached."""
    store, queue, cache = RedisBatchStore(options), RedisQueue(options), RedisCache(options)
    try:
        await store.begin(Spec(name))
        await store.add(name, 0, [Chunk(1, b"x")])
        await store.seal(name)
        assert [lease.payload for lease in await queue.take(Lane.BATCH, 5)] == [b"x"]
        await cache.put_many({b"k" * 16: accept("x")})
        (hit,) = await cache.get_many([b"k" * 16])
        assert hit is not None
        assert cache.failures == 0
    finally:
        for part in (store, queue, cache):
            await part.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:secret@host:6380/2", "rediss://host", "unix:///run/redis.sock", "unix:///run/redis.sock?db=3",
        "redis+sentinel://one:26379,two/master", "rediss+sentinel://u:p@one/master/3", "redis+sentinel://[::1]:26379/m",
    ],
)  # fmt: skip
def test_urls(url: str) -> None:
    client = connect(RedisOptions(url, username="", password=""))
    arguments = client.connection_pool.connection_kwargs
    assert arguments["socket_timeout"] == 2.0
    assert arguments["socket_connect_timeout"] == 1.0
    assert arguments["protocol"] == 2
    assert arguments.get("socket_keepalive", url.startswith("unix"))
    if "secret" in url:
        assert (arguments["username"], arguments["password"], arguments["db"]) == ("user", "secret", 2)
    if "u:p@" in url:
        assert (arguments["username"], arguments["password"], arguments["db"]) == ("u", "p", 3)


async def test_a_cluster_url() -> None:
    client = connect(RedisOptions("redis+cluster://u:p@one:7000,two", password="other"))
    assert isinstance(client, RedisCluster)
    assert client.connection_kwargs["password"] == "p"
    await client.aclose()


@pytest.mark.parametrize(
    "url", ["http://host", "redis+magic://host", "unix+cluster:///x", "host:6379", "redis+sentinel://host"]
)
def test_urls_of_another_kind(url: str) -> None:
    with pytest.raises(ValueError, match="redis"):
        connect(RedisOptions(url))


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(RedisOptions("redis://host", password="secret"))


async def test_a_unix_socket_and_a_port() -> None:
    server = Server(port=0)
    try:
        await works(RedisOptions(server.url))
        await works(RedisOptions(f"unix://{server.socket}"), "c")
    finally:
        server.close()


async def test_nobody_there_is_said_at_once_and_a_cache_just_has_nothing() -> None:
    options = RedisOptions(f"redis://127.0.0.1:{free_port()}")
    store, cache = RedisBatchStore(options), RedisCache(options)
    started = time.monotonic()
    with pytest.raises(Overloaded) as caught:
        await store.get("b")
    assert (caught.value.problem, bool(caught.value.retry_after)) == ("not-ready", True)
    assert await cache.get_many([b"k"]) == [None]
    await cache.put_many({b"k": accept("x")})
    assert time.monotonic() - started < 1
    await store.close()
    await cache.close()


async def test_whatever_the_client_raises_is_said_to_be_an_outage() -> None:
    """uvloop raises RuntimeError for a write to a socket that has just closed; that ended a worker once."""
    options = RedisOptions(f"redis://127.0.0.1:{free_port()}")
    store, cache = RedisBatchStore(options), RedisCache(options)

    async def closed(*arguments: object) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")

    store._shared.client.execute_command = closed  # type: ignore[method-assign]
    cache._client.execute_command = closed  # type: ignore[method-assign]
    with pytest.raises(Overloaded):
        await store.get("b")
    assert await cache.get_many([b"k"]) == [None]
    assert cache.failures == 1
    await store.close()
    await cache.close()


# TLS


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A certificate of an authority of our own for 127.0.0.1, and one of another authority."""
    openssl = shutil.which("openssl")
    if openssl is None:
        unavailable("openssl is not installed")
    for name in ("ours", "other"):
        command = [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem"), "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    return tmp_path


async def test_tls_with_a_certificate_that_is_checked(certificates: Path) -> None:
    port = free_port()
    tls = [
        "--tls-port", str(port), "--tls-cert-file", str(certificates / "ours.pem"), "--tls-key-file",
        str(certificates / "ours.key"), "--tls-ca-cert-file", str(certificates / "ours.pem"), "--tls-auth-clients", "no",
    ]  # fmt: skip
    server = Server(*tls)
    try:
        url = f"rediss://127.0.0.1:{port}"
        await works(RedisOptions(url, ca=str(certificates / "ours.pem")))
        for ca in (str(certificates / "other.pem"), ""):
            store = RedisBatchStore(RedisOptions(url, ca=ca))
            with pytest.raises(Overloaded):
                await store.get("b")
            await store.close()
    finally:
        server.close()


# Sentinel


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[tuple[int, Server, Server]]:
    """A sentinel that watches a primary with one replica: its port, and the two."""
    primary, replica, port = Server(port=0), Server(port=0), free_port()
    (tmp_path / "sentinel.conf").write_text(
        f"port {port}\ndir {tmp_path}\nsentinel monitor mymaster 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n"
    )
    with replica.client() as client:
        client.replicaof("127.0.0.1", primary.port)
    with (tmp_path / "log").open("wb") as log:
        binary = shutil.which("redis-server") or "redis-server"
        process = subprocess.Popen(
            [binary, str(tmp_path / "sentinel.conf"), "--sentinel"], stdout=log, stderr=log
        )
    try:
        yield port, primary, replica
    finally:
        process.kill()
        process.wait()
        primary.close()
        replica.close()


@pytest.mark.timeout(90)
async def test_sentinel_names_the_primary_and_after_a_failover_the_new_one(
    sentinel: tuple[int, Server, Server],
) -> None:
    port, primary, replica = sentinel
    options = RedisOptions(f"redis+sentinel://127.0.0.1:{port}/mymaster")
    store = RedisBatchStore(options)

    async def until_it_works(name: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                await store.begin(Spec(name))
                return
            except Overloaded:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)

    try:
        await until_it_works("b1")
        await works(options, "b2")
        with replica.client() as client:
            end = time.monotonic() + 20
            while not client.exists("{reward}:b:b2"):
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
        # A sentinel learns of replicas every ten seconds.
        await asyncio.sleep(11)
        primary.kill()
        await until_it_works("b3")
        assert await store.get("b1") is not None
        with replica.client() as client:
            assert client.info("replication")["role"] == "master"
            assert client.exists("{reward}:b:b3")
    finally:
        await store.close()


# Eviction


async def test_a_redis_that_may_evict_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Its policy would throw out queued items: the queue wants `noeviction`, the cache may have a server of its own."""
    server = Server("--maxmemory", "100mb")
    try:
        for policy, warned in (("noeviction", False), ("allkeys-lru", True), ("volatile-ttl", True)):
            with server.client() as client:
                client.config_set("maxmemory-policy", policy)
            queue = RedisQueue(server.options())
            caplog.clear()
            assert await queue.present(1) >= 1
            assert await queue.present(1) >= 1
            assert ("evicts" in caplog.text) is warned
            assert caplog.text.count("evicts") <= 1
            await queue.close()
    finally:
        server.close()


async def test_a_cache_that_evicts_takes_nothing_from_the_queue_of_another_server() -> None:
    first, second = Server(), Server("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    try:
        store, cache = RedisBatchStore(first.options()), RedisCache(second.options())
        await store.begin(Spec("b"))
        await store.add("b", 0, [Chunk(1, b"x" * 1000)] * 50)
        await store.seal("b")
        for start in range(0, 20_000, 1_000):
            await cache.put_many(
                {n.to_bytes(16, "big"): accept("x" * 500) for n in range(start, start + 1_000)}
            )
        hits = await cache.get_many([n.to_bytes(16, "big") for n in range(20_000)])
        assert 0 < sum(hit is not None for hit in hits) < 20_000, "it had to evict, and did"
        assert cache.failures == 0
        batch = await store.get("b")
        assert batch is not None
        assert batch.chunks == 50
        await store.close()
        await cache.close()
    finally:
        first.close()
        second.close()

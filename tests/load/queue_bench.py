"""What the queue, the shared cache and a worker cost: `python -m tests.load.queue_bench [queue|latency|cache|workers|peers]`.

CPU time is what is measured, by process; wall time is shown beside it, and means little on a machine with neighbours.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reward_service.adapters.memory import MemoryGroundTruths
from reward_service.adapters.redis import RedisCache
from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
from reward_service.engine.batches import Cursor, Order
from reward_service.engine.desk import Batches
from reward_service.engine.pool import Pool
from reward_service.engine.records import Entry
from reward_service.engine.scorer import Row, Scorer
from reward_service.types import Outcome, Reason, Status
from tests.load.measure import TICK, ticks
from tests.load.noop import registry
from tests.redis_server import Server

PEERS = Path(__file__).parents[2] / ".venv" / "peers"
ROW_BYTES = 2_000


def cpu(pid: int) -> float:
    """CPU seconds of one process."""
    return ticks(pid)[0] / TICK


def rows(count: int, size: int = ROW_BYTES, text: str = "r") -> list[Entry]:
    """Items of about so many bytes, half of which differ from one another."""
    same = "The quick brown fox computes a sum and a product. " * (size // 100)
    return [
        Entry(f"id-{n}", Row("noop", f"{text} {n} {os.urandom(size // 4).hex()} {same}", "42"))
        for n in range(count)
    ]


@contextmanager
def workers(server: Server, count: int, places: int = 6, spin_us: float = 0) -> Iterator[list[int]]:
    """So many no-op workers, up; yields their process ids."""
    command = [sys.executable, "-m", "tests.load.queue_worker", server.url, str(places), str(spin_us)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline()
        time.sleep(0.3)
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()


async def drained(server: Server, items: list[Entry], count: int, spin_us: float = 0) -> dict[str, float]:
    """Send a batch to `count` workers and wait for its end: seconds of wall, and of CPU by part."""
    store, queue = RedisBatchStore(server.options()), RedisQueue(server.options())
    desk = Batches(store, queue)
    with workers(server, count, 2 if spin_us else 6, spin_us) as pids:
        redis_before, workers_before = cpu(server.pid), sum(map(cpu, pids))
        sending = time.process_time()
        upload = await desk.begin()
        await upload.add(items)
        sent, redis_sent = time.process_time() - sending, cpu(server.pid)
        batch = (await upload.seal()).batch.id
        started = time.monotonic()
        while not (await desk.wait(batch, 60)).status.terminal:
            pass
        wall = time.monotonic() - started
        used = sum(map(cpu, pids)) - workers_before
        redis = cpu(server.pid) - redis_sent
    reading = time.process_time()
    found = sum([1 async for _ in desk.results(batch)])
    read = time.process_time() - reading
    assert found == len(items)
    await store.close()
    await queue.close()
    return {
        "wall": wall, "workers": used, "redis": redis, "send": sent, "send_redis": redis_sent - redis_before, "read": read,
    }  # fmt: skip


async def bench_queue() -> None:
    """Items per second through batches with a handler that does nothing."""
    for size, count in ((200, 100_000), (ROW_BYTES, 60_000)):
        server = Server()
        try:
            took = await drained(server, rows(count, size), 2)
        finally:
            server.close()
        each = {name: 1e6 * seconds / count for name, seconds in took.items()}
        core = 1e6 / (each["workers"] + each["redis"])
        print(
            f"items of {size} B: {count / took['wall']:,.0f} items/s seen with 2 workers; CPU per item: worker "
            f"{each['workers']:.1f} us, Redis {each['redis']:.1f} us (so {2 * core:,.0f} items/s on two free cores); "
            f"sending {each['send']:.1f} + {each['send_redis']:.1f} us, reading results {each['read']:.1f} us"
        )


async def bench_latency() -> None:
    """From sending a batch of 64 to its first result, and a live call, when nothing else is going on."""
    server = Server()
    store, queue = RedisBatchStore(server.options()), RedisQueue(server.options())
    desk, took = Batches(store, queue), []
    try:
        with workers(server, 1):
            for number in range(200):
                started = time.perf_counter()
                batch = (await desk.submit(rows(64, text=f"l{number}"))).batch.id
                async for _ in desk.results(batch, Cursor(Order.COMPLETION)):
                    took.append(time.perf_counter() - started)
                    break
                await asyncio.sleep(0.01)
    finally:
        await store.close()
        await queue.close()
        server.close()
    took.sort()
    print(f"batch of 64, sent to first result: p50 {1e3 * took[100]:.1f} ms, p95 {1e3 * took[190]:.1f} ms")


def outcome(number: int) -> Outcome:
    """An outcome like those of the mathematics handlers."""
    detail = {"rung": "numeric", "answer_from": "boxed"}
    return Outcome(
        Status.SCORED,
        Reason.EQUAL,
        1.0,
        True,
        f"\\frac{{{number}}}{{7}}",
        (),
        detail,
        {},
        "math",
        "3",
        0.0,
        1.5,
    )


async def bench_cache() -> None:
    """CPU of a hit in batches of 256: the adapter alone, and all that the scorer does around it."""
    server = Server()
    cache = RedisCache(server.options())
    try:
        keys = [os.urandom(16) for _ in range(256)]
        await cache.put_many({key: outcome(number) for number, key in enumerate(keys)})
        await cache.get_many(keys)
        rounds, redis = 200, cpu(server.pid)
        started = time.process_time()
        for _ in range(rounds):
            hits = await cache.get_many(keys)
        get = (time.process_time() - started) / rounds / 256
        redis = (cpu(server.pid) - redis) / rounds / 256
        assert all(hits)
        started = time.process_time()
        for _ in range(rounds // 4):
            await cache.put_many(dict.fromkeys(keys, outcome(1)))
        put = (time.process_time() - started) / (rounds // 4) / 256
        items = [entry.row for entry in rows(256)]
        async with Pool(registry(), size=1, loader="tests.load.noop:registry") as pool:
            scorer = Scorer(registry(), pool, cache, MemoryGroundTruths())
            await scorer.score_many(items)
            started = time.process_time()
            for _ in range(rounds):
                results = await scorer.score_many(items)
            whole = (time.process_time() - started) / rounds / 256
            assert all(result.outcome.cached for result in results)
    finally:
        await cache.close()
        server.close()
    print(
        f"cache, 256 at once: hit {1e6 * get:.1f} us CPU (+{1e6 * redis:.1f} in Redis), write {1e6 * put:.1f} us; "
        f"routing, fingerprint and hit of a {ROW_BYTES} B item {1e6 * whole:.1f} us"
    )


async def bench_workers() -> None:
    """What one more worker adds, with items that take 200 us of CPU."""
    spin = 200
    first = 0.0
    for count in (1, 2, 3, 4):
        server = Server()
        items = 6_000 * count
        try:
            took = await drained(server, rows(items, 500), count, spin)
        finally:
            server.close()
        rate, per_cpu = items / took["wall"], items / took["workers"]
        first = first or per_cpu
        print(
            f"{count} worker{'s' if count > 1 else ''}: {rate:,.0f} items/s seen ({os.cpu_count()} cores, shared), "
            f"{per_cpu:,.0f} items per CPU-second of a worker: {100 * per_cpu / first:.0f} % of the first one's"
        )


PEER_ENVIRONMENTS = {"taskiq": ["taskiq-redis"], "arq": ["arq"], "saq": ["saq[redis]", "typing-extensions"]}


def peer_python(name: str, packages: list[str]) -> str | None:
    """An interpreter that has the peer, in an environment of its own; None if it can't be had."""
    folder = PEERS / name
    python = folder / "bin" / "python"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    if not (folder / "installed").exists():
        for command in (
            [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "-q", "--python", str(python), *packages],
        ):
            if subprocess.run(command, check=False).returncode:
                return None
        (folder / "installed").touch()
    return str(python)


async def bench_peers() -> None:
    """The same items as one task each on other queues: items per CPU-second of worker, sender and Redis together."""
    server = Server()
    count = 40_000
    try:
        took = await drained(server, rows(count), 1)
    finally:
        server.close()
    ours = count / (took["workers"] + took["redis"] + took["send"] + took["send_redis"])
    print(f"this queue: {ours:,.0f} items per CPU-second, all processes together")
    for name, packages in PEER_ENVIRONMENTS.items():
        python = peer_python(name, packages)
        if python is None:
            print(f"{name}: could not be installed")
            continue
        server = Server(port=0)
        script = Path(__file__).parent / "peers" / f"{name}_peer.py"
        number = 3_000
        try:
            before = cpu(server.pid)
            done = await asyncio.to_thread(
                subprocess.run,
                [python, str(script), server.url, str(number), str(ROW_BYTES)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            if done.returncode:
                print(f"{name}: failed: {done.stderr.strip()[-300:]}")
                continue
            said = json.loads(done.stdout.splitlines()[-1])
            used = said["cpu"] + cpu(server.pid) - before
        finally:
            server.close()
        theirs = number / used
        print(
            f"{name} {said['version']}: {theirs:,.0f} items per CPU-second, one task each: {ours / theirs:.0f} times less"
        )


BENCHES = {
    "queue": bench_queue,
    "latency": bench_latency,
    "cache": bench_cache,
    "workers": bench_workers,
    "peers": bench_peers,
}

if __name__ == "__main__":
    for wanted in [word for word in sys.argv[1:] if not word.startswith("-")] or list(BENCHES):
        asyncio.run(BENCHES[wanted]())

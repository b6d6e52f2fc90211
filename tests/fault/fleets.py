"""Fleets under test: real worker processes on a real redis-server, and what must hold after anything that happened.

The invariant (`Fleet.check`): result ids are the input ids, each once and in its place; scores are bit by bit those of
a run without faults; counters add up; no stream has a message or a pending one; every key but the declared ones
expires; and no process is left behind.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
from reward_service.engine.batches import Batch, Cursor, Order
from reward_service.engine.desk import Batches
from reward_service.engine.records import Entry
from reward_service.engine.scorer import Row
from reward_service.errors import ServiceError
from reward_service.types import Outcome, Reason
from tests.fault.fleet_handlers import parent_of, score_of
from tests.load.measure import free_port
from tests.redis_server import Server

HANDLERS = "tests.fault.fleet_handlers:registry"
LEASE = 1.5
DECLARED = ("ring:", "bell:", "due", "live")
"""Keys without an expiry: they are empty, and so gone, when there is nothing to do."""
FULL = bool(os.environ.get("FAULT"))
"""Everything, and often (`make fault`); else what an ordinary run can afford."""


def often(few: int, many: int) -> int:
    """How often, or how much: in an ordinary run, and in `make fault`."""
    return many if FULL else few


def entries(count: int, text: str = "r") -> list[Entry]:
    """Items whose responses are `text`, and their number as id."""
    return [Entry(f"id-{number}", Row("fleet", f"{text} {number}", "gold")) for number in range(count)]


Expect = Callable[[Entry], float | Reason]


def expected(entry: Entry) -> float | Reason:
    """What an item must get: what a run without faults gives it."""
    return score_of(entry.row.response)


@dataclass
class Process:
    """A process of ours, and its log."""

    popen: subprocess.Popen[bytes]
    log: Path
    killed: bool = False

    @property
    def alive(self) -> bool:
        """Is it running (or stopped)?"""
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.killed |= number == signal.SIGKILL
        with suppress(ProcessLookupError):
            self.popen.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Its exit code."""
        return self.popen.wait(seconds)

    def text(self) -> str:
        """What it has written."""
        return self.log.read_text()

    def stats(self) -> dict[str, int]:
        """What a worker said of itself when it stopped."""
        found = re.search(r"stopped: WorkerStats\((.*)\)", self.text())
        pairs = re.findall(r"(\w+)=(\d+)", found.group(1)) if found else []
        return {name: int(number) for name, number in pairs}


@dataclass
class Fleet:
    """A Redis and the processes around it."""

    server: Server
    folder: Path
    lease: float = LEASE
    url: str = ""
    processes: list[Process] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def environment(self, **settings: Any) -> dict[str, str]:
        """What a process gets."""
        known = {
            "redis_url": self.url or self.server.url, "processes": 1, "spare_processes": 0, "sandbox": "none",
            "lease_seconds": self.lease, "worker_grace_seconds": 5, "cache_items": 1_000,
        }  # fmt: skip
        named = {
            f"REWARD_SERVICE_{name.upper()}": str(value) for name, value in {**known, **settings}.items()
        }
        return {**os.environ, **named, "PYTHONUNBUFFERED": "1"}

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Any process of ours."""
        log = self.folder / f"{len(self.processes)}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                command, env=dict(environment), stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def worker(self, handlers: str = HANDLERS, wrapper: Sequence[str] = (), **settings: Any) -> Process:
        """One more worker; it is not waited for."""
        command = [*wrapper, sys.executable, "-m", "tests.fault.fleet_worker", handlers]
        return self.start(command, self.environment(**settings))

    async def workers(self, count: int, **options: Any) -> list[Process]:
        """So many workers, up."""
        started = [self.worker(**options) for _ in range(count)]
        for worker in started:
            await up(worker)
        return started

    def gateway(self, **settings: Any) -> tuple[str, Process]:
        """A gateway in front of the fleet: its URL."""
        port = free_port()
        command = [sys.executable, "-m", "tests.load.serve", HANDLERS, str(port)]
        return f"http://127.0.0.1:{port}", self.start(command, self.environment(engine="fleet", **settings))

    @asynccontextmanager
    async def desk(self, url: str = "", **options: Any) -> AsyncIterator[Batches]:
        """Batches as a gateway has them, with connections of its own."""
        where = self.server.options() if not url else self.server.options().__class__(url)
        store, queue = RedisBatchStore(where, **options), RedisQueue(where, lease_seconds=self.lease)
        try:
            yield Batches(store, queue)
        finally:
            await store.close()
            await queue.close()

    def stop(self) -> None:
        """End everything that is left."""
        for process in self.processes:
            if process.alive:
                process.signal(signal.SIGCONT)
                process.signal(signal.SIGKILL)
                process.wait()

    # What must hold

    async def results(
        self, desk: Batches, batch: str, order: Order = Order.INPUT
    ) -> dict[int, tuple[Any, Outcome]]:
        """Every result by place; AssertionError if one comes twice."""
        found: dict[int, tuple[Any, Outcome]] = {}
        async for result in desk.results(batch, Cursor(order), follow=False):
            assert result.place not in found, "a result came twice"
            found[result.place] = (result.id, result.outcome)
        return found

    async def check(
        self, desk: Batches, batch: str, sent: Sequence[Entry], expect: Expect = expected
    ) -> dict[int, tuple[Any, Outcome]]:
        """The invariant, of a batch that has ended and of everything around it."""
        state = await desk.get(batch)
        found = await self.results(desk, batch)
        assert found == await self.results(desk, batch, Order.COMPLETION)
        assert list(found) == list(range(len(sent))), f"{len(found)} results of {len(sent)}"
        wrong = [
            (place, entry.id, found[place][1])
            for place, entry in enumerate(sent)
            if found[place][0] != entry.id or not agrees(found[place][1], expect(entry))
        ]
        assert not wrong, f"{len(wrong)} wrong, such as {wrong[:3]}"
        assert state.status.terminal
        assert state.counts.total == state.counts.done == len(sent)
        assert state.finished == state.chunks
        self.check_keys()
        await self.check_processes()
        return found

    def check_keys(self) -> None:
        """Nothing is queued or pending, and everything expires."""
        with self.server.client() as client:
            for key in client.scan_iter("*", count=1000):
                name = key.removeprefix("{reward}:")
                if client.type(key) == "stream" and not name.startswith("a:"):
                    assert client.xlen(key) == 0, f"{key} has messages"
                    assert client.xpending(key, "w")["pending"] == 0, f"{key} has pending messages"
                if not name.startswith(DECLARED):
                    assert client.ttl(key) > 0 or not client.exists(key), f"{key} never expires"
            assert not list(client.scan_iter("*ring:*"))

    async def check_processes(self) -> None:
        """No checking process outlives its worker."""
        until = time.monotonic() + 5
        while left := orphans():
            assert time.monotonic() < until, f"left behind: {left}"
            await asyncio.sleep(0.1)


def agrees(outcome: Outcome, wanted: float | Reason) -> bool:
    """The very same score, or that reason without any."""
    if isinstance(wanted, Reason):
        return outcome.reason is wanted
    return outcome.score is not None and outcome.score.hex() == wanted.hex()


def orphans() -> list[int]:
    """Checking processes of test fleets whose worker is gone."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError):
                command = (entry / "cmdline").read_bytes()
                if (
                    b"reward_service.engine.child" in command
                    and HANDLERS.partition(":")[0].encode() in command
                ):
                    top = int(entry.name)
                    while b"reward_service.engine.child" in Path(f"/proc/{top}/cmdline").read_bytes():
                        top = parent_of(top)
                    if top <= 1:
                        found.append(int(entry.name))
    return found


async def up(process: Process, seconds: float = 60.0) -> None:
    """Wait until a worker works."""
    await until(lambda: "working with" in process.text() or not process.alive, seconds)
    assert process.alive, process.text()


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; AssertionError if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


async def patiently(call: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The call's answer, asked again while the service says that it can't: what a client does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await call()
        except ServiceError as error:
            if error.problem not in ("not-ready", "overloaded") or time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)


async def finished(desk: Batches, batch: str, seconds: float) -> Batch:
    """The batch, ended within that time."""
    state = await desk.wait(batch, seconds)
    assert state.status.terminal, f"{state.counts} after {seconds} s"
    return state


async def some_done(desk: Batches, batch: str, items: int, seconds: float = 60.0) -> None:
    """Wait until so many items have results."""
    end = time.monotonic() + seconds
    while (await desk.get(batch)).counts.done < items:
        assert time.monotonic() < end, f"{(await desk.get(batch)).counts}"
        await asyncio.sleep(0.02)


def total(processes: Iterable[Process], name: str) -> int:
    """A statistic over workers that were told to stop."""
    return sum(process.stats().get(name, 0) for process in processes)

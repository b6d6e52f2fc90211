"""A soak: `make soak MINUTES=30`, or `python -m tests.load.soak --minutes 480`.

A fleet as in production in small (a redis-server with appendonly everysec, a gateway, workers with sandboxes) under Guru's mix at 60 % of
the peak that the same fleet was measured to carry just before, a batch every half minute beside it. Every minute something is killed with
SIGKILL and comes back: a worker, then Redis, then a container (`--sandbox docker`) or a worker's sandbox runner, in turn.

What must hold at the end: every item of every request and batch has exactly one result, with the known reward (callers try again, as
trainers' clients do: the shipped one is used); memory and descriptors of what lives are flat, no process is left behind, Redis is as empty as it was,
and the last third's p99 is at most 1.2 times the first's. Printed as text, and as JSON to `--json FILE`. Exit code 1 if something does not
hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from reward_service.adapters.docker_api import EngineApi, EngineError
from reward_service.adapters.docker_spec import OWNER
from reward_service.client import AsyncClient
from reward_service.load.generator import Delivery, Plan, Record, percentiles, send_by, summary
from reward_service.load.ramp import Step, climb
from reward_service.load.traffic import Request, Traffic
from tests.engine import image, running
from tests.fault.fleets import Fleet, Process, orphans, until
from tests.load.measure import free_port, parents, rss
from tests.redis_server import Server

SHARE = 0.6
BATCH = 16
DEADLINE = 120.0
BATCH_ITEMS, BATCH_SECONDS = 600, 30.0
KEEP_SECONDS = 90.0
"""How long the shared cache and ended batches are kept here, so that Redis has its steady size within the first
minutes and is empty soon after the end, as it has and is after weeks in production."""
KEPT = dict.fromkeys(("cache_days", "batch_keep_days"), KEEP_SECONDS / 86_400)
SAMPLE_SECONDS = 5.0
TAIL_RATIO, FLAT_RATIO, FLAT_BYTES, FLAT_FILES = 1.2, 1.15, 24 << 20, 16
REGISTRY = "reward_service.registry:load"


@dataclass
class Sampled:
    """What was seen of the processes, by name: (seconds, value)."""

    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def note(self, name: str, at: float, value: float) -> None:
        """One more value."""
        self.series.setdefault(name, []).append((at, value))

    def thirds(self, name: str, seconds: float) -> tuple[float, float]:
        """Medians of the first third (without the first tenth, in which things warm up) and of the last."""
        values = self.series.get(name, [])
        first = [value for at, value in values if 0.1 * seconds <= at < seconds / 3] or [v for _, v in values]
        last = [value for at, value in values if at >= 2 * seconds / 3] or [v for _, v in values]
        return (statistics.median(first), statistics.median(last)) if values else (0.0, 0.0)


@dataclass
class Batches:
    """What came of the batches: items sent, results, and what was not as it must be."""

    sent: int = 0
    results: int = 0
    twice: int = 0
    lost: int = 0
    wrong: int = 0
    errors: int = 0
    made: int = 0


class Soak:
    """The fleet, who kills it, and who watches."""

    def __init__(self, fleet: Fleet, workers: int, sandbox: str) -> None:
        self.fleet = fleet
        self.sandbox = sandbox
        self.engine = EngineApi() if sandbox == "docker" else None
        self.box = "container" if self.engine else "sandbox runner"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.kills: dict[str, int] = {"worker": 0, "redis": 0, self.box: 0}
        self.sampled = Sampled()
        self.batches = Batches()
        self._count = workers
        self.workers: list[Process] = []
        self.gateway: Process | None = None

    async def start(self) -> None:
        """Everything up."""
        command = [sys.executable, "-m", "tests.load.serve", REGISTRY, str(self.port)]
        self.gateway = self.fleet.start(command, self.fleet.environment(engine="fleet", **KEPT))
        self.workers = await self.fleet.workers(self._count, **self._options())
        await until(lambda: ready(self.url), 60)

    def _options(self) -> dict[str, Any]:
        own = {"handlers": REGISTRY, "sandbox": self.sandbox, "sandbox_places": 1, "spare_processes": 1}
        return {**own, **KEPT}

    def containers(self) -> list[str]:
        """Running containers of living workers."""
        if self.engine is None:
            return []
        family = {pid for worker in self.workers for pid in below(worker.popen.pid)}
        return [
            str(one["Id"])
            for one in self.engine.containers(OWNER)
            if one["State"] == "running" and int(one["Labels"][OWNER].split("/")[-2]) in family
        ]

    async def kill(self, what: str) -> None:
        """SIGKILL, and whatever brings it back in production."""
        self.kills[what] += 1
        if what == "redis":
            await asyncio.to_thread(self.fleet.server.settle)
            self.fleet.server.kill()
            await asyncio.to_thread(self.fleet.server.start)
        elif what == "worker":
            dead = self.workers.pop(0)
            dead.signal(signal.SIGKILL)
            await asyncio.to_thread(dead.wait)
            self.workers.append(self.fleet.worker(**self._options()))
        elif self.engine is not None:
            there = await asyncio.to_thread(self.containers)
            for container in there[:1]:
                await asyncio.to_thread(self.engine.kill, container)
            self.kills[what] -= not there
        else:
            runners = [
                pid for worker in self.workers for pid in below(worker.popen.pid, b"reward_service.runner")
            ]
            for pid in runners[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.kills[what] -= not runners

    async def end(self) -> None:
        """Tell the workers to stop, as a deployment does, and wait until they have."""
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(worker.wait)

    async def keep_killing(self, seconds: float, every: float) -> None:
        """One kill after another, the last one early enough to be survived within the time."""
        kinds = ["worker", "redis", self.box] if self.sandbox != "none" else ["worker", "redis"]
        started = time.monotonic()
        number = 0
        while started + (number + 1) * every < started + seconds - min(20.0, every / 2):
            number += 1
            await asyncio.sleep(max(0.0, started + number * every - time.monotonic()))
            await self.kill(kinds[(number - 1) % len(kinds)])

    async def keep_sampling(self) -> None:
        """Sizes of what lives, every few seconds."""
        started = time.monotonic()
        while True:
            at = time.monotonic() - started
            self.sample(at)
            if self.engine is not None:
                with suppress(EngineError):
                    there = await asyncio.to_thread(self.engine.containers, OWNER)
                    self.sampled.note("containers", at, len(there))
            await asyncio.sleep(SAMPLE_SECONDS)

    def sample(self, at: float) -> None:
        """One look."""
        note = self.sampled.note
        assert self.gateway is not None
        with suppress(OSError):
            note("gateway bytes", at, rss(self.gateway.popen.pid))
            note("gateway descriptors", at, files(self.gateway.popen.pid))
        for worker in self.workers:
            with suppress(OSError):
                family = [worker.popen.pid, *below(worker.popen.pid)]
                note("worker bytes", at, rss(worker.popen.pid))
                note("worker descriptors", at, files(worker.popen.pid))
                note("processes of a worker", at, len(family))
        with suppress(Exception), self.fleet.server.client() as client:
            note("redis bytes", at, float(client.info("memory")["used_memory"]))
            note("redis clients", at, float(client.info("clients")["connected_clients"]))

    async def keep_batching(self, traffic: Traffic, until_: float) -> None:
        """A batch, and the next one, and every result of each."""
        while time.monotonic() < until_ - 15:
            began = time.monotonic()
            await self.batch(traffic.request(BATCH_ITEMS))
            await asyncio.sleep(max(0.0, BATCH_SECONDS - (time.monotonic() - began)))

    async def batch(self, request: Request) -> None:
        """One batch, whatever happens meanwhile; its results are counted by place."""
        items = json.loads(request.body)["items"]
        body = b"\n".join(json.dumps(item).encode() for item in items)
        headers = {"content-type": "application/x-ndjson", "idempotency-key": os.urandom(8).hex()}
        found: dict[int, Mapping[str, Any]] = {}
        cursor, name, end = "", "", time.monotonic() + DEADLINE
        async with httpx2.AsyncClient(base_url=self.url, timeout=30) as client:
            while len(found) < len(items) and time.monotonic() < end:
                try:
                    if not name:
                        reply = await client.post("/v1/batches", content=body, headers=headers)
                        name = reply.json()["id"] if reply.status_code == 200 else ""
                    if name:
                        params = {"cursor": cursor} if cursor else {}
                        async with client.stream(
                            "GET", f"/v1/batches/{name}/results", params=params
                        ) as reply:
                            name = "" if reply.status_code == 404 else name
                            async for line in reply.aiter_lines():
                                if reply.status_code == 200 and line:
                                    one = json.loads(line)
                                    self.batches.twice += one["index"] in found
                                    found[one["index"]] = one
                                    cursor = one["cursor"]
                except (httpx2.HTTPError, ValueError):
                    pass
                await asyncio.sleep(0.2)
        said = self.batches
        said.made += 1
        said.sent += len(items)
        said.results += len(found)
        said.lost += len(items) - len(found)
        for place, one in found.items():
            reward = request.rewards[place]
            said.errors += one["status"] == "error"
            said.wrong += one["score"] is not None and reward is not None and one["score"] != reward


def ready(url: str) -> bool:
    """Can it score?"""
    try:
        return httpx2.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def below(pid: int, words: bytes = b"") -> list[int]:
    """Every process under another whose command line has these words."""
    family, found, wave = parents(), [], {pid}
    while wave:
        wave = {child for child, parent in family.items() if parent in wave}
        found += sorted(wave)
    if not words:
        return found
    named = []
    for child in found:
        with suppress(OSError):
            if words in Path(f"/proc/{child}/cmdline").read_bytes():
                named.append(child)
    return named


def files(pid: int) -> int:
    """Open descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def delivered_by(client: AsyncClient) -> Any:
    """Requests as a trainer makes them: with the shipped client, which tries again."""

    async def deliver(request: Request) -> Delivery:
        rewards = await client.score(json.loads(request.body)["items"], deadline_seconds=DEADLINE)
        results = [
            {"index": place, "status": reward.status, "score": reward.score, "reason": reward.reason,
             "extracted": reward.extracted, "handler": reward.handler}
            for place, reward in enumerate(rewards)
        ]  # fmt: skip
        return Delivery("answered", results)

    return deliver


async def run(asked: argparse.Namespace, server: Server, folder: Path) -> dict[str, Any]:
    """Everything, and the report."""
    fleet = Fleet(server, folder, lease=10.0)
    soak = Soak(fleet, asked.workers, asked.sandbox)
    mix = "guru" if asked.sandbox != "none" else "rules"
    try:
        await soak.start()
        traffic = Traffic(mix, seed=int(time.time()))
        empty = used_memory(server)
        async with AsyncClient(soak.url, connections=256, chunk_items=BATCH) as client:
            deliver = delivered_by(client)
            plan = Plan(soak.url, asked.rate or 40.0, 10.0, BATCH, timeout=DEADLINE)
            peak = 0.0
            if not asked.rate:

                async def step(one: Plan, record: Record) -> None:
                    await send_by(one, traffic, record, deliver)

                def told(one: Step) -> None:
                    print(f"  {one}", file=sys.stderr, flush=True)

                peak = (await climb(plan, step, 4_000, told, most=12)).peak
            seconds = 60 * asked.minutes
            plan = replace(plan, rate=asked.rate or max(2.0, SHARE * peak), seconds=seconds)
            print(
                f"soak: {seconds:.0f} s at {plan.rate:,.0f} items/s (peak {peak:,.0f})",
                file=sys.stderr,
                flush=True,
            )
            record, ends = Record(), time.monotonic() + seconds
            watching = asyncio.create_task(soak.keep_sampling())
            telling = asyncio.create_task(keep_telling(record, soak))
            async with asyncio.TaskGroup() as group:
                group.create_task(send_by(plan, traffic, record, deliver))
                group.create_task(soak.keep_killing(seconds, asked.kill_every))
                group.create_task(soak.keep_batching(Traffic(mix, seed=int(time.time()) + 1), ends))
            for task in (watching, telling):
                task.cancel()
            await asyncio.gather(watching, telling, return_exceptions=True)
        report = reported(plan, record, soak, peak)
        report["left"] = await left(fleet, server, empty)
        await soak.end()
        report["left"]["containers"] = len(soak.engine.containers(OWNER)) if soak.engine else 0
    finally:
        fleet.stop()
    report["left"]["processes"] = len(orphans())
    report["held"] = verdicts(report)
    return report


async def keep_telling(record: Record, soak: Soak) -> None:
    """A line every half minute, for who watches."""
    while True:
        await asyncio.sleep(30)
        text = f"{record.seconds:.0f} s: {record.scored:,} scored, {record.wrong} wrong, {dict(record.errors)}, killed {soak.kills}"
        print(f"  {text}", file=sys.stderr, flush=True)


def used_memory(server: Server) -> int:
    """Bytes of Redis' data."""
    with server.client() as client:
        return int(client.info("memory")["used_memory"])


async def left(fleet: Fleet, server: Server, empty: int) -> dict[str, Any]:
    """What is in Redis when everything has been answered and what is kept for a while has expired: no message, none
    pending, and the memory that it had before."""
    await asyncio.sleep(KEEP_SECONDS + 10)
    trouble = ""
    try:
        fleet.check_keys()
    except AssertionError as error:
        trouble = str(error)[:200]
    with server.client() as client:
        kinds: dict[str, int] = {}
        for key in client.scan_iter("*", count=1_000):
            name = re.sub(r"[0-9a-f_]{12,}", "*", key.removeprefix("{reward}:"))[:12]
            kinds[name] = kinds.get(name, 0) + 1
    top = dict(sorted(kinds.items(), key=lambda pair: -pair[1])[:8])
    return {
        "queue": trouble or "empty",
        "redis_bytes": used_memory(server),
        "redis_bytes_before": empty,
        "keys": top,
    }


def reported(plan: Plan, record: Record, soak: Soak, peak: float) -> dict[str, Any]:
    """Figures of a run."""
    seconds = plan.seconds
    thirds = [
        percentiles([s.seconds for s in record.samples if part / 3 <= s.due / seconds < (part + 1) / 3])
        for part in range(3)
    ]
    sizes = {
        name: dict(zip(("first", "last"), soak.sampled.thirds(name, seconds), strict=True))
        for name in sorted(soak.sampled.series)
    }
    return {
        "peak": peak, "rate": plan.rate, "live": summary(plan, record), "batches": vars(soak.batches), "kills": soak.kills,
        "thirds_ms": thirds, "sizes": sizes,
        "series": {name: [(round(at), value) for at, value in values] for name, values in soak.sampled.series.items()},
    }  # fmt: skip


def verdicts(report: Mapping[str, Any]) -> dict[str, bool]:
    """What must hold, and whether it does."""
    live, batches, sizes, thirds = report["live"], report["batches"], report["sizes"], report["thirds_ms"]
    held = {
        "nothing lost": not live["items"]["missing"] and not batches["lost"]
        and live["items"]["scored"] + sum(live["items"]["errors"].values()) == live["items"]["sent"],
        "nothing twice": not batches["twice"],
        "nothing wrong": not live["items"]["wrong"] and not batches["wrong"],
        "every item judged": not live["items"]["errors"] and not batches["errors"],
        "queue empty": report["left"]["queue"] == "empty",
        "Redis is as empty as before, but for 2 MiB": report["left"]["redis_bytes"]
        <= report["left"]["redis_bytes_before"] + (2 << 20),
        "no process left behind": not report["left"]["processes"],
        "no container left behind": not report["left"]["containers"],
    }  # fmt: skip
    for name, size in sizes.items():
        room = FLAT_BYTES if "bytes" in name else FLAT_FILES
        held[f"flat: {name}"] = size["last"] <= max(FLAT_RATIO * size["first"], size["first"] + room)
    if thirds[0] and thirds[2]:
        held[f"p99 of the last third <= {TAIL_RATIO} x the first's"] = (
            thirds[2]["p99"] <= TAIL_RATIO * thirds[0]["p99"]
        )
    return held


def shown(report: Mapping[str, Any]) -> Sequence[str]:
    """The report as lines of text."""
    live, batches, thirds = report["live"], report["batches"], report["thirds_ms"]
    lines = [
        f"{live['items']['sent']:,} items live at {report['rate']:,.0f}/s (peak {report['peak']:,.0f}), {batches['sent']:,} in {batches['made']} batches; "
        f"killed: {', '.join(f'{count} × {what}' for what, count in report['kills'].items())}",
        f"live: {live['items']}; batches: {batches}",
        f"latency of thirds, ms: {[{name: third.get(name) for name in ('p50', 'p99', 'p99.9')} for third in thirds]}",
        f"left: {report['left']}",
    ]
    lines += [
        f"{name}: {size['first']:,.0f} -> {size['last']:,.0f}" for name, size in report["sizes"].items()
    ]
    lines += [f"  wrong: {words}" for words in live["wrong_examples"]]
    lines += [f"{'holds' if ok else 'DOES NOT HOLD'}: {words}" for words, ok in report["held"].items()]
    return lines


def main() -> int:
    """Soak and report; the exit code."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="items per second; else 60 %% of a measured peak"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds")
    parser.add_argument("--sandbox", choices=["docker", "bubblewrap", "none"], default="docker")
    parser.add_argument("--json", type=Path, help="file for the report")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reward-soak-") as folder, ExitStack() as stack:
        if asked.sandbox == "docker":
            try:
                os.environ["DOCKER_HOST"] = stack.enter_context(running())
                image(os.environ["DOCKER_HOST"])
            except (pytest.skip.Exception, pytest.fail.Exception) as error:
                parser.error(f"no container engine: {error}; --sandbox bubblewrap does without")
        server = Server(port=0)
        try:
            report = asyncio.run(run(asked, server, Path(folder)))
        finally:
            server.close()
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1))
    print("\n".join(shown(report)))
    return 0 if all(report["held"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())

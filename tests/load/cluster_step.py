"""A training step of 8,192 mixed rollouts from several rollout workers: `python -m tests.load.cluster_step`.

Three things, on a service with its cache switched off:
- all rollouts at once after generation (as TRL and legacy managers do): wall time of the reward stage, CPU by domain;
- each rollout as soon as it is generated (as verl's reward loop and slime do), one item per call from every worker, during a
  simulated generation with long-tailed lengths: what is left of the reward stage after the last token;
- the same rollouts through verl's own default scoring, where .venv-trainers has it, for the domains that it can score:
  math (its `math_dapo`, and `prime_math` on a sample) and programs on stdin (its local `prime_code`, on a sample).

Wall times belong to this machine; CPU times and ratios travel. Rewards are compared with what each rollout must get.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from reward_service.client import AsyncClient, Client
from reward_service.load.rollouts import Rollout, rollouts
from tests.load.measure import Cpu, cpu_of, free_port

ROOT = Path(__file__).parents[2]
WORKERS = 4
VERL = ROOT / ".venv-trainers" / "bin" / "python"
VERL_PROGRAMS = 48
VERL_SECONDS = 400


class Got(NamedTuple):
    """What one rollout got: its reward, CPU milliseconds of checking and of running, and when its answer came."""

    score: float | None
    verify_ms: float
    sandbox_ms: float
    at: float


@contextmanager
def service() -> Iterator[tuple[str, int]]:
    """The service as `reward-service serve` starts it, on bubblewrap, without a cache."""
    port = free_port()
    environment = {
        **os.environ,
        "REWARD_SERVICE_CACHE_ITEMS": "0",
        "REWARD_SERVICE_SANDBOX": "bubblewrap",
        "REWARD_SERVICE_LOG_LEVEL": "warning",
    }
    command = [str(Path(sys.executable).parent / "reward-service"), "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if httpx2.get(f"{url}/readyz", timeout=5).status_code == 200:
                    break
            except httpx2.TransportError:
                time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def at_once(url: str, items: Sequence[dict[str, Any]]) -> list[Got]:
    """A worker's share in batches."""
    with Client(url, deadline_seconds=900) as client:
        rewards = client.score(items)
    now = time.time()
    return [Got(one.score, one.verify_ms, one.sandbox_ms, now) for one in rewards]


def as_generated(
    url: str, items: Sequence[dict[str, Any]], times: Sequence[float], began: float
) -> list[Got]:
    """A worker's share one by one, each at its time."""

    async def run() -> list[Got]:
        async with AsyncClient(url, deadline_seconds=900, connections=128) as client:

            async def one(item: dict[str, Any], due: float) -> Got:
                await asyncio.sleep(max(0.0, began + due - time.time()))
                reward = await client.score_one(item)
                return Got(reward.score, reward.verify_ms, reward.sandbox_ms, time.time())

            return list(await asyncio.gather(*(one(*pair) for pair in zip(items, times, strict=True))))

    return asyncio.run(run())


def by_domain(step: Sequence[Rollout], found: Sequence[Got]) -> None:
    """Print what each domain cost, and what was wrong."""
    rows: dict[str, list[tuple[Rollout, Got]]] = defaultdict(list)
    for pair in zip(step, found, strict=True):
        rows[pair[0].domain].append(pair)
    print(
        f"  {'domain':<12}{'rollouts':>9}{'checking CPU s':>16}{'programs CPU s':>16}{'ms each':>9}{'wrong':>7}{'unjudged':>9}"
    )
    for domain, pairs in rows.items():
        verify = sum(got.verify_ms for _, got in pairs) / 1e3
        ran = sum(got.sandbox_ms for _, got in pairs) / 1e3
        print(
            f"  {domain:<12}{len(pairs):9,}{verify:16.2f}{ran:16.2f}{1e3 * (verify + ran) / len(pairs):9.2f}"
            f"{sum(wrong(*pair) for pair in pairs):7}{sum(got.score is None for _, got in pairs):9}"
        )


def wrong(rollout: Rollout, got: Got) -> bool:
    return rollout.reward is not None and got.score is not None and got.score != rollout.reward


def shares(values: Sequence[Any]) -> list[list[Any]]:
    """One share for each worker."""
    return [list(values[worker::WORKERS]) for worker in range(WORKERS)]


def joined(parts: Sequence[Sequence[Got]], count: int) -> list[Got]:
    """The shares' results in the order of the step."""
    found: list[Any] = [None] * count
    for worker, part in enumerate(parts):
        found[worker::WORKERS] = part
    return found


def spent(pid: int, before: Cpu, found: Sequence[Got]) -> str:
    """The gateway's CPU time from the kernel; the rest from the replies, since a recycled sandbox takes its own along."""
    gateway = (cpu_of(pid) - before).own
    checking = sum(got.verify_ms for got in found) / 1e3
    programs = sum(got.sandbox_ms for got in found) / 1e3
    return f"CPU {gateway + checking + programs:.1f} s (gateway {gateway:.1f}, checking {checking:.1f}, programs {programs:.1f})"


def main() -> None:
    """Run the step in each way and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--generation", type=float, default=60.0, help="seconds of the simulated generation")
    parser.add_argument("--no-verl", action="store_true")
    arguments = parser.parse_args()
    step = list(rollouts(prompts=arguments.prompts))
    items = [rollout.item for rollout in step]
    print(
        f"{len(step):,} rollouts, {sum(len(item['response']) for item in items) / len(items):,.0f} characters each"
    )
    pool = ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"))
    with pool, service() as (url, pid):
        list(pool.map(_warm, [url] * WORKERS))
        before, began = cpu_of(pid), time.time()
        found = joined(list(pool.map(at_once, [url] * WORKERS, shares(items))), len(step))
        print(
            f"\nall at once, {WORKERS} workers: reward stage {time.time() - began:.1f} s; {spent(pid, before, found)}"
        )
        by_domain(step, found)

        dice = random.Random(3)
        longest = arguments.generation
        times = [longest * min(1.0, dice.lognormvariate(-1.2, 0.6)) for _ in step]
        before, began = cpu_of(pid), time.time() + 1.0
        parts = list(pool.map(as_generated, [url] * WORKERS, shares(items), shares(times), [began] * WORKERS))
        found = joined(parts, len(step))
        last = began + max(times)
        late = max(got.at for got in found) - last
        waits = sorted(got.at - began - due for got, due in zip(found, times, strict=True))
        print(
            f"\neach as soon as it is generated ({longest:.0f} s of generation): {max(0.0, late):.2f} s left after the last token; "
            f"{100 * sum(got.at <= last for got in found) / len(found):.1f} % judged before it; "
            f"answer after {waits[len(waits) // 2]:.2f} s (median), {waits[int(0.99 * len(waits))]:.2f} s (99 %); {spent(pid, before, found)}"
        )
        by_domain(step, found)
        if not arguments.no_verl and VERL.exists():
            beside_verl(step, url, pid)


def _warm(url: str) -> int:
    with Client(url) as client:
        client.score([{"data_source": "math__dapo", "response": "\\boxed{1}", "ground_truth": "1"}])
    return os.getpid()


def beside_verl(step: Sequence[Rollout], url: str, pid: int) -> None:
    """verl's default scoring and ours on the same rollouts, one after the other."""
    math = [one for one in step if one.domain == "math"]
    programs = [one for one in step if one.kind == "stdio"]
    # Every wrong and right program in their shares, but not all: verl's local runner takes long.
    programs = programs[:: max(1, len(programs) // VERL_PROGRAMS)][:VERL_PROGRAMS]
    print(f"\n{'':<44}{'rollouts':>9}{'wall s':>8}{'CPU s':>8}{'CPU ms each':>13}{'wrong':>7}{'failed':>7}")
    for name, part, source in (
        ("math", math, "math_dapo"),
        ("math, every 16th", math[::16], "numina_olympiads"),
        ("programs on stdin", programs, "taco"),
    ):
        before, began = cpu_of(pid), time.monotonic()
        with Client(url, deadline_seconds=900) as client:
            rewards = client.score([one.item for one in part])
        wall = time.monotonic() - began
        cpu = (cpu_of(pid) - before).own + sum(
            reward.verify_ms + reward.sandbox_ms for reward in rewards
        ) / 1e3
        report(f"service, {name}", len(part), wall, cpu, [reward.score for reward in rewards], part)
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder) / "rows.jsonl"
            rows.write_text("".join(json.dumps({**one.item, "data_source": source}) + "\n" for one in part))
            command = [str(VERL), "-m", "tests.load.cluster_verl", str(rows)]
            try:
                done = subprocess.run(
                    command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=VERL_SECONDS
                )
            except subprocess.TimeoutExpired:
                print(f"verl {source}, {name}: not done after {VERL_SECONDS} s")
                continue
            except subprocess.CalledProcessError as error:
                print(f"verl {source}, {name}: {error.stderr[-300:]}")
                continue
        found = json.loads(done.stdout.splitlines()[-1])
        report(f"verl {source}, {name}", len(part), found["wall"], found["cpu"], found["scores"], part)


def report(
    name: str, count: int, wall: float, cpu: float, scores: Sequence[float | None], part: Sequence[Rollout]
) -> None:
    bad = sum(
        one.reward is not None and score is not None and float(score) != one.reward
        for one, score in zip(part, scores, strict=True)
    )
    none = sum(score is None for score in scores)
    print(f"{name:<44}{count:9,}{wall:8.1f}{cpu:8.2f}{1e3 * cpu / count:13.2f}{bad:7}{none:7}", flush=True)


if __name__ == "__main__":
    main()

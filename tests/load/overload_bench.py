"""Three times what the service carries: `make bench ARGS=overload` (`ARGS='overload --json'`).

The peak is found first (`climb`), then there are four phases without a pause: 60 % of it, three times it, and 60 % again. What is asked:
goodput under overload is at least 90 % of the peak, the excess is refused within 50 ms, and 5 s after its end latencies are what
they were before.

Items take time and no CPU (`nap`), on as many checking processes as there are places: so it is the service that is full, and not this machine, and
neighbours on it matter less. Requests have a deadline of 5 s, since a service may well queue what makes its deadline.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from reward_service.load.generator import Plan, Record, Sample, percentiles, send, summary
from reward_service.load.ramp import Step, climb
from reward_service.load.traffic import Request
from tests.fault.fleet_handlers import score_of
from tests.fault.fleets import HANDLERS, Fleet, until
from tests.load.measure import service
from tests.load.soak import ready
from tests.redis_server import Server

PROCESSES, NAP_MS, BATCH = 8, 10, 16
DEADLINE = 5.0
TIMES = 3.0
GOODPUT_SHARE, REFUSAL_MS, RECOVERY_SECONDS = 0.9, 50.0, 5.0


class Naps:
    """Requests of items that sleep, with the score that each must get."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def request(self, items: int) -> Request:
        """The next ones."""
        texts = [f"nap {NAP_MS} {next(self._numbers)}" for _ in range(items)]
        rows = [{"data_source": "fleet", "response": text, "ground_truth": "gold"} for text in texts]
        return Request(json.dumps({"items": rows}).encode(), [score_of(text) for text in texts])


async def measured(url: str, quick: bool) -> dict[str, Any]:
    """The peak and the phases."""
    naps = Naps()
    nominal = PROCESSES * 1e3 / NAP_MS
    step = 3.0 if quick else 6.0
    plan = Plan(url, nominal / 2, step, BATCH, poisson=True, timeout=DEADLINE)

    async def one(plan: Plan, record: Record) -> None:
        await send(plan, naps, record)

    def told(step: Step) -> None:
        print(f"  {step}", file=sys.stderr, flush=True)

    peak = (await climb(plan, one, 2_000, told)).peak
    calm, storm = (8.0, 15.0) if quick else (15.0, 40.0)
    before, during, after = Record(), Record(), Record()
    await one(Plan(url, 0.6 * peak, calm, BATCH, timeout=DEADLINE, seed=1), before)
    storming = Plan(url, TIMES * peak, storm, BATCH, timeout=DEADLINE, seed=2)
    overload = asyncio.create_task(one(storming, during))
    await asyncio.sleep(storm)
    await one(Plan(url, 0.6 * peak, calm, BATCH, timeout=DEADLINE, seed=3), after)
    await overload
    usual = percentiles([sample.seconds for sample in before.samples])
    limit = max(1.5 * usual["p99"], usual["p99"] + 50.0) / 1e3
    said = summary(storming, during)
    # The first deadline's length is what fills the queue: it is no steady state.
    counted = [
        s.items for s in during.samples if s.fate == "answered" and DEADLINE < s.due + s.seconds <= storm
    ]
    return {
        "peak": peak,
        "nominal": nominal,
        "asked": storming.rate,
        "goodput": round(sum(counted) / (storm - DEADLINE), 1),
        "goodput_share": round(sum(counted) / (storm - DEADLINE) / peak, 3),
        "refused_share": round(said["requests"].get("refused", 0) / len(during.samples), 3),
        "refusal_ms": said["refusal_ms"],
        "late_ms": said["generator_late_ms"],
        "latency_before_ms": usual,
        "latency_during_ms": said["latency_ms"],
        "recovery_seconds": round(recovered(after.samples, limit), 2),
        "wrong": sum(record.wrong + record.missing for record in (before, during, after)),
        "errors": dict(during.errors),
        "requests": said["requests"],
    }


def recovered(samples: list[Sample], limit: float) -> float:
    """Seconds after which no request was refused or slower than `limit`, but for one in a hundred."""
    bad = sorted(s.due for s in samples if s.fate != "answered" or s.seconds > limit)
    allowed = len(samples) // 100
    return bad[-1 - allowed] if len(bad) > allowed else 0.0


def verdicts(found: dict[str, Any]) -> dict[str, bool]:
    """What was asked, and whether it holds. A refusal's time leaves out how late the generator itself was (medians)."""
    refusal = found["refusal_ms"].get("p50", 0.0)
    return {
        f"goodput >= {GOODPUT_SHARE:.0%} of peak": found["goodput_share"] >= GOODPUT_SHARE,
        f"half of the refusals within {REFUSAL_MS:.0f} ms": refusal <= REFUSAL_MS,
        f"95 % of the refusals within {REFUSAL_MS:.0f} ms": found["refusal_ms"].get("p95", 0.0) <= REFUSAL_MS,
        f"recovery <= {RECOVERY_SECONDS:.0f} s": found["recovery_seconds"] <= RECOVERY_SECONDS,
        "nothing wrong": not found["wrong"],
        "the generator was on time (else nothing of this is said)": found["late_ms"].get("p95", 0.0)
        <= REFUSAL_MS,
    }


async def of_a_fleet(quick: bool) -> dict[str, Any]:
    """The same with a gateway and a worker that has all the processes."""
    server = Server(port=0)
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(server, Path(folder), lease=10.0)
        try:
            url, _ = fleet.gateway(cache_items=0)
            await fleet.workers(1, processes=PROCESSES, cache_items=0)
            await until(lambda: ready(url), 60)
            return await measured(url, quick)
        finally:
            fleet.stop()
            server.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="overload", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter phases")
    parser.add_argument("--fleet", action="store_true", help="a gateway, Redis and a worker, not one process")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.fleet:
        found = asyncio.run(of_a_fleet(asked.quick))
    else:
        environment = {
            "processes": f"{PROCESSES}",
            "sandbox": "none",
            "cache_items": "0",
            "spare_processes": "0",
        }
        with service(HANDLERS, **environment) as (url, _):
            found = asyncio.run(measured(url, asked.quick))
    held = verdicts(found)
    if asked.json:
        print(json.dumps({**found, "held": held}))
        return
    for name, value in found.items():
        print(f"  {name}: {value}")
    for words, ok in held.items():
        print(f"{'holds' if ok else 'DOES NOT HOLD'}: {words}")


if __name__ == "__main__":
    main()

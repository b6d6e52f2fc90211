"""What one more worker adds, on a real redis-server: `make bench ARGS=scaling` (`--write` keeps it in docs/capacity.md).

One batch is scored by 1, 2, 3 and 4 worker processes (one checking process each) in turn, round after round, all in one run.
Two kinds of items: `cpu`, a loop of some 2 or 3 ms, so that neither the sender nor Redis matters; and `mixed`, Guru's mix of those data
sources that rules check. Items are sent before the clock starts.

Wall time is what a user sees, and on a machine with neighbours it measures the neighbours as well: so the best round counts, and
beside it stand the items per CPU-second of all workers (their checking processes included) and how many cores they really had.
A worker that costs the others something would show in the items per CPU-second, whoever else is on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reward_service.engine.records import Entry
from reward_service.engine.scorer import Row
from reward_service.load.rollouts import rollouts
from tests.fault.fleets import HANDLERS, Fleet
from tests.load.measure import cpu_of
from tests.redis_server import Server

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORKERS = (1, 2, 3, 4)
STEPS = 100_000
"""Of a loop that does nothing: some 2 ms. A number of steps and no time, since clocks of CPU time are what is measured."""
WARM = 1_536
"""Items for each worker before the clock starts: handlers import their libraries when they are first needed."""
MEASURED = (("cpu", "a loop of 100,000 steps each"), ("mixed", "Guru's mix, checked by rules"))


class Round(NamedTuple):
    """One batch: items, seconds, CPU seconds of all workers and of Redis."""

    items: int
    wall: float
    cpu: float
    redis: float

    @property
    def rate(self) -> float:
        """Items per second."""
        return self.items / self.wall

    @property
    def per_cpu(self) -> float:
        """Items per CPU-second of the workers."""
        return self.items / self.cpu


def spins(count: int, text: str) -> list[Entry]:
    """Items that take STEPS."""
    return [
        Entry(str(number), Row("fleet", f"work {STEPS} {text} {number}", "gold")) for number in range(count)
    ]


def mixed(count: int, seed: int) -> list[Entry]:
    """Items of Guru's mix without code, 16 responses to a prompt."""
    made = (one for one in rollouts(seed, count, 16) if one.domain != "code")
    return [
        Entry(str(number), Row(one.item["data_source"], one.item["response"], one.item["ground_truth"]))
        for number, one in enumerate(itertools.islice(made, count))
    ]


async def scored(handlers: str, items: Sequence[Entry], workers: int) -> Round:
    """Score a batch with so many workers, and nobody else on its Redis."""
    server = Server(port=0)
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(server, Path(folder), lease=30.0)
        try:
            async with fleet.desk() as desk:
                running = await fleet.workers(workers, handlers=handlers, cache_items=0)
                # Everybody has imported and run everything once.
                warm = await desk.submit([entry._replace(id="warm") for entry in items[: WARM * workers]])
                await desk.wait(warm.batch.id, 120)
                upload = await desk.begin()
                await upload.add(items[WARM * workers :])
                before = [cpu_of(worker.popen.pid).total for worker in running]
                redis = cpu_of(server.pid).total
                started = time.monotonic()
                batch = (await upload.seal()).batch.id
                state = await desk.wait(batch, 600)
                wall = time.monotonic() - started
                used = [
                    cpu_of(worker.popen.pid).total - then
                    for worker, then in zip(running, before, strict=True)
                ]
                redis = cpu_of(server.pid).total - redis
                assert state.counts.completed == len(items) - WARM * workers, state.counts
                for worker in running:
                    worker.signal(signal.SIGTERM)
                for worker in running:
                    worker.wait()
        finally:
            fleet.stop()
            server.close()
    return Round(len(items) - WARM * workers, wall, sum(used), redis)


async def measured(kind: str, rounds: int, seconds: float) -> dict[int, list[Round]]:
    """Rounds by number of workers. seconds: CPU time of a round's items for each worker, about."""
    found: dict[int, list[Round]] = {count: [] for count in WORKERS}
    for number in range(rounds):
        for count in WORKERS:
            cores = min(count, os.cpu_count() or 1)
            if kind == "cpu":
                items = spins(int(seconds * cores * 500) + WARM * count, f"{number}")
                found[count].append(await scored(HANDLERS, items, count))
            else:
                items = mixed(int(seconds * cores * 5_000) + WARM * count, 100 * number + count)
                found[count].append(await scored("reward_service.registry:load", items, count))
            last = found[count][-1]
            print(
                f"  {kind} {count} workers: {last.rate:,.0f} items/s, {last.per_cpu:,.0f} per CPU-second, had "
                f"{last.cpu / last.wall:.2f} cores, Redis {1e6 * last.redis / last.items:.1f} us/item",
                flush=True,
            )
    return found


def rows(kind: str, found: dict[int, list[Round]]) -> list[dict[str, float | str]]:
    """The table's rows of one kind: the best round's rate, the medians of the rest."""
    best = {count: max(one.rate for one in rounds) for count, rounds in found.items()}
    per_cpu = {count: statistics.median(one.per_cpu for one in rounds) for count, rounds in found.items()}
    return [
        {
            "kind": kind,
            "workers": count,
            "rate": round(best[count]),
            "added": round((best[count] - best.get(count - 1, 0.0)) / best[1], 3),
            "cores": round(max((one.rate, one.cpu / one.wall) for one in rounds)[1], 2),
            "per_cpu": round(per_cpu[count]),
            "of_first": round(per_cpu[count] / per_cpu[1], 3),
        }
        for count, rounds in found.items()
    ]


def markdown(table: Sequence[dict[str, float | str]]) -> str:
    """The table for docs/capacity.md."""
    words = dict(MEASURED)
    lines = [
        "| items | workers | items/s | added by the last one, of the first one's | cores that they had | items per CPU-second | of one worker's |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table:
        lines.append(
            f"| {words[str(row['kind'])]} | {row['workers']} | {row['rate']:,} | {100 * float(row['added']):.0f} % | {row['cores']} | "
            f"{row['per_cpu']:,} | {100 * float(row['of_first']):.0f} % |"
        )
    return "\n".join(lines)


def plot(table: Sequence[dict[str, float | str]], cores: int) -> str:
    """The curve as SVG: throughput as a multiple of one worker's, by wall and by CPU time."""
    width, height, left, bottom = 560, 320, 56, 276
    step, unit = (width - left - 24) / len(WORKERS), (bottom - 30) / len(WORKERS)

    def at(workers: float, times: float) -> str:
        return f"{left + step * (workers - 0.5):.1f},{bottom - unit * times:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<path d="M{left},24V{bottom}H{width - 16}" fill="none" stroke="#555"/>',
        f'<polyline points="{" ".join(at(n, min(n, cores)) for n in WORKERS)}" fill="none" stroke="#999" '
        'stroke-dasharray="4 4"/>',
    ]
    for number in WORKERS:
        x, y = at(number, 0).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 18}" text-anchor="middle">{number}</text>')
        parts.append(
            f'<text x="{left - 8}" y="{bottom - unit * number + 4:.1f}" text-anchor="end">{number}×</text>'
        )
    parts.append(
        f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">worker processes ({cores} cores)</text>'
    )
    for place, (kind, colour) in enumerate((("cpu", "#0b6"), ("mixed", "#06c"))):
        mine = [row for row in table if row["kind"] == kind]
        first = float(mine[0]["rate"])
        wall = " ".join(at(float(row["workers"]), float(row["rate"]) / first) for row in mine)
        parts.append(f'<polyline points="{wall}" fill="none" stroke="{colour}" stroke-width="2"/>')
        cpu = " ".join(
            at(float(row["workers"]), float(row["workers"]) * float(row["of_first"])) for row in mine
        )
        parts.append(
            f'<polyline points="{cpu}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="1 4"/>'
        )
        parts += [
            f'<circle cx="{point.split(",")[0]}" cy="{point.split(",")[1]}" r="3" fill="{colour}"/>'
            for point in wall.split()
        ]
        parts.append(
            f'<text x="{left + 12}" y="{40 + 16 * place}" fill="{colour}">{dict(MEASURED)[kind]}</text>'
        )
    parts.append(
        f'<text x="{left + 12}" y="72" fill="#777">grey: as many times as there are cores; dotted: by CPU time</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def keep(table: Sequence[dict[str, float | str]]) -> None:
    """Write the table into docs/capacity.md, and the curve beside it."""
    path = DOCS / "capacity.md"
    text = path.read_text()
    start, end = "<!-- scaling, by `make bench ARGS='scaling --write'` -->", "<!-- end of scaling -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    assert pattern.search(text), f"no place for the table in {path}"
    path.write_text(pattern.sub(lambda _: f"{start}\n{markdown(table)}\n{end}", text))
    (DOCS / "scaling.svg").write_text(plot(table, os.cpu_count() or 1))


async def main() -> None:
    """Measure, print, and keep if asked."""
    parser = argparse.ArgumentParser(prog="scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="CPU time of a round for each core, about")
    parser.add_argument("--kind", choices=["cpu", "mixed"], help="only one kind of items")
    parser.add_argument("--write", action="store_true", help="keep it in docs/capacity.md")
    asked = parser.parse_args()
    table: list[dict[str, float | str]] = []
    for kind, _ in MEASURED:
        if asked.kind in (None, kind):
            table += rows(kind, await measured(kind, asked.rounds, asked.seconds))
    print(markdown(table))
    print(json.dumps(table))
    if asked.write:
        keep(table)


if __name__ == "__main__":
    asyncio.run(main())

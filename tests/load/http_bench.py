"""What the service costs per item, through HTTP: `python -m tests.load.http_bench`.

Prints CPU microseconds per item in batches of 256, of the gateway's process and of the pool's: with a handler that
does nothing, with the rule-checked domains (no math), and with a batch that is in the cache; then memory over a
million streamed items. `--quick` streams 100,000.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from reward_service.registry import load
from reward_service.types import Domain
from tests.load.measure import Cpu, cpu_of, rss, service

BATCH = 256
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LOADER = "reward_service.registry:load"


def post(http: httpx2.Client, body: bytes) -> list[dict[str, Any]]:
    """One batch, and its results."""
    reply = http.post("/v1/score/batch", content=body, headers={"content-type": "application/json"})
    reply.raise_for_status()
    results: list[dict[str, Any]] = json.loads(reply.content)["results"]
    return results


MEASURED: list[dict[str, Any]] = []
"""What this run measured, for `docs/benchmarks.json`."""


def report(name: str, spent: Cpu, items: int) -> None:
    """A line of the table."""
    MEASURED.append(
        {
            "name": name,
            "gateway": 1e6 * spent.own / items,
            "below": 1e6 * spent.below / items,
            "rate": items / spent.total,
        }
    )
    print(
        f"{name:46} {items:9,} {1e6 * spent.own / items:9.1f} {1e6 * spent.below / items:9.1f} "
        f"{1e6 * spent.total / items:9.1f} {items / spent.total:12,.0f}",
        flush=True,
    )


def noop_rows(count: int, characters: int) -> Iterator[dict[str, Any]]:
    """Rows that differ in each response."""
    filler = "The total is 12 apples. " * (characters // 24)
    for number in range(count):
        yield {"id": number, "data_source": "noop", "response": f"{number} {filler}", "ground_truth": "x"}


def rule_rows(count: int) -> list[dict[str, Any]]:
    """Labelled rows of every rule-checked domain but math, mixed and made distinct; the handlers' examples without them."""
    registry = load()
    rows: list[dict[str, Any]] = []
    for path in sorted(DATA.glob("*.jsonl")):
        if path.stem.startswith("math_"):
            continue
        with path.open() as lines:
            for line in lines:
                row = json.loads(line)
                route = registry.route(row.get("data_source", ""))
                if route is None or route.handler.judge is not None or route.handler.domain in (
                    Domain.MATH, Domain.INSTRUCTION, Domain.GYM, Domain.CODE,
                ):  # fmt: skip
                    break
                extra = {key: row["gold_meta"][key] for key in route.handler.reads if key in row["gold_meta"]}
                rows += [
                    {
                        "data_source": row["data_source"],
                        "response": sample["response"],
                        "ground_truth": row["gold"],
                        "extra_info": {"question": row["question"], **extra},
                    }
                    for sample in row["samples"][:4]
                ]
    if not rows:
        rows = [
            {
                "data_source": source.name.replace("*", "x"),
                "response": source.example.response,
                "ground_truth": source.example.ground_truth,
                "extra_info": dict(source.example.extra_info),
            }
            for handler in registry.handlers.values()
            for source in handler.sources
            if handler.domain is not Domain.MATH and handler.judge is None
        ]
    random.Random(7).shuffle(rows)
    return [
        {**rows[n % len(rows)], "id": n, "response": f"({n})\n" + rows[n % len(rows)]["response"]}
        for n in range(count)
    ]


def bodies(rows: list[dict[str, Any]]) -> list[bytes]:
    """Rows as JSON batches."""
    return [
        json.dumps({"items": rows[start : start + BATCH]}).encode() for start in range(0, len(rows), BATCH)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/benchmarks.json")
    arguments = parser.parse_args()
    print(
        f"{'CPU µs per item, batches of ' + str(BATCH):46} {'items':>9} {'gateway':>9} {'pool':>9} {'both':>9} {'items/core-s':>12}"
    )
    for characters in (200, 1_000, 3_000):
        with (
            service("tests.load.noop:registry", cache_items="0") as (url, pid),
            httpx2.Client(base_url=url, timeout=60) as http,
        ):
            batches = bodies(list(noop_rows(BATCH * 120, characters)))
            for body in batches[:20]:
                post(http, body)
            before = cpu_of(pid)
            for body in batches[20:]:
                post(http, body)
            report(f"no-op handler, {characters} characters", cpu_of(pid) - before, BATCH * 100)
    rows = rule_rows(BATCH * 120)
    sources = len({row["data_source"] for row in rows})
    with service(LOADER, cache_items="200000") as (url, pid), httpx2.Client(base_url=url, timeout=60) as http:
        batches = bodies(rows)
        for body in batches[:20]:
            post(http, body)
        before = cpu_of(pid)
        for body in batches[20:]:
            post(http, body)
        report(f"rules without math, {sources} data sources, cold", cpu_of(pid) - before, BATCH * 100)
        before = cpu_of(pid)
        for body in batches[20:]:
            assert all(result["cached"] for result in post(http, body) if result["status"] == "scored")
        report("the same again (cached)", cpu_of(pid) - before, BATCH * 100)
    count = 100_000 if arguments.quick else 1_000_000
    with service("tests.load.noop:registry") as (url, pid), httpx2.Client(base_url=url, timeout=600) as http:
        marks: list[int] = []

        def stream() -> Iterator[bytes]:
            for number, row in enumerate(noop_rows(count, 200)):
                yield json.dumps(row).encode() + b"\n"
                if number % (count // 10) == count // 10 - 1:
                    marks.append(rss(pid))

        before = cpu_of(pid)
        got = 0
        with http.stream(
            "POST", "/v1/score/batch", content=stream(), headers={"content-type": "application/x-ndjson"}
        ) as reply:
            for line in reply.iter_lines():
                got += bool(line)
        assert got == count
        report("NDJSON stream, no-op handler", cpu_of(pid) - before, count)
        print("gateway RSS in MiB at each tenth of the stream:", *(f"{mark >> 20}" for mark in marks))
    if arguments.write:
        path = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**kept, "http": MEASURED}, indent=1) + "\n")


if __name__ == "__main__":
    main()

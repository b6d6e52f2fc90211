"""CPU per pair of the math handler beside math-verify: `python -m tests.load.math_bench`.

Each side runs in a process of its own, on the pairs of ../shared/data, after its own warm-up; what is printed
are microseconds of CPU per pair and the ratio. "first" is the first pass over the pairs (a ground truth comes
twice in HardVerify), "warm" the second: math-verify's grammar is warm then, and our ground truths are
prepared. `--http` posts batches of 256 GSM8K-like items to a service with an empty cache and prints the items
per second, by CPU time and by the wall with as many connections as cores. `--memory` judges 100,000 items in
one process and prints its resident size on the way.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS = {"gsm8k": "math_gsm8k_openai_600", "hardverify": "math_hardverify"}
PASSES = 3

Pair = tuple[str, str]


def pairs(name: str) -> list[Pair]:
    """Ground truth and boxed response."""
    with (DATA / f"{SETS[name]}.jsonl").open() as lines:
        rows = [json.loads(line) for line in lines]
    return [(row["gold"], f"The final answer is \\boxed{{{row['answer']}}}.") for row in rows]


def ours() -> Callable[[str, str], bool]:
    """The handler's `plan`, as a child of the pool calls it."""
    from reward_service.handlers.math import plan, warm_up
    from reward_service.types import Item

    warm_up()
    return lambda gold, response: bool(plan(Item("math", response, gold, source="math")).correct)


def math_verify() -> Callable[[str, str], bool]:
    """math-verify as its README uses it, ground truth in dollars."""
    from math_verify import parse, verify

    def judge(gold: str, response: str) -> bool:
        wrapped = gold if "$" in gold else f"${gold}$"
        return bool(verify(parse(wrapped), parse(response)))

    judge("$\\frac{1}{2}$", "\\boxed{0.5}")
    return judge


SIDES = {"ours": ours, "math_verify": math_verify}


def measure(side: str, name: str) -> None:
    """One side on one set, in this process: a line of JSON."""
    judge = SIDES[side]()
    sample = pairs(name)
    gc.collect()
    gc.freeze()  # as the pool's zygote does: both sides profit
    report: dict[str, float] = {}
    for turn in range(PASSES if side == "ours" else 2):
        times = []
        for gold, response in sample:
            start = time.process_time_ns()
            judge(gold, response)
            times.append((time.process_time_ns() - start) / 1e3)
        label = "first" if turn == 0 else "warm"
        mean = statistics.fmean(times)
        if label not in report or mean < report[label]:
            report[label] = mean
            report[f"{label} p99"] = sorted(times)[int(len(times) * 0.99)]
            report[f"{label} max"] = max(times)
    report["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(report))


def memory(count: int) -> None:
    """Resident size of one process over `count` different items."""
    judge = ours()
    sample = [pair for name in SETS for pair in pairs(name)]
    page = resource.getpagesize()

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20

    for index in range(count):
        gold, response = sample[index % len(sample)]
        judge(f"{gold}{' ' * (index % 7)}", f"{index} {response}")
        if index % (count // 10) == 0:
            print(f"{index:8} items {resident():6.1f} MB", flush=True)
    print(f"{count:8} items {resident():6.1f} MB")


def over_http(batches: int = 120, warm: int = 20) -> None:
    """Items per second through the gateway and the pool: every item differs, nothing comes from the cache."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    import httpx2

    from tests.load.measure import cpu_of, service

    sample = pairs("gsm8k")
    work = "First we add what each of them has, then we take away what was sold. " * 12

    def body(number: int) -> bytes:
        rows = [
            {
                "data_source": "math",
                "response": f"{number}.{index}: {work}{sample[index][1]}",
                "ground_truth": sample[index][0],
            }
            for index in ((number * 256 + offset) % len(sample) for offset in range(256))
        ]
        return json.dumps({"items": rows}).encode()

    bodies = [body(number) for number in range(batches + warm)]
    headers = {"content-type": "application/json"}
    lanes = os.cpu_count() or 2
    errors: Counter[str] = Counter()
    with (
        service("reward_service.registry:load", cache_items="0") as (url, pid),
        httpx2.Client(base_url=url, timeout=60) as http,
        ThreadPoolExecutor(2 * lanes) as threads,
    ):

        def post(content: bytes) -> int:
            reply = http.post("/v1/score/batch", content=content, headers=headers)
            reply.raise_for_status()
            results = json.loads(reply.content)["results"]
            errors.update(result["reason"] for result in results if result["status"] != "scored")
            return sum(result["status"] == "scored" for result in results)

        for content in bodies[:warm]:
            post(content)
        before, start = cpu_of(pid), time.monotonic()
        done = sum(threads.map(post, bodies[warm:]))
        wall, spent = time.monotonic() - start, cpu_of(pid) - before
    if done != batches * 256:
        raise SystemExit(f"{batches * 256 - done} items were not scored: {errors}")
    print(
        f"over HTTP, {done:,} items in batches of 256, cold: gateway {1e6 * spent.own / done:.0f} µs, pool "
        f"{1e6 * spent.below / done:.0f} µs of CPU an item; {done / spent.total:,.0f} items/core-second, "
        f"{done / wall:,.0f} items/s by the wall on {lanes} cores with the client on them"
    )


def main() -> int:
    """Print the table. Exit 1 without the data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--memory", type=int, metavar="ITEMS", help="only the resident size over so many items"
    )
    parser.add_argument("--http", action="store_true", help="only items per second through the service")
    parser.add_argument("--one", nargs=2, metavar=("SIDE", "SET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not DATA.exists():
        print("../shared/data is not here")
        return 1
    if arguments.one:
        measure(*arguments.one)
        return 0
    if arguments.http:
        over_http()
        return 0
    if arguments.memory:
        memory(arguments.memory)
        return 0
    results: dict[tuple[str, str], dict[str, float]] = {}
    for name in SETS:
        for side in SIDES:
            command = [sys.executable, "-m", "tests.load.math_bench", "--one", side, name]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[side, name] = json.loads(out.strip().splitlines()[-1])
    print(f"{'set':12} {'pass':6} {'ours µs':>9} {'p99':>8} {'max':>8} {'math-verify µs':>15} {'ratio':>7}")
    for label in ("first", "warm"):
        blend = dict.fromkeys(SIDES, 0.0)
        for name in SETS:
            mine, theirs = results["ours", name], results["math_verify", name]
            blend["ours"] += mine[label] / len(SETS)
            blend["math_verify"] += theirs[label] / len(SETS)
            print(
                f"{name:12} {label:6} {mine[label]:9.1f} {mine[f'{label} p99']:8.0f} {mine[f'{label} max']:8.0f} "
                f"{theirs[label]:15.0f} {theirs[label] / mine[label]:7.0f}"
            )
        ratio = blend["math_verify"] / blend["ours"]
        print(
            f"{'even blend':12} {label:6} {blend['ours']:9.1f} {'':17} {blend['math_verify']:15.0f} {ratio:7.0f}"
        )
    print(
        "resident: "
        + ", ".join(f"{side} {results[side, 'hardverify']['megabytes']:.0f} MB" for side in SIDES)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

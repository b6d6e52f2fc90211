"""Code items end to end through HTTP: `python -m tests.load.code_bench [--sandbox docker]`.

Trivial Python stdio programs with 20 tests each, and assert-style items, in batches; CPU of everything that takes part:
gateway, pool, runner, the agents and the programs themselves. Then 1,000 mixed programs (right, wrong, crashing, endless,
large outputs, floods): how many verdicts are wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.load.measure import cpu_of, service, ticks

TICK = os.sysconf("SC_CLK_TCK")
LOADER = "reward_service.registry:load"


def agents() -> float:
    """CPU seconds of every sandbox agent on this machine and of the programs that it has reaped."""
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if b"/agent/agent.py" in command:
                total += sum(ticks(int(entry.name)))
        except OSError:
            continue
    return total / TICK


def stdio_item(number: int, tests: int) -> dict[str, Any]:
    """A right program for adding two numbers, with `tests` tests."""
    pairs = [(number + k, k) for k in range(tests)]
    return {
        "data_source": "codegen__taco",
        "response": f"```python\n# {number}\na, b = map(int, input().split())\nprint(a + b)\n```",
        "ground_truth": {
            "inputs": [f"{a} {b}\n" for a, b in pairs],
            "outputs": [f"{a + b}\n" for a, b in pairs],
        },
    }


def assert_item(number: int) -> dict[str, Any]:
    """A HumanEval-like item: eight asserts in a check function."""
    check = "def check(candidate):\n" + "".join(
        f"    assert candidate({n}, {n + 1}) == {2 * n + 1}\n" for n in range(8)
    )
    return {
        "data_source": "codegen__humaneval",
        "response": f"```python\n# {number}\ndef add(a, b):\n    return a + b\n```",
        "ground_truth": json.dumps({"functional": check + "\ncheck(add)"}),
    }


def mixed_item(number: int) -> tuple[dict[str, Any], bool]:
    """One of many kinds of program, and whether it is right."""
    kinds: list[tuple[str, bool]] = [
        ("a, b = map(int, input().split())\nprint(a + b)", True),
        ("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))", True),
        ("a, b = map(int, open(0).read().split())\nprint(str(a + b) + ' ')", True),
        ("a, b = map(int, input().split())\nprint(a - b - 1)", False),
        ("a, b = map(int, input().split())\nraise SystemExit(3)", False),
        ("a, b = map(int, input().split())\nprint(a + b)\nimport sys; sys.exit(3)", False),
        ("print(int(input()))", False),
        ("import os\nos.abort()", False),
        ("x = bytearray(3 << 30)", False),
        ("print('x' * 200_000)", False),
    ]
    source, right = kinds[number % len(kinds)]
    if number % 100 == 55:
        source, right = "while True: pass", False
    if number % 100 == 65:
        source, right = "while True: print('y' * 1000)", False
    item = stdio_item(number, 3)
    item["response"] = f"```python\n# {number}\n{source}\n```"
    item["extra_info"] = {"time_limit": 1.0}
    return item, right


def large_item(number: int) -> tuple[dict[str, Any], bool]:
    """A right program that writes 200 kB."""
    item = stdio_item(number, 1)
    item["response"] = f"```python\n# {number}\nn = int(input())\nfor k in range(n): print(k)\n```"
    item["ground_truth"] = {"inputs": ["33000\n"], "outputs": ["".join(f"{k}\n" for k in range(33_000))]}
    return item, True


def post(http: httpx2.Client, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A batch's results."""
    reply = http.post("/v1/score/batch", json={"items": items})
    reply.raise_for_status()
    results: list[dict[str, Any]] = reply.json()["results"]
    return results


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", default="bubblewrap", choices=["bubblewrap", "docker"])
    parser.add_argument("--items", type=int, default=128)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with (
        service(LOADER, sandbox=arguments.sandbox) as (url, pid),
        httpx2.Client(base_url=url, timeout=600) as http,
    ):
        assert all(result["score"] == 1.0 for result in post(http, [stdio_item(n, 2) for n in range(8)]))
        print(f"sandbox: {arguments.sandbox}")
        for name, make, tests in (
            ("stdio, 20 tests an item", lambda n: stdio_item(n, 20), 20),
            ("stdio, 1 test an item", lambda n: stdio_item(n, 1), 1),
            ("assert, 8 asserts an item", assert_item, 1),
        ):
            before, before_agents, began = cpu_of(pid), agents(), time.monotonic()
            count = arguments.items * (1 if tests > 1 else 4)
            for start in range(0, count, 64):
                results = post(http, [make(1000 * tests + n) for n in range(start, start + 64)])
                assert all(result["score"] == 1.0 for result in results), results[0]
            wall = time.monotonic() - began
            spent = cpu_of(pid) - before
            sandbox = agents() - before_agents
            total = (
                spent.own + max(spent.below, sandbox)
                if arguments.sandbox == "bubblewrap"
                else spent.total + sandbox
            )
            runs = count * tests
            print(
                f"{name:28} {runs:6} tests: {runs / total:7.1f} tests/core-s, {1e3 * total / count:7.2f} ms CPU an item "
                f"(gateway {1e3 * spent.own / count:.2f}, agents and programs {1e3 * sandbox / count:.2f}), {runs / wall:.0f} tests/s wall",
                flush=True,
            )
        wrong = errors = 0
        began = time.monotonic()
        mixed = [large_item(n) if n % 25 == 0 else mixed_item(n) for n in range(1_000)]
        for start in range(0, len(mixed), 100):
            part = mixed[start : start + 100]
            for result, (item, right) in zip(post(http, [item for item, _ in part]), part, strict=True):
                errors += result["score"] is None
                if result["score"] != float(right):
                    wrong += 1
                    print(
                        "wrong verdict:",
                        item["response"][:120].replace("\n", " | "),
                        result["reason"],
                        result["detail"],
                    )
        print(
            f"1,000 mixed programs: {wrong} wrong verdicts, {errors} errors, {time.monotonic() - began:.0f} s wall"
        )


if __name__ == "__main__":
    main()

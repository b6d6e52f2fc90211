"""`python -m tests.load.sandbox_bench`: CPU time of a test in a sandbox, beside what else could run it.

All methods take turns in one run, so their ratios hold on a busy machine; CPU time counts the caller, the agent and
every process below (and for a container engine its daemons). Goals: at least 400 trivial Python tests per second and
core at the sandbox's interface; within 2.5 times a bare fork of the same preloaded interpreter; 5 times better than a
fresh interpreter; numpy 50 times better than a fresh process; 100 times better than a fresh container.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from reward_service.adapters.agent import sandbox_files
from reward_service.adapters.bubblewrap import interpreter
from reward_service.engine.ports import Sandbox
from reward_service.runs import Program, Run, RunLimits
from reward_service.sandbox_images import Kind, tag
from tests.engine import running
from tests.load.measure import TICK, cpu_of, parents, ticks
from tests.sandboxes import ADAPTERS, GVISOR, Adapter

TRIVIAL = "a, b = map(int, input().split())\nprint(a + b)\n"
NUMPY = "import numpy as np\nprint(int(np.arange(1000).reshape(10, 100).sum()))\n"
DAEMONS = ("dockerd", "containerd", "containerd-shim", "runc")
COMPILE = """
import os, py_compile, sys
source, target = sys.argv[1:]
for name in os.listdir(source):
    if name.endswith(".py"):
        py_compile.compile(f"{source}/{name}", f"{target}/{name}c", doraise=True)
"""
BARE = """
import os, resource, sys
directory, count = sys.argv[1], int(sys.argv[2])
if sys.argv[3] == "without hooks":
    os.register_at_fork = lambda **hooks: None
sys.path.insert(0, directory)
import serving
serving.preload("plain")
def cpu():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
def one():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
for _ in range(50):
    one()
before = cpu()
for _ in range(count):
    one()
print((cpu() - before) / count)
"""


def agents() -> set[int]:
    """Processes of agents on this machine: the first of each family."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"/agent/agent.py" in (entry / "cmdline").read_bytes():
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return {pid for pid, parent in found.items() if parent not in found}


def ours(pid: int) -> bool:
    """Whether a process is below this one."""
    above = parents()
    while pid in above and pid != os.getpid():
        pid = above[pid]
    return pid == os.getpid()


def daemons() -> float:
    """CPU seconds of container daemons."""
    total = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() in DAEMONS:
                total += sum(ticks(int(entry.name)))
        except OSError:
            continue
    return total / TICK


def waited() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def fresh(source: str, stdin: str, count: int) -> float:
    """CPU seconds of one test in a fresh interpreter."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(source)
        file.flush()
        before = waited()
        for _ in range(count):
            subprocess.run(
                [interpreter(), "-I", file.name], input=stdin.encode(), capture_output=True, check=True
            )
        return (waited() - before) / count


def bare(count: int, hooks: str) -> float:
    """CPU seconds of a fork and exit of an interpreter that has loaded what the agent has, and nothing else.

    hooks: "with hooks" is os.fork as it is; "without hooks" leaves out what modules do after a fork, as the agent does.
    """
    python = [str(interpreter()), "-s", "-P", "-B", "-X", "utf8", "-c"]
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([*python, COMPILE, str(sandbox_files() / "agent"), directory], check=True)
        answer = subprocess.run(
            [*python, BARE, directory, str(count), hooks], capture_output=True, check=True, text=True
        )
    return float(answer.stdout)


def container(image: str, host: str, count: int) -> float:
    """CPU seconds of one run of a fresh container, as far as its daemons and this process see them."""
    before = waited() + daemons()
    for _ in range(count):
        subprocess.run(
            ["docker", "-H", host, "run", "--rm", "--network=none", "--entrypoint", "/bin/true", image],
            capture_output=True,
            check=True,
        )
    return (waited() + daemons() - before) / count


class Place:
    """A started sandbox, and the CPU time of everything that it consists of."""

    def __init__(self, sandbox: Sandbox, families: set[int], engine: bool) -> None:
        self._sandbox = sandbox
        self._families = families
        self._used: dict[int, float] = {}
        self._engine = engine

    def cpu(self) -> float:
        """CPU seconds until now."""
        for pid in self._families:
            with contextlib.suppress(FileNotFoundError):  # replaced: what it had used until then
                self._used[pid] = cpu_of(pid).total
        return time.process_time() + sum(self._used.values()) + (daemons() if self._engine else 0.0)

    async def tests(self, source: str, stdin: str, items: int, tests: int) -> tuple[float, float]:
        """(CPU, wall) seconds of one test, for `items` programs with `tests` tests each."""
        before, started = self.cpu(), time.monotonic()
        for number in range(items):
            async with self._sandbox.session(Program("python", f"{source}# {number}\n")) as session:
                found = await session.run([Run(stdin)] * tests)
            if len(found) != tests or any(one.status != "ok" for one in found):
                raise SystemExit(f"a test failed: {found[-1]}")
        count = items * tests
        return (self.cpu() - before) / count, (time.monotonic() - started) / count

    async def crowd(self, count: int) -> list[str]:
        """Run `count` programs of all kinds, 16 at once; what was said wrongly."""
        wrong: list[str] = []
        gate = asyncio.Semaphore(16)
        limits = RunLimits(cpu_seconds=0.5, wall_seconds=20, memory_bytes=256 << 20, output_bytes=1 << 20)

        async def one(number: int) -> None:
            kind, source, status = MIXED[number % len(MIXED)]
            program = Program("python", f"{source}\n# {number}\n", limits=limits)
            async with gate, self._sandbox.session(program) as session:
                (found,) = await session.run([Run("20 22\n")])
            right = kind != "right" or found.stdout == "42\n"
            if (
                found.status != status
                or not right
                or (kind == "right, large output" and len(found.stdout) != 200_001)
            ):
                wrong.append(f"{kind}: {found.status} {found.message} {found.cpu_seconds:.2f} s")

        await asyncio.gather(*map(one, range(count)))
        return wrong


@asynccontextmanager
async def opened(adapter: Adapter) -> AsyncIterator[Place]:
    """A started sandbox."""
    others = agents()
    started = time.monotonic()
    async with adapter.open() as sandbox:
        print(f"cold start: {time.monotonic() - started:.2f} s; languages: {', '.join(sandbox.languages())}")
        async with sandbox.session(Program("python", "print(1)")) as session:
            await session.run([Run()])
        for _ in range(100):  # the other places start in the background
            await asyncio.sleep(0.02)
        engine = "docker" in adapter.name
        families = {pid for pid in agents() - others if engine or ours(pid)}
        yield Place(sandbox, families, engine)


async def bench(adapter: Adapter, rounds: int, tests: int) -> None:
    """Measure all methods in turn and print the medians and ratios."""
    found: dict[str, list[float]] = {}

    def add(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)

    async with opened(adapter) as place:
        lease = []
        for _ in range(rounds):
            add("sandbox, 20 tests an item", (await place.tests(TRIVIAL, "20 22\n", tests // 20, 20))[0])
            add("sandbox, 1 test an item", (await place.tests(TRIVIAL, "20 22\n", tests // 4, 1))[0])
            add("bare fork and exit", bare(tests, "with hooks"))
            add("the same without hooks", bare(tests, "without hooks"))
            add("fresh python3", fresh(TRIVIAL, "20 22\n", max(10, tests // 10)))
            lease.append((await place.tests(TRIVIAL, "20 22\n", 20, 1))[1])
        try:
            await place.tests(NUMPY, "", 1, 5)
            for _ in range(rounds):
                add("sandbox, numpy", (await place.tests(NUMPY, "", tests // 40, 20))[0])
                add("fresh python3, numpy", fresh(NUMPY, "", 5))
        except (SystemExit, subprocess.CalledProcessError) as error:
            print(f"numpy not measured: {error}")
        if "docker" in adapter.name:
            with running() as host:
                add("fresh container", container(tag(Kind.PYTHON), host, 5))
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, value in middle.items():
        print(f"{name:28s} {value * 1000:8.3f} ms CPU a test  {1 / value:8.0f} tests/s/core")
    print(f"{'latency of one test, warm':28s} {statistics.median(lease) * 1000:8.3f} ms wall")
    ours = middle["sandbox, 20 tests an item"]
    judge("tests/s/core at the interface", 1 / ours, 400, at_least=True)
    judge("times a bare fork", ours / middle["bare fork and exit"], 2.5, at_least=False)
    judge("times better than a fresh python3", middle["fresh python3"] / ours, 5, at_least=True)
    if "sandbox, numpy" in middle:
        ratio = middle["fresh python3, numpy"] / middle["sandbox, numpy"]
        judge("numpy: times better than a fresh process", ratio, 50, at_least=True)
    if "fresh container" in middle:
        judge("times better than a fresh container", middle["fresh container"] / ours, 100, at_least=True)


MIXED: tuple[tuple[str, str, str], ...] = (
    ("right", "print(sum(map(int, input().split())))", "ok"),
    ("right, large output", "input()\nprint('ab' * 100_000)", "ok"),
    ("right, half of the CPU limit", "import time\ninput()\nwhile time.process_time() < .25: pass\nprint(1)", "ok"),
    ("right, many lines", "input()\nfor i in range(20_000): print(i)", "ok"),
    ("right, threads", "import threading as t\nw = [t.Thread(target=print, args=(i,)) for i in range(4)]\n[x.start() for x in w]", "ok"),
    ("wrong", "print(1 / 3)", "ok"),
    ("crashing", "print(1)\nraise SystemError('no')", "runtime_error"),
    ("exit code", "print(42)\nraise SystemExit(3)", "runtime_error"),
    ("not a program", "def f(:", "compile_error"),
    ("endless", "while True: pass", "time_limit"),
    ("flood", "while True: print('x' * 1000)", "output_limit"),
    ("hog", "x = [0] * 10**9", "memory_limit"),
    ("leaves a daemon", "import os, time\nif not os.fork():\n    os.setsid(); time.sleep(60)\nprint(1)", "ok"),
)  # fmt: skip
"""Kind, program and status."""


async def mixed(adapter: Adapter, count: int) -> None:
    """Verdicts on `count` programs of all kinds at once: how many are wrong, and how long it takes."""
    async with opened(adapter) as place:
        before, started = place.cpu(), time.monotonic()
        wrong = await place.crowd(count)
        cpu, wall = place.cpu() - before, time.monotonic() - started
    print(f"mixed programs: {count}, wrong verdicts: {len(wrong)}, {wall:.1f} s wall, {cpu:.1f} s CPU")
    for line in wrong[:10]:
        print(f"  {line}")


def judge(what: str, value: float, goal: float, *, at_least: bool) -> None:
    """One line for a goal."""
    check: Callable[[float, float], bool] = float.__ge__ if at_least else float.__le__
    met = "met" if check(float(value), float(goal)) else "MISSED"
    print(f"{what}: {value:.1f} (goal: {'at least' if at_least else 'at most'} {goal:g}) {met}")


def main() -> None:
    """Bench each adapter that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapters", nargs="*", default=["bubblewrap"], help="names from tests/sandboxes.py")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tests", type=int, default=400)
    parser.add_argument(
        "--mixed", type=int, default=0, help="verdicts on so many programs of all kinds instead"
    )
    options = parser.parse_args()
    for adapter in dict.fromkeys((*ADAPTERS, GVISOR)):
        if adapter.name in options.adapters:
            print(f"-- {adapter.name}")
            if options.mixed:
                asyncio.run(mixed(adapter, options.mixed))
            else:
                asyncio.run(bench(adapter, options.rounds, options.tests))


if __name__ == "__main__":
    main()

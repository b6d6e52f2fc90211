"""`python -m tests.load.runner_bench`: cold start, leases, and what the runner process adds to each item.

The runner's own cost is measured with a sandbox that does nothing, so that only frames, tasks and the two processes
are in it; goal: at most 0.3 ms of CPU a test. Cold start (goal 3 s) and warm leases (goal 2 ms) are a real engine's.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from reward_service import runner
from reward_service.adapters.docker import DockerSandbox
from reward_service.adapters.docker_spec import DockerOptions
from reward_service.adapters.runner import RunnerSandbox
from reward_service.runs import Program, Run, RunResult, RunStatus
from tests.engine import image, running
from tests.load.measure import cpu_of

PROGRAM = Program("python", "print(2 * int(input()))\n" * 20)
ITEMS, AT_ONCE = 4000, 64


class Nothing:
    """A sandbox whose runs are done at once."""

    async def __aenter__(self) -> Nothing:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    @asynccontextmanager
    async def session(self, program: Program) -> AsyncIterator[Nothing]:
        yield self

    async def run(self, runs: Sequence[Run], *, stop_early: bool = True) -> list[RunResult]:
        return [RunResult(RunStatus.OK, "42\n", exit_code=0, cpu_seconds=0.001)] * len(runs)

    def languages(self) -> Sequence[str]:
        return ("python",)

    def status(self) -> dict[str, Any]:
        return {}


async def overhead(path: Path, pid: int) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def item(sandbox: RunnerSandbox, tests: int) -> None:
        async with places, sandbox.session(PROGRAM) as session:
            await session.run([Run("21\n")] * tests)

    async with RunnerSandbox(path) as sandbox:
        await item(sandbox, 1)
        for tests in (1, 20):
            here, there = time.process_time(), cpu_of(pid).total
            await asyncio.gather(*(item(sandbox, tests) for _ in range(ITEMS)))
            here, there = (time.process_time() - here) / ITEMS, (cpu_of(pid).total - there) / ITEMS
            print(
                f"runner, {tests:2} tests an item: {1e3 * here:.3f} ms CPU an item in the client, {1e3 * there:.3f} in"
                f" the runner; {1e3 * (here + there) / tests:.3f} ms a test"
            )


async def engine(host: str, name: str) -> None:
    started = time.perf_counter()
    async with DockerSandbox(DockerOptions((host,), image=name, places=2, polyglot_warm=0)) as sandbox:
        async with sandbox.session(PROGRAM) as session:
            await session.run([Run("21\n" * 20)])
        first = time.perf_counter() - started
        while sandbox.status()["containers"] < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        print(
            f"cold start: first result {first:.2f} s, all places {time.perf_counter() - started:.2f} s (goal: 3 s)"
        )
        leases = []
        for _ in range(300):
            asked = time.perf_counter()
            async with sandbox.session(PROGRAM):
                leases.append(1e3 * (time.perf_counter() - asked))
            await asyncio.sleep(0.002)
        leases.sort()
        print(f"warm lease: median {leases[150]:.3f} ms, p99 {leases[297]:.3f} ms (goal: 2 ms)")


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        runner.choose = lambda options: Nothing()  # type: ignore[assignment]
        sys.argv[1:2] = []
        runner.main()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        command = [sys.executable, "-m", "tests.load.runner_bench", "--serve", "--socket", str(path)]
        with subprocess.Popen(command) as process:
            try:
                uvloop.run(overhead(path, process.pid))
            finally:
                process.terminate()
    with running() as host:
        uvloop.run(engine(host, image(host)))


if __name__ == "__main__":
    main()

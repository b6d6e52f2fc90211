"""Hostile programs: each is contained as it says, and the next honest run is right and at normal speed.

The programs are those of `containment.py` and, where that file exists, of `../shared/hacks/containment.jsonl`; the
adapters are those of `tests/sandboxes.py`. The two places of a sandbox are hit in turn, each program once, all of
them one after the other: what one of them breaks, a later one shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunLimits, RunStatus
from tests.hacks.containment import CASES, Case
from tests.sandboxes import GVISOR, sandbox

if TYPE_CHECKING:
    from reward_service.engine.ports import Sandbox

__all__ = ["sandbox"]
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

CORPUS = Path(__file__).parents[3] / "shared" / "hacks" / "containment.jsonl"
CANARY = "EXPECTED_OUTPUT_CANARY"

_ITS_OWN = (
    "gVisor's own kernel serves the call, not the host's; this release gives it no list of allowed calls"
)
DIFFERENCES: dict[str, dict[str, str]] = {
    "bubblewrap": {},
    "docker-runsc": {
        "other processes' secrets": "environ, maps and auxv of the agent can be read; nothing in them is secret",
        "limits and priorities of the agent": "affinity and niceness of every process can be changed",
        "ptrace and its kin": "pidfd_open, which the probe needs, does not exist",
        "namespaces by clone and clone3": _ITS_OWN,
        "socket families": _ITS_OWN,
        "rare system calls": _ITS_OWN,
        "devices": "names of devices that are not there",
        "memory of many children": "the whole sandbox is killed for them, and the item is an error",
        "inodes": "files are not counted; the memory that they use is",
        # The same, in the corpus.
        **dict.fromkeys(("vmsplice-memfd-exec", "unshare-userns", "caps-nnp-seccomp", "mknod"), _ITS_OWN),
        **dict.fromkeys(("io-uring", "open-by-handle"), _ITS_OWN),
        "nice-up": "niceness of every process can be changed",
        "fork-bomb-exp": "the whole sandbox may be killed for it",
        "cpu-spin": "its kernel's own threads are slow to notice on a busy machine",
    },
}
"""Adapter -> name of a program -> why ESCAPED is right there.

bubblewrap has none where control groups can be made (as root). Where they can't, every case must still hold, by other
means: one CPU by affinity, memory by RLIMIT_DATA and the agent's look every 50 ms. What is weaker then, and not in
these programs: memory that no process maps (socket and pipe buffers) is bounded by open files alone, a program may
widen its affinity, and many processes at once can go over the memory limit for as long as one look takes to come.
"""


class Hostile(Case):
    """A program of the corpus, which brings its own prelude."""

    @property
    def program(self) -> str:
        """The whole source."""
        return self.source


def corpus() -> list[Case]:
    """The programs of the corpus, in its order; none where it isn't there."""
    if not CORPUS.exists():
        return []
    rows = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    return [Hostile(row["id"], row["program"], row["expect"], float(row["limit_s"])) for row in rows]


ALL = [*CASES, *corpus()]


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
async def test_contained(sandbox: Sandbox, case: Case, request: pytest.FixtureRequest) -> None:
    adapter = request.node.callspec.params["sandbox"].name
    # The CPU limit is above the wall limit: programs that use several CPUs show whether they got them.
    limits = RunLimits(cpu_seconds=3 * case.limit, wall_seconds=case.limit, memory_bytes=512 << 20)
    program = Program("python", case.program, tests=CANARY, limits=limits)
    started = time.monotonic()
    if adapter == GVISOR.name and case.name in DIFFERENCES[adapter]:
        with contextlib.suppress(SandboxUnavailable):
            async with sandbox.session(program) as session:
                await session.run([Run()])
        await honest(sandbox)
        pytest.xfail(DIFFERENCES[adapter][case.name])
    async with sandbox.session(program) as session:
        (found,) = await session.run([Run()])
    took = time.monotonic() - started
    assert "left_behind" not in found.flags
    if case.name in DIFFERENCES.get(adapter, {}):
        assert found.stdout == "ESCAPED\n", "a difference that is none any more"
    elif case.expect == "BLOCKED":
        assert (found.status, found.stdout) == (RunStatus.OK, "BLOCKED\n"), found
    elif case.expect == "KILLED":
        assert found.status is not RunStatus.OK, found
        assert "ESCAPED" not in found.stdout, found
        assert took < 2 * case.limit + 10, "it ends at its limit, or not long after it on a busy machine"
    else:
        assert case.expect == "CLEAN"
        assert "ESCAPED" not in found.stdout, found
        assert took < 2 * case.limit + 10
    await honest(sandbox)


async def honest(sandbox: Sandbox) -> None:
    """Both places run an honest program, which finds a clean world."""
    source = (
        "import os, sys\n"
        "left = [d + '/' + n for d in ('/tmp', '/dev/shm', '/var/tmp') if os.path.isdir(d) for n in os.listdir(d)]\n"
        "others = [p for p in os.listdir('/proc') if p.isdigit() and os.stat('/proc/' + p).st_uid == os.getuid()]\n"
        "print(sum(map(int, sys.stdin.read().split())), left, len(others))\n"
    )

    async def one() -> None:
        async with sandbox.session(Program("python", source)) as session:
            (found,) = await session.run([Run("40 2")])
        assert (found.status, found.stdout) == (RunStatus.OK, "42 [] 1\n"), found
        assert found.cpu_seconds < 0.1

    await asyncio.gather(one(), one())

"""What only the bubblewrap adapter has: processes that die, machines that lack something, users without root."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from reward_service.adapters import bubblewrap
from reward_service.adapters._seccomp import compile_profile
from reward_service.adapters.agent import sandbox_files
from reward_service.adapters.bubblewrap import BubblewrapSandbox
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunLimits
from tests.engine import need

HELLO = Program("python", "print('hi')")
SLEEP = Program("python", "import time\ntime.sleep(60)", limits=RunLimits(cpu_seconds=50))


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[BubblewrapSandbox]:
    need("bwrap")
    async with BubblewrapSandbox(places=1) as started:
        yield started


def processes(sandbox: BubblewrapSandbox) -> list[int]:
    """Ids of everything that belongs to its places."""
    found = []
    for place in sandbox._all:
        assert place._process is not None
        found.append(place._process.pid)
        children = Path(f"/proc/{found[-1]}/task/{found[-1]}/children").read_text().split()
        found += map(int, children)
    return found


def running(pid: int) -> bool:
    """Is the process there, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def groups() -> list[Path]:
    """Control groups of this process's places."""
    return list(Path("/sys/fs/cgroup").glob(f"**/{bubblewrap.NAME}-{os.getpid()}-*"))


async def says_hi(sandbox: BubblewrapSandbox) -> bool:
    async with sandbox.session(HELLO) as session:
        return (await session.run([Run()]))[0].stdout == "hi\n"


async def gone(pids: list[int]) -> bool:
    for _ in range(100):
        if not any(os.path.exists(f"/proc/{pid}") for pid in pids):  # noqa: ASYNC240, PTH110
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.fault
@pytest.mark.parametrize("which", [0, -1], ids=["bwrap", "agent"])
async def test_a_killed_place_is_unavailable_and_replaced(sandbox: BubblewrapSandbox, which: int) -> None:
    pids = processes(sandbox)
    async with sandbox.session(SLEEP) as session:
        running = asyncio.create_task(session.run([Run()]))
        await asyncio.sleep(0.3)
        os.kill(pids[which], signal.SIGKILL)
        with pytest.raises(SandboxUnavailable):
            await asyncio.wait_for(running, 10)
        with pytest.raises(SandboxUnavailable):
            await session.run([Run()])
    assert await says_hi(sandbox)
    assert await gone(pids)


@pytest.mark.fault
async def test_a_place_that_dies_idle_costs_nobody_anything(sandbox: BubblewrapSandbox) -> None:
    pids = processes(sandbox)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for _ in range(200):  # a signal that was sent is not yet a process that died
        if not any(map(running, pids)):
            break
        await asyncio.sleep(0.05)
    assert await says_hi(sandbox)


@pytest.mark.fault
async def test_a_stopped_agent_is_given_up(
    sandbox: BubblewrapSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reward_service.adapters.agent.PATIENCE", 0.5)
    program = Program("python", "print('hi')", limits=RunLimits(cpu_seconds=0.1, compile_seconds=0.1))
    os.kill(processes(sandbox)[-1], signal.SIGSTOP)
    async with sandbox.session(program) as session:
        with pytest.raises(SandboxUnavailable):
            await session.run([Run()])
    assert await says_hi(sandbox)


async def test_nothing_is_left_after_the_end() -> None:
    need("bwrap")
    async with BubblewrapSandbox(places=2) as sandbox:
        assert await says_hi(sandbox)
        await asyncio.sleep(0.5)
        pids = processes(sandbox)
    assert await gone(pids)
    assert len(pids) == 4
    assert not groups()
    with pytest.raises(SandboxUnavailable):
        await says_hi(sandbox)


async def test_a_place_is_made_anew_after_its_lifetime() -> None:
    need("bwrap")
    async with BubblewrapSandbox(places=1, lifetime=3) as sandbox:
        first = processes(sandbox)
        for _ in range(4):
            assert await says_hi(sandbox)
        assert await gone(first)


async def test_limits_are_clamped_to_what_a_place_has(sandbox: BubblewrapSandbox) -> None:
    limits = RunLimits(memory_bytes=1 << 45, file_bytes=1 << 45, processes=10**6, output_bytes=1 << 45)
    source = "import resource as r\nprint([max(r.getrlimit(n)) < 1 << 33 for n in (r.RLIMIT_DATA, r.RLIMIT_FSIZE, r.RLIMIT_NPROC)])"
    async with sandbox.session(Program("python", source, limits=limits)) as session:
        (found,) = await session.run([Run()])
    assert found.stdout == "[True, True, True]\n", found


async def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
        async with BubblewrapSandbox(places=1):
            pass


async def test_an_interpreter_that_does_not_start_is_unavailable() -> None:
    need("bwrap")
    with pytest.raises(SandboxUnavailable, match="did not start"):
        async with BubblewrapSandbox(places=1, python=Path("/bin/true")):
            pass


def test_the_profile_compiles_and_forbids_by_default(tmp_path: Path) -> None:
    assert len(compile_profile(sandbox_files() / "seccomp.json")) % 8 == 0
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_LOG"):
        odd = tmp_path / "odd.json"
        odd.write_text(json.dumps({"defaultAction": action, "syscalls": []}))
        with pytest.raises(ValueError, match=action):
            compile_profile(odd)


SCRIPT = """
import asyncio
from reward_service.adapters.bubblewrap import BubblewrapSandbox
from reward_service.runs import Program, Run, Style

async def main():
    async with BubblewrapSandbox(places=1) as sandbox:
        source = "import os\\ntry: open('/proc/1/environ'); print('open')\\nexcept OSError: print(os.getuid(), os.getppid())"
        async with sandbox.session(Program("python", source)) as session:
            print((await session.run([Run()]))[0].stdout)
        program = Program("python", "def f(x): return x", style=Style.ASSERT, entry_point="f", tests="assert f(1) == 1")
        async with sandbox.session(program) as session:
            print((await session.run([Run()]))[0].status)

asyncio.run(main())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="makes a user")
def test_without_root_two_more_users_come_from_newuidmap(tmp_path: Path) -> None:
    """An ordinary user with a range in /etc/subuid has the whole sandbox; one without is told what is missing."""
    need("bwrap")
    if shutil.which("newuidmap") is None:
        pytest.skip("NOT TESTED: newuidmap is not installed")
    name = f"sandbox-test-{os.getpid()}"
    subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", name], check=True)
    try:
        package = tmp_path / "package"
        root = Path(bubblewrap.__file__).parents[2]
        shutil.copytree(
            root / "reward_service", package / "reward_service", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(root / "sandbox", package / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
        for path in (tmp_path, *tmp_path.parents[:3]):
            path.chmod(path.stat().st_mode | 0o055)

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [bubblewrap.interpreter(), "-c", SCRIPT],
                check=False,
                cwd=package,
                env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
                user=name,
                group=name,
                extra_groups=[],
                capture_output=True,
                text=True,
                timeout=60,
            )

        ranges = Path("/etc/subuid").read_text()
        kept = "".join(line for line in ranges.splitlines(keepends=True) if not line.startswith(f"{name}:"))
        Path("/etc/subuid").write_text(kept)
        lacking = run()
        assert "usermod --add-subuids" in lacking.stderr
        subprocess.run(
            ["usermod", "--add-subuids", "800000-800009", "--add-subgids", "800000-800009", name], check=True
        )
        found = run()
        assert found.stdout.split() == ["1", "1", "ok"], (found.stdout, found.stderr, sys.version)
    finally:
        subprocess.run(["userdel", name], check=False, capture_output=True)

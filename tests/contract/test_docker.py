"""What only the Docker adapter promises: the containers' specification, and when containers come and go.

What every sandbox promises is in test_sandbox.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from reward_service.adapters.docker import DockerSandbox
from reward_service.adapters.docker_api import EngineApi
from reward_service.adapters.docker_spec import (
    EXPIRES,
    OWNER,
    DockerOptions,
    container,
    free_uid,
    is_orphan,
    owner,
)
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style
from reward_service.sandbox_images import Kind
from tests.engine import docker_host, docker_image  # noqa: F401 - fixtures
from tests.sandboxes import GVISOR

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]  # the image may have to be built first

DOUBLE = Program("python", "print(2 * int(input()))")
HOSTNAME = Program(
    "python", "print(open('/proc/sys/kernel/hostname').read(), open('/proc/self/mountinfo').read())"
)
LOOP = Program("python", "while True: pass", limits=RunLimits(cpu_seconds=60))


@pytest.fixture
def options(docker_host: str, docker_image: str) -> DockerOptions:  # noqa: F811
    return DockerOptions(hosts=(docker_host,), image=docker_image, places=2, spares=1)


@pytest.fixture
async def sandbox(options: DockerOptions) -> AsyncIterator[DockerSandbox]:
    async with DockerSandbox(options) as running:
        yield running


async def run(sandbox: DockerSandbox, program: Program, *stdin: str) -> list[RunResult]:
    async with sandbox.session(program) as session:
        return await session.run([Run(stdin=text) for text in stdin or ("",)])


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> float:
    """Wait until something holds; how long that took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it never came to pass"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def mine(host: str, who: str = "") -> list[dict[str, Any]]:
    """The containers of an owner (this process), in whatever state."""
    return EngineApi(host).containers(f"{OWNER}={who or owner()}")


# The specification -----------------------------------------------------------------------------------------------


async def test_the_engine_knows_the_container_as_specified(
    sandbox: DockerSandbox, options: DockerOptions
) -> None:
    await run(sandbox, DOUBLE, "1")
    host = options.hosts[0]
    facts = EngineApi(host).inspect(mine(host)[0]["Id"])
    limits, config = facts["HostConfig"], facts["Config"]
    assert (limits["NetworkMode"], limits["IpcMode"], limits["ReadonlyRootfs"]) == ("none", "private", True)
    assert limits["CapDrop"] == ["ALL"]
    assert {name.removeprefix("CAP_") for name in limits["CapAdd"]} == {"SETUID", "SETGID", "SETPCAP", "KILL"}
    assert not limits["Privileged"]
    assert limits["AutoRemove"]
    assert not limits["Binds"]
    assert not limits["Devices"]
    assert not facts["Mounts"]
    assert any(option.startswith("no-new-privileges") for option in limits["SecurityOpt"])
    assert any('"defaultAction": "SCMP_ACT_ERRNO"' in option for option in limits["SecurityOpt"])
    assert limits["Memory"] == limits["MemorySwap"] == options.memory_bytes
    assert (limits["NanoCpus"], limits["PidsLimit"]) == (10**9, options.processes)
    assert limits["LogConfig"]["Type"] == "none"
    assert limits["OomScoreAdj"] == 500
    assert all({"nosuid", "nodev"} <= set(mount.split(",")) for mount in limits["Tmpfs"].values())
    assert all("nr_inodes=" in mount for mount in limits["Tmpfs"].values())
    executable = {path for path, mount in limits["Tmpfs"].items() if "noexec" not in mount.split(",")}
    assert executable <= {"/build"}  # of the image that has compilers
    assert not facts["NetworkSettings"]["Ports"]
    assert (config["Tty"], config["OpenStdin"], config["StdinOnce"]) == (False, True, True)
    assert not any("KEY" in text or "TOKEN" in text for text in config["Env"])


SEEN_FROM_INSIDE = """
import os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"].strip(), status["Seccomp"].strip())
print(os.getuid() >= 20000, os.getgid() == os.getuid(), os.getgroups())
print(sorted(os.listdir("/sys/class/net")))
for path in ("/", "/etc", "/agent", "/usr/lib/python3", "/run", "/sys", "/proc"):
    try:
        open(path + "/x", "w")
        print("wrote to", path)
    except OSError:
        pass
try:
    socket.socket()
    print("made a socket")
except PermissionError:
    pass
print([name for name in ("gcc", "cc", "ld", "pip", "pip3", "curl", "wget", "apt-get") if os.path.exists("/usr/bin/" + name)])
found = [os.path.join(d, f) for d, _, fs in os.walk("/usr") for f in fs
         if os.lstat(os.path.join(d, f)).st_mode & 0o6000]
print(found)
"""


async def test_a_program_finds_nothing_to_hold_on_to(sandbox: DockerSandbox) -> None:
    (result,) = await run(sandbox, Program("python", SEEN_FROM_INSIDE))
    assert result.status is RunStatus.OK, result
    assert result.stdout.splitlines() == ["0 0 1 2", "True True []", "['lo']", "['apt-get']", "[]"]


async def test_popular_packages_are_there(sandbox: DockerSandbox) -> None:
    names = (
        "numpy pandas scipy.optimize scipy.stats scipy.sparse sympy networkx sortedcontainers mpmath gmpy2 "
        "more_itertools regex bitarray dateutil attr pytest"
    )
    source = f"for name in {names.split()}: __import__(name)\nprint('all')"
    (result,) = await run(sandbox, Program("python", source))
    assert result.stdout == "all\n", result.stderr


def test_no_two_containers_share_a_user() -> None:
    taken: set[int] = set()
    for _ in range(2000):
        uid = free_uid(taken)
        assert uid not in taken
        assert 20_000 <= uid < 60_000
        assert uid % 2 == 0  # the next number is the tester's
        taken.add(uid)


def test_a_request_can_loosen_nothing() -> None:
    greedy = RunLimits(
        cpu_seconds=1e9,
        wall_seconds=1e9,
        total_cpu_seconds=1e9,
        compile_seconds=1e9,
        memory_bytes=1 << 50,
        output_bytes=1 << 50,
        file_bytes=1 << 50,
        processes=1 << 30,
    )
    options = DockerOptions()
    granted = options.clamp(greedy)
    assert granted.memory_bytes < options.memory_bytes
    assert granted.processes < options.processes
    assert all(getattr(granted, name) < getattr(greedy, name) for name in RunLimits.__slots__)
    assert options.clamp(RunLimits()) == RunLimits()


@pytest.mark.parametrize(
    ("labels", "orphan"),
    [
        ({OWNER: owner(), EXPIRES: "9999999999"}, False),
        ({OWNER: owner(), EXPIRES: "1"}, False),
        (
            {OWNER: f"{owner().rsplit('/', 2)[0]}/1/0", EXPIRES: "9999999999"},
            True,
        ),  # pid 1 started at another time
        ({OWNER: f"{owner().rsplit('/', 2)[0]}/99999999/5", EXPIRES: "9999999999"}, True),
        ({OWNER: "another-boot/1/99999999/5", EXPIRES: "9999999999"}, False),
        ({OWNER: "another-boot/1/99999999/5", EXPIRES: "1"}, True),
        ({OWNER: "nonsense"}, False),
    ],
)
def test_who_is_an_orphan(labels: dict[str, str], orphan: bool) -> None:
    assert is_orphan(labels, time.time()) is orphan


# Places ----------------------------------------------------------------------------------------------------------


async def test_cold_start_and_warm_lease(options: DockerOptions) -> None:
    started = time.monotonic()
    async with DockerSandbox(options) as sandbox:
        assert (await run(sandbox, DOUBLE, "21"))[0].stdout == "42\n"
        await until(lambda: sandbox.status()["containers"] in (3, 4))  # 4 with a polyglot image
        for _ in range(2):  # two at once need two places
            await asyncio.gather(run(sandbox, DOUBLE, "1"), run(sandbox, DOUBLE, "2"))
        assert time.monotonic() - started < 3.0
        leases = []
        for _ in range(20):
            asked = time.monotonic()
            async with sandbox.session(DOUBLE):
                leases.append(time.monotonic() - asked)
            await asyncio.sleep(0.01)
        assert sorted(leases)[10] < 0.002


async def test_a_lease_is_alone_and_the_others_wait_their_turn(sandbox: DockerSandbox) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(sandbox.session(DOUBLE))
        waiting = [asyncio.create_task(run(sandbox, DOUBLE, str(number))) for number in range(6)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        assert (sandbox.status()["busy"], sandbox.status()["waiting"]) == (2, 6)
    assert [(await task)[0].stdout for task in waiting] == [f"{2 * number}\n" for number in range(6)]


async def test_whoever_stops_waiting_takes_no_place(sandbox: DockerSandbox) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(sandbox.session(DOUBLE))
        waiting = [asyncio.create_task(run(sandbox, DOUBLE, "1")) for _ in range(8)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await until(lambda: sandbox.status()["busy"] == 0)
    assert (await run(sandbox, DOUBLE, "4"))[0].stdout == "8\n"


async def test_a_clean_place_is_used_again_and_a_worn_one_replaced(options: DockerOptions) -> None:
    async with DockerSandbox(replace(options, places=1, spares=1, recycle_items=5)) as sandbox:
        for number in range(23):
            assert (await run(sandbox, DOUBLE, str(number)))[0].stdout == f"{2 * number}\n"
        await until(lambda: sandbox.recycled["worn"] >= 3)
        assert not set(sandbox.recycled) - {"worn", "orphan"}
        assert sandbox.recycled["worn"] <= 5


async def test_a_place_grows_old(options: DockerOptions) -> None:
    async with DockerSandbox(replace(options, places=1, spares=0, recycle_seconds=0.5)) as sandbox:
        await run(sandbox, DOUBLE, "1")
        await asyncio.sleep(0.6)
        await run(sandbox, DOUBLE, "1")
        await until(lambda: sandbox.recycled["worn"] >= 1)
        assert (await run(sandbox, DOUBLE, "2"))[0].stdout == "4\n"


async def test_an_abandoned_run_ends_and_its_place_survives(sandbox: DockerSandbox) -> None:
    await run(sandbox, DOUBLE, "1")
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await run(sandbox, LOOP)
        await until(lambda: sandbox.status()["busy"] == 0, 5)
    assert not set(sandbox.recycled) - {"orphan"}  # another test's
    assert (await run(sandbox, DOUBLE, "3"))[0].stdout == "6\n"


async def test_a_flood_does_not_hold_up_the_end_of_its_container(
    sandbox: DockerSandbox, options: DockerOptions
) -> None:
    flood = Program("python", "while True: print('x' * 65536)", limits=RunLimits(cpu_seconds=20))
    (result,) = await run(sandbox, flood)
    assert result.status is RunStatus.OUTPUT_LIMIT
    started = time.monotonic()
    await sandbox.__aexit__(None, None, None)
    assert time.monotonic() - started < 5
    assert not mine(options.hosts[0])


async def test_several_engines_share_the_work(options: DockerOptions, tmp_path: Any) -> None:
    path = options.hosts[0].removeprefix("unix://")
    async with await asyncio.start_server(lambda r, w: _relay(r, w, path), "127.0.0.1", 0) as server:
        over_tcp = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        both = replace(options, hosts=(options.hosts[0], over_tcp), places=1, spares=0)
        async with DockerSandbox(both) as sandbox, AsyncExitStack() as stack:
            await until(lambda: sandbox.status()["places"] == 2)
            for _ in range(2):
                session = await stack.enter_async_context(sandbox.session(DOUBLE))
                assert (await session.run([Run(stdin="5")]))[0].stdout == "10\n"
            assert sandbox.status()["busy"] == 2
            assert set(sandbox.status()["engines"]) == {options.hosts[0], over_tcp}


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """A TCP address for an engine on a Unix socket."""
    there, back = await asyncio.open_unix_connection(path)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()

    await asyncio.gather(copy(reader, back), copy(there, writer))


# What is not there -----------------------------------------------------------------------------------------------


async def test_a_missing_image_is_told_at_once_with_what_to_do(options: DockerOptions) -> None:
    async with DockerSandbox(replace(options, image="nobody/has-this:1")) as sandbox:
        started = time.monotonic()
        with pytest.raises(SandboxUnavailable, match=r"nobody/has-this:1.*sandbox build"):
            await run(sandbox, DOUBLE, "1")
        assert time.monotonic() - started < 3


async def test_a_language_without_image_is_no_verdict(options: DockerOptions) -> None:
    async with DockerSandbox(replace(options, polyglot_image="nobody/has-this:2")) as sandbox:
        with pytest.raises(SandboxUnavailable, match=r"sandbox build --polyglot"):
            await run(sandbox, Program("rust", "fn main() {}"))
        assert (await run(sandbox, DOUBLE, "1"))[0].stdout == "2\n"
        assert "python" in sandbox.languages()
        assert "rust" not in sandbox.languages()


@pytest.mark.parametrize(
    "change",
    [{"runtime": "no-such-runtime"}, {"hosts": ("unix:///nowhere/docker.sock",)}, {"memory_bytes": 1}],
)
async def test_what_can_not_work_is_told_after_a_little_patience(
    options: DockerOptions, change: dict[str, Any]
) -> None:
    async with DockerSandbox(replace(options, unavailable_seconds=1.0, **change)) as sandbox:
        started = time.monotonic()
        with pytest.raises(SandboxUnavailable):
            await run(sandbox, DOUBLE, "1")
        assert 0.5 < time.monotonic() - started < 8
        assert all(text != "ok" for text in sandbox.status()["engines"].values())
    assert not mine(options.hosts[0])


async def test_a_sandbox_that_ends_while_it_starts_leaves_no_container(options: DockerOptions) -> None:
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5):
        async with DockerSandbox(options):
            await asyncio.sleep(delay)
        assert not mine(options.hosts[0]), delay


# Orphans ---------------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from reward_service.adapters.docker import DockerSandbox
from reward_service.adapters.docker_spec import DockerOptions, owner
from reward_service.runs import Program, Run

async def main():
    options = DockerOptions(hosts=(sys.argv[1],), image=sys.argv[2], places=2, spares=1, polyglot_warm=0)
    async with DockerSandbox(options) as sandbox:
        async with sandbox.session(Program("python", "while True: pass")) as session:
            print(owner(), flush=True)
            await session.run([Run()])

asyncio.run(main())
"""


async def test_a_killed_owner_leaves_no_container(options: DockerOptions) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, options.hosts[0], options.image, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    who = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
    await until(lambda: len(mine(options.hosts[0], who)) == 3)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await until(lambda: not mine(options.hosts[0], who), 10)


async def test_the_reaper_takes_orphans_and_nothing_else(options: DockerOptions) -> None:
    host = options.hosts[0]
    api = EngineApi(host)
    dead, alive = f"{owner().rsplit('/', 2)[0]}/99999999/5", "another-boot/1/99999999/5"
    made = []
    for who in (dead, alive):
        spec = container(options, Kind.PYTHON, free_uid(()), f"reward-service-test-{os.urandom(4).hex()}")
        spec["labels"] = {**spec["labels"], OWNER: who}
        made.append(api.create(**spec))  # not started: nothing ends it but a reaper
    try:
        async with DockerSandbox(options) as sandbox:
            await until(lambda: not mine(host, dead))  # by this sandbox, or by one of a test beside
            await run(sandbox, DOUBLE, "1")
            assert [found["Id"] for found in mine(host, alive)] == made[1:]
    finally:
        for name in made:
            api.remove(name)


async def test_gvisor_runs_programs_of_every_style() -> None:
    """A glance in every run of the tests; the whole suites by `make test-gvisor`."""
    asked = Program("python", "def f(n):\n    return n + 1", style=Style.FUNCTION, entry_point="f")
    tested = Program("python", "def f(n): return n + 1", style=Style.ASSERT, tests="assert f(1) == 2")
    endless = Program("python", "while True: pass", limits=RunLimits(cpu_seconds=0.3, wall_seconds=5))
    async with GVISOR.open() as sandbox:
        found = []
        for program, run in (
            (Program("python", "print(int(input()) * 2)"), Run("21")),
            (asked, Run(arguments={"a": [41]})),
            (tested, Run()),
            (endless, Run()),
        ):
            async with sandbox.session(program) as session:
                found += await session.run([run])
    assert [one.status for one in found] == [RunStatus.OK, RunStatus.OK, RunStatus.OK, RunStatus.TIME_LIMIT]
    assert found[0].stdout == "42\n"
    assert "42" in (found[1].value or "")

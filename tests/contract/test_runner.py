"""The runner process and its client: what the service gets of a sandbox without holding an engine's socket."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reward_service.adapters.docker_spec import DockerOptions, owner
from reward_service.adapters.runner import RunnerOptions, RunnerSandbox, frame
from reward_service.errors import SandboxUnavailable
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style
from tests.contract.test_docker import mine, until
from tests.engine import docker_host, docker_image  # noqa: F401 - fixtures

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

DOUBLE = Program("python", "print(2 * int(input()))")
LOOP = Program("python", "while True: pass", limits=RunLimits(cpu_seconds=60))


@pytest.fixture
def options(docker_host: str, docker_image: str) -> RunnerOptions:  # noqa: F811
    return RunnerOptions(
        "docker", docker=DockerOptions(hosts=(docker_host,), image=docker_image, places=2, spares=1)
    )


@pytest.fixture
async def sandbox(options: RunnerOptions) -> AsyncIterator[RunnerSandbox]:
    async with RunnerSandbox(options=options) as running:
        yield running


async def run(sandbox: RunnerSandbox, program: Program, *stdin: str) -> list[RunResult]:
    async with sandbox.session(program) as session:
        return await session.run([Run(stdin=text) for text in stdin or ("",)])


def process_file(pid: int | None, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def owner_of(pid: int | None) -> str:
    """The label of the containers of a process on this machine."""
    started = process_file(pid, "stat").rpartition(")")[2].split()[19]
    return f"{owner().rsplit('/', 2)[0]}/{pid}/{started}"


def test_options_survive_the_command_line() -> None:
    options = RunnerOptions(
        "docker", 3, DockerOptions(hosts=("unix:///a", "tcp://b:1"), runtime="runsc", places=5)
    )
    assert RunnerOptions.from_json(options.to_json()) == options
    assert RunnerOptions.from_json("{}") == RunnerOptions()


async def test_results_arrive_whole(sandbox: RunnerSandbox) -> None:
    async with sandbox.session(DOUBLE) as session:
        results = await session.run([Run(stdin=f"{number}\n") for number in range(30)])
        assert [result.stdout for result in results] == [f"{2 * number}\n" for number in range(30)]
        assert all(result.status is RunStatus.OK and result.exit_code == 0 for result in results)
        (failed,) = await session.run([Run(stdin="no number"), Run(stdin="1")])
        assert failed.status is RunStatus.RUNTIME_ERROR
        assert "ValueError" in failed.stderr
        assert isinstance(failed.flags, tuple)
        both = await session.run([Run(stdin="no number"), Run(stdin="1")], stop_early=False)
        assert [result.status for result in both] == [RunStatus.RUNTIME_ERROR, RunStatus.OK]


async def test_text_of_every_kind_crosses(sandbox: RunnerSandbox) -> None:
    text = "žluťoučký \x00 \U0001f600 \u2028 " + "x" * 300_000
    echo = Program(
        "python", "import sys; sys.stdout.write(sys.stdin.read())", limits=RunLimits(output_bytes=1 << 22)
    )
    assert (await run(sandbox, echo, text))[0].stdout == text


async def test_functions_and_files_cross(sandbox: RunnerSandbox) -> None:
    reads = Program("python", "print(open('data.txt').read())", files={"data.txt": "content"})
    assert (await run(sandbox, reads))[0].stdout == "content\n"
    program = Program(
        "python", "def nothing():\n    raise KeyError('x')", style=Style.FUNCTION, entry_point="nothing"
    )
    async with sandbox.session(program) as session:
        (result,) = await session.run([Run(arguments={"a": []})])
    assert result.status is RunStatus.RUNTIME_ERROR
    assert "KeyError" in result.message


async def test_many_at_once_share_the_places(sandbox: RunnerSandbox) -> None:
    results = await asyncio.gather(*(run(sandbox, DOUBLE, str(number)) for number in range(100)))
    assert [result.stdout for (result,) in results] == [f"{2 * number}\n" for number in range(100)]


async def test_a_place_is_held_until_the_session_ends(sandbox: RunnerSandbox) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(sandbox.session(DOUBLE))
        waiting = asyncio.create_task(run(sandbox, DOUBLE, "1"))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        waiting.cancel()
    await until(lambda: sandbox.status()["busy"] == 0)
    assert (await run(sandbox, DOUBLE, "2"))[0].stdout == "4\n"


async def test_an_abandoned_run_gives_its_place_back(sandbox: RunnerSandbox) -> None:
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await run(sandbox, LOOP)
    assert (await run(sandbox, DOUBLE, "3"))[0].stdout == "6\n"
    await until(lambda: sandbox.status()["busy"] == 0)


async def test_status_is_told(sandbox: RunnerSandbox, options: RunnerOptions) -> None:
    await run(sandbox, DOUBLE, "1")
    # Two places and a spare; one more where the polyglot image is there as well.
    await until(lambda: sandbox.status()["containers"] in (3, 4))
    status = sandbox.status()
    assert status["places"] == 2
    assert status["engines"] == {options.docker.hosts[0]: "ok"}
    await until(lambda: "python" in sandbox.languages())
    async with sandbox.session(DOUBLE):
        await until(lambda: sandbox.status()["busy"] == 1)


async def test_what_the_sandbox_lacks_is_unavailable(options: RunnerOptions) -> None:
    lacking = replace(options, docker=replace(options.docker, image="nobody/has-this:1"))
    async with RunnerSandbox(options=lacking) as sandbox:
        with pytest.raises(SandboxUnavailable, match="sandbox build"):
            await run(sandbox, DOUBLE, "1")


# The process ---------------------------------------------------------------------------------------------------


async def test_the_socket_is_its_owners_alone(sandbox: RunnerSandbox) -> None:
    await run(sandbox, DOUBLE, "1")
    arguments = process_file(sandbox.pid, "cmdline").split("\0")
    path = Path(arguments[arguments.index("--socket") + 1])
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


async def test_the_runner_gets_nothing_of_the_services_secrets(
    options: RunnerOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REWARD_SERVICE_API_KEYS", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    async with RunnerSandbox(options=options) as sandbox:
        assert "secret" not in process_file(sandbox.pid, "environ")
        (result,) = await run(sandbox, Program("python", "import os; print(sorted(os.environ))"))
        assert "KEY" not in result.stdout


async def test_the_end_of_the_sandbox_is_the_end_of_its_containers(options: RunnerOptions) -> None:
    async with RunnerSandbox(options=options) as sandbox:
        await run(sandbox, DOUBLE, "1")
        pid, who = sandbox.pid, owner_of(sandbox.pid)
        assert mine(options.docker.hosts[0], who)
    assert not mine(options.docker.hosts[0], who)
    assert pid is not None
    assert not alive(pid)


PARENT = """
import asyncio, sys
from reward_service.adapters.runner import RunnerOptions, RunnerSandbox
from reward_service.runs import Program, Run

async def main():
    async with RunnerSandbox(options=RunnerOptions.from_json(sys.argv[1])) as sandbox:
        async with sandbox.session(Program("python", "while True: pass")) as session:
            print(sandbox.pid, flush=True)
            await session.run([Run()])

asyncio.run(main())
"""


async def test_a_runner_never_outlives_its_parent(options: RunnerOptions) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, options.to_json(), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 60))
    who = owner_of(pid)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await until(lambda: not alive(pid), 15)
    await until(lambda: not mine(options.docker.hosts[0], who), 15)


async def test_a_runner_that_dies_costs_its_sessions_and_is_started_again(
    sandbox: RunnerSandbox, options: RunnerOptions
) -> None:
    await run(sandbox, DOUBLE, "1")
    first, who = sandbox.pid, owner_of(sandbox.pid)
    assert first is not None
    looping = asyncio.create_task(run(sandbox, LOOP))
    await asyncio.sleep(0.3)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(SandboxUnavailable, match="runner"):
        await looping
    assert (await run(sandbox, DOUBLE, "4"))[0].stdout == "8\n"
    assert sandbox.pid not in (None, first)
    await until(lambda: not mine(options.docker.hosts[0], who), 60)


async def test_a_session_that_lost_its_runner_is_over(sandbox: RunnerSandbox) -> None:
    async with sandbox.session(DOUBLE) as session:
        assert sandbox.pid is not None
        os.kill(sandbox.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(SandboxUnavailable):
                await session.run([Run(stdin="1")])
    assert (await run(sandbox, DOUBLE, "5"))[0].stdout == "10\n"


async def test_several_clients_share_a_runner_of_their_own_making(
    options: RunnerOptions, tmp_path: Path
) -> None:
    path = tmp_path / "r.sock"
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reward_service.runner", "--socket", str(path), "--options", options.to_json()
    )
    try:
        async with RunnerSandbox(path) as one, RunnerSandbox(path) as two:
            results = await asyncio.gather(
                *(run(client, DOUBLE, "3") for client in (one, two) for _ in range(5))
            )
            assert [result.stdout for (result,) in results] == ["6\n"] * 10
            assert one.pid is None
    finally:
        runner.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(runner.wait(), 30) == 0
    assert not path.exists()


async def test_no_runner_is_unavailable_and_no_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reward_service.adapters.runner._CONNECT_SECONDS", 0.5)
    async with RunnerSandbox(tmp_path / "nobody.sock") as sandbox:
        with pytest.raises(SandboxUnavailable, match=r"can't be reached.*nobody\.sock"):
            await run(sandbox, DOUBLE, "1")
        assert "nobody.sock" in sandbox.status()["trouble"]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 64,
        b"\x00\x00\x00\x02[]",
        frame({"op": "run", "id": 7, "runs": [], "stop_early": True}),
        frame({"op": "open", "id": 8, "program": [1, 2]}),
        frame({"op": "make me a container", "id": 9}),
        frame({"id": 9}),
    ],
    ids=["bytes", "no object", "a lease that isn't", "no program", "unknown", "no operation"],
)
async def test_nonsense_costs_whoever_sends_it(
    options: RunnerOptions, tmp_path: Path, nonsense: bytes
) -> None:
    path = tmp_path / "r.sock"
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reward_service.runner", "--socket", str(path), "--options", options.to_json()
    )
    try:
        async with RunnerSandbox(path) as client:
            await run(client, DOUBLE, "1")
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(nonsense)
            await writer.drain()
            await asyncio.sleep(0.1)
            assert (await run(client, DOUBLE, "2"))[0].stdout == "4\n"
            writer.close()
    finally:
        runner.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(runner.wait(), 30) == 0


def test_without_anything_there_is_no_unsafe_way(monkeypatch: pytest.MonkeyPatch) -> None:
    from reward_service import runner

    monkeypatch.setattr("shutil.which", lambda *_: None)

    async def attempt(options: RunnerOptions) -> None:
        async with runner.choose(options) as backend:
            assert backend.languages() == ()
            async with backend.session(DOUBLE):
                pytest.fail("a session of nothing")

    nothing: dict[str, Any] = {"docker": DockerOptions(hosts=("unix:///nowhere/docker.sock",))}
    for name in ("auto", "bubblewrap"):
        with pytest.raises(SandboxUnavailable, match="bubblewrap is not installed"):
            asyncio.run(attempt(RunnerOptions(name, **nothing)))
    with pytest.raises(ValueError, match="unsafe"):
        runner.choose(RunnerOptions("unsafe"))

"""What breaks around a sandbox never becomes a score: engines that stop, die, stall or run full, containers and
images that vanish. And everything comes back by itself, with nothing left behind.

Each test has an engine of its own to break; the image is copied to it from the one that the other tests share.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.engine import engine as own
from reward_service.adapters.docker import DockerSandbox
from reward_service.adapters.docker_api import EngineApi
from reward_service.adapters.docker_spec import OWNER, DockerOptions
from reward_service.adapters.runner import RunnerOptions, RunnerSandbox
from reward_service.engine.channel import Task
from reward_service.engine.executor import Executor
from reward_service.engine.ports import Sandbox
from reward_service.errors import SandboxUnavailable
from reward_service.registry import Registry, Source, handler
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Work
from reward_service.types import Domain, Example, Item, Outcome, Reason, Status, accept, reject
from tests.engine import docker_host, docker_image, unavailable  # noqa: F401 - two are fixtures

pytestmark = [pytest.mark.docker, pytest.mark.fault, pytest.mark.timeout(900)]

RECOVERY_SECONDS = 30.0
ORPHAN_SECONDS = 60.0
DOUBLE = Program("python", "print(2 * int(input()))")
SLEEP = Program(
    "python", "import time; time.sleep(float(input())); print('slept')", limits=RunLimits(wall_seconds=60)
)


# An engine to break ----------------------------------------------------------------------------------------------


def copy_image(image: str, source: str, target: str) -> None:
    """Have the image on the target engine as well."""
    if not EngineApi(target).has_image(image):
        client = EngineApi(target, seconds=300).client
        client.load_image(EngineApi(source, seconds=300).client.get_image(image))
        assert EngineApi(target).has_image(image)


def start(home: Path, source: str, image: str, *, live_restore: bool = False) -> own.Daemon:
    daemon = own.Daemon(home, live_restore=live_restore)
    try:
        daemon.start()
    except own.NoEngine as error:
        unavailable(str(error))
    try:
        copy_image(image, source, daemon.host)
    except BaseException:
        daemon.stop()
        raise
    return daemon


@pytest.fixture(scope="session")
def number() -> Iterator[int]:
    """A number that no other test process on this machine has now: its engines' folders are called after it."""
    if os.geteuid():
        unavailable("stopping an engine takes one of our own, and that takes root")
    own.HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    for candidate in itertools.count():
        with (own.HOME / f"fault-{candidate}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield candidate
            return


@pytest.fixture(params=[False, True], ids=["plain", "live-restore"])
def daemon(
    docker_host: str,  # noqa: F811
    docker_image: str,  # noqa: F811
    number: int,
    request: pytest.FixtureRequest,
) -> Iterator[own.Daemon]:
    running = start(own.HOME / f"fault-{number}", docker_host, docker_image, live_restore=request.param)
    try:
        yield running
    finally:
        if running.process is None:
            running.start()
        for found in EngineApi(running.host).containers(OWNER):  # a failed test leaves nothing to the next
            EngineApi(running.host).remove(found["Id"])
        running.stop()


@pytest.fixture
def options(daemon: own.Daemon, docker_image: str) -> DockerOptions:  # noqa: F811
    return DockerOptions(
        hosts=(daemon.host,), image=docker_image, places=2, spares=1, unavailable_seconds=2.0
    )


@pytest.fixture
async def sandbox(options: DockerOptions) -> AsyncIterator[DockerSandbox]:
    async with DockerSandbox(options) as running:
        await double(running, 1)
        await until(lambda: running.status()["containers"] == 3)
        yield running


async def run(sandbox: Sandbox, program: Program, stdin: str) -> RunResult:
    async with sandbox.session(program) as session:
        (result,) = await session.run([Run(stdin=stdin)])
    return result


async def double(sandbox: Sandbox, number: int) -> None:
    result = await run(sandbox, DOUBLE, str(number))
    assert (result.status, result.stdout) == (RunStatus.OK, f"{2 * number}\n")


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it never came to pass"
        await asyncio.sleep(0.05)
    return time.monotonic() - started


async def recovers(sandbox: Sandbox, seconds: float = RECOVERY_SECONDS) -> float:
    """How long until an item is judged again; every answer until then is SandboxUnavailable."""
    started = time.monotonic()
    while True:
        try:
            await double(sandbox, 21)
            return time.monotonic() - started
        except SandboxUnavailable:
            assert time.monotonic() - started < seconds
            await asyncio.sleep(0.1)


async def no_orphans(daemon: own.Daemon, expected: int, seconds: float = ORPHAN_SECONDS) -> None:
    """Soon there are the containers of the pool and no others.

    "Dead" ones are left out: an engine that is killed while it removes a container keeps a record without a name, in
    which nothing runs and which it may fail to remove until it is started again.
    """
    api = EngineApi(daemon.host)

    def left() -> list[dict[str, Any]]:
        return [found for found in api.containers(OWNER) if found["State"] != "dead"]

    try:
        await until(lambda: len(left()) == expected, seconds)
    except AssertionError:
        raise AssertionError([(c["Names"], c["State"], c["Status"]) for c in left()]) from None


# The engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_f11_an_engine_that_goes_away_mid_run(
    sandbox: DockerSandbox, daemon: own.Daemon, how: str, record_property: Callable[[str, object], None]
) -> None:
    running = [asyncio.create_task(run(sandbox, SLEEP, "20")) for _ in range(2)]
    waiting = [asyncio.create_task(run(sandbox, DOUBLE, "1")) for _ in range(4)]
    await asyncio.sleep(0.5)
    started = time.monotonic()
    await asyncio.to_thread(getattr(daemon, how))
    answers = await asyncio.gather(*running, *waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [SandboxUnavailable] * 6
    told = time.monotonic() - started
    assert told < 20
    assert all(text != "ok" for text in sandbox.status()["engines"].values())

    asked = time.monotonic()
    with pytest.raises(SandboxUnavailable):
        await double(sandbox, 1)
    assert time.monotonic() - asked < 5, "an engine that is known to be away is no reason to wait"

    daemon.start()  # in this thread: the engine ends with the thread that started it
    back = await recovers(sandbox)
    assert back < RECOVERY_SECONDS
    await no_orphans(daemon, 3)
    assert sandbox.status()["engines"] == {daemon.host: "ok"}
    record_property(
        "figures", f"6 of 6 told after {told:.1f} s; working {back:.1f} s after the engine's start; 0 orphans"
    )
    await asyncio.gather(*(double(sandbox, number) for number in range(20)))


async def test_f11_an_engine_that_restarts_under_load_costs_errors_and_no_wrong_result(
    sandbox: DockerSandbox, daemon: own.Daemon, record_property: Callable[[str, object], None]
) -> None:
    stop = asyncio.Event()
    right = failed = 0

    async def client(number: int) -> None:
        nonlocal right, failed
        while not stop.is_set():
            try:
                await double(sandbox, number)
                right += 1
            except SandboxUnavailable:
                failed += 1
                await asyncio.sleep(0.05)

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    for _ in range(2):
        await asyncio.sleep(1.0)
        await asyncio.to_thread(daemon.stop)
        daemon.start()  # in this thread: the engine ends with the thread that started it
        before = right
        await until(lambda before=before: right > before, RECOVERY_SECONDS)  # type: ignore[misc]
    stop.set()
    await asyncio.gather(*clients)  # `double` asserts that every result that came is right
    assert right > 20
    await no_orphans(daemon, 3)
    record_property("figures", f"2 restarts: {right} right, {failed} errors, 0 wrong, 0 orphans")


async def test_f11_an_engine_that_stalls_delays_and_changes_nothing(
    sandbox: DockerSandbox, daemon: own.Daemon, record_property: Callable[[str, object], None]
) -> None:
    assert daemon.process is not None
    tasks = [asyncio.create_task(double(sandbox, number)) for number in range(10)]
    os.kill(daemon.process.pid, signal.SIGSTOP)
    try:
        more = [asyncio.create_task(double(sandbox, number)) for number in range(10)]
        await asyncio.sleep(3.0)
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)
    await asyncio.gather(*tasks, *more)
    record_property("figures", f"stalled for 3 s: {len(tasks) + len(more)} right, 0 errors")


async def test_f11_a_killed_owner_while_its_engine_is_away_leaves_no_orphans(
    daemon: own.Daemon, options: DockerOptions, record_property: Callable[[str, object], None]
) -> None:
    runner_options = RunnerOptions("docker", docker=options)
    async with RunnerSandbox(options=runner_options) as first:
        await double(first, 1)
        await until(lambda: first.status()["containers"] == 3)
        await asyncio.to_thread(daemon.kill)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
    daemon.start()  # in this thread: the engine ends with the thread that started it
    async with DockerSandbox(options) as second:
        await double(second, 2)
        swept = time.monotonic()
        await no_orphans(daemon, 3)
    record_property("figures", f"3 containers of the dead owner gone after {time.monotonic() - swept:.1f} s")


# Containers and images -------------------------------------------------------------------------------------------


async def test_a_container_that_is_killed_mid_run(sandbox: DockerSandbox, daemon: own.Daemon) -> None:
    api = EngineApi(daemon.host)
    for _ in range(3):
        await until(lambda: sandbox.status()["containers"] == 3)
        running = [asyncio.create_task(run(sandbox, SLEEP, "20")) for _ in range(2)]
        await until(lambda: sandbox.status()["busy"] == 2)
        await asyncio.sleep(0.2)
        for found in api.containers(OWNER):
            api.kill(found["Id"])
        answers = await asyncio.gather(*running, return_exceptions=True)
        assert [type(answer) for answer in answers] == [SandboxUnavailable] * 2
        assert await recovers(sandbox) < 5
    await no_orphans(daemon, 3)
    assert sandbox.recycled["broken"] == 6


async def test_an_agent_that_is_stopped_while_idle_is_noticed(
    sandbox: DockerSandbox, daemon: own.Daemon
) -> None:
    api = EngineApi(daemon.host)
    for found in api.containers(OWNER):
        api.kill(found["Id"])
    await until(lambda: sandbox.recycled["lost"] == 3)
    assert await recovers(sandbox) < 5
    await no_orphans(daemon, 3)


async def test_an_image_that_is_gone_and_comes_back(daemon: own.Daemon, options: DockerOptions) -> None:
    api = EngineApi(daemon.host)
    name = "reward-service/fault-image:1"
    api.tag_image(options.image, name)
    async with DockerSandbox(replace(options, image=name, recycle_items=1, places=1, spares=0)) as sandbox:
        await double(sandbox, 1)
        api.client.remove_image(name, force=True)
        await until(lambda: sandbox.status()["containers"] == 0)
        with pytest.raises(SandboxUnavailable, match=r"fault-image.*sandbox build"):
            await double(sandbox, 2)
            await double(sandbox, 3)
        api.tag_image(options.image, name)
        assert await recovers(sandbox) < RECOVERY_SECONDS
    api.client.remove_image(name)


@pytest.fixture
def small_disk(docker_host: str, docker_image: str, number: int) -> Iterator[own.Daemon]:  # noqa: F811
    """An engine whose disk is small."""
    home = own.HOME / f"disk-{number}"  # a short path: Unix sockets can't have long ones
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200m", "tmpfs", str(home)], check=True)
    try:
        daemon = start(home, docker_host, docker_image)
        try:
            yield daemon
        finally:
            daemon.stop()
    finally:
        # Lazily: what the engine's helpers still hold goes when they do.
        subprocess.run(["umount", "--recursive", "--lazy", str(home)], check=True)


def fill(path: Path) -> None:
    """Leave not a byte."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"x" * size)


async def test_f19_a_full_disk_of_the_engine(
    small_disk: own.Daemon,
    docker_image: str,  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    on_small = DockerOptions(
        (small_disk.host,), image=docker_image, places=2, recycle_items=1, unavailable_seconds=2
    )
    async with DockerSandbox(on_small) as sandbox:
        await double(sandbox, 1)
        filler = small_disk.home / "filler"
        with pytest.raises(SandboxUnavailable):
            for number in range(40):  # the warm ones still work, and rightly; each that goes frees a little
                fill(filler)
                await double(sandbox, number)
                await asyncio.sleep(0.2)
        filler.unlink()
        back = await recovers(sandbox)
        record_property(
            "figures", f"engine's disk full: errors, 0 wrong; working {back:.1f} s after there is room"
        )
        assert back < RECOVERY_SECONDS
        await no_orphans(small_disk, 3)


# What the service makes of it --------------------------------------------------------------------------------------


def registry() -> Registry:
    into = Registry()

    def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome:
        right = all(result.status is RunStatus.OK for result in results)
        return accept("ran") if right else reject(Reason.RUNTIME_ERROR)

    @handler(
        "runs",
        version="1",
        domain=Domain.CODE,
        sources=[Source("x", "any", Example("x", "x"))],
        judge=judge,
        into=into,
    )
    def plan(item: Item) -> Outcome | Work:
        """Everything needs a run."""
        return Work(SLEEP, (Run("1"),))

    return into


class JudgeHere:
    """The pool's part, in this process."""

    def __init__(self, known: Registry) -> None:
        self._known = known

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> list[Outcome | Work]:
        from reward_service.engine.child import judge_one

        return [judge_one(self._known.handlers[task.handler], task)[0] for task in tasks]


@asynccontextmanager
async def service(sandbox: Sandbox) -> AsyncIterator[Callable[[str], asyncio.Task[Outcome]]]:
    known = registry()
    executor = Executor(known, JudgeHere(known), sandbox)
    work = Work(SLEEP, (Run("2"),))
    task = Task("runs", "x", "x", "response", "truth", {})
    yield lambda _: asyncio.create_task(executor.finish(task, work, time.monotonic() + 60))


async def test_an_item_is_retried_once_and_then_an_error_never_a_score(
    sandbox: DockerSandbox, daemon: own.Daemon
) -> None:
    api = EngineApi(daemon.host)

    def kill_all() -> None:
        for found in api.containers(OWNER):
            api.kill(found["Id"])

    async with service(sandbox) as score:
        once = score("one container is lost")
        await asyncio.sleep(0.5)
        kill_all()
        outcome = await once
        assert (outcome.status, outcome.correct) == (Status.SCORED, True), "the second place did it"

        await recovers(sandbox)
        twice = score("and the next one too")
        await asyncio.sleep(0.5)
        kill_all()
        await recovers(sandbox)
        await asyncio.sleep(0.5)
        kill_all()
        outcome = await twice
        assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.SANDBOX_UNAVAILABLE)
        assert outcome.score is None

        await recovers(sandbox)
        away = score("the engine is gone")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(daemon.stop)
        outcome = await away
        assert (outcome.status, outcome.reason, outcome.score) == (
            Status.ERROR,
            Reason.SANDBOX_UNAVAILABLE,
            None,
        )
        daemon.start()  # in this thread: the engine ends with the thread that started it
        await recovers(sandbox)
        assert (await score("and back")).correct
    await no_orphans(daemon, 3)


async def test_f11_a_restart_of_the_engine_costs_nobody_an_error(
    daemon: own.Daemon, options: DockerOptions, record_property: Callable[[str, object], None]
) -> None:
    patient = replace(options, unavailable_seconds=DockerOptions().unavailable_seconds)
    async with DockerSandbox(patient) as sandbox, service(sandbox) as score:
        await double(sandbox, 1)
        items = [score(str(number)) for number in range(4)]
        await asyncio.sleep(0.5)
        await asyncio.to_thread(daemon.stop)
        await asyncio.sleep(2.0)
        daemon.start()
        outcomes = await asyncio.gather(*items)
    assert all(outcome.correct for outcome in outcomes), outcomes
    record_property("figures", f"engine away for 2 s: {len(outcomes)} right, 0 errors")

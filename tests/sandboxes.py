"""The sandbox adapters that suites are run on, each with what it takes to start one here.

An entry's `open` gives a started sandbox with two places, or skips the test with a loud reason (in CI: fails it).
gVisor is slow and optional: its entry is there when REWARD_SERVICE_TEST_RUNTIMES names it (`make test-gvisor`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from reward_service.adapters import bubblewrap
from reward_service.adapters.docker import DockerSandbox
from reward_service.adapters.docker_api import EngineApi
from reward_service.adapters.docker_spec import DockerOptions
from reward_service.runs import Program, Run
from reward_service.sandbox_images import Kind
from tests.engine import image, need, running, unavailable

if TYPE_CHECKING:
    from reward_service.engine.ports import Sandbox

PLACES = 2


@dataclass(frozen=True)
class Adapter:
    """A kind of sandbox."""

    name: str
    open: Callable[[], AbstractAsyncContextManager[Sandbox]]


@asynccontextmanager
async def _bubblewrap() -> AsyncIterator[Sandbox]:
    need("bwrap")
    if lacking := bubblewrap.missing():
        unavailable(lacking)
    async with bubblewrap.BubblewrapSandbox(places=PLACES) as sandbox:
        yield sandbox


def _docker(runtime: str) -> Callable[[], AbstractAsyncContextManager[Sandbox]]:
    @asynccontextmanager
    async def start() -> AsyncIterator[Sandbox]:
        with running() as host:
            if runtime not in EngineApi(host).info()["Runtimes"]:
                pytest.skip(f"NOT TESTED: the engine has no runtime {runtime}")  # optional, also in CI
            options = DockerOptions(
                hosts=(host,),
                runtime=runtime,
                image=image(host),
                polyglot_image=image(host, Kind.POLYGLOT),
                places=PLACES,
                polyglot_warm=PLACES,
            )
            async with DockerSandbox(options) as sandbox:
                await _probe(sandbox)
                yield sandbox

    return start


GVISOR_DIFFERENCES = {
    "test_memory_of_a_program_holds_nothing_of_earlier_ones": "reading all of its memory counts as using it",
    "test_the_tests_are_out_of_reach_of_the_program": "the same search, with the same memory limit",
    "test_many_calls_may_use_more_than_one_limit_in_all": "CPU time of ended children is counted twice",
    "test_cpu_time_of_children_counts": "the same; and its clock ticks coarsely",
    "test_a_mixed_crowd": "CPU time of 32 forked processes is far more than they used",
}
"""Tests of the contract -> what gVisor's release 20221219 (Debian 12) does otherwise. A later one may not."""


@pytest.fixture(autouse=True)
def gvisor_differences(request: pytest.FixtureRequest) -> None:
    """Expect what is known of gVisor to fail there; not strictly, as some of it depends on the load."""
    if GVISOR.name in request.node.name and (why := GVISOR_DIFFERENCES.get(request.node.originalname)):
        request.applymarker(pytest.mark.xfail(reason=why, strict=False))


async def _probe(sandbox: Sandbox) -> None:
    """Programs run, and all languages are known."""
    for language, source in (("python", "print(1)"), ("javascript", "console.log(1)")):
        async with sandbox.session(Program(language, source)) as session:
            assert [result.stdout for result in await session.run([Run()])] == ["1\n"]
    assert "javascript" in sandbox.languages()


ADAPTERS = [
    Adapter("bubblewrap", _bubblewrap),
    Adapter("docker-runc", _docker("runc")),
]
GVISOR = Adapter("docker-runsc", _docker("runsc"))
if "runsc" in os.environ.get("REWARD_SERVICE_TEST_RUNTIMES", ""):
    ADAPTERS.append(GVISOR)


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=ADAPTERS, ids=lambda adapter: adapter.name
)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A started sandbox, one for all tests of a module: so every test is also a test of what the others left."""
    async with request.param.open() as started:
        yield started

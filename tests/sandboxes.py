"""The sandbox adapters that suites are run on, each with what it takes to start one here.

An entry's `open` gives a started sandbox with two places, or skips the test with a loud reason (in CI: fails it).
"""

from __future__ import annotations

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
from reward_service.errors import SandboxUnavailable
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
                try:
                    await _probe(sandbox)
                except SandboxUnavailable as error:
                    if runtime == "runc":
                        raise
                    pytest.skip(f"NOT TESTED: {runtime} can't run the agent: {error.detail[-200:]}")
                yield sandbox

    return start


async def _probe(sandbox: Sandbox) -> None:
    """Programs run, and all languages are known."""
    for language, source in (("python", "print(1)"), ("javascript", "console.log(1)")):
        async with sandbox.session(Program(language, source)) as session:
            assert [result.stdout for result in await session.run([Run()])] == ["1\n"]
    assert "javascript" in sandbox.languages()


ADAPTERS = [
    Adapter("bubblewrap", _bubblewrap),
    Adapter("docker-runc", _docker("runc")),
    Adapter("docker-runsc", _docker("runsc")),
]


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=ADAPTERS, ids=lambda adapter: adapter.name
)
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A started sandbox, one for all tests of a module: so every test is also a test of what the others left."""
    async with request.param.open() as started:
        yield started

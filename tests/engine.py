"""The engine that tests use: the one there is, else one of our own (deploy/engine), else a loud reason.

What is decided here: a test that needs an engine is skipped without one, except in CI (`CI` set), where that is a
failure: a green CI must mean that the sandbox was tested.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from deploy.engine import engine as own
from deploy.manifests import NoHelm, helm
from reward_service.adapters.docker_api import DEFAULT_HOST, EngineApi, EngineError
from reward_service.sandbox_images import BuildError, Kind, build


def unavailable(reason: str) -> NoReturn:
    """Skip the test, loudly; in CI, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must not skip this: {reason}", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


def need(*tools: str) -> None:
    """Have these commands installed (names as in `deploy/engine`: bwrap, redis-server, …), or skip."""
    if trouble := own.install(tools, optional=()):
        unavailable(trouble)


def find() -> str | None:
    """The host of an engine that is up: DOCKER_HOST, or the default socket."""
    for host in filter(None, (os.environ.get("DOCKER_HOST"), DEFAULT_HOST)):
        try:
            EngineApi(host, seconds=10).info()
        except EngineError:
            continue
        return host
    return None


@contextmanager
def running() -> Iterator[str]:
    """The host of an engine for as long as the block lasts; skips (or, in CI, fails) if there can't be one."""
    if host := find():
        yield host
        return
    try:
        use = own.acquire()
    except own.NoEngine as error:
        unavailable(str(error))
    try:
        yield use.host
    finally:
        use.release()


def image(host: str, kind: Kind = Kind.PYTHON) -> str:
    """The image of this checkout on the engine, built if it isn't there; one builds, others wait."""
    lock = Path(tempfile.gettempdir()) / f"reward-service-build-{os.geteuid()}.lock"
    try:
        with own.locked(lock):
            return build(EngineApi(host, seconds=600), kind, log=lambda line: None)
    except BuildError as error:
        # No skip: there is an engine, and our own image can't be built on it.
        pytest.fail(str(error), pytrace=False)


@contextmanager
def running_host(sandbox: str) -> Iterator[dict[str, str]]:
    """The settings that name a sandbox, for as long as it is there."""
    if sandbox == "bubblewrap":
        need("bwrap")
        yield {}
    else:
        with running() as host:
            for kind in Kind:
                image(host, kind)
            yield {"sandbox_hosts": host}


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The host of an engine."""
    with running() as host:
        yield host


@pytest.fixture(scope="session")
def docker_image(docker_host: str) -> str:
    """This checkout's Python image on that engine. Named to whoever uses it: files may be edited meanwhile."""
    return image(docker_host)


@pytest.fixture(scope="session")
def polyglot_image(docker_host: str) -> str:
    """This checkout's image with every language on that engine."""
    return image(docker_host, Kind.POLYGLOT)


def main() -> int:
    """`python -m tests.engine`: have everything that the tests need, so that none of them waits for a build."""
    trouble = own.install()
    print(trouble, file=sys.stderr) if trouble else None
    try:
        helm()
    except NoHelm as error:
        print(error, file=sys.stderr)
    try:
        with running() as host:
            print(host, *(image(host, kind) for kind in Kind))
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        print(error, file=sys.stderr)
    return 0  # the tests say themselves what they miss


if __name__ == "__main__":
    sys.exit(main())

"""Live services for the gateway's tests: the real server, loop and pool, on a free port of loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from reward_service.gateway.http1 import Connection
from tests.gateway.browser import browser as browser
from tests.load.measure import service


@contextmanager
def live(app: FastAPI) -> Iterator[str]:
    """The app behind uvicorn with uvloop and httptools, in a thread; yields its base URL."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, loop="uvloop", http=Connection, log_level="warning", lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="live-server")
    thread.start()
    try:
        until = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive(), "the server ended while it started"
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The service in a process of its own, with small limits that tests can reach."""
    with service(
        "reward_service.registry:load",
        processes="2",
        sandbox="none",
        max_items="300",
        max_body_bytes=str(1 << 20),
        max_decoded_bytes=str(4 << 20),
        max_ground_truth_bytes=str(1 << 20),
    ) as (base, _):
        yield base


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx2.Client]:
    """A client of the service."""
    with httpx2.Client(base_url=url, timeout=30) as client:
        yield client

"""A live service for the gateway's tests: the real server, loop and pool, on a free port of loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from reward_service.assemble import build_app
from reward_service.settings import Settings


@contextmanager
def live(app: FastAPI) -> Iterator[str]:
    """The app behind uvicorn with uvloop and httptools, in a thread; yields its base URL."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, loop="uvloop", http="httptools", log_level="warning", lifespan="on"
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
    """The service as `make serve` starts it, with small limits that tests can reach."""
    settings = Settings(
        processes=2,
        max_items=300,
        max_body_bytes=1 << 20,
        max_decoded_bytes=4 << 20,
        max_ground_truth_bytes=1 << 20,
    )
    with live(build_app(settings)) as base:
        yield base


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx2.Client]:
    """A client of the service."""
    with httpx2.Client(base_url=url, timeout=30) as client:
        yield client

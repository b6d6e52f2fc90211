"""A worker's own small page: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever starts and replaces it.

What is decided here: it is off unless it has a port, because several workers on one machine can't share one, and on
loopback unless told otherwise; it is served by the worker's own event loop, so that a loop that hangs is seen as
dead. It takes no input and shows no item, so it has no keys: who may reach it is the network's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reward_service.server import configured, listen
from reward_service.settings import Settings
from reward_service.telemetry import Metrics


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the worker has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's."""
        yield


def page(metrics: Metrics, trouble: Callable[[], str]) -> Starlette:
    """The application. trouble: why the worker can't work now, "" if it can."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        reason = trouble()
        return JSONResponse({"status": reason or "ready"}, 503 if reason else 200)

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
    )


def bound(settings: Settings) -> socket | None:
    """The page's socket, bound before anything slow happens; None without a port. CannotListen if it is taken."""
    if not settings.worker_port:
        return None
    return listen(settings.worker_host, settings.worker_port, "each worker needs its own worker_port")


@asynccontextmanager
async def served(
    listener: socket | None, metrics: Metrics, trouble: Callable[[], str]
) -> AsyncIterator[None]:
    """Serve the page for as long as the block lasts."""
    if listener is None:
        yield
        return
    config = configured(
        page(metrics, trouble), lifespan="off", timeout_graceful_shutdown=1, limit_concurrency=64
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving

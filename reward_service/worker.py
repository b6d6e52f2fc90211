"""A worker of the fleet as a process: signals, an orphan's end, and nothing else than `engine/worker.py` inside.

What is decided here: SIGTERM and SIGINT drain, and a second one ends at once. A worker whose starter is gone drains
too (a setting), because nobody would ever stop it; as a container's first process or under init it has no such
starter, and runs on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from socket import socket

import uvloop

from reward_service import worker_page
from reward_service.assemble import LOADER, WorkerService, build_worker, working
from reward_service.logs import configure
from reward_service.registry import Registry
from reward_service.settings import Settings

log = logging.getLogger(__name__)

ORPHAN_CHECK_SECONDS = 0.5


def run_worker(settings: Settings, registry: Registry | None = None, loader: str = LOADER) -> int:
    """Work until told to stop; the exit code. ValueError without `redis_url`, CannotListen if its page's port is taken."""
    configure(settings.log_level, settings.log_format, settings.log_requests)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(settings, registry, loader, worker_page.bound(settings)))


async def _main(settings: Settings, registry: Registry | None, loader: str, listener: socket | None) -> int:
    parent = os.getppid()
    service = build_worker(settings, registry, loader)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    stops = 0

    def stop() -> None:
        nonlocal stops
        stops += 1
        if stops > 1:
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    orphan = (
        asyncio.create_task(_watch(parent, stopping)) if settings.exit_when_orphaned and parent > 1 else None
    )
    try:
        async with worker_page.served(listener, service.metrics, service.trouble):
            await _work(service, stopping)
    finally:
        if orphan is not None:
            orphan.cancel()
    return 0


async def _work(service: WorkerService, stopping: asyncio.Event) -> None:
    async with service.running, working(None, service.batches):
        log.info("working with %d processes", service.local.pool.size)
        task = asyncio.create_task(service.worker.run())
        watched = asyncio.create_task(stopping.wait())
        await asyncio.wait([task, watched], return_when=asyncio.FIRST_COMPLETED)
        service.worker.stop()
        watched.cancel()
        await task
        log.info("stopped: %s", service.worker.stats)


async def _watch(parent: int, stopping: asyncio.Event) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells a process this
        await asyncio.sleep(ORPHAN_CHECK_SECONDS)
    log.warning("the process that started this worker is gone; stopping")
    stopping.set()

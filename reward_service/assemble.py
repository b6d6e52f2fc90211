"""The one place that picks adapters by settings and puts engine, adapters and gateway together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from reward_service.adapters.docker_spec import DockerOptions
from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.adapters.runner import RunnerOptions, RunnerSandbox
from reward_service.engine.pool import Pool
from reward_service.engine.scorer import Scorer
from reward_service.gateway.app import create_app
from reward_service.gateway.core import Engine
from reward_service.registry import Registry, load
from reward_service.settings import Settings

LOADER = "reward_service.registry:load"


def build_pool(settings: Settings, registry: Registry, loader: str = LOADER) -> Pool:
    """The pool of checking processes that the settings ask for."""
    return Pool(
        registry,
        size=settings.processes,
        spares=settings.spare_processes,
        loader=loader,
        recycle_items=settings.recycle_items,
        recycle_bytes=settings.recycle_bytes,
    )


def build_sandbox(settings: Settings) -> RunnerSandbox | None:
    """The sandbox that the settings ask for, behind a runner process; None for none."""
    if settings.sandbox == "none":
        return None
    docker = DockerOptions(
        hosts=tuple(filter(None, map(str.strip, settings.sandbox_hosts.split(",")))),
        runtime=settings.sandbox_runtime,
        image=settings.sandbox_image,
        places=settings.sandbox_places,
    )
    options = RunnerOptions(settings.sandbox, settings.sandbox_places, docker)
    return RunnerSandbox(Path(settings.sandbox_socket) if settings.sandbox_socket else None, options)


@asynccontextmanager
async def running(*parts: AbstractAsyncContextManager[object] | None) -> AsyncIterator[None]:
    """Start the parts in their order, stop them in the opposite one."""
    async with AsyncExitStack() as stack:
        for part in parts:
            if part is not None:
                await stack.enter_async_context(part)
        yield


def build_engine(settings: Settings, registry: Registry | None = None, loader: str = LOADER) -> Engine:
    """An engine in this process: its own pool, sandbox, cache and store. `engine.running` starts and stops it."""
    registry = registry or load()
    pool = build_pool(settings, registry, loader)
    needs_sandbox = any(handler.judge is not None for handler in registry.handlers.values())
    sandbox = build_sandbox(settings) if needs_sandbox else None
    cache = MemoryCache(settings.cache_items)
    ground_truths = MemoryGroundTruths(settings.ground_truth_bytes)
    return Engine(
        Scorer(registry, pool, cache, ground_truths, sandbox),
        registry,
        ground_truths,
        running(pool, sandbox),
        sandbox,
        gauges={
            "reward_service_pool_processes": ("Checking processes that are up.", lambda: pool.alive),
            "reward_service_pool_busy": ("Checking processes at work.", lambda: pool.busy),
            "reward_service_pool_queued_items": ("Items waiting for a process.", lambda: pool.queued),
            "reward_service_cache_entries": ("Outcomes in the cache.", lambda: len(cache)),
            "reward_service_sandbox_places": (
                "Programs that can run at once.",
                lambda: sandbox.status().get("places", 0) if sandbox else 0,
            ),
            "reward_service_sandbox_busy": (
                "Programs that run now.",
                lambda: sandbox.status().get("busy", 0) if sandbox else 0,
            ),
            "reward_service_sandbox_waiting": (
                "Items that wait for a place to run.",
                lambda: sandbox.status().get("waiting", 0) if sandbox else 0,
            ),
        },
        counters={
            "reward_service_pool_deaths": (
                "Checking processes that were ended, by cause.",
                "cause",
                lambda: dict(pool.stats.kills),
            ),
            "reward_service_pool_starts": (
                "Checking processes started and recycled.",
                "kind",
                lambda: {"started": pool.stats.started, "recycled": pool.stats.recycled},
            ),
            "reward_service_sandbox_recycled": (
                "Places that were thrown away, by cause.",
                "cause",
                lambda: dict(sandbox.status().get("recycled", {})) if sandbox else {},
            ),
        },
    )


def build_app(settings: Settings | None = None) -> FastAPI:
    """The whole service as one ASGI application."""
    settings = settings or Settings()
    return create_app(build_engine(settings), settings)

"""The one place that picks adapters by settings and puts engine, adapters and gateway together."""

from __future__ import annotations

from fastapi import FastAPI

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
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


def build_engine(settings: Settings, registry: Registry | None = None, loader: str = LOADER) -> Engine:
    """An engine in this process: its own pool, cache and store. `engine.running` starts and stops it."""
    registry = registry or load()
    pool = build_pool(settings, registry, loader)
    cache = MemoryCache(settings.cache_items)
    ground_truths = MemoryGroundTruths(settings.ground_truth_bytes)
    return Engine(
        Scorer(registry, pool, cache, ground_truths),
        registry,
        ground_truths,
        pool,
        None,
        gauges={
            "reward_service_pool_processes": ("Checking processes that are up.", lambda: pool.alive),
            "reward_service_pool_busy": ("Checking processes at work.", lambda: pool.busy),
            "reward_service_pool_queued_items": ("Items waiting for a process.", lambda: pool.queued),
            "reward_service_cache_entries": ("Outcomes in the cache.", lambda: len(cache)),
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
        },
    )


def build_app(settings: Settings | None = None) -> FastAPI:
    """The whole service as one ASGI application."""
    settings = settings or Settings()
    return create_app(build_engine(settings), settings)

"""The one place that picks adapters by settings and puts engine, adapters and gateway together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI

from reward_service import __version__
from reward_service.adapters.docker_spec import DockerOptions
from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.adapters.memory_batches import MemoryBatchStore
from reward_service.adapters.memory_queue import MemoryQueue, MemoryWork
from reward_service.adapters.openai import JudgeOptions, OpenAIJudge
from reward_service.adapters.runner import RunnerOptions, RunnerSandbox
from reward_service.audit.accepted import read as read_accepted
from reward_service.audit.job import AuditJob, Hears
from reward_service.engine.desk import Batches
from reward_service.engine.fleet import FleetScorer
from reward_service.engine.judging import Canary
from reward_service.engine.pool import Pool
from reward_service.engine.ports import BatchStore, Cache, GroundTruths, Lane, Queue, Quotas
from reward_service.engine.quotas import MemoryQuotas
from reward_service.engine.scorer import Row, Scored, Scorer
from reward_service.engine.shadow import Shadow, ShadowScorer, plan_of
from reward_service.engine.verdicts import Verdicts
from reward_service.engine.worker import Worker, WorkerOptions
from reward_service.gateway.app import create_app
from reward_service.gateway.core import Engine, Recorder
from reward_service.gateway.runs import RUN
from reward_service.registry import Registry, load
from reward_service.settings import Settings
from reward_service.telemetry import Counters, Gauges, Metrics

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


def build_judge(settings: Settings) -> tuple[OpenAIJudge, Canary] | None:
    """The judge model that the settings name, and the canary before it; None for none. ValueError if half of it is set."""
    urls = tuple(filter(None, map(str.strip, settings.judge_urls.split(","))))
    if not urls:
        return None
    if not settings.judge_model:
        raise ValueError("REWARD_SERVICE_JUDGE_URLS is set, so REWARD_SERVICE_JUDGE_MODEL has to be")
    judge = OpenAIJudge(
        JudgeOptions(
            urls,
            settings.judge_model,
            settings.judge_format,
            settings.judge_api_key.get_secret_value(),
            settings.judge_concurrency,
            settings.judge_timeout_seconds,
            both_orders=settings.judge_both_orders,
        )
    )
    canary = Canary(
        judge,
        every_seconds=settings.judge_canary_seconds,
        max_accepted=settings.judge_canary_max_accepted,
    )
    return judge, canary


@asynccontextmanager
async def running(*parts: AbstractAsyncContextManager[object] | None) -> AsyncIterator[None]:
    """Start the parts in their order, stop them in the opposite one."""
    async with AsyncExitStack() as stack:
        for part in parts:
            if part is not None:
                await stack.enter_async_context(part)
        yield


class Stores(NamedTuple):
    """What processes share (or, without Redis, the parts of this one). near: the cache in this process's memory."""

    near: MemoryCache
    cache: Cache
    ground_truths: GroundTruths
    queue: Queue
    batches: BatchStore
    quotas: Quotas
    running: AbstractAsyncContextManager[object] | None
    cache_in_touch: Callable[[], bool] | None = None
    """Does the shared cache answer? None for none."""


def build_stores(settings: Settings) -> Stores:
    """Cache, ground truths, queue and batches: in memory, or on the Redis that the settings name."""
    near = MemoryCache(settings.cache_items)
    truths = MemoryGroundTruths(settings.ground_truth_bytes)
    if not settings.redis_url:
        work = MemoryWork(max_bytes=settings.batch_bytes, max_live_chunks=settings.live_chunks)
        queue = MemoryQueue(work, lease_seconds=settings.lease_seconds)
        return Stores(near, near, truths, queue, MemoryBatchStore(work), MemoryQuotas(), None)
    # An extra: whoever has no Redis needs no client of it.
    from reward_service.adapters.redis import RedisCache, RedisGroundTruths, TieredCache, TieredGroundTruths
    from reward_service.adapters.redis_client import RedisOptions
    from reward_service.adapters.redis_queue import RedisBatchStore, RedisQueue
    from reward_service.adapters.redis_quotas import RedisQuotas

    options = RedisOptions(
        settings.redis_url, settings.redis_prefix, settings.redis_username, settings.redis_password,
        settings.redis_ca, settings.redis_seconds,
    )  # fmt: skip
    cache_options = replace(options, url=settings.cache_redis_url or settings.redis_url)
    far = RedisCache(cache_options, days=settings.cache_days)
    far_truths = RedisGroundTruths(options, settings.ground_truth_bytes)
    far_queue = RedisQueue(
        options, lease_seconds=settings.lease_seconds, max_live_chunks=settings.live_chunks
    )
    far_batches = RedisBatchStore(options, max_bytes=settings.batch_bytes)
    far_quotas = RedisQuotas(options)
    return Stores(
        near,
        TieredCache(near, far),
        TieredGroundTruths(truths, far_truths),
        far_queue,
        far_batches,
        far_quotas,
        closing(far.close, far_truths.close, far_queue.close, far_batches.close, far_quotas.close),
        lambda: far.in_touch,
    )


@asynccontextmanager
async def closing(*closers: Callable[[], Any]) -> AsyncIterator[None]:
    """Call them all at the end."""
    try:
        yield
    finally:
        for close in closers:
            await close()


@asynccontextmanager
async def working(worker: Worker | None, batches: Batches) -> AsyncIterator[None]:
    """Look after batches, and have a worker work, beside whatever else this process does."""
    sweeping = asyncio.create_task(batches.keep_sweeping())
    task = asyncio.create_task(worker.run()) if worker is not None else None
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        if worker is not None and task is not None:
            worker.stop()
            await task


class Local(NamedTuple):
    """What scores in this process."""

    scorer: Scorer
    pool: Pool
    sandbox: RunnerSandbox | None
    judge: OpenAIJudge | None
    canary: Canary | None
    running: AbstractAsyncContextManager[object]


def build_local(settings: Settings, registry: Registry, loader: str, stores: Stores) -> Local:
    """A scorer with a pool and a sandbox of its own."""
    pool = build_pool(settings, registry, loader)
    judge, canary = build_judge(settings) or (None, None)
    needs_sandbox = any(handler.judge is not None for handler in registry.handlers.values())
    sandbox = build_sandbox(settings) if needs_sandbox else None
    scorer = Scorer(registry, pool, stores.cache, stores.ground_truths, sandbox, canary)
    return Local(scorer, pool, sandbox, judge, canary, running(pool, sandbox, judge, canary))


def build_audit(
    settings: Settings, registry: Registry, local: Local, stores: Stores, listeners: Sequence[Hears]
) -> AuditJob | None:
    """The audit of the handlers' examples in the background, past the cache; None if it is off. BadAccepted."""
    if not settings.audit_seconds:
        return None
    accepted = read_accepted(Path(settings.audit_accepted)) if settings.audit_accepted else None
    scorer = Scorer(registry, local.pool, MemoryCache(0), stores.ground_truths, local.sandbox)
    return AuditJob(scorer, registry, settings.audit_seconds, listeners, accepted)


def worker_options(settings: Settings, lanes: tuple[Lane, ...] = tuple(Lane)) -> WorkerOptions:
    """A worker's options by settings."""
    processes = settings.processes or os.cpu_count() or 1
    places = settings.worker_places or 2 * processes + 2
    return WorkerOptions(places, settings.batch_share, processes, settings.worker_grace_seconds, lanes)


class Service(NamedTuple):
    """A gateway's engine, and the batches beside it."""

    engine: Engine
    batches: Batches


class WorkerService(NamedTuple):
    """A worker and what must run around it."""

    worker: Worker
    batches: Batches
    local: Local
    running: AbstractAsyncContextManager[object]
    metrics: Metrics

    def trouble(self) -> str:
        """Why it can't work now; "" if it can."""
        if self.worker.stopping:
            return "stopping"
        if not self.local.pool.alive:
            return "no checking process is up"
        return "" if self.worker.in_touch else "Redis does not answer"


def build_worker(settings: Settings, registry: Registry | None = None, loader: str = LOADER) -> WorkerService:
    """A worker of a fleet. ValueError without Redis: there is no fleet in one process's memory."""
    if not settings.redis_url:
        raise ValueError("a worker needs REWARD_SERVICE_REDIS_URL: where the work is")
    stores = build_stores(settings)
    local = build_local(settings, registry or load(), loader, stores)
    metrics = Metrics(__version__)
    if settings.otel:
        tracing = tracing_module()
        tracing.trace_scorer(local.scorer, tracing.provider_by_environment(), "chunk")
    worker = Worker(stores.queue, local.scorer, worker_options(settings), metrics.record)
    metrics.watch(local_gauges(local, stores), local_counters(local))
    metrics.watch(worker_gauges(worker), worker_counters(worker))
    batches = Batches(stores.batches, stores.queue)
    audit = build_audit(settings, local.scorer.registry, local, stores, [metrics.audited])
    return WorkerService(worker, batches, local, running(stores.running, local.running, audit), metrics)


def build_service(settings: Settings, registry: Registry | None = None, loader: str = LOADER) -> Service:
    """A gateway: it scores by itself (and works on batches beside that), or by a fleet."""
    registry = registry or load()
    stores = build_stores(settings)
    batches = Batches(stores.batches, stores.queue, settings.batch_keep_days * 86_400)
    if settings.engine == "fleet":
        if not settings.redis_url:
            raise ValueError("engine=fleet needs REWARD_SERVICE_REDIS_URL: where the workers are asked")
        scorer = FleetScorer(registry, stores.queue, stores.cache, stores.ground_truths)
        verdicts = build_verdicts(settings, scorer)
        shadow = build_shadow(settings, loader, scorer, stores, verdicts)
        parts = running(stores.running, scorer.running(), shadow, working(None, batches))
        gauges = {**fleet_gauges(scorer, stores), **shadow_gauges(shadow)}
        engine = Engine(
            scorer,
            registry,
            stores.ground_truths,
            parts,
            None,
            gauges,
            shadow_counters(shadow),
            quotas=stores.quotas,
            verdicts=verdicts,
            judged=lambda: scorer.judged,
            shadow=shadow,
        )
        return Service(engine, batches)
    local = build_local(settings, registry, loader, stores)
    options = worker_options(settings, (Lane.BATCH,))
    if not settings.redis_url:  # what is in memory ends with the process: nothing to finish it for
        options = replace(options, grace_seconds=0.0)
    listeners: list[Recorder] = []

    def heard(rows: Sequence[Row], results: Sequence[Scored]) -> None:
        for listener in listeners:
            listener(rows, results)

    worker = Worker(stores.queue, local.scorer, options, heard)
    verdicts = build_verdicts(settings, local.scorer)
    shadow = build_shadow(settings, loader, local.scorer, stores, verdicts, local)
    audits: list[Hears] = []
    audit = build_audit(settings, registry, local, stores, audits)
    parts = running(stores.running, local.running, shadow, working(worker, batches), audit)
    engine = Engine(
        local.scorer,
        registry,
        stores.ground_truths,
        parts,
        local.sandbox,
        {**local_gauges(local, stores), **shadow_gauges(shadow)},
        {**local_counters(local), **shadow_counters(shadow)},
        listeners,
        stores.quotas,
        verdicts,
        lambda: local.pool.stats.outcomes,
        shadow,
        audit_listeners=audits,
    )
    return Service(engine, batches)


def build_verdicts(settings: Settings, scorer: Scorer) -> Verdicts:
    """What keeps a few of the scorer's verdicts."""
    verdicts = Verdicts(settings.verdict_bytes, run=RUN.get)
    if settings.verdict_bytes:
        scorer.observers.append(verdicts.observe)
    return verdicts


def build_shadow(
    settings: Settings,
    loader: str,
    scorer: Scorer,
    stores: Stores,
    verdicts: Verdicts,
    local: Local | None = None,
) -> Shadow | None:
    """The shadow that looks on at the scorer; None for none. local: what scores in this process, if anything does."""
    registry = scorer.registry
    plan = plan_of(registry, settings.shadow_share, settings.shadow_handlers, settings.shadow_profile)
    if plan is None:
        return None
    politely = "reward_service.engine.shadow:load_politely" if loader == LOADER else loader
    pool = Pool(registry, size=1, spares=0, loader=politely)
    sandbox = local.sandbox if local else None

    def program_may_run() -> bool:
        status = sandbox.status() if sandbox else {}
        return not status.get("waiting") and status.get("busy", 0) + 1 < status.get("places", 0)

    shadow = Shadow(
        plan,
        ShadowScorer(registry, pool, stores.ground_truths, sandbox, plan.handlers),
        pool,
        verdicts=verdicts,
        busy=lambda: local is not None and local.pool.queued > 0,
        program_may_run=program_may_run,
        run=RUN.get,
    )
    scorer.observers.append(shadow.observe)
    return shadow


def shadow_gauges(shadow: Shadow | None) -> Gauges:
    """What a process with a shadow shows besides; 0 without one."""
    return {
        "reward_service_shadow_queued_items": (
            "Items that wait to be judged by the shadow.",
            lambda: shadow.queued if shadow else 0,
        )
    }


def shadow_counters(shadow: Shadow | None) -> Counters:
    """What a process with a shadow counts besides; nothing without one."""
    return {
        "reward_service_shadow_items": (
            "Items taken for the shadow: same, up and down (its score is higher, lower), not_comparable (it could "
            "not judge), dropped (there was no room or time).",
            "result",
            lambda: dict(shadow.counts) if shadow else {},
        )
    }


def build_engine(settings: Settings, registry: Registry | None = None, loader: str = LOADER) -> Engine:
    """The engine alone. `engine.running` starts and stops it."""
    return build_service(settings, registry, loader).engine


def worker_gauges(worker: Worker) -> Gauges:
    """What a worker of a fleet shows besides."""
    return {
        "reward_service_worker_chunks_at_work": (
            "Chunks that this worker holds.",
            lambda: worker.at_work,
        ),
        "reward_service_worker_in_touch": (
            "1 if Redis answered when the worker last said that it is there.",
            lambda: int(worker.in_touch),
        ),
    }


def worker_counters(worker: Worker) -> Counters:
    """What a worker of a fleet counts besides."""
    stats = worker.stats
    return {
        "reward_service_worker_chunks": (
            "Chunks, by what happened to them: judged; late, its results were there already; gone, its batch was; "
            "lost, given to another worker meanwhile; again, came a second time; alone, judged with nothing "
            "else at work; released, given back.",
            "kind",
            lambda: {
                "judged": stats.chunks,
                "late": stats.late,
                "gone": stats.gone,
                "lost": stats.lost,
                "again": stats.again,
                "alone": stats.alone,
                "released": stats.released,
            },
        ),
        "reward_service_worker_items": (
            "Items, by what happened to them: judged; convicted, ended the worker twice.",
            "kind",
            lambda: {"judged": stats.items, "convicted": stats.convicted},
        ),
    }


def fleet_gauges(scorer: FleetScorer, stores: Stores) -> Mapping[str, tuple[str, Any]]:
    """What the gateway of a fleet shows."""
    return {
        "reward_service_pool_processes": ("Checking processes that are up.", lambda: scorer.processes),
        "reward_service_fleet_chunks": ("Chunks that wait for the fleet's answer.", lambda: scorer.waiting),
        "reward_service_queue_live_chunks": (
            "Chunks of requests in the queue, of all gateways.",
            lambda: scorer.depth[Lane.LIVE].chunks,
        ),
        "reward_service_queue_batch_chunks": (
            "Chunks of batches in the queue.",
            lambda: scorer.depth[Lane.BATCH].chunks,
        ),
        "reward_service_cache_entries": ("Outcomes in the cache.", lambda: len(stores.near)),
        "reward_service_queue_in_touch": (
            "1 if Redis answered when the gateway last asked who works and what waits.",
            lambda: int(scorer.reachable),
        ),
        **cache_gauges(stores),
    }


def cache_gauges(stores: Stores) -> Gauges:
    """What there is to show of a cache that is shared; nothing without one."""
    in_touch = stores.cache_in_touch
    if in_touch is None:
        return {}
    text = "1 if the shared cache answered when it was last asked. Without it items are judged again."
    return {"reward_service_cache_in_touch": (text, lambda: int(in_touch()))}


def local_gauges(local: Local, stores: Stores) -> Mapping[str, tuple[str, Any]]:
    """What a process that scores shows."""
    pool, sandbox, judge, canary = local.pool, local.sandbox, local.judge, local.canary
    return {
        "reward_service_judge_configured": (
            "1 if a judge model is configured.",
            lambda: int(judge is not None),
        ),
        "reward_service_judge_in_service": (
            "1 if a judge model may judge: configured, reachable, and not out of service by the canary.",
            lambda: int(
                judge is not None and canary is not None and not canary.trouble and judge.available > 0
            ),
        ),
        "reward_service_judge_canary_accepted": (
            "Share of the known attacks that the judge model accepted in the last round.",
            lambda: canary.accepted if canary else 0.0,
        ),
        "reward_service_pool_processes": ("Checking processes that are up.", lambda: pool.alive),
        "reward_service_pool_busy": ("Checking processes at work.", lambda: pool.busy),
        "reward_service_pool_queued_items": ("Items waiting for a process.", lambda: pool.queued),
        "reward_service_cache_entries": ("Outcomes in the cache.", lambda: len(stores.near)),
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
        **cache_gauges(stores),
    }


DEATHS = dict.fromkeys(("cpu", "wall", "memory", "crash", "zygote"), 0)
RECYCLED = dict.fromkeys(("lost", "orphan"), 0)
"""Zeros: a counter that is born with its first event has no rate for Prometheus, and an alert misses that event."""


def local_counters(local: Local) -> Mapping[str, tuple[str, str, Any]]:
    """What a process that scores counts."""
    pool, sandbox, judge = local.pool, local.sandbox, local.judge
    return {
        "reward_service_judge": (
            "Requests to the judge model, by what became of them.",
            "kind",
            lambda: judge_counts(judge) if judge else {},
        ),
        "reward_service_pool_deaths": (
            "Checking processes that were ended, by cause.",
            "cause",
            lambda: {**DEATHS, **pool.stats.kills},
        ),
        "reward_service_pool_starts": (
            "Checking processes started and recycled.",
            "kind",
            lambda: {"started": pool.stats.started, "recycled": pool.stats.recycled},
        ),
        "reward_service_sandbox_recycled": (
            "Places that were thrown away, by cause.",
            "cause",
            lambda: {**RECYCLED, **(sandbox.status().get("recycled", {}) if sandbox else {})},
        ),
    }


def judge_counts(judge: OpenAIJudge) -> dict[str, float]:
    """The judge's counters, by kind."""
    stats = judge.stats
    return {
        "request": stats.requests,
        "retry": stats.retries,
        "failure": stats.failures,
        "abstention": stats.abstentions,
        "cached": stats.cache_hits,
    }


def build_app(settings: Settings | None = None) -> FastAPI:
    """The whole service as one ASGI application."""
    settings = settings or Settings()
    service = build_service(settings)
    app = create_app(service.engine, settings, service.batches)
    if settings.otel:
        tracing = tracing_module()
        tracing.install(app, service.engine.scorer, tracing.provider_by_environment())
    return app


def tracing_module() -> Any:
    """`reward_service.tracing`. ValueError without the extra that it needs."""
    try:
        return import_module("reward_service.tracing")
    except ImportError:
        raise ValueError("REWARD_SERVICE_OTEL needs an extra: pip install 'reward-service[otel]'") from None

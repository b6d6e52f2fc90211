"""The state behind every route: engine, settings, metrics and admission. Routes and dialects are thin around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from reward_service import __version__
from reward_service.engine.ports import GroundTruths, Quotas, Sandbox
from reward_service.engine.quotas import MemoryQuotas
from reward_service.engine.scorer import Row, Scored, Scorer
from reward_service.engine.shadow import Shadow
from reward_service.engine.verdicts import Verdicts
from reward_service.errors import BadRequest, ServiceError
from reward_service.gateway.access import Access, keys_by
from reward_service.gateway.admission import Admission
from reward_service.gateway.connection import CONNECTION, while_connected
from reward_service.gateway.middleware import whole_body
from reward_service.gateway.runs import RUN
from reward_service.logs import NOTE
from reward_service.registry import Registry
from reward_service.settings import Settings
from reward_service.telemetry import Metrics
from reward_service.wire import ItemIn

JSON = "application/json"
Recorder = Callable[[Sequence[Row], Sequence[Scored]], object]
"""Hears of a chunk's rows and results."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What `assemble` hands to the gateway. `gauges` are read by /v1/info and /metrics, `ready` by /readyz."""

    scorer: Scorer
    registry: Registry
    ground_truths: GroundTruths
    running: AbstractAsyncContextManager[object]
    sandbox: Sandbox | None
    gauges: Mapping[str, tuple[str, Any]]
    counters: Mapping[str, tuple[str, str, Any]]
    listeners: list[Recorder] = field(default_factory=list)
    """Who hears of results that reach no route: those of batches that this process works on."""
    quotas: Quotas = field(default_factory=MemoryQuotas)
    verdicts: Verdicts = field(default_factory=lambda: Verdicts(0))
    judged: Callable[[], int] = lambda: 0
    """How many items have been judged so far, cached ones aside: what admission tells the service's rate from."""
    shadow: Shadow | None = None
    audit_listeners: list[Callable[[str, bool, Mapping[str, int]], object]] = field(default_factory=list)
    """Who hears what the audit in the background found of a handler."""

    def ready(self) -> bool:
        """Can an item be judged now?"""
        return any(read() > 0 for name, (_, read) in self.gauges.items() if name.endswith("pool_processes"))


class Gateway:
    """The state behind the routes."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self.metrics = Metrics(__version__, settings.telemetry_step_seconds)
        self.admission = Admission(settings.max_in_flight, engine.judged)
        self.access = Access(keys_by(settings), engine.quotas)
        self.draining = False
        self.metrics.in_flight.set_function(lambda: self.admission.under_way)
        self.metrics.watch(engine.gauges, engine.counters)
        engine.listeners.append(self.metrics.record)
        engine.audit_listeners.append(self.metrics.audited)

    async def score(
        self, items: Sequence[ItemIn], seconds: float, *, wait: bool = False, run: str | None = None
    ) -> list[Scored]:
        """Admit, score and count items; `run` is that of items that name none."""
        return await self.score_rows([row_of(item, run) for item in items], seconds, wait=wait)

    async def score_rows(self, rows: Sequence[Row], seconds: float, *, wait: bool = False) -> list[Scored]:
        """Admit, score and count rows. Overloaded if there is no room and the caller can't `wait`."""
        try:
            await self.access.charge(len(rows))
            async with (
                while_connected(lambda: self.metrics.dropped.inc(len(rows))),
                self.admission.admit(len(rows), wait=wait, seconds=seconds),
            ):
                results = await self.engine.scorer.score_many(rows, seconds=seconds)
        except ServiceError:
            self.metrics.refused(len(rows))
            raise
        self.record(rows, results)
        return results

    def drain(self) -> None:
        """Say that this service is about to end: not ready, and every answer ends its connection."""
        self.draining = True

    def record(self, rows: Sequence[Row], results: Sequence[Scored]) -> None:
        """Count results, under the run that they or the request name."""
        self.metrics.record(rows, results, RUN.get())
        if (note := NOTE.get()) is not None:
            note.items += len(rows)

    @contextmanager
    def timed(self, route: str) -> Iterator[None]:
        """Measure a scoring request."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.metrics.requested(route, time.perf_counter() - started)

    def deadline(self, asked: float | None) -> float:
        """The seconds that a request gets."""
        if asked is None:
            return self.settings.deadline_seconds
        return min(asked, self.settings.max_deadline_seconds)

    async def body(self, request: Request, on_wire: int | None = None) -> bytes:
        """A JSON body within the limits; `on_wire` bytes before decompression instead of `max_body_bytes`."""
        kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        if kind not in (JSON, "", "text/json", "application/x-www-form-urlencoded"):
            raise BadRequest(f"content-type {kind[:60]!r}", problem="unsupported-media-type")
        limit = on_wire or self.settings.max_body_bytes
        body = await whole_body(request, limit, self.settings.max_decoded_bytes)
        CONNECTION.set(request.receive)
        return body


def row_of(item: ItemIn, run: str | None = None) -> Row:
    """An item of the wire as the scorer's row. A null response is an empty one: the policy wrote nothing."""
    return Row(
        item.data_source,
        item.response or "",
        item.gold(),
        item.ground_truth_ref,
        item.prompt,
        item.extra_info,
        item.domain,
        item.profile,
        run=item.run_id or run or "",
        group="" if item.group_id is None else str(item.group_id)[:128],
    )


def asked_deadline(request: Request) -> float | None:
    """`?deadline_seconds=`, or None. BadRequest if it is no positive number."""
    text = request.query_params.get("deadline_seconds")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 < seconds < 1e9:
        raise BadRequest(
            "deadline_seconds is a positive number of seconds",
            errors=[{"pointer": "/query/deadline_seconds", "message": "not a positive number"}],
        )
    return seconds

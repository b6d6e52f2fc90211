"""OpenTelemetry traces of requests and of chunks. Off unless asked for, and then nothing of this is imported.

What is decided here: a request is a span, with the caller's trace as its parent (`traceparent`); what is scored in one go for it
(a body's items, or a group of a stream) is a span below; a worker's chunk is a span of its own. Never an item, and nothing that a
row or a response says: counts, routes, names of keys and statuses. Where spans go is told by the standard variables
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, …).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reward_service import __version__
from reward_service.engine.scorer import Row, Scored, Scorer
from reward_service.logs import NOTE

Score = Callable[..., Awaitable[list[Scored]]]


def provider_by_environment() -> TracerProvider:
    """Spans go to an OTLP collector, as the standard variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    name = os.environ.get("OTEL_SERVICE_NAME", "reward-service")
    resource = Resource.create({"service.name": name, "service.version": __version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def tracer_of(provider: TracerProvider) -> Tracer:
    """What makes our spans."""
    return provider.get_tracer("reward_service", __version__)


def traced(score: Score, tracer: Tracer, name: str = "score") -> Score:
    """`score_many` with a span around each call."""

    async def score_many(rows: Sequence[Row], *, seconds: float = 600.0) -> list[Scored]:
        with tracer.start_as_current_span(name, record_exception=False) as span:
            span.set_attribute("reward.items", len(rows))
            results = await score(rows, seconds=seconds)
            if span.is_recording():
                errors = sum(one.outcome.score is None for one in results)
                cached = sum(one.outcome.cached for one in results)
                span.set_attributes({"reward.errors": errors, "reward.cached": cached})
            return results

    return score_many


class Traces:
    """A span for every request; around `Requests`, which names it."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        names = (b"traceparent", b"tracestate")
        carrier = {k.decode(): v.decode("latin-1") for k, v in scope["headers"] if k in names}
        method = scope["method"]
        with self._tracer.start_as_current_span(
            method,
            context=extract(carrier),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    route = str(getattr(scope.get("route"), "path", "none"))
                    span.update_name(f"{method} {route}")
                    attributes: dict[str, Any] = {
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": status,
                    }
                    if (note := NOTE.get()) is not None:
                        attributes |= {"reward.request_id": note.id, "reward.key": note.tenant}
                    span.set_attributes(attributes)
                    if status >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                elif not message.get("more_body") and (note := NOTE.get()) is not None:
                    span.set_attribute("reward.items", note.items)
                await send(message)

            await self._app(scope, receive, send_and_note)


def install(app: FastAPI, scorer: Scorer, provider: TracerProvider) -> None:
    """Trace the application's requests, and what is scored for them and for the batches of this process."""
    tracer = tracer_of(provider)
    app.add_middleware(Traces, tracer=tracer)
    trace_scorer(scorer, provider)


def trace_scorer(scorer: Scorer, provider: TracerProvider, name: str = "score") -> None:
    """Trace what is scored with it."""
    scorer.score_many = traced(scorer.score_many, tracer_of(provider), name)  # type: ignore[method-assign, assignment]

"""Spans of requests and of what is scored for them; nothing of it is loaded when it is off."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from reward_service.assemble import build_app
from reward_service.settings import Settings
from reward_service.tracing import install
from tests.gateway.quick import ITEM, Yes, quick

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traced() -> tuple[Any, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    scorer = Yes()
    client = quick(scorer)
    install(client.app, scorer, provider)  # type: ignore[arg-type]
    return client, exporter


def test_a_request_is_a_span_below_its_callers_and_what_is_scored_one_below(traced: Any) -> None:
    client, exporter = traced
    headers = {"traceparent": PARENT, "x-request-id": "abc"}
    item = {**ITEM, "response": "canary"}
    assert client.post("/v1/score/batch", json={"items": [item] * 3}, headers=headers).status_code == 200
    chunk, request = exporter.get_finished_spans()
    assert (request.name, chunk.name) == ("POST /v1/score/batch", "score")
    assert format(request.context.trace_id, "032x") == PARENT[3:35]
    assert format(request.parent.span_id, "016x") == PARENT[36:52]
    assert chunk.parent.span_id == request.context.span_id
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/score/batch",
        "http.response.status_code": 200,
        "reward.request_id": "abc",
        "reward.key": "",
        "reward.items": 3,
    }
    assert dict(chunk.attributes) == {"reward.items": 3, "reward.errors": 0, "reward.cached": 0}
    assert "canary" not in str([span.to_json() for span in exporter.get_finished_spans()])


def test_groups_of_a_stream_are_spans_of_the_same_trace(traced: Any) -> None:
    client, exporter = traced
    import json

    lines = (json.dumps(ITEM) + "\n") * 300
    client.post("/v1/score/batch", content=lines, headers={"content-type": "application/x-ndjson"})
    *chunks, request = exporter.get_finished_spans()
    assert sum(chunk.attributes["reward.items"] for chunk in chunks) == 300
    assert {chunk.context.trace_id for chunk in chunks} == {request.context.trace_id}
    assert len(chunks) == 2


def test_paths_of_nowhere_make_no_names(traced: Any) -> None:
    client, exporter = traced
    client.get("/secret/canary?x=canary")
    (span,) = exporter.get_finished_spans()
    assert span.name == "GET none" and "canary" not in span.to_json()


def test_it_is_off_and_costs_nothing() -> None:
    code = "import sys, reward_service.assemble as a; from reward_service.settings import Settings; a.build_app(Settings(sandbox='none')); print([n for n in sys.modules if n.startswith('opentelemetry.sdk') or n == 'reward_service.tracing'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reward_service.tracing", None)
    with pytest.raises(ValueError, match=r"reward-service\[otel\]"):
        build_app(Settings(otel=True, sandbox="none"))

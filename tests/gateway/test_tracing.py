"""Spans of requests and of what is scored for them; nothing of it is loaded when it is off."""

from __future__ import annotations

import gzip
import http.server
import subprocess
import sys
import threading
import time
from typing import Any, ClassVar

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from reward_service.assemble import build_app
from reward_service.settings import Settings
from reward_service.tracing import install
from tests.gateway.quick import ITEM, Yes, quick
from tests.load.measure import serving

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


class Collector(http.server.BaseHTTPRequestHandler):
    """As much of an OTLP/HTTP collector as an exporter needs: it takes protobuf, and keeps it."""

    taken: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        """The protocol's one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def test_spans_of_a_real_service_reach_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "rewards-of-run-7")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    Collector.taken.clear()
    item = {
        "data_source": "logic__graph",
        "response": "canary <answer>owl</answer>",
        "ground_truth": "owl",
    }
    spans: dict[str, Any] = {}
    try:
        with serving(
            ["reward_service.cli", "serve", "--port"], processes="1", sandbox="none", otel="true"
        ) as (url, _):
            reply = httpx2.post(f"{url}/v1/score", json=item, headers={"traceparent": PARENT}, timeout=60)
            assert reply.json()["score"] == 1.0
            until = time.monotonic() + 20
            while len(spans) < 2 and time.monotonic() < until:
                time.sleep(0.05)
                sent = [ExportTraceServiceRequest.FromString(body) for body in list(Collector.taken)]
                resources = [resource for request in sent for resource in request.resource_spans]
                spans = {
                    span.name: span for one in resources for scope in one.scope_spans for span in scope.spans
                }
    finally:
        server.shutdown()
        server.server_close()
    request, scored = spans["POST /v1/score"], spans["score"]
    assert request.trace_id.hex() == scored.trace_id.hex() == PARENT[3:35]
    assert (request.parent_span_id.hex(), scored.parent_span_id) == (PARENT[36:52], request.span_id)
    named = {attribute.key: attribute.value.string_value for attribute in resources[0].resource.attributes}
    assert named["service.name"] == "rewards-of-run-7"
    assert not any(b"canary" in body or b"owl" in body for body in Collector.taken)

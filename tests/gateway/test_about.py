"""What the service says of itself: health, data sources, metrics, and a document whose examples work when pasted."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from reward_service import __version__
from reward_service.registry import load
from reward_service.types import Reason, Status
from reward_service.wire import ProblemOut, ResultOut

ITEM = {"data_source": "logic__ordering_puzzle", "response": "<answer>['b']</answer>", "ground_truth": ["a"]}


def samples(http: httpx2.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    reply = http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_health(http: httpx2.Client) -> None:
    assert http.get("/healthz").json() == {"status": "alive"}
    assert http.get("/readyz").json() == {"status": "ready"}


def test_info_names_versions_limits_and_state(http: httpx2.Client) -> None:
    info = http.get("/v1/info").json()
    assert info["version"] == __version__
    assert info["handlers"] == {handler.name: handler.version for handler in load().handlers.values()}
    assert info["limits"]["max_items"] == 300
    assert info["state"]["reward_service_pool_processes"] >= 1


def test_data_sources_say_what_their_rows_look_like(http: httpx2.Client) -> None:
    sources = http.get("/v1/data-sources").json()["data_sources"]
    assert len(sources) == sum(len(handler.sources) for handler in load().handlers.values())
    for source in sources:
        assert source["rule"]
        assert source["ground_truth"]
        assert source["example"]["response"]


def test_metrics_count_items_scores_reasons_and_flags(http: httpx2.Client) -> None:
    labels = {"domain": "logic", "data_source": "logic__ordering_puzzle_dataset"}

    def of(name: str, **more: str) -> tuple[str, frozenset[tuple[str, str]]]:
        return name, frozenset({**labels, **more}.items())

    right = {**ITEM, "response": "<answer>['b']</answer> <answer>['a']</answer>"}
    before = samples(http)
    http.post("/v1/score/batch", json={"items": [right, ITEM, ITEM, {**ITEM, "data_source": "?\n"}]})
    http.post("/v1/score/batch", json={"items": [ITEM]})
    after = samples(http)

    def grown(key: tuple[str, frozenset[tuple[str, str]]]) -> float:
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert grown(of("reward_service_items_total", status="scored", reason="equal")) == 1
    assert grown(of("reward_service_items_total", status="scored", reason="not_equal")) == 3
    assert grown(of("reward_service_scores_total")) == 1
    assert grown(of("reward_service_flags_total", flag="multiple_answers")) == 1
    assert grown(of("reward_service_cache_hits_total")) >= 1
    unknown = {
        "domain": "unknown",
        "data_source": "unknown",
        "status": "error",
        "reason": "unknown_data_source",
    }
    assert grown(("reward_service_items_total", frozenset(unknown.items()))) == 1
    assert ("reward_service_items_in_flight", frozenset()) in after
    assert after["reward_service_pool_processes", frozenset()] >= 1
    assert after["reward_service_request_seconds_count", frozenset({("route", "batch")})] >= 2
    answered = frozenset({("route", "/v1/score/batch"), ("code", "200")})
    assert grown(("reward_service_responses_total", answered)) == 2


def test_labels_come_from_the_routing_table_only(http: httpx2.Client) -> None:
    http.post("/v1/score/batch", json={"items": [{**ITEM, "data_source": f"made-up-{n}"} for n in range(50)]})
    http.get("/made-up-path")
    assert "made-up" not in http.get("/metrics").text


ELSEWHERE = ("/v1/run", "/v1/batches")
"""Routes whose examples are tried in test_programs.py and test_batches.py."""


def test_the_examples_of_the_document_work_when_pasted(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                if "example" not in content or "{" in path or path in ELSEWHERE:
                    continue
                example = content["example"]
                body = example if isinstance(example, str) else json.dumps(example)
                reply = http.request(method.upper(), path, content=body, headers={"content-type": kind})
                assert reply.status_code == 200, reply.text
                results: list[dict[str, Any]]
                if kind == "application/x-ndjson":
                    results = [json.loads(line) for line in reply.text.splitlines()]
                else:
                    results = reply.json().get("results", [reply.json()])
                assert all(result["score"] == 1.0 for result in results), (path, kind, results)
                tried += 1
    assert tried >= 3


def test_the_document_describes_what_the_wire_carries(http: httpx2.Client) -> None:
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas) >= {"ItemIn", "BatchIn", "ResultOut", "BatchOut", "ProblemOut", "Reason", "Status"}
    assert set(schemas["Reason"]["enum"]) == set(Reason)
    assert set(schemas["Status"]["enum"]) == set(Status)
    result = http.post("/v1/score", json=ITEM).json()
    assert list(result) == list(ResultOut.model_fields)
    ResultOut.model_validate(result)
    ProblemOut.model_validate(http.get("/nowhere").json())


def test_pages_name_no_path_and_no_secret(http: httpx2.Client) -> None:
    for path in ("/v1/info", "/metrics", "/nowhere"):
        assert not re.search(r"/(?:home|root|work|usr)/", http.get(path).text)

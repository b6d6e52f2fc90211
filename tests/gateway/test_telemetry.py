"""`GET /v1/telemetry` over HTTP: every way that items come in is counted, under the run that they name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

ITEM = {"data_source": "logic__ordering_puzzle", "response": "<answer>['a']</answer>", "ground_truth": ["a"]}
SOURCE = "logic__ordering_puzzle_dataset"


def shown(http: httpx2.Client, **query: Any) -> dict[str, Any]:
    reply = http.get("/v1/telemetry", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def counted(http: httpx2.Client, run: str, data_source: str = SOURCE) -> int:
    return sum(shown(http, run=run, data_source=data_source)["totals"]["items"])


WAYS: dict[str, Callable[[httpx2.Client, str], httpx2.Response]] = {
    "item": lambda http, run: http.post("/v1/score", json={**ITEM, "run_id": run}),
    "header": lambda http, run: http.post("/v1/score", json=ITEM, headers={"X-Run-Id": run}),
    "url": lambda http, run: http.post("/v1/score", json=ITEM, params={"run_id": run}),
    "batch": lambda http, run: http.post("/v1/score/batch", json={"items": [ITEM], "run_id": run}),
    "the item before the batch": lambda http, run: http.post(
        "/v1/score/batch",
        json={"items": [{**ITEM, "run_id": run}], "run_id": "other"},
        headers={"X-Run-Id": "third"},
    ),
    "stream": lambda http, run: http.post(
        "/v1/score/batch",
        content=json.dumps(ITEM) + "\n",
        headers={"content-type": "application/x-ndjson", "X-Run-Id": run},
    ),
    "dialect": lambda http, run: http.post(
        "/slime",
        params={"data_source": "logic__ordering_puzzle", "run_id": run},
        json={"prompt": "p", "response": ITEM["response"], "label": ["a"]},
    ),
    "durable batch": lambda http, run: http.post("/v1/batches", json={"items": [ITEM], "run_id": run}),
    "durable batch of lines": lambda http, run: http.post(
        "/v1/batches",
        content=json.dumps(ITEM) + "\n",
        headers={"content-type": "application/x-ndjson", "X-Run-Id": run},
    ),
    "durable batch with runs in its items": lambda http, run: http.post(
        "/v1/batches", json={"items": [{**ITEM, "run_id": run}]}
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_is_counted_under_its_run(http: httpx2.Client, way: str) -> None:
    run = f"test/{way.replace(' ', '-')}"
    reply = WAYS[way](http, run)
    assert reply.status_code == 200, reply.text
    until = time.monotonic() + 30
    while counted(http, run) != 1:
        assert time.monotonic() < until
        time.sleep(0.05)
    found = shown(http, run=run)
    assert [source["data_source"] for source in found["sources"]] == [SOURCE]
    assert found["sources"][0]["mean"] == 1.0
    assert found["runs"][0]["run"] == run


@pytest.mark.parametrize(
    "ask",
    [
        lambda http: http.post("/v1/score", json=ITEM, headers={"X-Run-Id": "a b"}),
        lambda http: http.post("/v1/score", json=ITEM, params={"run_id": "x" * 65}),
        lambda http: http.post("/v1/score", json={**ITEM, "run_id": "<script>"}),
        lambda http: http.post("/v1/score/batch", json={"items": [ITEM], "run_id": ""}),
        lambda http: http.get("/v1/telemetry", params={"minutes": "0"}),
        lambda http: http.get("/v1/telemetry", params={"minutes": "nan"}),
        lambda http: http.get("/v1/telemetry", params={"run": "x" * 65}),
    ],
)
def test_what_is_no_run_id_is_refused_in_the_usual_form(
    http: httpx2.Client, ask: Callable[[httpx2.Client], httpx2.Response]
) -> None:
    reply = ask(http)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


def test_a_run_changes_no_score_and_no_cache(http: httpx2.Client) -> None:
    item = {**ITEM, "response": "<answer>['a']</answer> once"}
    first = http.post("/v1/score", json={**item, "run_id": "one", "group_id": 1}).json()
    again = http.post("/v1/score", json={**item, "run_id": "two", "group_id": "2"}).json()
    assert (first["cached"], again["cached"], again["score"]) == (False, True, 1.0)


def test_the_answer_has_the_promised_shape(http: httpx2.Client) -> None:
    http.post("/v1/score/batch", json={"items": [ITEM, {**ITEM, "data_source": "no such"}]})
    found = shown(http, minutes=5)
    assert len(found["steps"]) == 30
    assert found["step_seconds"] == 10
    assert found["steps"] == sorted(found["steps"])
    assert set(found) == {
        "now", "step_seconds", "steps", "runs", "totals", "gauges", "sources", "alerts", "recent_errors", "shadow",
    }  # fmt: skip
    totals = found["totals"]
    for name, column in totals.items():
        for values in column.values() if isinstance(column, dict) else (column,):
            assert len(values) == 30, name
    assert sum(totals["requests"]) >= 1
    assert [value for value in totals["request_p95_ms"] if value]
    assert totals["reasons"]["unknown_data_source"]
    for values in found["gauges"].values():
        assert len(values) == 30
    assert any(found["gauges"]["reward_service_pool_processes"])
    trouble = next(one for one in found["recent_errors"] if one["reason"] == "unknown_data_source")
    assert trouble["data_source"] == "unknown"
    assert "no handler" in trouble["message"]
    one = shown(http, data_source=SOURCE)
    assert one["lengths"][0].keys() == {"from", "to", "items", "mean"}
    assert isinstance(one["verdicts"], list)
    assert shown(http, data_source="never seen")["sources"] == []

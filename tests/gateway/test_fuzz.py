"""Whatever comes in: no 500, no lost or moved item, no exception that nobody expected."""

from __future__ import annotations

import json
import os
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward_service.registry import load
from reward_service.types import REASONS, Reason
from reward_service.wire import ResultOut

LONG = bool(os.environ.get("FAULT"))
CALM = settings(max_examples=2_000 if LONG else 60, deadline=None, suppress_health_check=list(HealthCheck))
"""A few examples in CI; many with FAULT=1."""
pytestmark = [pytest.mark.fault, pytest.mark.timeout(7200 if LONG else 120)]


ROUTES = [
    "POST /v1/score",
    "POST /v1/score/batch",
    "PUT /v1/ground-truths/{sha256}",
    "GET /v1/data-sources",
    "GET /v1/info",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "POST /v1/batches",
    "GET /v1/batches",
    "GET /v1/batches/{batch_id}",
    "GET /v1/batches/{batch_id}/results",
    "POST /v1/batches/{batch_id}/cancel",
    "POST /v1/files",
    "GET /v1/files",
    "GET /v1/files/{file_id}",
    "DELETE /v1/files/{file_id}",
    "GET /v1/files/{file_id}/content",
    "POST /v1/explain",
    "GET /v1/verdicts",
    "GET /v1/verdicts/{verdict}",
    "GET /v1/telemetry",
]


@pytest.fixture(scope="session")
def schema(url: str) -> Any:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


def test_the_routes_below_are_all(schema: Any) -> None:
    assert {f"{found.ok().method.upper()} {found.ok().path}" for found in schema.get_all_operations()} >= set(
        ROUTES
    )


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_keeps_its_promises(schema: Any, route: str) -> None:
    """Schemathesis: bodies by the schema and against it; no 500, only documented statuses and shapes."""
    method, _, path = route.partition(" ")

    @CALM
    @given(case=schema[path][method].as_strategy())
    def probe(case: schemathesis.Case) -> None:
        case.call_and_validate()

    probe()


NAMES = sorted(
    {source.name.replace("*", "x") for handler in load().handlers.values() for source in handler.sources}
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
RESPONSES = st.one_of(
    st.text(max_size=200),
    st.builds("<answer>{}</answer>".format, st.text(max_size=60)),
    st.builds("\\boxed{{{}}}".format, st.text(max_size=60)),
    st.builds("<think>{}</think>```json\n{}\n```".format, st.text(max_size=30), ANYTHING.map(json.dumps)),
)
ITEMS = st.fixed_dictionaries(
    {"response": RESPONSES | st.none()},
    optional={
        "id": st.text(max_size=10) | st.integers(-(2**62), 2**62),
        "data_source": st.sampled_from(NAMES) | st.text(max_size=20) | st.none(),
        "ground_truth": ANYTHING,
        "reward_model": st.fixed_dictionaries({"ground_truth": ANYTHING}),
        "extra_info": st.dictionaries(
            st.sampled_from(["question", "task", "scale", "options", "scoring", "part_1"]),
            ANYTHING,
            max_size=4,
        ),
        "prompt": ANYTHING,
        "profile": st.sampled_from(["strict", "guru"]),
        "unknown_column": ANYTHING,
    },
)


def check(results: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    assert [result["index"] for result in results] == list(range(len(items)))
    assert [result["id"] for result in results] == [item.get("id") for item in items]
    for result in results:
        ResultOut.model_validate(result)
        assert result["status"] == REASONS[Reason(result["reason"])][0]
        assert (result["score"] is None) == (result["status"] == "error")
        assert result["reason"] != Reason.INTERNAL, result


@CALM
@given(items=st.lists(ITEMS, max_size=12))
def test_every_item_gets_one_result_in_its_place(http: httpx2.Client, items: list[dict[str, Any]]) -> None:
    body = json.dumps({"items": items}).encode()
    reply = http.post("/v1/score/batch", content=body)
    if reply.status_code == 400:  # a lone surrogate has no UTF-8
        assert reply.json()["type"].endswith("invalid-json")
        return
    assert reply.status_code == 200, reply.text
    check(reply.json()["results"], items)


@CALM
@given(items=st.lists(ITEMS, max_size=12), junk=st.lists(st.binary(max_size=40), max_size=6))
def test_streams_keep_their_places_beside_junk(
    http: httpx2.Client, items: list[dict[str, Any]], junk: list[bytes]
) -> None:
    lines = [json.dumps(item).encode() for item in items] + [line.replace(b"\n", b"") for line in junk]
    reply = http.post(
        "/v1/score/batch", content=b"\n".join(lines), headers={"content-type": "application/x-ndjson"}
    )
    assert reply.status_code == 200
    results = [json.loads(line) for line in reply.text.split("\n") if line]
    assert len(results) == sum(bool(line.strip()) for line in lines)
    assert [result["index"] for result in results] == list(range(len(results)))
    assert {result["reason"] for result in results}.isdisjoint({Reason.INTERNAL})

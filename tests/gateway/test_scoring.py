"""The scoring routes over real HTTP: what goes in, what comes out, and what never happens to neighbours."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import Any

import httpx2
import pytest
import zstandard

from reward_service.registry import load
from reward_service.types import REASONS, Reason

ORDER = {
    "data_source": "logic__ordering_puzzle_dataset",
    "response": "<answer>['owl', 'crow']</answer>",
    "ground_truth": ["owl", "crow"],
}
WRONG = {**ORDER, "response": "<answer>['crow', 'owl']</answer>"}
FIELDS = {
    "id", "index", "status", "score", "correct", "reason", "extracted", "flags", "handler", "version", "detail",
    "cached", "queue_ms", "verify_ms", "sandbox_ms", "judge_ms", "retryable", "mask_sample",
}  # fmt: skip


def batch(http: httpx2.Client, items: list[Any], **more: Any) -> list[dict[str, Any]]:
    reply = http.post("/v1/score/batch", json={"items": items}, **more)
    assert reply.status_code == 200, reply.text
    results: list[dict[str, Any]] = reply.json()["results"]
    assert [result["index"] for result in results] == list(range(len(items)))
    return results


def test_one_item(http: httpx2.Client) -> None:
    reply = http.post("/v1/score", json={"id": "x", **ORDER})
    assert reply.status_code == 200
    result = reply.json()
    assert set(result) == FIELDS
    assert (result["id"], result["status"], result["score"], result["correct"]) == ("x", "scored", 1.0, True)
    assert (result["reason"], result["handler"], result["extracted"]) == ("equal", "ordering", "owl, crow")
    assert result["verify_ms"] >= 0
    assert result["mask_sample"] is False


def test_a_batch_keeps_its_order_and_ids(http: httpx2.Client) -> None:
    items = [{**(ORDER if n % 3 else WRONG), "id": n} for n in range(300)]
    results = batch(http, items)
    assert [result["id"] for result in results] == list(range(300))
    assert [result["score"] for result in results] == [float(n % 3 > 0) for n in range(300)]


def test_an_empty_batch_is_empty(http: httpx2.Client) -> None:
    assert batch(http, []) == []


def test_the_same_answers_are_judged_once_and_then_cached(http: httpx2.Client) -> None:
    items = [{**ORDER, "response": ORDER["response"] + " "}] * 5
    assert {result["cached"] for result in batch(http, items)} == {False}
    again = batch(http, items)
    assert {result["cached"] for result in again} == {True}
    assert {result["score"] for result in again} == {1.0}


GURU_ROWS = [
    pytest.param(
        {
            "data_source": "table__hitab",
            "solution_str": "The final answer is \\boxed{1{,}204}.",
            "reward_model": {"ground_truth": "1204.0", "style": "rule"},
            "extra_info": {"index": 3, "split": "train"},
        },
        id="solution_str and reward_model.ground_truth",
    ),
    pytest.param(
        {
            "data_source": "simulation__arcagi1",
            "response": "<answer>[[1, 2], [3, 4]]</answer>",
            "reward_model": {
                "ground_truth": {"compressed": base64.b64encode(gzip.compress(b"[[1, 2], [3, 4]]")).decode()}
            },
        },
        id="a compressed ground truth",
    ),
    pytest.param(
        {
            "data_source": "simulation__arcagi1",
            "response": "<answer>[[1, 2], [3, 4]]</answer>",
            "ground_truth": base64.b64encode(gzip.compress(b"[[1, 2], [3, 4]]", mtime=0)).decode(),
        },
        id="a compressed string",
    ),
    pytest.param(
        {
            "data_source": "table__finqa",
            "response": "\\boxed{14.3}",
            "ground_truth": 0.14336,
            "extra_info": {"part_1": {"split": "test"}, "part_2": {"question": "what percentage was paid?"}},
        },
        id="extra_info in parts",
    ),
    pytest.param(
        {
            "data_source": "table__finqa",
            "response": "\\boxed{14.3}",
            "ground_truth": 0.14336,
            "prompt": [
                {"role": "system", "content": "Think."},
                {"role": "user", "content": "what percentage was paid?"},
            ],
        },
        id="the question in a chat prompt",
    ),
]


@pytest.mark.parametrize("row", GURU_ROWS)
def test_guru_rows_work_unchanged(http: httpx2.Client, row: dict[str, Any]) -> None:
    (result,) = batch(http, [row])
    assert (result["score"], result["reason"]) == (1.0, "equal"), result


@pytest.mark.parametrize(
    ("name", "handler"),
    [
        ("logic__arcagi1", "grid"),
        ("simulation__arcagi1", "grid"),
        ("logic__arcagi2_190", "grid"),
        ("logic__barc_1.6k", "grid"),
        ("zebra_puzzle_dataset", "zebra"),
        ("logic__zebra_puzzle_1.3k", "zebra"),
        ("logic__graph_logical_1.2k", "graph"),
        ("ordering_puzzle", "ordering"),
        ("table__multihier_1.5k", "table"),
        ("HiTab", "table"),
    ],
)
def test_alias_names(http: httpx2.Client, name: str, handler: str) -> None:
    (result,) = batch(http, [{"data_source": name, "response": "", "ground_truth": "x"}])
    assert result["handler"] == handler


def test_an_unknown_data_source_is_that_items_error_with_the_nearest_names(http: httpx2.Client) -> None:
    results = batch(http, [ORDER, {**ORDER, "data_source": "logic__ordering_puzle"}, WRONG])
    assert [result["score"] for result in results] == [1.0, None, 0.0]
    unknown = results[1]
    assert (unknown["status"], unknown["reason"]) == ("error", "unknown_data_source")
    assert unknown["correct"] is None
    assert unknown["mask_sample"] is True
    assert "logic__ordering_puzzle_dataset" in unknown["detail"]["nearest"]


def test_a_generic_domain_instead_of_a_data_source(http: httpx2.Client) -> None:
    row = {key: value for key, value in ORDER.items() if key != "data_source"}
    results = batch(http, [{**row, "domain": "ordering_puzzle"}, {**row, "domain": "nothing_like_it"}, row])
    assert [result["reason"] for result in results] == ["equal", "unknown_data_source", "unknown_data_source"]


def test_a_null_response_is_no_answer_and_a_missing_one_is_refused(http: httpx2.Client) -> None:
    (result,) = batch(http, [{**ORDER, "response": None}])
    assert (result["score"], result["reason"]) == (0.0, "no_answer")
    reply = http.post("/v1/score", json={"data_source": "x", "ground_truth": "1"})
    assert reply.status_code == 422
    assert reply.json()["errors"][0]["field"] == "response"


def test_profiles(http: httpx2.Client) -> None:
    row = {**ORDER, "response": "<answer>\n['owl', 'crow']\n</answer>"}
    strict, guru = batch(http, [row, {**row, "profile": "guru"}])
    assert (strict["score"], guru["score"]) == (1.0, 0.0)


def test_every_example_of_every_rule_checked_source_scores_over_http(http: httpx2.Client) -> None:
    sources = [
        (source.name.replace("*", "example"), source.example, handler)
        for handler in load().handlers.values()
        for source in handler.sources
        if handler.judge is None
    ]
    items = [
        {
            "data_source": name,
            "response": example.response,
            "ground_truth": example.ground_truth,
            "extra_info": dict(example.extra_info),
        }
        for name, example, _ in sources
    ]
    for start in range(0, len(items), 300):
        for result, (name, example, _) in zip(
            batch(http, items[start : start + 300]), sources[start:], strict=False
        ):
            assert result["score"] == pytest.approx(example.score), (name, result)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_without_a_value_comes_back(http: httpx2.Client, value: str) -> None:
    body = (
        f'{{"data_source": "table__hitab", "response": "\\\\boxed{{1}}", "ground_truth": {value}, "id": "n"}}'
    )
    reply = http.post("/v1/score", content=body)
    assert reply.status_code in (200, 400)
    assert "NaN" not in reply.text.replace("NaN or an infinity", "")
    if reply.status_code == 200:
        assert reply.json()["reason"] == "malformed_ground_truth"


@pytest.mark.parametrize(
    "response", ["\\ud800 <answer>['owl', 'crow']</answer>", "\\u0000", "\U0001f600" * 50]
)
def test_strange_characters_are_judged(http: httpx2.Client, response: str) -> None:
    body = '{"items": [{"data_source": "logic__ordering_puzzle", "response": "%s", "ground_truth": ["owl"]}]}'
    reply = http.post("/v1/score/batch", content=(body % response).encode())
    assert reply.status_code in (200, 400), reply.text
    assert reply.headers["content-type"] in ("application/json", "application/problem+json")


@pytest.mark.parametrize(
    ("name", "compress"),
    [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress), ("identity", bytes)],
)
@pytest.mark.parametrize("ndjson", [False, True])
def test_compressed_bodies(http: httpx2.Client, name: str, compress: Any, ndjson: bool) -> None:
    items = [ORDER, WRONG]
    if ndjson:
        body = "".join(json.dumps(item) + "\n" for item in items).encode()
        kind = "application/x-ndjson"
    else:
        body, kind = json.dumps({"items": items}).encode(), "application/json"
    reply = http.post(
        "/v1/score/batch",
        content=compress(body),
        headers={"content-encoding": name, "content-type": kind},
    )
    assert reply.status_code == 200
    results = [json.loads(line) for line in reply.text.splitlines()] if ndjson else reply.json()["results"]
    assert [result["score"] for result in results] == [1.0, 0.0]


# Ground truths by reference


def put(http: httpx2.Client, body: bytes, kind: str, address: str | None = None) -> httpx2.Response:
    address = address or hashlib.sha256(body).hexdigest()
    return http.put(f"/v1/ground-truths/{address}", content=body, headers={"content-type": kind})


def test_a_ground_truth_is_uploaded_once_and_then_named(http: httpx2.Client) -> None:
    reply = put(http, b'["owl", "crow"]', "application/json")
    assert reply.status_code == 201
    reference = reply.json()["ground_truth_ref"]
    row = {"data_source": ORDER["data_source"], "response": ORDER["response"], "ground_truth_ref": reference}
    assert [result["score"] for result in batch(http, [row, {**row, "response": WRONG["response"]}])] == [
        1.0,
        0.0,
    ]
    text = put(http, b"plain text", "text/plain").json()["ground_truth_ref"]
    (result,) = batch(
        http, [{"data_source": "table__hitab", "response": "\\boxed{plain text}", "ground_truth_ref": text}]
    )
    assert result["score"] == 1.0


def test_an_unknown_reference_is_worth_trying_again(http: httpx2.Client) -> None:
    row = {key: value for key, value in ORDER.items() if key != "ground_truth"}
    (result,) = batch(http, [{**row, "ground_truth_ref": "0" * 64}])
    assert (result["reason"], result["retryable"], result["score"]) == ("unknown_ground_truth", True, None)


@pytest.mark.parametrize(
    ("body", "kind", "address", "problem"),
    [
        (b"1", "application/json", "0" * 64, "digest-mismatch"),
        (b"{", "application/json", None, "invalid-json"),
        (b"null", "application/json", None, "invalid-body"),
        (b"\xff", "text/plain", None, "invalid-body"),
        (b"1", "text/plain", "not-a-digest", "invalid-body"),
        (b"x" * (1 << 20) + b"x", "text/plain", None, "too-large"),
    ],
)
def test_refused_uploads(
    http: httpx2.Client, body: bytes, kind: str, address: str | None, problem: str
) -> None:
    reply = put(http, body, kind, address)
    assert reply.json()["type"].endswith(problem)
    assert reply.status_code >= 400


def test_errors_and_scores_never_mix(http: httpx2.Client) -> None:
    """The table of reasons, as the wire shows it."""
    items = [
        ORDER, WRONG, {**ORDER, "response": ""}, {**ORDER, "data_source": "?"}, {**ORDER, "ground_truth": {"a": 1}},
    ]  # fmt: skip
    for result in batch(http, items):
        status, retryable, _ = REASONS[Reason(result["reason"])]
        assert result["status"] == status
        assert (result["score"] is None) == (status == "error") == result["mask_sample"]
        assert result["retryable"] is (status == "error" and retryable)

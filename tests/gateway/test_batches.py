"""Batches and files over HTTP: created wholly or not at all, in order, resumable, the same for the same key."""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx2
import pyarrow
import pyarrow.parquet
import pytest

NDJSON = {"content-type": "application/x-ndjson"}


def row(number: int, right: bool = True) -> dict[str, Any]:
    words = ["owl", "crow"] if right else ["crow", "owl"]
    return {
        "id": f"n{number}",
        "data_source": "logic__ordering_puzzle",
        "response": f"{number}: <answer>{words}</answer>",
        "ground_truth": ["owl", "crow"],
    }


def lines(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in rows).encode()


def create(http: httpx2.Client, body: bytes, **headers: str) -> dict[str, Any]:
    reply = http.post("/v1/batches", content=body, headers={**NDJSON, **headers})
    assert reply.status_code == 200, reply.text
    batch: dict[str, Any] = reply.json()
    return batch


def ended(http: httpx2.Client, batch: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/batches/{batch}", params={"wait": 60}, timeout=90).json()
    assert found["status"] == "completed", found
    return found


def results(http: httpx2.Client, batch: str, **query: Any) -> list[dict[str, Any]]:
    reply = http.get(f"/v1/batches/{batch}/results", params=query, timeout=90)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == NDJSON["content-type"]
    return [json.loads(line) for line in reply.text.split("\n") if line]


def test_a_batch_of_lines(http: httpx2.Client) -> None:
    batch = create(http, lines([row(n, n % 2 == 0) for n in range(1_500)]))
    assert batch["id"].startswith("batch_")
    assert batch["object"] == "batch"
    assert batch["status"] in ("in_progress", "completed")
    found = results(http, batch["id"])
    assert [result["id"] for result in found] == [f"n{n}" for n in range(1_500)]
    assert [result["index"] for result in found] == list(range(1_500))
    assert [result["score"] for result in found] == [float(n % 2 == 0) for n in range(1_500)]
    end = ended(http, batch["id"])
    assert end["request_counts"] == {"total": 1_500, "completed": 1_500, "failed": 0}
    assert end["created_at"] <= end["in_progress_at"] <= end["completed_at"] < end["expires_at"]
    assert end["eta_seconds"] == 0.0
    assert batch["id"] in [one["id"] for one in http.get("/v1/batches").json()["data"]]


def test_a_batch_of_json_items_with_metadata_and_errors(http: httpx2.Client) -> None:
    body = {
        "items": [row(1), {**row(2), "data_source": "nothing like it"}, row(3, False)],
        "metadata": {"run": "r1"},
        "completion_window": "30m",
    }
    batch = http.post("/v1/batches", json=body).json()
    assert batch["metadata"] == {"run": "r1"}
    assert batch["expires_at"] - batch["in_progress_at"] == pytest.approx(1800, abs=2)
    assert [result["score"] for result in results(http, batch["id"])] == [1.0, None, 0.0]
    assert ended(http, batch["id"])["request_counts"] == {"total": 3, "completed": 2, "failed": 1}


def test_reading_goes_on_behind_any_line(http: httpx2.Client) -> None:
    batch = create(http, lines([row(n) for n in range(300)]))["id"]
    ended(http, batch)
    whole = results(http, batch)
    for place in (0, 63, 64, 150, 299):
        assert results(http, batch, cursor=whole[place]["cursor"]) == whole[place + 1 :]
    by_completion = results(http, batch, order="completion")
    assert sorted(result["index"] for result in by_completion) == list(range(300))
    middle = by_completion[100]["cursor"]
    assert results(http, batch, cursor=middle) == by_completion[101:]
    assert results(http, batch, cursor=whole[-1]["cursor"]) == []


def test_the_same_key_and_body_is_the_same_batch(http: httpx2.Client) -> None:
    body = lines([row(n) for n in range(5)])
    key = {"idempotency-key": f"k-{time.time_ns()}"}
    first = create(http, body, **key)
    reply = http.post("/v1/batches", content=body, headers={**NDJSON, **key})
    assert reply.json()["id"] == first["id"]
    assert reply.headers["idempotent-replayed"] == "true"
    other = http.post("/v1/batches", content=lines([row(9)]), headers={**NDJSON, **key})
    assert other.status_code == 422
    assert other.json()["type"].endswith("invalid-body")
    assert create(http, body)["id"] != first["id"]


def test_lines_that_are_no_items_refuse_the_whole_with_their_numbers(http: httpx2.Client) -> None:
    before = {one["id"] for one in http.get("/v1/batches", params={"limit": 100}).json()["data"]}
    body = lines([row(1)]) + b"{broken\n\n" + lines([{"id": 1}, row(2)]) + b"\xff\n"
    reply = http.post("/v1/batches", content=body, headers=NDJSON)
    assert reply.status_code == 422
    assert [error["line"] for error in reply.json()["errors"]] == [2, 4, 6]
    assert "line 2" in reply.json()["detail"]
    after = {one["id"] for one in http.get("/v1/batches", params={"limit": 100}).json()["data"]}
    assert after == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [], "input_file_id": "file_x"},
        {"items": [{"id": 1}]},
        {"input_file_id": "file_x", "completion_window": "soon"},
        {"items": [{"response": "x"}], "completion_window": "31d"},
        {"unknown": 1},
    ],
)
def test_batches_that_are_none(http: httpx2.Client, body: dict[str, Any]) -> None:
    reply = http.post("/v1/batches", json=body)
    assert reply.status_code in (404, 422)
    assert reply.headers["content-type"] == "application/problem+json"


def test_no_such_batch_or_cursor(http: httpx2.Client) -> None:
    for path in ("/v1/batches/batch_no", "/v1/batches/batch_no/results"):
        assert http.get(path).status_code == 404
    assert http.post("/v1/batches/batch_no/cancel").status_code == 404
    batch = create(http, lines([row(1)]))["id"]
    for query in ({"cursor": "x"}, {"order": "random"}, {"cursor": "i1"}):
        assert http.get(f"/v1/batches/{batch}/results", params=query).status_code == 422
    assert http.get(f"/v1/batches/{batch}", params={"wait": "long"}).status_code == 422


def test_cancelling_keeps_what_was_scored_and_ends(http: httpx2.Client) -> None:
    slow = {"data_source": "table__hitab", "ground_truth": "1"}
    batch = create(
        http, lines([{**slow, "id": n, "response": f"{n} \\boxed{{{n}}}" * 200} for n in range(6_000)])
    )["id"]
    cancelled = http.post(f"/v1/batches/{batch}/cancel").json()
    assert cancelled["status"] in ("cancelled", "completed")
    found = results(http, batch)
    assert [result["id"] for result in found] == list(range(6_000))
    counts = http.get(f"/v1/batches/{batch}").json()["request_counts"]
    assert counts["completed"] == sum(result["score"] is not None for result in found)
    unjudged = [result for result in found if result["score"] is None]
    assert {result["reason"] for result in unjudged} <= {"deadline"}
    assert cancelled["status"] == "completed" or unjudged
    assert http.post(f"/v1/batches/{batch}/cancel").json()["status"] == cancelled["status"]


def test_the_example_of_the_document_works_when_pasted(http: httpx2.Client) -> None:
    operation = http.get("/openapi.json").json()["paths"]["/v1/batches"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    batch = http.post("/v1/batches", json=example).json()
    assert [result["score"] for result in results(http, batch["id"])] == [1.0]


# Files


def test_a_file_is_uploaded_listed_read_used_and_deleted(http: httpx2.Client) -> None:
    body = lines([row(n) for n in range(20)])
    reply = http.post("/v1/files", content=body, headers=NDJSON, params={"filename": "dump.jsonl"})
    assert reply.status_code == 201, reply.text
    file = reply.json()
    assert (file["bytes"], file["filename"], file["object"]) == (len(body), "dump.jsonl", "file")
    assert http.get(f"/v1/files/{file['id']}").json() == file
    assert file in http.get("/v1/files").json()["data"]
    assert http.get(f"/v1/files/{file['id']}/content").content == body
    batch = http.post("/v1/batches", json={"input_file_id": file["id"]}).json()["id"]
    assert [result["score"] for result in results(http, batch)] == [1.0] * 20
    assert http.delete(f"/v1/files/{file['id']}").json()["deleted"] is True
    assert http.get(f"/v1/files/{file['id']}").status_code == 404
    assert http.post("/v1/batches", json={"input_file_id": file["id"]}).status_code == 404


def test_files_come_compressed_and_as_parquet(http: httpx2.Client) -> None:
    rows = [row(n) for n in range(10)]
    packed = http.post(
        "/v1/files", content=gzip.compress(lines(rows)), headers={**NDJSON, "content-encoding": "gzip"}
    ).json()
    assert http.get(f"/v1/files/{packed['id']}/content").content == lines(rows)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    kind = {"content-type": "application/octet-stream"}
    file = http.post("/v1/files", content=buffer.getvalue(), headers=kind).json()
    batch = http.post("/v1/batches", json={"input_file_id": file["id"]}).json()["id"]
    assert [result["score"] for result in results(http, batch)] == [1.0] * 10
    broken = http.post("/v1/files", content=buffer.getvalue()[:200], headers=kind)
    assert broken.status_code == 422


def test_refused_files(http: httpx2.Client) -> None:
    assert http.post("/v1/files", content=b"", headers=NDJSON).status_code == 422
    assert http.post("/v1/files", files={"file": b"x"}).status_code == 415
    for name in ("file_x", "../../etc/passwd", "file_" + "0" * 24):
        assert http.get(f"/v1/files/{name}").status_code == 404

"""One request for each limit of `shared/reference/security.md`, §6: it is refused or judged, costs little, and harms nobody.

Each goes to every route that reads JSON: an item, a batch, a line of NDJSON, an explanation, a dialect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.load.measure import service

ITEM = {"data_source": "logic__graph", "response": "<answer>a</answer>", "ground_truth": "a"}
MIB = 1 << 20
GROWTH = 256 * MIB
"""Resident memory that one request may take at its worst, over what the service has at rest."""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[httpx2.Client, int]]:
    """A service with the limits that it ships with; its client and process id."""
    with (
        service("reward_service.registry:load", processes="1", sandbox="none") as (url, pid),
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        yield client, pid


def peak(pid: int) -> int:
    """The most resident bytes since `reset`."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


def reset(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def item_with(gold: str, response: str = '"<answer>a</answer>"') -> bytes:
    """An item as JSON text, with a ground truth (and a response) as JSON text."""
    return f'{{"data_source": "logic__graph", "response": {response}, "ground_truth": {gold}}}'.encode(
        "utf-8", "surrogatepass"
    )


ROUTES = {
    "item": ("/v1/score", lambda item: item),
    "batch": ("/v1/score/batch", lambda item: b'{"items": [' + item + b"]}"),
    "line": ("/v1/score/batch", lambda item: item + b"\n"),
    "explain": ("/v1/explain", lambda item: b'{"item": ' + item + b"}"),
    "openrlhf": (
        "/openrlhf",
        lambda item: b'{"query": ["p<answer>a</answer>"], "prompts": ["p"], "labels": [' + item + b"]}",
    ),
    "nemo_gym": (
        "/verify",
        lambda item: (
            b'{"responses_create_params": {"input": []}, "response": {"output": []}, "verifier_metadata": '
            + item
            + b"}"
        ),
    ),
}
CASES: dict[str, tuple[bytes, set[int]]] = {
    "depth 10^5": (item_with("[" * 100_000 + "]" * 100_000), {400}),
    "depth 150": (item_with("[" * 150 + "]" * 150), {200, 400}),
    "an integer of 10^5 digits": (item_with("9" * 100_000), {400}),
    "an integer of 4,400 digits": (item_with("9" * 4_400), {400}),
    "an integer of 4,000 digits": (item_with("9" * 4_000), {200}),
    "NaN": (item_with("NaN"), {200, 400}),
    "-Infinity": (item_with("-Infinity"), {200, 400}),
    "1e400": (item_with("1e400"), {200, 400}),
    "a lone surrogate, escaped": (item_with('"\\ud800"', '"<answer>\\udfff</answer>"'), {200, 400}),
    "a lone surrogate, raw": (item_with('"\ud800"'), {200, 400}),
    "NUL": (item_with('"\\u0000"', '"<answer>\\u0000a</answer>"'), {200}),
    "10 million empty lists": (item_with("[" + "[]," * 10_000_000 + "[]]"), {413}),
    "2 million keys": (item_with("{" + ",".join(f'"k{place}":0' for place in range(2_000_000)) + "}"), {413}),
    "200 MB in a string": (item_with('"a"', '"' + "x" * 200_000_000 + '"'), {413}),
    "an unclosed string of 8 MB of quotes": (item_with('"' + '\\"' * 4_000_000), {400, 413}),
}


def results(reply: httpx2.Response) -> list[dict[str, Any]]:
    """What was answered for each item, whatever the route."""
    if reply.headers["content-type"].startswith("application/x-ndjson"):
        return [json.loads(line) for line in reply.text.splitlines()]
    body = reply.json()
    return body.get("results", [body]) if isinstance(body, dict) else []


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("case", CASES)
def test_one_request(served: tuple[httpx2.Client, int], route: str, case: str) -> None:
    client, pid = served
    body, statuses = CASES[case]
    path, wrap = ROUTES[route]
    kind = "application/x-ndjson" if route == "line" else "application/json"
    reset(pid)
    before = peak(pid)
    reply = client.post(path, content=wrap(body), headers={"content-type": kind})
    assert peak(pid) - before < GROWTH
    if route == "line":  # what the others refuse is a result in its place here
        assert reply.status_code == 200
        (result,) = results(reply)
        assert (result["status"] == "error") is (result["score"] is None)
        if 200 not in statuses:
            assert (result["reason"], result["score"]) == ("malformed_item", None)
        return
    # A route may know better why it refuses an item than that it is deep, long or many; it never crashes.
    assert reply.status_code in statuses | {413, 422}, reply.text[:300]
    for result in results(reply) if reply.status_code == 200 else []:
        assert result.get("correct") is not True
        assert result.get("reason") != "internal"
    assert client.get("/healthz").status_code == 200


def test_of_two_values_of_one_key_the_last_counts(served: tuple[httpx2.Client, int]) -> None:
    """As every JSON parser of the trainers reads it; two readings would be two verdicts."""
    body = b'{"data_source": "logic__graph", "response": "<answer>a</answer>", "response": "<answer>b</answer>", "ground_truth": "a"}'
    client, _ = served
    for path, sent in (("/v1/score", body), ("/v1/score/batch", b'{"items": [' + body + b"]}")):
        (result,) = results(client.post(path, content=sent))
        assert (result["extracted"], result["score"]) == ("b", 0.0)


@pytest.mark.parametrize("items", [1_025, 200_000, 500_000])
def test_too_many_items(served: tuple[httpx2.Client, int], items: int) -> None:
    client, pid = served
    reset(pid)
    before = peak(pid)
    reply = client.post(
        "/v1/score/batch", content=b'{"items": [' + b",".join([b'{"response":""}'] * items) + b"]}"
    )
    assert (reply.status_code == 413 and "1024" in reply.json()["detail"]) or "objects" in reply.json()[
        "detail"
    ]
    assert peak(pid) - before < GROWTH


def test_numbers_that_are_none_are_never_an_answer(served: tuple[httpx2.Client, int]) -> None:
    client, _ = served
    for gold in ("NaN", "Infinity", "-Infinity", "1e400"):
        for source in ("table__hitab", "math", "stem__web", "simulation__codeio"):
            body = json.dumps(
                {
                    "data_source": source,
                    "response": f"\\boxed{{{gold}}} <answer>{gold}</answer>",
                    "ground_truth": 0,
                }
            )
            reply = client.post(
                "/v1/score", content=body.replace('"ground_truth": 0', f'"ground_truth": {gold}')
            )
            assert reply.status_code == 400 or reply.json()["correct"] is not True, (source, gold)


def test_a_long_line_is_read_once(served: tuple[httpx2.Client, int]) -> None:
    """It comes in thousands of pieces; searched again with each one, 200 MB took thirty seconds of the event loop."""
    client, pid = served
    reset(pid)
    before = peak(pid)

    def pieces() -> Iterator[bytes]:
        for _ in range(1_600):
            yield b"x" * (1 << 16)
        yield b"\n" + json.dumps(ITEM).encode()

    reply = client.post("/v1/score/batch", content=pieces(), headers={"content-type": "application/x-ndjson"})
    long, item = results(reply)
    assert (long["reason"], item["score"]) == ("malformed_item", 1.0)
    assert peak(pid) - before < 128 * MIB

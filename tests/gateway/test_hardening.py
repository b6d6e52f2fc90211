"""What no answer, no web page and no log may do, whatever is sent."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from reward_service import keys
from reward_service.gateway.browsers import is_local
from reward_service.keys import Scope
from reward_service.logs import NOTE, Lines, Note, RequestLog
from reward_service.registry import load
from tests.gateway.quick import ITEM, quick
from tests.load.measure import free_port

# Headers


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/score", json.dumps(ITEM)),
        ("POST", "/v1/score", "{"),
        ("GET", "/v1/info", None),
        ("GET", "/metrics", None),
        ("GET", "/dashboard", None),
        ("GET", "/nothing", None),
        ("DELETE", "/v1/score", None),
        ("OPTIONS", "/v1/score", None),
    ],
)
def test_headers_of_every_answer(method: str, path: str, body: str | None) -> None:
    # OPTIONS with an origin is a browser that asks whether another origin may call: it is never told so.
    asks = {"origin": "http://testserver", "access-control-request-method": "POST"}
    reply = quick().request(method, path, content=body, headers=asks)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == ("no-cache" if path == "/dashboard" else "no-store")
    assert not {"server", "x-powered-by"} & set(reply.headers)
    assert not [name for name in reply.headers if name.startswith("access-control")]


# Web pages of others


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://proxy.example"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://testserver"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://testserver:8081"}, 403),
    ],
)
def test_a_page_of_another_origin_can_not_post(headers: dict[str, str], status: int) -> None:
    client = quick()
    # A form may send this type to any origin without being asked.
    sent = headers | {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/v1/score", content=json.dumps(ITEM), headers=sent).status_code == status
    assert client.get("/v1/info", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("a.localhost:1", True),
        ("[::1]:8080", True),
        ("10.1.2.3", True),
        ("box", True),
        ("evil.example", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example.", False),
        ("\xff", False),
        ("[", False),
    ],
)
def test_on_loopback_without_keys_only_this_machines_names_are_served(host: str, local: bool) -> None:
    assert is_local(host.encode("latin-1")) is local
    if "[" not in host and host.isascii():
        status = quick().get("/v1/info", headers={"host": host}).status_code
        assert status == (200 if local else 403)
        assert quick(auth="off").get("/v1/info", headers={"host": host}).status_code == 200


# No URL of a request is ever fetched


@pytest.fixture
def trap() -> Iterator[tuple[str, Any]]:
    """A URL, and a function that says whether anybody connected to it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def connected() -> bool:
            return bool(select.select([listener], [], [], 0)[0])

        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connected


def test_no_url_of_a_request_is_fetched(http: httpx2.Client, trap: tuple[str, Any]) -> None:
    url, connected = trap
    asked = {"url": url, "image_url": url, "judge_url": url, "callback_url": url, "base_url": url}
    items = []
    for handler in load().handlers.values():
        for source in handler.sources:
            name, example = source.name.replace("*", "example"), source.example
            extra = {**dict(example.extra_info), **asked}
            items += [
                {"data_source": name, "response": f"\\boxed{{{url}}} <answer>{url}</answer> ![x]({url})", "ground_truth": url, "extra_info": extra},
                {"data_source": name, "response": example.response, "ground_truth": example.ground_truth, "prompt": url, "extra_info": extra},
            ]  # fmt: skip
    headers = {
        "x-forwarded-host": url[7:],
        "forwarded": f"host={url[7:]}",
        "referer": url,
        "x-original-url": url,
    }
    for start in range(0, len(items), 60):
        reply = http.post("/v1/score/batch", json={"items": items[start : start + 60]}, headers=headers)
        assert reply.status_code == 200, reply.text[:300]
    bodies: dict[str, Any] = {
        "/v1/batches": {"input_file_id": url},
        "/openrlhf": {"query": [url], "prompts": [url], "labels": [url]},
        "/slime": {"prompt": url, "response": url, "label": url, **asked},
        "/verify": {
            "responses_create_params": {"input": url},
            "response": url,
            "expected_answer": url,
            **asked,
        },
        "/roll/submit": {"prompt": url, "response": url, "reward_info": url, **asked},
        "/llamafactory": {"model": url, "messages": [url]},
        "/submit": {"dataset": url, "id": url, "completion": url, "config": {"provided_data": asked}},
        "/get_prompts": {"dataset": url, "config": {"provided_data": asked}},
        "/run_code": {"code": url, "language": "python", "fetch_files": [url]},
        "/test_program": {"program": url, "tests": [url]},
    }
    for path, body in bodies.items():
        http.post(path, json=body, params={"data_source": url, "url": url})
    http.post("/v1/files", content=url.encode(), params={"filename": url})
    http.put(f"/v1/ground-truths/{url}", content=url.encode())
    assert not connected()


ROOT = Path(__file__).parents[2] / "reward_service"
PAIRS = {"engine/child.py", "engine/processes.py"}
"""They talk to their own children over a pair of sockets."""


def test_what_sees_requests_has_no_client_of_a_network() -> None:
    network = re.compile(
        r"^\s*(?:from|import) (?:httpx2?|requests|aiohttp|urllib\.request|urllib3|http\.client|socket|docker)\b",
        re.M,
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for layer in ("handlers", "gateway", "engine", "health")
        for path in (ROOT / layer).rglob("*.py")
        if network.search(path.read_text())
    }
    assert found == PAIRS


# Logs


def test_no_secret_and_no_response_reaches_the_log(tmp_path: Path) -> None:
    secret, key = keys.make("trainer", [Scope.SCORE, Scope.BATCH], items_per_minute=50)
    keys.write(tmp_path / "keys.json", [key])
    wrong = keys.PREFIX + "w" * keys.LENGTH
    planted = {
        "REWARD_SERVICE_JUDGE_API_KEY": "planted-judge-key",
        "REWARD_SERVICE_REDIS_PASSWORD": "planted-redis-password",
        "REWARD_SERVICE_CACHE_REDIS_URL": "redis://user:planted-cache-password@127.0.0.1:9/0",
        "REWARD_SERVICE_JUDGE_URLS": "http://user:planted-url-password@127.0.0.1:9/v1",
        "REWARD_SERVICE_JUDGE_MODEL": "m",
        "REWARD_SERVICE_JUDGE_CANARY_SECONDS": "0",
        "REWARD_SERVICE_KEYS_FILE": str(tmp_path / "keys.json"),
        "REWARD_SERVICE_LOG_LEVEL": "debug",
        "REWARD_SERVICE_LOG_REQUESTS": "all",
        "REWARD_SERVICE_LOG_FORMAT": "json",
        "REWARD_SERVICE_SANDBOX": "none",
        "REWARD_SERVICE_PROCESSES": "1",
        "REWARD_SERVICE_SPARE_PROCESSES": "0",
    }
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "reward_service.cli", "serve", "--port", str(port)],
            env=os.environ | planted,
            stdout=log,
            stderr=log,
        )
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                until = time.monotonic() + 60
                while True:
                    try:
                        assert "server" not in client.get("/healthz").headers
                        break
                    except httpx2.TransportError:
                        assert process.poll() is None and time.monotonic() < until
                        time.sleep(0.1)
                item = {
                    "data_source": "stem__web",
                    "response": "canary-response \\boxed{canary-answer}",
                    "ground_truth": "canary-truth",
                    "extra_info": {"question": "canary-question"},
                }
                good, bad = {"authorization": f"Bearer {secret}"}, {"x-api-key": wrong}
                for headers in (good, bad, {"authorization": f"Basic {secret}"}):
                    client.post("/v1/score", json=item, headers=headers)
                    client.post("/v1/score/batch", json={"items": [item] * 60}, headers=headers)
                    client.post("/v1/score", content='{"response": "canary-response', headers=headers)
                    client.post("/v1/batches", json={"items": [item]}, headers=headers)
                    client.get(f"/canary-path/{secret}?key={secret}", headers=headers)
                    client.get("/v1/info", headers=headers | {"x-request-id": secret})
        finally:
            process.terminate()
            process.wait(30)
    text = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["logger"] == "reward_service.requests"]
    assert {line["status"] for line in requests} >= {200, 400, 401, 404, 413}
    assert {line.get("key") for line in requests if line["status"] == 200} >= {"trainer"}
    assert all(line["request_id"] for line in requests)
    for word in (secret, secret[4:], wrong, "planted", "canary"):
        assert word not in text, [line for line in text.splitlines() if word in line][:3]


def record(message: str, error: BaseException | None = None, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        "n", logging.WARNING, "f", 1, message, (), error and (type(error), error, error.__traceback__)
    )
    vars(made).update(fields)
    return made


def test_a_line_can_not_be_forged_and_a_key_is_masked() -> None:
    secret, _ = keys.make("a", [Scope.SCORE])
    message = f"a\n2026 ERROR forged\x1b[2J {secret} redis://u:p@h/0 Bearer abc"
    for lines in (Lines(), Lines(as_json=True)):
        text = lines.format(record(message, request_id="id", key="a\nb"))
        assert len(text.splitlines()) == 1
        assert secret not in text and "u:p" not in text and "abc" not in text and "\x1b" not in text
    assert len(Lines().format(record("x" * 10_000))) < 2_200


def test_an_exception_is_logged_without_its_text_unless_debugging() -> None:
    try:
        try:
            raise ValueError("the policy wrote this")
        except ValueError as inner:
            raise KeyError("and this") from inner
    except KeyError as error:
        made = record("failed", error)
    for lines in (Lines(), Lines(as_json=True)):
        text = lines.format(made)
        assert "builtins.KeyError" in text and "builtins.ValueError" in text and "test_hardening.py" in text
        assert "policy" not in text.replace("raise ValueError", "") or "wrote this" in text
    assert "the policy wrote this" in Lines(quote=True).format(made)


def test_lines_within_a_request_carry_its_id() -> None:
    token = NOTE.set(Note("abc"))
    try:
        assert " request_id=abc" in Lines().format(record("m"))
        assert json.loads(Lines(as_json=True).format(record("m")))["request_id"] == "abc"
    finally:
        NOTE.reset(token)


def test_refusals_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    lines = RequestLog("failed")
    assert not lines.wants(200) and lines.wants(404)
    with caplog.at_level(logging.INFO, "reward_service.requests"):
        for _ in range(1_000):
            lines.add(Note("i"), "POST", "/v1/score", 429, 0.001)
        assert len(caplog.records) < 60
        lines._credit = 1.0
        lines.add(Note("i"), "POST", "/v1/score", 429, 0.001)
    assert caplog.records[-1].left_out > 900  # type: ignore[attr-defined]
    assert RequestLog("all").wants(200) and not RequestLog("none").wants(500)


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b"[" * 5_000, b"1" * 5_000])
def test_uploaded_json_is_json(body: bytes) -> None:
    import hashlib

    path = f"/v1/ground-truths/{hashlib.sha256(body).hexdigest()}"
    reply = quick().put(path, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400

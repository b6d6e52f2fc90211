"""`python -m tests.load.fuzz --bodies 100000`: broken bodies of every route and dialect, against a live service.

What is decided here: the seeds are real bodies (what trainers' own clients sent, the examples of the API, rows of every handler), and each
body is made from its number alone, so that a finding can be made again. A finding is an answer of 500, an answer that is
no JSON where it says so, a score beside an error, `internal`, a connection that breaks, or a service that is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import gzip
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import zstandard

from reward_service.registry import load
from tests.load.measure import rss, service

FIXTURES = Path(__file__).parents[1] / "gateway" / "fixtures"
EXPECTED_5XX = {503, 504, 507}
"""Documented: not ready; nothing can run programs here, as a client of SandboxFusion is told to come again; no room."""
LIMITS = {
    "max_body_bytes": str(1 << 20),
    "max_decoded_bytes": str(4 << 20),
    "files_bytes": str(64 << 20),
    "max_items": "300",
}
JSON, NDJSON = "application/json", "application/x-ndjson"


@dataclass(frozen=True)
class Seed:
    """A request that is fine."""

    method: str
    path: str
    body: bytes
    kind: str = JSON


def seeds() -> list[Seed]:
    """Real requests of every route that reads a body."""
    found: dict[tuple[str, bytes], Seed] = {}

    def add(path: str, body: Any, kind: str = JSON, method: str = "POST") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        found.setdefault((path, data), Seed(method, path, data, kind))

    for file in sorted(FIXTURES.glob("*.json")):
        for exchanges in json.loads(file.read_text()).values():
            for one in exchanges:
                if one["method"] == "POST":
                    body = one["body"]
                    add(one["path"], body.encode() if isinstance(body, str) else body)
    rows = []
    for handler in load().handlers.values():
        for source in handler.sources:
            example = source.example
            row = {
                "id": source.name,
                "data_source": source.name.replace("*", "x"),
                "response": example.response,
                "ground_truth": example.ground_truth,
                "extra_info": dict(example.extra_info),
            }
            rows.append(row)
            add("/v1/score", row)
            add("/v1/explain", {"item": row})
            label = {key: row[key] for key in ("data_source", "ground_truth", "extra_info")}
            add("/openrlhf", {"query": ["p" + example.response], "prompts": ["p"], "labels": [label]})
            add("/slime", {"prompt": "p", "response": example.response, "label": label})
            add(
                "/llamafactory",
                {
                    "model": "m",
                    "messages": [json.dumps({"prompt": "p", "response": example.response, **label})],
                },
            )
    for start in range(0, len(rows), 8):
        add("/v1/score/batch", {"items": rows[start : start + 8]})
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows[start : start + 8])
        add("/v1/score/batch", lines, NDJSON)
        add("/v1/batches", lines, NDJSON)
        add("/v1/files", lines, NDJSON)
    add("/v1/batches", {"items": rows[:3], "completion_window": "1m", "metadata": {"a": "b"}})
    add("/v1/run", {"language": "python", "program": "print(1)", "inputs": [""]})
    add("/v1/ground-truths/" + "0" * 64, b'{"a": 1}', JSON, "PUT")
    add("/roll/submit", {"prompt": "p", "response": "r", "ground_truth": "8", "data_source": "logic__graph"})
    for path in (
        "/seed_session",
        "/close_session",
        "/aggregate_metrics",
        "/run_jupyter",
        "/list_ids",
        "/get_metrics",
        "/get_metrics_function",
    ):
        add(path, {})
    return list(found.values())


HARD: list[Any] = [
    None, True, False, 0, -1, 1e308, -0.0, 10**4_000, -(2**63), 2**64, "", " ", "0", "null", "NaN", "\0", "\x1b[2J", "\u202e", "\ud800",
    "𝟙", "ſ", "ﬀ", "İ", "x" * 70_000, "(" * 5_000, "{" * 5_000, "\\boxed{" * 2_000, "<answer>" * 2_000, "<think>", "</think>", "```",
    "```json\n[", "<answer></answer>", "\\boxed{}", "9" * 5_000, "2^" * 500 + "2", "1/0", "10**10**10", "__import__('os')", "${7*7}",
    "{{7*7}}", "%s%n", "../../etc/passwd", "http://169.254.169.254/", "'; DROP TABLE x; --", "H4sIAAAAAAAA", "a" * 64, [], {}, [[]], [None], {"": None},
    {"compressed": "H4sI"}, {"ground_truth": {"ground_truth": {}}}, {"__proto__": {}}, {"functional": "def f(): pass"}, {"inputs": ["1"], "outputs": [1]},
    [1] * 3_000, [[0] * 100] * 100, {str(place): place for place in range(1_000)},
]  # fmt: skip
TOKENS = [
    b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b"\\ud800", b"\\u0000", b"\xff", b"\xed\xa0\x80", b"\0", b'"', b"\\", b"{", b"}", b"[" * 300,
    b"]", b",", b":", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"null", b'{"a":', b"/*", b"'", b"0x10", b"-", b"\n\n\n", b"[" * 20_000,
]  # fmt: skip
NAMES = [
    "response", "solution_str", "ground_truth", "data_source", "extra_info", "reward_model", "prompt", "id", "profile", "items", "domain",
    "ground_truth_ref", "run_id", "group_id", "labels", "query", "messages", "",
]  # fmt: skip
QUERY = {"deadline_seconds": ["0.001", "-1", "nan", "1e9", "x"], "fallback": ["nan", "1e999", "x", "-1"], "profile": ["guru", "no"],
         "data_source": ["math", "*", "\0", "x" * 5_000], "completion_window": ["0s", "9999999d", "x"], "wait": ["x", "-1"]}  # fmt: skip


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from nodes(one, (*path, key))


def mutate_value(value: Any, rng: random.Random) -> Any:
    """The JSON value with something in it changed."""
    value = copy.deepcopy(value)
    paths = [path for path in nodes(value) if path]
    if not paths:
        return rng.choice(HARD)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        *above, key = rng.choice(paths)
        holder = value
        try:
            for step in above:
                holder = holder[step]
            old = holder[key]
            match rng.randrange(9):
                case 0 | 1 | 2:
                    holder[key] = copy.deepcopy(rng.choice(HARD))
                case 3:
                    del holder[key]
                case 4:
                    holder[key] = json.dumps(old) if rng.random() < 0.5 else [old]
                case 5 if isinstance(old, str):
                    at = rng.randrange(len(old) + 1)
                    holder[key] = old[:at] + str(rng.choice(HARD))[:5_000] + old[at:]
                case 6 if isinstance(holder, dict):
                    holder[rng.choice(NAMES)] = holder.pop(key)
                case 7 if isinstance(old, list | str):
                    holder[key] = old * rng.choice((0, 2, 50))
                case _:
                    other = rng.choice(paths)
                    inner = value
                    for step in other:
                        inner = inner[step]
                    holder[key] = copy.deepcopy(inner)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            continue  # an earlier change took that place away
    return value


def mutate_bytes(body: bytes, rng: random.Random) -> bytes:
    """The text with something in it changed."""
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(5):
            case 0:
                body = body[:at] + rng.choice(TOKENS) + body[at:]
            case 1:
                body = body[:at] + body[at + rng.randrange(1, 40) :]
            case 2:
                body = body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
            case 3:
                body = body[:at]
            case _:
                other = rng.randrange(len(body) + 1)
                body = body[:at] + body[other : other + rng.randrange(200)] + body[at:]
    return body


@dataclass(frozen=True)
class Shot:
    """One request of the fuzzer."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


def shot(seed: int, number: int, of: list[Seed]) -> Shot:
    """The request with this number: always the same."""
    rng = random.Random(f"{seed}-{number}")
    base = rng.choice(of)
    body = base.body
    if rng.random() < 0.75:
        try:
            if base.kind == NDJSON:
                lines = body.splitlines()
                place = rng.randrange(len(lines))
                lines[place] = dumped(mutate_value(json.loads(lines[place]), rng))
                body = b"\n".join(lines)
            else:
                body = dumped(mutate_value(json.loads(body), rng))
        except ValueError:
            body = mutate_bytes(body, rng)
    if rng.random() < 0.35:
        body = mutate_bytes(body, rng)
    headers = {"content-type": base.kind}
    if rng.random() < 0.08:
        headers["content-type"] = rng.choice(
            (NDJSON, JSON, "text/plain", "application/octet-stream", "", "a/b;c=d", "multipart/form-data")
        )
    if rng.random() < 0.12:
        name = rng.choice(("gzip", "zstd", "br", "identity", "gzip, zstd"))
        headers["content-encoding"] = name
        if rng.random() < 0.8:
            body = (
                gzip.compress(body, 1)
                if name == "gzip"
                else zstandard.ZstdCompressor(1).compress(body)
                if name == "zstd"
                else body
            )
            body = mutate_bytes(body, rng) if rng.random() < 0.4 else body
    url = urlsplit(base.path)
    query = {**dict(parse_qsl(url.query)), "deadline_seconds": "2"}
    if rng.random() < 0.08:
        name = rng.choice(list(QUERY))
        query[name] = rng.choice(QUERY[name])
    return Shot(base.method, f"{url.path}?{urlencode(query)}", body, headers)


def dumped(value: Any) -> bytes:
    """JSON text; half of a surrogate pair stays, escaped."""
    return json.dumps(value, ensure_ascii=True).encode()


@dataclass
class Report:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest: tuple[float, int, str] = (0.0, -1, "")
    peak: int = 0
    patient: int = 0
    """Answers that were not waited for: a dialect waits for a sandbox (there is none here) until its client would give up."""


def complaint(reply: httpx2.Response) -> str:
    """What is wrong with an answer; "" if nothing is."""
    if reply.status_code >= 500 and reply.status_code not in EXPECTED_5XX:
        return f"status {reply.status_code}: {reply.text[:200]}"
    kind = reply.headers.get("content-type", "")
    lines = reply.text.split("\n") if kind.startswith(NDJSON) else [reply.text] if "json" in kind else []
    for line in filter(None, lines):
        try:
            body = json.loads(line, parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError) as error:
            return f"no JSON ({error}): {line[:200]}"
        for result in body.get("results", [body]) if isinstance(body, dict) else []:
            if not isinstance(result, dict) or not {"mask_sample", "status", "reason"} <= set(result):
                continue
            if (result["status"] == "error") is not (result["score"] is None):
                return f"a score beside an error: {line[:200]}"
            if result["reason"] == "internal":
                return f"internal: {line[:300]}"
    return ""


async def fire(url: str, pid: int, seed: int, numbers: range, clients: int = 16) -> Report:
    """Send the requests with these numbers; what came back."""
    of, report, queue = seeds(), Report(), iter(numbers)

    async def one(client: httpx2.AsyncClient) -> None:
        for number in queue:
            made = shot(seed, number, of)
            started = time.perf_counter()
            try:
                reply = await client.request(made.method, made.path, content=made.body, headers=made.headers)
            except httpx2.ReadTimeout as error:
                if made.path.startswith("/v1/"):
                    report.findings.append(f"{number} {made.path}: {type(error).__name__}")
                report.patient += 1
                continue
            except httpx2.HTTPError as error:
                report.findings.append(f"{number} {made.path}: {type(error).__name__} {error}")
                continue
            report.slowest = max(report.slowest, (time.perf_counter() - started, number, made.path))
            report.statuses[reply.status_code] += 1
            if wrong := complaint(reply):
                report.findings.append(f"{number} {made.path}: {wrong}")
            if number % 200 == 0:
                report.peak = max(report.peak, rss(pid))

    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))
        alive = await client.get("/readyz")
        if alive.status_code != 200:
            report.findings.append(f"not ready afterwards: {alive.text[:200]}")
    report.peak = max(report.peak, rss(pid))
    return report


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first number, to make a finding again")
    asked = parser.parse_args()
    with service(
        "reward_service.registry:load", processes="2", sandbox="none", log_level="error", **LIMITS
    ) as (url, pid):
        rest = rss(pid)
        started = time.perf_counter()
        report = asyncio.run(fire(url, pid, asked.seed, range(asked.first, asked.first + asked.bodies)))
        seconds = time.perf_counter() - started
    print(f"{asked.bodies:,} bodies in {seconds:,.0f} s; statuses {dict(sorted(report.statuses.items()))}")
    print(f"RSS at rest {rest >> 20} MB, at most {report.peak >> 20} MB; slowest {report.slowest}")
    for finding in report.findings[:50]:
        print("FINDING", finding)
    print(f"{report.patient} not waited for; {len(report.findings)} findings")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())

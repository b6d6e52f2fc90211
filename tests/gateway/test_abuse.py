"""Broken bodies, idle and slow connections, endless uploads: no 500, nobody else notices, memory stays where it is.

A short run in CI; at length with FAULT=1 (`make fault` takes this file, too), or by `python -m tests.load.fuzz` and `tests.load.connections`, whose figures
are in docs/abuse.md.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.load import connections, fuzz
from tests.load.measure import service

pytestmark = [pytest.mark.fault, pytest.mark.timeout(7200 if os.environ.get("FAULT") else 120)]


class Size(NamedTuple):
    """How much of it."""

    bodies: int
    connections: int
    body_bytes: int


SIZE = Size(100_000, 10_000, 1 << 30) if os.environ.get("FAULT") else Size(500, 400, 32 << 20)
MIB = 1 << 20


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, int]]:
    """A service with small limits, and its process id."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with service(
            "reward_service.registry:load", processes="2", sandbox="none", log_level="critical", **fuzz.LIMITS
        ) as found:
            yield found
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_f18_broken_bodies_of_every_route_and_dialect(
    served: tuple[str, int], record_property: Callable[[str, object], None]
) -> None:
    url, pid = served
    report = asyncio.run(fuzz.fire(url, pid, 1, range(SIZE.bodies)))
    record_property(
        "figures",
        f"{SIZE.bodies:,} broken bodies: {len(report.findings)} findings, at most {report.peak // MIB} MiB",
    )
    assert report.findings == []
    assert sum(report.statuses.values()) + report.patient == SIZE.bodies
    assert report.patient <= 2 + SIZE.bodies // 2_000
    # Neither all refused nor all taken: the bodies are broken in places that matter.
    assert (
        report.statuses[200] > SIZE.bodies // 10
        and report.statuses[400] + report.statuses[422] > SIZE.bodies // 10
    )
    assert report.peak < 700 * MIB


def test_the_fuzzer_repeats_itself_and_notices() -> None:
    of = fuzz.seeds()
    assert {seed.path.partition("?")[0] for seed in of} >= {
        "/v1/score",
        "/v1/score/batch",
        "/v1/batches",
        "/v1/files",
        "/v1/run",
        "/v1/explain",
        "/openrlhf",
        "/slime",
        "/verify",
        "/run_code",
        "/test_program",
        "/roll/submit",
        "/llamafactory",
        "/v1/ground-truths/" + "0" * 64,
    }
    assert [fuzz.shot(1, number, of) for number in range(50)] == [
        fuzz.shot(1, number, of) for number in range(50)
    ]
    for status, kind, text, wrong in (
        (500, "text/plain", "x", True),
        (503, "application/json", "{}", False),
        (200, "application/json", "NaN", True),
        (
            200,
            "application/json",
            '{"results": [{"status": "error", "score": 0.0, "reason": "deadline", "mask_sample": true}]}',
            True,
        ),
        (
            200,
            "application/x-ndjson",
            '{"status": "error", "score": null, "reason": "internal", "mask_sample": true}\n',
            True,
        ),
        (
            200,
            "application/x-ndjson",
            '{"status": "error", "score": null, "reason": "deadline", "mask_sample": true}\n',
            False,
        ),
    ):
        reply = fuzz.httpx2.Response(status, headers={"content-type": kind}, text=text)
        reply.headers["content-type"] = kind
        assert bool(fuzz.complaint(reply)) is wrong, text


@pytest.mark.parametrize(
    "sent", [b"", connections.HEAD[:40], connections.HEAD], ids=["silent", "half a head", "no body"]
)
def test_f13_connections_that_say_too_little(
    served: tuple[str, int], sent: bytes, record_property: Callable[[str, object], None]
) -> None:
    url, pid = served
    count = min(SIZE.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    seen = asyncio.run(connections.held(url, pid, count, sent, 30))
    record_property("figures", seen.words(f"{count:,} connections with {len(sent)} bytes of a request"))
    assert (seen.wrong, seen.honest) == (0, 30)
    assert seen.rss_peak - seen.rss_before < 64 * MIB + count * (64 << 10)


def test_f13_bodies_byte_by_byte(
    served: tuple[str, int], record_property: Callable[[str, object], None]
) -> None:
    url, pid = served
    seen = asyncio.run(connections.dripped(url, pid, SIZE.connections // 10, 2.0))
    record_property("figures", seen.words(f"{SIZE.connections // 10:,} bodies byte by byte"))
    assert seen.wrong == 0 and seen.honest >= 20
    assert seen.rss_peak - seen.rss_before < 64 * MIB


@pytest.mark.parametrize(
    ("path", "kind", "line", "statuses"),
    [
        ("/v1/score", "application/json", False, {413, 0}),
        ("/openrlhf", "application/json", False, {413, 0}),
        ("/v1/score/batch", "application/x-ndjson", False, {200}),
        ("/v1/score/batch", "application/x-ndjson", True, {200}),
        ("/v1/files", "application/x-ndjson", True, {201, 413, 507, 0}),
        ("/v1/batches", "application/x-ndjson", True, {422, 413, 507, 0}),
    ],
)
def test_f18_endless_uploads(
    served: tuple[str, int],
    path: str,
    kind: str,
    line: bool,
    statuses: set[int],
    record_property: Callable[[str, object], None],
) -> None:
    url, pid = served
    seen, status = asyncio.run(connections.poured(url, pid, path, SIZE.body_bytes, kind, line))
    shape = "lines" if line else "one line"
    record_property("figures", seen.words(f"{SIZE.body_bytes // MIB:,} MiB as {shape} to {path}: {status}"))
    assert status in statuses
    assert seen.wrong == 0 and seen.honest >= 10
    assert seen.rss_peak - seen.rss_before < 128 * MIB

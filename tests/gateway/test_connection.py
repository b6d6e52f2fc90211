"""Clients that go away: what they asked for is dropped, counted, and holds no place."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from reward_service.engine.scorer import Row, Scored
from reward_service.types import accept
from tests.gateway.conftest import live
from tests.gateway.quick import ITEM, quick

BODIES = {
    "/v1/score": ITEM,
    "/v1/score/batch": {"items": [ITEM] * 3},
    "/slime?data_source=s": {"prompt": "", "response": "", "label": "x"},
}


class Slow:
    """A scorer that takes half a minute, and knows what became of its calls."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.cancelled: list[int] = []

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        self.began.append(len(rows))
        try:
            await asyncio.sleep(0.3 if rows[0].response == "quick" else 30)
        except asyncio.CancelledError:
            self.cancelled.append(len(rows))
            raise
        return [Scored(accept("x"), "s", "d") for _ in rows]


@contextmanager
def slow() -> Iterator[tuple[Slow, str]]:
    scorer = Slow()
    with live(quick(scorer).app) as url:  # type: ignore[arg-type]
        yield scorer, url


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.fault
@pytest.mark.parametrize("path", BODIES)
def test_f14_work_for_a_client_that_went_away_is_dropped_and_counted(
    path: str, record_property: Callable[[str, object], None]
) -> None:
    with slow() as (scorer, url):
        body = json.dumps(BODIES[path]).encode()
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as client:
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            wait_for(lambda: scorer.began)
        left = time.monotonic()
        wait_for(lambda: scorer.cancelled)
        spent = time.monotonic() - left
        record_property("figures", f"{sum(scorer.began)} items dropped after {spent:.2f} s, and counted")
        assert scorer.cancelled == scorer.began
        wait_for(lambda: f"dropped_items_total {float(scorer.began[0])}" in httpx2.get(url + "/metrics").text)
        assert httpx2.get(url + "/v1/info").json()["items_in_flight"] == 0


def test_a_client_that_stays_gets_its_answer_and_its_connection_goes_on() -> None:
    with slow() as (scorer, url), httpx2.Client(base_url=url) as client:
        for _ in range(3):
            reply = client.post("/v1/score", json={**ITEM, "response": "quick"})  # longer than the first look
            assert reply.json()["score"] == 1.0
        assert not scorer.cancelled

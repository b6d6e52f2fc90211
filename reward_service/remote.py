"""A running service as the place where the command line scores.

What is decided here: when to try again, and when to stop. A service that is full, restarting or out of reach is
waited for (Retry-After if it says so, else exponential back-off with jitter), as long as some request got through
within the last `patience` seconds; then the run stops, with everything that is written kept. No failure of the
service ever becomes a score, and only what the service itself refuses for good becomes an error of one row: a
refused batch is halved until the row that is to blame stands alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx2
import zstandard

from reward_service import __version__
from reward_service.bulk import OUTCOME, Stopped
from reward_service.client.protocol import backoff, retry_after, trouble
from reward_service.types import Reason, cannot_judge
from reward_service.wire import ItemIn, encode, result

BUSY = frozenset({429, 502, 503, 504})
REFUSED = frozenset({400, 413, 422})
DEADLINE_SECONDS = 600.0
CONNECTIONS = 8
BODY_BYTES = 24 << 20
"""Bytes of a body before compression, below the service's default limit of 32 MiB."""
ATTEMPTS = 3
"""How often an item is sent whose result is an error that is worth a retry, and a batch that gets a 500."""
FIRST_PATIENCE = 30.0
"""Seconds to wait for a service that has never answered: one that starts needs a few, a wrong address for ever."""


NO_HEADERS: Mapping[str, str] = {}


class Patience:
    """When to ask again, and when to stop: `seconds` without any success, as above."""

    def __init__(
        self,
        url: str,
        seconds: float,
        say: Callable[[str], object],
        pause: Callable[[float], Awaitable[object]],
    ) -> None:
        self._url = url
        self._seconds = seconds
        self._say = say
        self._said = ""
        self._pause = pause
        self._answered = False
        self._last_success = time.monotonic()

    def begin(self) -> None:
        """Count from now."""
        self._last_success = time.monotonic()

    def succeeded(self) -> None:
        """The service did what it was asked for."""
        self._last_success = time.monotonic()
        self._answered, self._said = True, ""

    async def wait(self, problem: str, attempt: int, started: float, least: float = 0.0) -> None:
        """Pause before the next attempt at what was begun at `started`. Stopped when patience ends."""
        wait = max(backoff(attempt), least)
        silent = time.monotonic() - max(started, self._last_success)
        patience = self._seconds if self._answered else min(self._seconds, FIRST_PATIENCE)
        if silent + wait > patience:
            raise Stopped(f"{self._url}: {problem} (no success for {silent:.0f} s, {attempt} attempts)")
        if problem != self._said:
            self._said = problem
            self._say(f"waiting for {self._url}: {problem}")
        await self._pause(wait)


class Service:
    """Scores items at `url`. Use as `async with Service(url) as service`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience: float = 300.0,
        say: Callable[[str], object] = lambda _: None,
        transport: httpx2.AsyncBaseTransport | None = None,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """patience: see above, in seconds; say: called when something new is waited for."""
        self.url = url.rstrip("/")
        self.say = say
        self.patience = Patience(self.url, patience, say, pause)
        self.pause = pause
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self.client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(DEADLINE_SECONDS + 60.0, connect=10.0),
            limits=httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            headers={"user-agent": f"reward-service/{__version__}"}
            | ({"authorization": f"Bearer {api_key}"} if api_key else {}),
            transport=transport,
        )

    async def __aenter__(self) -> Service:
        self.patience.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        """One result per item, in their order. Stopped if the service can't be used (any more)."""
        async with self._slots:
            results = list(await self._score(items))
            for attempt in range(1, ATTEMPTS):
                again = [place for place, found in enumerate(results) if found["retryable"]]
                if not again:
                    break
                await self.pause(backoff(attempt))
                better = await self._score([items[place] for place in again])
                for place, found in zip(again, better, strict=True):
                    results[place] = found
            return results

    async def _score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        body = encode({"items": [wire_item(item) for item in items]})
        if len(body) <= BODY_BYTES or len(items) == 1:
            response = await self._post(zstandard.ZstdCompressor(level=1).compress(body))
            if response.status_code == 200:
                return self._results(response, len(items))
            if len(items) == 1:
                reason = Reason.INTERNAL if response.status_code == 500 else Reason.MALFORMED_ITEM
                error = cannot_judge(reason, f"the service refused the item: {said(response)}")
                # It was tried often enough: not to be sent again.
                return [{**result(error, 0, None), "retryable": False}]
        half = len(items) // 2
        return [*await self._score(items[:half]), *await self._score(items[half:])]

    async def _post(self, body: bytes) -> httpx2.Response:
        headers = {"content-type": "application/json", "content-encoding": "zstd"}
        path = f"/v1/score/batch?deadline_seconds={DEADLINE_SECONDS:.0f}"
        return await self.ask("POST", path, lambda: body, headers)

    async def ask(
        self,
        method: str,
        path: str,
        content: Callable[[], bytes | AsyncIterator[bytes] | None] = lambda: None,
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        final: frozenset[int] = REFUSED,
    ) -> httpx2.Response:
        """The answer: 200, or what the service refuses for good (`final`, or 500 again and again).

        content: makes the body, once for every attempt. Stopped when patience ends, or at any other answer.
        """
        started = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            least = 0.0
            try:
                response = await self.client.request(
                    method, self.url + path, content=content(), headers=dict(headers)
                )
            except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
                raise Stopped(f"{self.url}: {error}") from None
            except httpx2.TransportError as error:
                problem = trouble(error)
            else:
                status = response.status_code
                if status == 200 or status in final or (status == 500 and attempt >= ATTEMPTS):
                    self.patience.succeeded()
                    return response
                problem = said(response)
                if status not in BUSY and status != 500:
                    raise Stopped(f"{self.url} can't be used: {problem}")
                least = retry_after(response.headers.get("retry-after"))
            await self.patience.wait(problem, attempt, started, least)

    def _results(self, response: httpx2.Response, count: int) -> list[dict[str, Any]]:
        try:
            results: list[dict[str, Any]] = json.loads(response.content)["results"]
            whole = len(results) == count and all(map(sound, results))
        except (ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise Stopped(f"{self.url}: the answer is no batch of {count} results; is it this service?")
        return results


NEEDED = frozenset({*OUTCOME, "detail", "retryable", "cached", "verify_ms"})


def sound(found: Mapping[str, Any]) -> bool:
    """Is this a result that this version can read, and without a score beside an error?"""
    return found.keys() >= NEEDED and (found["status"] == "error") == (found["score"] is None)


def wire_item(item: ItemIn) -> dict[str, Any]:
    """What of a row is sent: the fields that can change its score, and no other column."""
    fields = {
        "data_source": item.data_source,
        "domain": item.domain,
        "ground_truth": item.gold(),
        "ground_truth_ref": item.ground_truth_ref,
        "prompt": item.prompt,
        "extra_info": item.extra_info,
        "profile": item.profile,
    }
    return {"response": item.response} | {name: value for name, value in fields.items() if value is not None}


def said(response: httpx2.Response) -> str:
    """The status, and the problem document's words if there is one."""
    try:
        problem = json.loads(response.content)
        words = f": {problem['title']}: {problem['detail']}"[:300]
    except (ValueError, KeyError, TypeError):
        words = ""
    return f"{response.status_code} {response.reason_phrase}{words}"

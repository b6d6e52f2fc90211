"""What the clients say to the service and make of its answers, without any input or output.

What is decided here: what is tried again, and what an outage looks like. A service that is full, restarting or out
of reach is asked again until the call's deadline; what is not scored by then is a `Reward` whose score is None with
a reason, never a 0 and never an exception: a training step must be able to mask it. Only a mistake of the caller's
(a wrong URL, a key that is refused, a body that is no batch) raises `ClientError`.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic_core import to_json

from reward_service.types import REASONS, Reason, Status

CHUNK_ITEMS = 256
CHUNK_BYTES = 6 << 20
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may go through later."""
LONGEST_WAIT = 30.0
ITEM_ATTEMPTS = 3
"""How often an item is sent whose result is an error that is worth another try."""


class ClientError(Exception):
    """The call can't succeed as it is. `status` is the HTTP status, or None."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message, status)  # both, so that the exception can be pickled
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Reward:
    """What one item got. `score` is None exactly when the service could not judge it; then `reason` says why."""

    score: float | None
    status: Status
    reason: Reason
    correct: bool | None = None
    extracted: str | None = None
    flags: tuple[str, ...] = ()
    handler: str = ""
    version: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    cached: bool = False
    queue_ms: float = 0.0
    verify_ms: float = 0.0
    sandbox_ms: float = 0.0

    @property
    def valid(self) -> bool:
        """Was the response judged?"""
        return self.score is not None

    @property
    def retryable(self) -> bool:
        """Is the same item worth sending again?"""
        return self.status is Status.ERROR and REASONS[self.reason][1]


def unscored(reason: Reason, message: str) -> Reward:
    """No score, and why."""
    return Reward(None, Status.ERROR, reason, detail={"message": message})


@dataclass(slots=True)
class Chunk:
    """Items that travel together: their places in the call, and the body that carries them."""

    places: list[int]
    bodies: list[bytes]
    attempts: int = 0

    @property
    def content(self) -> bytes:
        """The JSON body."""
        return b'{"items":[' + b",".join(self.bodies) + b"]}"


def encode_item(item: Mapping[str, Any]) -> bytes:
    """One item as JSON. numpy's scalars and arrays become numbers and lists; non-finite numbers null."""
    try:
        return to_json(item, inf_nan_mode="null", fallback=_plain)
    except ValueError:
        # A lone surrogate has no UTF-8: JSON's escapes carry it.
        return json.dumps(item, default=_plain).encode("ascii")


def _plain(value: Any) -> Any:
    for method in ("tolist", "item", "_asdict"):
        if hasattr(value, method):
            return getattr(value, method)()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    return str(value)


def chunks(items: Sequence[Mapping[str, Any]], most: int = CHUNK_ITEMS) -> Iterator[Chunk]:
    """The items in their order, as few chunks as the limits allow, of about equal size."""
    size = -(-len(items) // max(1, -(-len(items) // most))) if items else 1
    chunk, held = Chunk([], []), 0
    for place, item in enumerate(items):
        body = encode_item(item)
        if chunk.places and (len(chunk.places) >= size or held + len(body) > CHUNK_BYTES):
            yield chunk
            chunk, held = Chunk([], []), 0
        chunk.places.append(place)
        chunk.bodies.append(body)
        held += len(body)
    if chunk.places:
        yield chunk


class Call:
    """One `score` call: what is still to be sent, and what each item has got so far."""

    def __init__(self, items: Sequence[Mapping[str, Any]], seconds: float, most: int = CHUNK_ITEMS) -> None:
        self._rewards: list[Reward | None] = [None] * len(items)
        self._item_attempts: dict[int, int] = {}
        self._until = time.monotonic() + seconds
        self.to_send = list(chunks(items, most))

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self._until - time.monotonic()

    @property
    def done(self) -> int:
        """Items that have their reward."""
        return sum(reward is not None for reward in self._rewards)

    def rewards(self) -> list[Reward]:
        """One reward per item, in their order."""
        return [reward or unscored(Reason.DEADLINE, "the call's deadline passed") for reward in self._rewards]

    def answered(
        self, chunk: Chunk, status: int, headers: Mapping[str, str], body: bytes
    ) -> tuple[list[Chunk], float]:
        """Take in an answer: the chunks to send (again), after so many seconds. ClientError if none can succeed."""
        chunk.attempts += 1
        if status == 200:
            return self._take(chunk, body)
        if status in (400, 413, 422):
            return self._refused(chunk, status, body)
        if status in BUSY:
            wait = max(self._pause(chunk.attempts), retry_after(headers.get("retry-after")))
            reason = Reason.OVERLOADED if status in (429, 503) else Reason.SERVICE_UNREACHABLE
            return self.later(chunk, reason, words(status, body), wait)
        raise ClientError(words(status, body), status)

    def failed(self, chunk: Chunk, message: str) -> tuple[list[Chunk], float]:
        """No answer came (connection refused, cut, timed out): likewise."""
        chunk.attempts += 1
        return self.later(chunk, Reason.SERVICE_UNREACHABLE, message, self._pause(chunk.attempts))

    def _pause(self, attempt: int) -> float:
        """The backoff, but never more than half of the time left: an outage that ends in time costs nothing."""
        return min(backoff(attempt), max(0.1, self.remaining / 2))

    def later(self, chunk: Chunk, reason: Reason, message: str, wait: float) -> tuple[list[Chunk], float]:
        """The chunk once more after `wait`, or no score for its items if the deadline comes first."""
        if wait < self.remaining:
            return [chunk], wait
        for place in chunk.places:
            if self._rewards[place] is None:
                self._rewards[place] = unscored(reason, message)
        return [], 0.0

    def _take(self, chunk: Chunk, body: bytes) -> tuple[list[Chunk], float]:
        try:
            found = [reward_from(result) for result in json.loads(body)["results"]]
        except (ValueError, KeyError, TypeError):
            found = []
        if len(found) != len(chunk.places):
            raise ClientError(
                "the answer is no batch of results; is there a reward service at this URL?", 200
            )
        again = Chunk([], [])
        for place, item, reward in zip(chunk.places, chunk.bodies, found, strict=True):
            self._rewards[place] = reward
            tries = self._item_attempts[place] = self._item_attempts.get(place, 0) + 1
            if reward.retryable and tries < ITEM_ATTEMPTS:
                again.places.append(place)
                again.bodies.append(item)
                again.attempts = tries
        if not again.places:
            return [], 0.0
        wait = self._pause(again.attempts)
        return ([again], wait) if wait < self.remaining else ([], 0.0)

    def _refused(self, chunk: Chunk, status: int, body: bytes) -> tuple[list[Chunk], float]:
        """Something in the chunk is unacceptable: halve it until the item that is to blame stands alone."""
        if len(chunk.places) == 1:
            self._rewards[chunk.places[0]] = unscored(Reason.MALFORMED_ITEM, words(status, body))
            return [], 0.0
        half = len(chunk.places) // 2
        return [
            Chunk(chunk.places[:half], chunk.bodies[:half]),
            Chunk(chunk.places[half:], chunk.bodies[half:]),
        ], 0.0


def reward_from(result: Mapping[str, Any]) -> Reward:
    """A result of the wire. ValueError or KeyError if it is none; a newer service's unknown reason is `internal`."""
    status = Status(result["status"])
    score = result["score"]
    if (status is Status.SCORED) != (type(score) is float or type(score) is int):
        raise ValueError("a score without a judgement")
    try:
        reason = Reason(result["reason"])
    except ValueError:
        reason = Reason.INTERNAL if status is Status.ERROR else Reason.NOT_EQUAL
    return Reward(
        None if score is None else float(score),
        status,
        reason,
        result.get("correct"),
        result.get("extracted"),
        tuple(result.get("flags", ())),
        result.get("handler", ""),
        result.get("version", ""),
        result.get("detail") or {},
        bool(result.get("cached")),
        float(result.get("queue_ms", 0.0)),
        float(result.get("verify_ms", 0.0)),
        float(result.get("sandbox_ms", 0.0)),
    )


class Lines:
    """The lines of a byte stream. They end at a line feed and nowhere else: the HTTP library's own end at U+2028 and form feeds
    as well, and a response may hold those. What has no end is not a line yet."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends and without blank ones."""
        *whole, last = (self._rest + data).split(b"\n")
        self._rest = last
        return [bytes(line) for line in whole if line.strip()]


def trouble(error: Exception) -> str:
    """What went wrong on the way, in words."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def backoff(attempt: int) -> float:
    """Seconds before the next attempt: half to one and a half of 0.5, 1, 2, 4 … 30."""
    return min(LONGEST_WAIT, 0.25 * 2.0 ** min(attempt, 16)) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret


def retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for (a number or an HTTP date), at most an hour; 0 without one."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(3600.0, max(0.0, seconds)) if seconds == seconds else 0.0


def words(status: int, body: bytes) -> str:
    """The status, and the problem document's words if there is one."""
    try:
        problem = json.loads(body)
        return f"{status} {problem['title']}: {problem['detail']}"[:300]
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {status}"

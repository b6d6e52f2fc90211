"""Batches: what state one can be in, what moves it on, and how fast it goes. Pure: no clock, no store.

What is decided here: the vocabulary and the transitions are OpenAI's. A batch is `validating` while its items
are being sent, and nobody works on it; sealing makes it exist (`in_progress`), wholly or not at all. It ends when
every item has a result. Cancelling and running out of time are ways to that end, not exceptions from it: what has
no result then gets one that says so (an error, never a score), and what has been scored is kept.

    validating ─┬─> in_progress ─┬─> finalizing ─┬─> completed
                └─> failed       │               └─> expired      (out of time: the rest is being settled)
                                 └─> cancelling ───> cancelled

All times are milliseconds of the store's clock, never of the process that looks: the two may differ by hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from reward_service.types import NOTHING, Outcome, Reason, cannot_judge

if TYPE_CHECKING:
    from reward_service.engine.records import Judged


class BatchStatus(StrEnum):
    """Where a batch is."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Will it never change again?"""
        return self in _TERMINAL


_TERMINAL = {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}


class Event(StrEnum):
    """What can happen to a batch."""

    SEAL = "seal"
    REJECT = "reject"
    CANCEL = "cancel"
    OVERDUE = "overdue"
    ALL_DONE = "all_done"


TRANSITIONS: Mapping[tuple[BatchStatus, Event], BatchStatus] = {
    (BatchStatus.VALIDATING, Event.SEAL): BatchStatus.IN_PROGRESS,
    (BatchStatus.VALIDATING, Event.REJECT): BatchStatus.FAILED,
    (BatchStatus.IN_PROGRESS, Event.CANCEL): BatchStatus.CANCELLING,
    (BatchStatus.IN_PROGRESS, Event.OVERDUE): BatchStatus.FINALIZING,
    (BatchStatus.IN_PROGRESS, Event.ALL_DONE): BatchStatus.COMPLETED,
    (BatchStatus.FINALIZING, Event.ALL_DONE): BatchStatus.EXPIRED,
    (BatchStatus.CANCELLING, Event.ALL_DONE): BatchStatus.CANCELLED,
}
"""The only moves. Anything else leaves the batch as it is: each may be asked for twice."""


def advance(status: BatchStatus, event: Event) -> BatchStatus:
    """The status after an event; the same where the event means nothing."""
    return TRANSITIONS.get((status, event), status)


@dataclass(frozen=True, slots=True)
class Spec:
    """A batch to be made. tenant: whose turn its chunks take (an API key's id, "" without keys).

    key, digest: the Idempotency-Key and the SHA-256 of the body, or "". window_seconds: from sealing to expiry;
    keep_seconds: how long results are kept afterwards. metadata: the sender's, small JSON.
    """

    id: str
    tenant: str = ""
    key: str = ""
    digest: str = ""
    window_seconds: float = 86_400.0
    keep_seconds: float = 7 * 86_400.0
    metadata: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


class Counts(NamedTuple):
    """Items: all, scored, and those that ended in an error (the vocabulary of `request_counts`)."""

    total: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Items with a result."""
        return self.completed + self.failed


class Mark(NamedTuple):
    """A moment, and how many items were done by then."""

    at: int
    done: int


NO_MARK = Mark(0, 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it was at `now`. Times in milliseconds; 0 for what has not happened.

    times: status -> when it was entered. chunks: how many; finished: how many of them have results. recent: a mark
    some seconds back, from which the rate is measured. errors: why validating failed.
    """

    spec: Spec
    status: BatchStatus
    counts: Counts
    chunks: int
    finished: int
    now: int
    created_at: int
    expires_at: int = 0
    times: Mapping[BatchStatus, int] = field(default_factory=dict)
    recent: Mark = NO_MARK
    errors: Sequence[Mapping[str, Any]] = ()

    @property
    def id(self) -> str:
        """Its name."""
        return self.spec.id


MARK_MS = 10_000
"""The rate is measured over the last one to two of these."""


class Progress(NamedTuple):
    """Items per second over the last seconds, and the seconds left at that rate (None while unknown)."""

    rate: float
    eta_seconds: float | None


def progress(batch: Batch) -> Progress:
    """How fast it goes, and how long it will take."""
    if batch.status.terminal or not batch.times.get(BatchStatus.IN_PROGRESS):
        return Progress(0.0, 0.0 if batch.status.terminal else None)
    start = batch.recent if batch.recent.at else Mark(batch.times[BatchStatus.IN_PROGRESS], 0)
    elapsed = max(0, batch.now - start.at) / 1e3
    rate = max(0, batch.counts.done - start.done) / elapsed if elapsed else 0.0
    left = batch.counts.total - batch.counts.done
    return Progress(rate, left / rate if rate > 0 else None)


@dataclass(frozen=True, slots=True)
class Marks:
    """Two marks that follow the counts, so that a rate of the last seconds can be told from any moment on."""

    older: Mark = NO_MARK
    newer: Mark = NO_MARK

    def moved(self, now: int, done: int) -> Marks:
        """The marks after items were done; a new one every MARK_MS."""
        if not self.newer.at:
            return Marks(Mark(now, done), Mark(now, done))
        return Marks(self.newer, Mark(now, done)) if now - self.newer.at >= MARK_MS else self


CLOSED = {
    BatchStatus.CANCELLING: "the batch was cancelled before the item was judged",
    BatchStatus.CANCELLED: "the batch was cancelled before the item was judged",
    BatchStatus.FINALIZING: "the batch ran out of time before the item was judged",
    BatchStatus.EXPIRED: "the batch ran out of time before the item was judged",
}


def unjudged(status: BatchStatus) -> Outcome:
    """The outcome of an item that a batch in this state ends without having judged."""
    return cannot_judge(Reason.DEADLINE, CLOSED[status], batch=status.value)


# Cursors


class Order(StrEnum):
    """How results are read: by place in the batch, or as they come."""

    INPUT = "input"
    COMPLETION = "completion"


class Cursor(NamedTuple):
    """Where reading goes on: the position of a chunk in that order, and the items of it already read."""

    order: Order
    chunk: int = 0
    item: int = 0

    def __str__(self) -> str:
        return f"{self.order.value[0]}{self.chunk}.{self.item}"


def parse_cursor(text: str) -> Cursor:
    """The cursor that `str` gave. ValueError for anything else."""
    order = {order.value[0]: order for order in Order}.get(text[:1])
    chunk, dot, item = text[1:].partition(".")
    digits = chunk + item
    if order is None or not dot or not (chunk and item and digits.isascii() and digits.isdigit()):
        raise ValueError("no cursor of ours")
    if len(digits) > 24:
        raise ValueError("no cursor of ours")
    return Cursor(order, int(chunk), int(item))


class Result(NamedTuple):
    """One item's result, where it stood in the batch, and the cursor behind it."""

    place: int
    id: str | int | None
    outcome: Outcome
    cursor: Cursor


def results_of(cursor: Cursor, first: int, judged: Sequence[Judged]) -> Iterator[Result]:
    """The results of the chunk that the cursor stands on, from its item on."""
    for place in range(cursor.item, len(judged)):
        last = place + 1 == len(judged)
        behind = Cursor(cursor.order, cursor.chunk + 1, 0) if last else cursor._replace(item=place + 1)
        yield Result(first + place, judged[place].id, judged[place].outcome, behind)

"""What the engine asks of the outside, as protocols. The contracts are in the docstrings; tests/contract
holds one suite per port, which every adapter must pass unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from reward_service.engine.batches import Batch, Spec
from reward_service.engine.quotas import Quota
from reward_service.runs import Program, Run, RunResult
from reward_service.types import Outcome


class Cache(Protocol):
    """Outcomes by fingerprint.

    A cache may forget at any time and must never invent: what `get_many` returns was put under exactly
    that key. Errors are never put. A cache that is down raises nothing: it has no hits and forgets writes.
    """

    async def get_many(self, keys: Sequence[bytes]) -> list[Outcome | None]:
        """The outcome for each key, in the order of the keys; None where there is none. One round trip."""
        ...

    async def put_many(self, outcomes: Mapping[bytes, Outcome]) -> None:
        """Store all of them in one write."""
        ...


class GroundTruths(Protocol):
    """Uploaded ground truths by the SHA-256 of their bytes (lower-case hex).

    Content-addressed, so a second `put` of the same digest changes nothing. May expire; then `get` says
    None and the sender uploads again.
    """

    async def put(self, digest: str, value: object, size: int) -> None:
        """Store a decoded ground truth; `size` is its bytes on the wire. Overloaded if it can't fit."""
        ...

    async def get(self, digest: str) -> object | None:
        """The decoded ground truth, or None."""
        ...


class Quotas(Protocol):
    """What each tenant has used of its quotas."""

    async def take(self, tenant: str, items: int, quotas: Sequence[Quota]) -> float:
        """Use up `items` of all the quotas and return 0; or of none, and return the seconds until there is room.

        No quota may be smaller than `items`.
        """
        ...


class Session(Protocol):
    """A lease on one place of a sandbox, for one program. Not for use by two tasks at once."""

    async def run(self, runs: Sequence[Run], *, stop_early: bool = True) -> list[RunResult]:
        """The results, in the order of the runs; with `stop_early` they end at the first that is not OK.

        Whatever the program does is a result. SandboxUnavailable if the sandbox failed, and never otherwise:
        then nothing is known about the program, and the lease is over.
        """
        ...


class Sandbox(Protocol):
    """Runs programs that nobody trusts, contained and within limits.

    Waiting for a free place never counts against a program's limits. A session leaves nothing behind that a
    later one could notice. Starting and stopping: as an asynchronous context manager.
    """

    def session(self, program: Program) -> AbstractAsyncContextManager[Session]:
        """Wait for a free place and hold it. SandboxUnavailable if there can't be one."""
        ...

    def languages(self) -> Sequence[str]:
        """The languages that it can run, by their canonical names."""
        ...


class Lane(StrEnum):
    """What kind of work a chunk is. Live work goes first; batches always keep a share (`engine/worker.py`)."""

    LIVE = "live"
    BATCH = "batch"


class Chunk(NamedTuple):
    """Items of a batch as they are queued: how many, and their bytes (`records.cut`)."""

    items: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Lease:
    """A chunk that this process holds, until it commits or releases it or is not heard of for the lease's time.

    job: the batch, or the call. first: place in the batch of its first item. seconds: until the job's deadline,
    when it was handed out. deliveries: 1 the first time. token: the queue's own name for it. suspect: the place of
    the item that an earlier holder was on when it died (None: nothing was noted), and strikes: how often each place
    was that. reply: where the answer of a live chunk goes.
    """

    lane: Lane
    tenant: str
    job: str
    number: int
    first: int
    items: int
    payload: bytes
    seconds: float
    deliveries: int
    token: str
    suspect: int | None = None
    strikes: Mapping[int, int] = field(default_factory=dict)
    reply: str = ""


class Done(NamedTuple):
    """A lease and what came of it: the results as bytes, and how many of them are errors."""

    lease: Lease
    results: bytes
    failed: int


class Effect(StrEnum):
    """What a commit did."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """The chunk had results already; these were dropped."""
    GONE = "gone"
    """There is no such job (any more)."""


class Ask(NamedTuple):
    """A chunk of a live call."""

    call: str
    number: int
    items: int
    payload: bytes


class Answer(NamedTuple):
    """What came of a chunk of a live call."""

    call: str
    number: int
    results: bytes


class Depth(NamedTuple):
    """Of one lane: chunks that are not done, and those of them that somebody holds."""

    chunks: int
    held: int


class Queue(Protocol):
    """Chunks for whoever has hands free, in order of fairness: tenants take turns, and so do a tenant's batches.

    Delivered at least once, done once in effect: a chunk stays with the queue until it is committed, goes to
    somebody else when its holder is silent for the lease's time, and of several commits the first counts. Holders
    are known by the process, not by the connection. Everything raises Overloaded (`not-ready`) when the queue can't
    be reached; whatever was asked may then have happened or not, and may be asked again.
    """

    lease_seconds: float
    """Silence after which a chunk goes to somebody else."""

    async def take(self, lane: Lane, want: int) -> list[Lease]:
        """At most `want` chunks that nobody holds, at once."""
        ...

    async def wait(self, lane: Lane, seconds: float) -> None:
        """Until there may be something to take, or about `seconds`. May be cancelled; nothing is lost by that."""
        ...

    async def reclaim(self, lane: Lane, want: int) -> list[Lease]:
        """At most `want` chunks whose holder went silent. If it had noted a suspect, that counts as a strike."""
        ...

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Say that this process still has them; returns those that it has lost."""
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give chunks back unharmed: they go to the next who asks, as if never handed out."""
        ...

    async def note(self, lease: Lease, place: int) -> None:
        """Write down, before it starts, the item that this process is about to judge."""
        ...

    async def commit(self, done: Sequence[Done]) -> list[Effect]:
        """Hand in results, in one step each: results if absent, counters only then, and the chunk leaves."""
        ...

    async def ask(self, tenant: str, asks: Sequence[Ask], seconds: float) -> list[str]:
        """Queue chunks of a live call, all or none; their tokens. They are dropped `seconds` from now.

        Overloaded (`overloaded`) if there are too many chunks already.
        """
        ...

    async def answers(self, seconds: float) -> list[Answer]:
        """Answers to what this process asked, at least once each; waits up to `seconds` for the first.

        One task at a time.
        """
        ...

    async def withdraw(self, tenant: str, tokens: Sequence[str]) -> None:
        """Nobody waits for these chunks of live calls any more."""
        ...

    async def missing(self, tenant: str, tokens: Sequence[str]) -> list[str]:
        """Those of the live chunks that the queue does not know: answered, dropped, or lost with its data."""
        ...

    async def depth(self) -> Mapping[Lane, Depth]:
        """How much there is to do."""
        ...

    async def present(self, processes: int) -> int:
        """Say that this worker is there, with so many checking processes (0: gone, or only asking); those of all."""
        ...


class Sealed(NamedTuple):
    """The batch that a key stands for, and whether it was there before."""

    id: str
    replayed: bool


class BatchStore(Protocol):
    """Batches and their results. Times are the store's own; `engine/batches.py` says what the states mean.

    A batch that is not sealed within a minute or two of its last chunk vanishes. One that is sealed reaches a
    terminal state: `due` finds those that must be closed, and whoever calls it closes them. Terminal ones are kept
    for `Spec.keep_seconds`. Unreachable: as with `Queue`.
    """

    async def begin(self, spec: Spec) -> Batch:
        """A new batch in `validating`."""
        ...

    async def add(self, batch: str, number: int, chunks: Sequence[Chunk]) -> None:
        """Append chunks, of which the first is the batch's chunk `number`; those that are there are skipped.

        NotFound unless it is validating; Overloaded if all batches together would hold too many bytes.
        """
        ...

    async def seal(self, batch: str) -> Sealed:
        """It is complete: let it be worked on. The first batch sealed with a key keeps it; a later one vanishes,
        and the first one's id is returned, or BadRequest if the digests differ. NotFound if it has vanished,
        BadRequest if it is empty. Sealing twice is sealing once."""
        ...

    async def reject(self, batch: str, errors: Sequence[Mapping[str, Any]]) -> Batch:
        """Its items can't be used: `failed`, with the errors. NotFound unless it is there."""
        ...

    async def find(self, tenant: str, key: str, digest: str) -> str | None:
        """The batch that was sealed with this key. BadRequest if the digest differs."""
        ...

    async def get(self, batch: str) -> Batch | None:
        """The batch, or None if it is not there (any more)."""
        ...

    async def of_tenant(self, tenant: str, after: str, limit: int) -> list[Batch]:
        """The tenant's sealed batches, newest first, behind the one called `after` ("": from the newest)."""
        ...

    async def cancel(self, batch: str) -> Batch:
        """Hand out nothing more of it. NotFound if it is not there; one that is terminal stays as it is."""
        ...

    async def due(self) -> list[str]:
        """Batches to be closed: cancelled, or out of time (they stop being worked on now)."""
        ...

    async def unfinished(self, batch: str, count: int) -> list[Lease]:
        """Up to `count` chunks without results of a batch that is being closed, whoever holds them.

        If there are none, this ends the batch, whatever its counters say.
        """
        ...

    async def results(self, batch: str, numbers: Sequence[int]) -> list[bytes | None]:
        """The results of chunks by number; None for those that have none yet."""
        ...

    async def finished(self, batch: str, start: int, count: int) -> list[int]:
        """The numbers of finished chunks in the order in which they were committed, from position `start` on."""
        ...

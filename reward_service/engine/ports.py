"""What the engine asks of the outside, as protocols. The contracts are in the docstrings; tests/contract
holds one suite per port, which every adapter must pass unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

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

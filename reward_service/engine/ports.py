"""What the engine asks of the outside, as protocols. The contracts are in the docstrings; tests/contract
holds one suite per port, which every adapter must pass unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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

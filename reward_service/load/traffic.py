"""Requests for the load generator: bodies that are cheap to make, all different, with the reward of every item known.

What is decided here: a base of rollouts is made and encoded once; a request takes the next of them and puts a number at the start of
each response, so that nothing is answered from a cache and yet every reward stays what it was. `repeats` of the items keep the number
that they had last time: those are hits.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from reward_service.load.rollouts import Rollout, rollouts

BASE = 4_096
MARK = "@@number@@"
MIXES: dict[str, Callable[[Rollout], bool]] = {
    "guru": lambda _: True,
    "rules": lambda rollout: rollout.domain != "code",
    "code": lambda rollout: rollout.domain == "code",
    "math": lambda rollout: rollout.domain == "math",
}
"""Which of the rollouts are sent."""


class Request(NamedTuple):
    """A body for `POST /v1/score/batch`, and what each item must get (None: not compared)."""

    body: bytes
    rewards: list[float | None]


class _Piece(NamedTuple):
    head: bytes
    tail: bytes
    reward: float | None


class Traffic:
    """Requests without end. mix: a name of MIXES; repeats: the share of items that were sent before."""

    def __init__(self, mix: str = "guru", seed: int = 7, repeats: float = 0.0, base: int = BASE) -> None:
        wanted = MIXES[mix]
        made = islice(filter(wanted, rollouts(seed, 16 * base, 4)), base)
        self._pieces = [_piece(rollout) for rollout in made]
        self._dice = random.Random(seed)  # noqa: S311 - load, not secrets
        # Neighbours in a request are not samples of one prompt: those would cost less in a sandbox.
        self._dice.shuffle(self._pieces)
        self._repeats = repeats
        self._sent = self._dice.randrange(10**9, 10**12)  # another run's numbers are others

    def request(self, items: int) -> Request:
        """The next request of so many items."""
        parts, rewards = [], []
        for _ in range(items):
            if not (self._repeats and self._dice.random() < self._repeats):
                self._sent += 1
            piece = self._pieces[self._sent % len(self._pieces)]
            parts.append(b"%b%d%b" % (piece.head, self._sent, piece.tail))
            rewards.append(piece.reward)
        return Request(b'{"items":[%b]}' % b",".join(parts), rewards)


def _piece(rollout: Rollout) -> _Piece:
    item = {**rollout.item, "response": f"{MARK} {rollout.item['response']}"}
    head, _, tail = json.dumps(item).encode().partition(MARK.encode())
    return _Piece(head, tail, rollout.reward)

"""The verdicts that are kept to be looked at: a few of each kind, in memory, within a size.

What is decided here: which ones. People look for what is odd, so errors, flagged items and flips of a shadow come first
and have half of the room to themselves; of the ordinary ones a random few per call, the most recent of each data source
and reason. A kind (data source and reason) never has more than its share of the room, so a chatty data source only
pushes out its own. What is kept is the item as its handler saw it, enough to judge it again. Offering costs one look at
each outcome; keeping is limited in rate. Nothing is written anywhere else, and nothing is logged.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reward_service.engine.fleet import TENANT
from reward_service.engine.scorer import Prepared, Row, Scored
from reward_service.types import Item, Outcome

PER_KIND = 16
ODD_PER_CALL, ORDINARY_PER_CALL = 64, 8
PER_SECOND = 400.0
"""Verdicts that are kept in a second at most: about ten microseconds each."""
LARGEST_SHARE = 1 / 8
"""An item that needs more of the room isn't kept."""
SHOWN = 80


@dataclass(slots=True)
class Kept:
    """A verdict. tenant: whose it is; run: the trainer's run; data_source: the routing entry; shadow: what a shadow said instead."""

    id: str
    at: float
    tenant: str
    run: str
    data_source: str
    item: Item
    outcome: Outcome
    size: int
    odd: bool
    shadow: Mapping[str, Any] | None = None


@dataclass(slots=True)
class _Kind:
    entries: deque[str] = field(default_factory=deque)
    size: int = 0


class Verdicts:
    """Verdicts by id, within `room` bytes; 0 keeps none."""

    def __init__(self, room: int, *, run: Callable[[], str] = str, seed: int | None = None) -> None:
        """run: the training run of the request that is being answered, "" for none."""
        self._room = room
        self._run = run
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._size = {True: 0, False: 0}
        self._random = random.Random(seed)  # noqa: S311
        self._tokens, self._filled = PER_SECOND, time.monotonic()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes that they take, as far as can be said cheaply."""
        return self._size[True] + self._size[False]

    def observe(self, groups: Mapping[bytes, Prepared], results: Sequence[Scored | None], rows: Sequence[Row]) -> None:  # fmt: skip
        """Offer the outcomes of one call: by fingerprint, what was judged, and in which places its results are."""
        if not self._room or not groups:
            return
        odd: list[tuple[bytes, Prepared]] = []
        ordinary: list[tuple[bytes, Prepared]] = []
        for entry in groups.items():
            scored = results[entry[1].places[0]]
            if scored is not None:
                outcome = scored[0]
                (odd if outcome.flags or outcome.score is None else ordinary).append(entry)
        picked = odd[-ODD_PER_CALL:]
        if len(ordinary) > ORDINARY_PER_CALL:
            picked += self._random.sample(ordinary, ORDINARY_PER_CALL)
        else:
            picked += ordinary
        for key, group in picked:
            if group.item.explain:
                continue
            if not self._may_keep():
                return
            place = group.places[0]
            scored = results[place]
            if scored is not None:
                self.keep(key, group.item, scored, rows[place].run or self._run())

    def keep(
        self,
        key: bytes,
        item: Item,
        scored: Scored,
        run: str = "",
        shadow: Mapping[str, Any] | None = None,
        tenant: str | None = None,
    ) -> None:
        """Keep one verdict; the same item again replaces it. tenant: None for that of the request under way."""
        if not self._room:
            return
        outcome = scored.outcome
        size = weight(item, self._room)
        if size > self._room * LARGEST_SHARE:
            return
        odd = bool(outcome.flags) or outcome.score is None or shadow is not None
        name = key.hex()[:16]
        before = self._kept.get(name)
        if before is not None:
            shadow = shadow or before.shadow
            odd = odd or before.odd
            self._drop(name)
        kept = Kept(
            name,
            time.time(),
            TENANT.get() if tenant is None else tenant,
            run,
            scored.data_source,
            item,
            outcome,
            size,
            odd,
            shadow,
        )
        self._kept[name] = kept
        self._size[odd] += size
        kind = self._kinds.setdefault(kind_of(kept), _Kind())
        kind.entries.append(name)
        kind.size += size
        share = self._room // max(4, len(self._kinds))
        while len(kind.entries) > PER_KIND or (len(kind.entries) > 1 and kind.size > share):
            self._drop(kind.entries[0])
        while self.size > self._room:
            self._drop(self._oldest())

    def _oldest(self) -> str:
        """What goes first: ordinary ones, unless the odd ones have more than their half."""
        odd = self._size[True] > self._room / 2 or not self._size[False]
        return next(name for name, kept in self._kept.items() if kept.odd is odd)

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name)
        self._size[kept.odd] -= kept.size
        kind = self._kinds[kind_of(kept)]
        kind.entries.remove(name)
        kind.size -= kept.size
        if not kind.entries:
            del self._kinds[kind_of(kept)]

    def _may_keep(self) -> bool:
        now = time.monotonic()
        self._tokens = min(PER_SECOND, self._tokens + (now - self._filled) * PER_SECOND)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def get(self, name: str) -> Kept | None:
        """The verdict, if it is (still) kept."""
        return self._kept.get(name)

    def all(self, data_source: str | None = None) -> list[Kept]:
        """What is kept (of one routing entry, or of all), odd ones first, then the newest."""
        found = [kept for kept in self._kept.values() if data_source in (None, kept.data_source)]
        return sorted(found, key=lambda kept: (not kept.odd, -kept.at))


def kind_of(kept: Kept) -> tuple[str, str]:
    """The data source and reason under which a verdict is counted."""
    return kept.data_source, f"{kept.outcome.reason.value}{'!' if kept.odd else ''}"


def summary(kept: Kept, *, golds: bool = True) -> dict[str, Any]:
    """One line about a verdict. golds: may the reader see ground truths?"""
    outcome = kept.outcome
    gold = kept.item.ground_truth
    return {
        "verdict": kept.id,
        "at": kept.at,
        "run": kept.run,
        "score": outcome.score,
        "status": outcome.status.value,
        "reason": outcome.reason.value,
        "flags": list(outcome.flags),
        "extracted": short(outcome.extracted or ""),
        "ground_truth": short(gold if isinstance(gold, str) else repr(gold)) if golds else "",
        "response_chars": len(kept.item.response),
        "shadow": dict(kept.shadow) if kept.shadow else None,
    }


def short(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def weight(item: Item, limit: int) -> int:
    """About how many bytes an item takes; counting ends once it is more than `limit`."""
    total, pending = 512 + len(item.response), [item.ground_truth, dict(item.extra_info)]
    while pending and total <= limit:
        value = pending.pop()
        total += 64
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, Mapping):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            pending += value
    return total

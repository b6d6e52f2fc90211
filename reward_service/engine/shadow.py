"""A second verifier that judges a share of the traffic after it was answered, and what it would have said otherwise.

What is decided here
- A shadow can't change or delay an answer: it looks on (`Scorer.observers`), has a short queue of its own, and judges in a
  checking process of its own that runs at the lowest priority. While the live pool has work waiting it takes nothing, and
  what doesn't fit into the queue is dropped, the oldest first. A program is only run while a further place of the sandbox
  stays free. It never asks a judge model: that costs money and places.
- What is sampled is decided by the item's fingerprint, so the same item is always in or always out, and is compared once.
- A flip is another score. What the shadow could not judge is not comparable, and is neither a flip nor a compared item.
- A shadow is another profile, another handler (a plug-in's next version, registered under a name of its own), or both.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from reward_service.engine.executor import Runner
from reward_service.engine.fleet import TENANT
from reward_service.engine.ports import GroundTruths, Sandbox
from reward_service.engine.scorer import Prepared, Row, Scored, Scorer
from reward_service.engine.verdicts import Verdicts, weight
from reward_service.errors import ServiceError
from reward_service.registry import Registry, Route, load
from reward_service.types import Item, Outcome, Profile

log = logging.getLogger(__name__)

QUEUE_ITEMS, QUEUE_BYTES = 512, 8 << 20
TOGETHER = 16
SECONDS = 120.0
"""For one round of the shadow, waiting included."""
PAUSE_SECONDS = 0.1
RECENT = 16_384
"""Fingerprints that are remembered, so that an item is compared once."""
SAMPLES = 20
Z95 = 1.959963984540054
NICE = 19


class BadShadow(ValueError):
    """The settings of the shadow make no sense. The message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the shadow is. handlers: a handler's name -> the one that judges instead. profile: None for the item's own."""

    share: float
    handlers: Mapping[str, str] = field(default_factory=dict)
    profile: Profile | None = None


def plan_of(registry: Registry, share: float, handlers: str, profile: str) -> Plan | None:
    """The plan that the settings say; None for no shadow. BadShadow if it names what isn't there, or nothing.

    handlers: `old=new,…`.
    """
    if share <= 0:
        return None
    mapping: dict[str, str] = {}
    for pair in filter(None, map(str.strip, handlers.split(","))):
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not equals:
            raise BadShadow(f"{pair!r}: a shadow's handlers are old=new, joined by commas")
        for name in (old, new):
            if name not in registry.handlers:
                raise BadShadow(f"the shadow names a handler {name!r}, and there is none")
        mapping[old] = new
    if not mapping and not profile:
        raise BadShadow("a shadow needs another profile or other handlers: else it says what is said anyway")
    return Plan(share, mapping, Profile(profile) if profile else None)


def load_politely() -> Registry:
    """The registry, for checking processes that leave the processor to everybody else."""
    os.nice(NICE)
    return load()


class _NoCache:
    async def get_many(self, keys: Sequence[bytes]) -> list[Outcome | None]:
        return [None] * len(keys)

    async def put_many(self, outcomes: Mapping[bytes, Outcome]) -> None:
        pass


class ShadowScorer(Scorer):
    """Scores as the shadow would; nothing of it reaches the cache."""

    def __init__(
        self,
        registry: Registry,
        pool: Runner,
        ground_truths: GroundTruths,
        sandbox: Sandbox | None,
        handlers: Mapping[str, str],
    ) -> None:
        super().__init__(registry, pool, _NoCache(), ground_truths, sandbox)
        self._handlers = handlers

    def _find_route(self, data_source: str | None, domain: str | None) -> Route | Outcome:
        route = super()._find_route(data_source, domain)
        if isinstance(route, Route) and (other := self._handlers.get(route.handler.name)):
            return Route(route.data_source, route.source, self.registry.handlers[other])
        return route


class _Waiting(NamedTuple):
    key: bytes
    item: Item
    row: Row
    scored: Scored
    runs_programs: bool
    tenant: str
    run: str
    size: int


@dataclass(slots=True)
class Comparison:
    """What the shadow said about a data source. up: its score is higher. versions: of the live one and of the shadow."""

    handler: str
    version: str
    shadow_handler: str
    shadow_version: str
    compared: int = 0
    up: int = 0
    down: int = 0
    not_comparable: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: deque[str] = field(default_factory=lambda: deque(maxlen=SAMPLES))


class Shadow:
    """Use as `async with shadow`; put its `observe` among a scorer's observers."""

    def __init__(
        self,
        plan: Plan,
        scorer: ShadowScorer,
        pool: AbstractAsyncContextManager[object],
        *,
        verdicts: Verdicts,
        busy: Callable[[], bool] = lambda: False,
        program_may_run: Callable[[], bool] = lambda: False,
        run: Callable[[], str] = str,
    ) -> None:
        """busy: has the live pool work waiting? program_may_run: may a program take a place of the sandbox now?"""
        self._plan = plan
        self._scorer = scorer
        self._pool = pool
        self._verdicts = verdicts
        self._busy = busy
        self._program_may_run = program_may_run
        self._run = run
        self._threshold = math.ceil(plan.share * (1 << 32))
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._recent: OrderedDict[bytes, None] = OrderedDict()
        self._there = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._compared: dict[str, Comparison] = {}
        self.counts = {"same": 0, "up": 0, "down": 0, "not_comparable": 0, "dropped": 0}

    async def __aenter__(self) -> Shadow:
        # In the background: the service is ready without its shadow, and lives without it.
        self._task = asyncio.create_task(self._run_pool(), name="shadow")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run_pool(self) -> None:
        try:
            async with self._pool:
                await self._work()
        except ServiceError as error:
            log.error("there is no shadow: %s", error.detail)

    @property
    def queued(self) -> int:
        """Items that wait to be judged by the shadow."""
        return len(self._queue)

    def observe(self, groups: Mapping[bytes, Prepared], results: Sequence[Scored | None], rows: Sequence[Row]) -> None:  # fmt: skip
        """Take a share of what was just judged."""
        plan = self._plan
        for key, group in groups.items():
            if int.from_bytes(key[:4], "big") >= self._threshold or key in self._recent:
                continue
            item, handler = group.item, group.handler
            scored = results[group.places[0]]
            if item.explain or scored is None or scored.outcome.score is None:
                continue
            other = plan.handlers.get(handler.name)
            if other is None and plan.profile in (None, item.profile):
                continue
            self._recent[key] = None
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
            size = weight(item, QUEUE_BYTES)
            if size > QUEUE_BYTES // 8:
                self.counts["dropped"] += 1
                continue
            programs = self._scorer.registry.handlers[other or handler.name].judge is not None
            row = rows[group.places[0]]
            run = row.run or self._run()
            self._queue.append(_Waiting(key, item, row, scored, programs, TENANT.get(), run, size))
            self._bytes += size
            while len(self._queue) > QUEUE_ITEMS or self._bytes > QUEUE_BYTES:
                self._take()
                self.counts["dropped"] += 1
            self._there.set()

    def _take(self) -> _Waiting:
        waiting = self._queue.popleft()
        self._bytes -= waiting.size
        return waiting

    async def _work(self) -> None:
        while True:
            await self._there.wait()
            if not self._queue:
                self._there.clear()
                continue
            if self._busy():
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            together = [self._take()]
            if together[0].runs_programs:
                if not self._program_may_run():
                    self.counts["dropped"] += 1
                    continue
            else:
                while self._queue and len(together) < TOGETHER and not self._queue[0].runs_programs:
                    together.append(self._take())
            try:
                await self._judge(together)
            except Exception as error:  # whatever it is, the shadow goes on, and says no more than its kind
                log.error("a round of the shadow failed: %s", type(error).__name__)
                self.counts["dropped"] += len(together)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _judge(self, together: Sequence[_Waiting]) -> None:
        rows = [
            replace(one.row, profile=self._plan.profile or one.row.profile, explain=False) for one in together
        ]
        results = await self._scorer.score_many(rows, seconds=SECONDS)
        for waiting, scored in zip(together, results, strict=True):
            self._compare(waiting, scored.outcome)

    def _compare(self, waiting: _Waiting, theirs: Outcome) -> None:
        ours = waiting.scored.outcome
        profile = self._plan.profile
        entry = waiting.scored.data_source
        versions = (ours.handler, ours.version, theirs.handler, theirs.version)
        found = self._compared.get(entry)
        if found is None or versions != (found.handler, found.version, found.shadow_handler, found.shadow_version):  # fmt: skip
            found = self._compared[entry] = Comparison(*versions)
        if theirs.score is None or ours.score is None:
            found.not_comparable += 1
            self.counts["not_comparable"] += 1
            return
        found.compared += 1
        change = theirs.score - ours.score
        if abs(change) < 1e-9:
            self.counts["same"] += 1
            return
        kind = "up" if change > 0 else "down"
        self.counts[kind] += 1
        found.up += change > 0
        found.down += change < 0
        found.reasons[ours.reason.value, theirs.reason.value] += 1
        found.samples.append(waiting.key.hex()[:16])
        said = {
            "score": theirs.score,
            "reason": theirs.reason.value,
            "extracted": theirs.extracted,
            "handler": theirs.handler,
            "version": theirs.version,
            "profile": (profile or waiting.item.profile).value,
        }
        self._verdicts.keep(
            waiting.key, waiting.item, waiting.scored, waiting.run, shadow=said, tenant=waiting.tenant
        )

    def table(self, data_source: str | None = None) -> list[dict[str, Any]]:
        """What was compared, per data source (a routing entry), as plain data; most flips first."""
        rows = [
            self._told(name, found)
            for name, found in self._compared.items()
            if data_source in (None, name)
        ]  # fmt: skip
        return sorted(rows, key=lambda row: (-row["flips"], row["data_source"]))

    def _told(self, name: str, found: Comparison) -> dict[str, Any]:
        flips = found.up + found.down
        low, high = interval(flips, found.compared)
        profile = f", {self._plan.profile.value}" if self._plan.profile else ""
        return {
            "data_source": name,
            "compared": found.compared,
            "flips": flips,
            "up": found.up,
            "down": found.down,
            "share": flips / found.compared if found.compared else None,
            "share_95": [low, high] if found.compared else None,
            "not_comparable": found.not_comparable,
            "handler": found.handler,
            "version": found.version,
            "shadow_version": f"{found.shadow_handler} {found.shadow_version}{profile}",
            "reasons": [
                {"from": one, "to": other, "count": count}
                for (one, other), count in found.reasons.most_common(10)
            ],
            "samples": list(found.samples),
        }


def interval(part: int, n: int) -> tuple[float, float]:
    """Wilson's score interval (1927) at 95 % for `part` of `n`; (0, 1) for none."""
    if not n:
        return 0.0, 1.0
    share, z2 = part / n, Z95 * Z95
    centre, scale = share + z2 / (2 * n), 1 + z2 / n
    spread = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)

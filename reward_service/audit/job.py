"""The audit of the handlers' own examples as a job in the background of a process that scores.

What is decided here: it never competes. One small chunk at a time, past the cache (what is audited is the handler as it
runs here and now), and after each chunk a pause of several times as long as the chunk took. It asks no judge model: that
one has its canary. A round that could not be finished changes nothing; what the last round found stays on the metrics and
in the log until a later one finds otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from reward_service.audit.accepted import Accepted
from reward_service.audit.model import Demand
from reward_service.audit.run import Audit, Report
from reward_service.audit.subjects import from_examples
from reward_service.engine.scorer import Row, Scorer
from reward_service.errors import ServiceError
from reward_service.registry import Registry
from reward_service.types import Profile

log = logging.getLogger(__name__)

Hears = Callable[[str, bool, Mapping[str, int]], object]
"""A handler's name, whether it passed, and its violations by kind."""
CHUNK = 16
REST = 4.0
"""Seconds of rest for each second of work: at most a fifth of one process."""
SECONDS = 120.0
"""Deadline of a chunk; what isn't judged by then is not judged in this round."""


class Scores:
    """An audit's judge over a scorer, with rests."""

    def __init__(self, scorer: Scorer, rest: float) -> None:
        self._scorer = scorer
        self._rest = rest

    async def score(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """One result per item."""
        results: list[Mapping[str, Any]] = []
        for start in range(0, len(items), CHUNK):
            began = time.monotonic()
            rows = [_row(item) for item in items[start : start + CHUNK]]
            scored = await self._scorer.score_many(rows, seconds=SECONDS)
            results += [_plain(one.outcome) for one in scored]
            await asyncio.sleep(self._rest * (time.monotonic() - began))
        return results


def _row(item: Mapping[str, Any]) -> Row:
    return Row(
        item["data_source"],
        item["response"],
        item.get("ground_truth"),
        prompt=item.get("prompt"),
        extra_info=item.get("extra_info"),
        profile=Profile(item["profile"]),
    )


_FIELDS = ("status", "score", "correct", "reason", "extracted", "flags", "version", "sandbox_ms")


def _plain(outcome: Any) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in _FIELDS}


class AuditJob:
    """Audits the examples every `every_seconds`. Use as `async with AuditJob(…)`."""

    def __init__(
        self,
        scorer: Scorer,
        registry: Registry,
        every_seconds: float,
        listeners: Sequence[Hears],
        accepted: Accepted | None = None,
        *,
        first_after: float = 10.0,
        rest: float = REST,
    ) -> None:
        """scorer: without a cache. listeners: told of each handler when a round is done."""
        self._judge = Scores(scorer, rest)
        self._registry = registry
        self._every = every_seconds
        self._listeners = listeners
        self._accepted = accepted or Accepted()
        self._first_after = first_after
        self._task: asyncio.Task[None] | None = None
        self.rounds = 0

    async def __aenter__(self) -> AuditJob:
        self._task = asyncio.create_task(self._run(), name="verifier-audit")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def round(self) -> Report:
        """Audit every example once, and tell."""
        audit = Audit(
            self._judge,
            seed=self.rounds,
            window=CHUNK,
            at_once=1,
            accepted=replace(self._accepted, used={}),
        )
        report = await audit.run(from_examples(self._registry))
        self.rounds += 1
        for handler, (judged, kinds) in by_handler(report).items():
            if judged:
                for hear in self._listeners:
                    hear(handler, not any(kinds.values()), kinds)
        for key, found in report.violations.items():
            log.error(
                "verifier audit: %s (%s): %s %s, got %s (%d times); `reward-service audit --examples` shows it",
                key.source,
                report.sources[key.source].handler,
                key.name,
                key.demand.value,
                found.smallest.problem,
                found.count,
            )
        log.info("verifier audit: %d probes, %d kinds of violations", report.judged, len(report.violations))
        return report

    async def _run(self) -> None:
        await asyncio.sleep(min(self._first_after, self._every))
        while True:
            try:
                await self.round()
            except ServiceError as error:
                log.warning("the verifier audit could not be finished: %s", error.detail)
            except Exception:
                log.exception("the verifier audit could not be finished")
            await asyncio.sleep(self._every)


def by_handler(report: Report) -> dict[str, tuple[int, dict[str, int]]]:
    """Probes that were judged, and violations by kind, of each handler."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for source in report.sources.values():
        judged, kinds = found.get(source.handler, (0, {demand.value: 0 for demand in Demand}))
        found[source.handler] = (judged + sum(source.probes.values()), kinds)
    for key, violations in report.violations.items():
        found[report.sources[key.source].handler][1][key.demand.value] += violations.count
    return found

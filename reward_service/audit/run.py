"""Puts the probes of rows to a judge, and gathers where a demand was not met.

What is decided here: what counts. An item that the service could not judge (no sandbox, no judge model, overload) violates
nothing and proves nothing: it is counted as not judged. A row whose every probe is refused as malformed is a row of no use. Of
the violations of one name in one data source the smallest is kept: the shortest response, on the shortest row.

At the end a sample is put once more, shuffled, among other neighbours. Whatever differs then is put alone: if it
differs again, the handler isn't deterministic, otherwise its neighbours decide.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from reward_service.audit.accepted import Accepted
from reward_service.audit.catalogue import probes
from reward_service.audit.model import Demand, Probe, Subject, Violation
from reward_service.types import Reason

Result = Mapping[str, Any]
NOT_JUDGED = frozenset(
    {
        Reason.SANDBOX_UNAVAILABLE,
        Reason.JUDGE_UNAVAILABLE,
        Reason.DEADLINE,
        Reason.OVERLOADED,
        Reason.SERVICE_UNREACHABLE,
        Reason.UNKNOWN_GROUND_TRUTH,
    }
)
MALFORMED = frozenset({Reason.MALFORMED_GROUND_TRUTH, Reason.MALFORMED_ITEM})
BY_THE_CLOCK = frozenset({Reason.BUDGET_EXCEEDED, Reason.TIME_LIMIT, Reason.MEMORY_LIMIT})
"""Verdicts at a limit, which a busy machine may reach once and not the next time."""
SAMPLES = 2
"""Probes of one name and data source that are put once more."""


class Judge(Protocol):
    """Where items are scored. An exception of it ends the audit."""

    async def score(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Result]:
        """One result (the fields of `wire.ResultOut`) per item, in their order."""
        ...


class Key(NamedTuple):
    """What a violation is counted under."""

    source: str
    name: str
    demand: Demand


@dataclass(slots=True)
class Found:
    """The violations of one name in one data source: how many, and the smallest one."""

    count: int
    smallest: Violation


@dataclass(slots=True)
class SourceReport:
    """What was done for one data source. probes: by demand, those that were judged."""

    handler: str
    version: str = ""
    rows: int = 0
    probes: Counter[Demand] = field(default_factory=Counter)
    not_judged: Counter[str] = field(default_factory=Counter)
    unusable: list[int] = field(default_factory=list)
    without_right: int = 0


@dataclass(slots=True)
class Report:
    """What an audit found. argued: violations that the accepted ones cover, by key."""

    sources: dict[str, SourceReport] = field(default_factory=dict)
    violations: dict[Key, Found] = field(default_factory=dict)
    argued: Counter[Key] = field(default_factory=Counter)

    @property
    def judged(self) -> int:
        """Probes that were judged."""
        return sum(sum(source.probes.values()) for source in self.sources.values())


class _Kept(NamedTuple):
    probe: Probe
    result: Result


def verdict(result: Result) -> tuple[Any, ...]:
    """What has to be the same each time. A program may race with itself: of one that ran, only the score."""
    if result["sandbox_ms"]:
        return (result["status"], result["score"], result["correct"])
    return (
        result["status"],
        result["score"],
        result["correct"],
        result["reason"],
        result["extracted"],
        tuple(result["flags"]),
    )


def problem(probe: Probe, result: Result) -> tuple[str, Demand, str] | None:
    """The name, the kind and the words of what is wrong with a result, or None. Not for what wasn't judged."""
    score = result["score"]
    if result["status"] == "error":
        return "invariant.error", Demand.INVARIANT, f"error/{result['reason']}"
    if not isinstance(score, int | float) or not math.isfinite(score) or not 0 <= score <= 1:
        return "invariant.range", Demand.INVARIANT, f"score {score!r}"
    if result["correct"] is not (score == 1):
        return "invariant.correct", Demand.INVARIANT, f"score {score} and correct {result['correct']}"
    if probe.demand is Demand.ACCEPT and score < 1:
        return probe.name, probe.demand, f"score {score:g}, {result['reason']}"
    if probe.demand is Demand.REJECT and score > 0:
        if not probe.nothing and score < 1 and result["reason"] == Reason.PARTIALLY_EQUAL:
            return None
        return probe.name, probe.demand, f"score {score:g}, {result['reason']}"
    return None


class Audit:
    """One audit. `report` may be read at any time."""

    def __init__(
        self,
        judge: Judge,
        *,
        seed: int = 0,
        window: int = 256,
        at_once: int = 4,
        accepted: Accepted | None = None,
    ) -> None:
        """window: probes in one call of the judge; at_once: calls under way."""
        self.report = Report()
        self._judge = judge
        self._window = window
        self._at_once = at_once
        self._accepted = accepted or Accepted()
        self._chance = random.Random(seed)  # noqa: S311 - a sample, no secret
        self._kept: dict[tuple[str, str], list[_Kept]] = {}
        self._seen: Counter[tuple[str, str]] = Counter()

    async def run(
        self, subjects: Iterable[Subject], watch: Callable[[Subject], None] = lambda _: None
    ) -> Report:
        """Audit the subjects; `watch` is told each one when it is done."""
        running: set[asyncio.Task[None]] = set()
        try:
            for window in self._windows(subjects):
                if len(running) >= self._at_once:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                running.add(asyncio.create_task(self._put(window, watch)))
                await asyncio.sleep(0)
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        await self._again()
        return self.report

    def _windows(self, subjects: Iterable[Subject]) -> Iterator[list[tuple[Subject, list[Probe]]]]:
        window: list[tuple[Subject, list[Probe]]] = []
        size = 0
        for subject in subjects:
            made = probes(subject)
            if window and size + len(made) > self._window:
                yield window
                window, size = [], 0
            window.append((subject, made))
            size += len(made)
        if window:
            yield window

    async def _put(
        self, window: Sequence[tuple[Subject, list[Probe]]], watch: Callable[[Subject], None]
    ) -> None:
        flat = [probe for _, made in window for probe in made]
        results: list[Result] = []
        for start in range(0, len(flat), self._window):
            results += await self._judge.score(
                [probe.fields() for probe in flat[start : start + self._window]]
            )
        at = 0
        for subject, made in window:
            self._take(subject, made, results[at : at + len(made)])
            at += len(made)
            watch(subject)

    def _take(self, subject: Subject, made: Sequence[Probe], results: Sequence[Result]) -> None:
        source = self.report.sources.setdefault(subject.source, SourceReport(subject.handler))
        source.rows += 1
        source.version = next((r["version"] for r in results if r["version"]), source.version)
        if not any(probe.demand is Demand.ACCEPT for probe in made):
            source.without_right += 1
        if results and all(result["reason"] in MALFORMED for result in results):
            source.unusable.append(subject.number)
            return
        for probe, result in zip(made, results, strict=True):
            if result["reason"] in NOT_JUDGED:
                source.not_judged[str(result["reason"])] += 1
                continue
            source.probes[probe.demand] += 1
            found = problem(probe, result)
            if found is not None:
                self._violated(probe, result, *found)
            self._keep(probe, result)

    def _violated(self, probe: Probe, result: Result, name: str, demand: Demand, words: str) -> None:
        violation = Violation(probe, words, result)
        key = Key(probe.subject.source, name, demand)
        named = violation if name == probe.name else Violation(_renamed(probe, name), words, result)
        if self._accepted.argues(named):
            self.report.argued[key] += 1
            return
        known = self.report.violations.get(key)
        if known is None:
            self.report.violations[key] = Found(1, violation)
            return
        known.count += 1
        if violation.size < known.smallest.size:
            known.smallest = violation

    def _keep(self, probe: Probe, result: Result) -> None:
        if result["reason"] in BY_THE_CLOCK:
            return
        key = (probe.subject.source, probe.name)
        self._seen[key] += 1
        kept = self._kept.setdefault(key, [])
        if len(kept) < SAMPLES:
            kept.append(_Kept(probe, result))
        elif (place := self._chance.randrange(self._seen[key])) < SAMPLES:
            kept[place] = _Kept(probe, result)

    async def _again(self) -> None:
        """Put the sample once more, shuffled."""
        sample = [kept for several in self._kept.values() for kept in several]
        self._chance.shuffle(sample)
        for start in range(0, len(sample), self._window):
            part = sample[start : start + self._window]
            results = await self._judge.score([kept.probe.fields() for kept in part])
            for kept, result in zip(part, results, strict=True):
                if result.get("cached"):  # a service's cache remembers; nothing was judged again
                    continue
                self.report.sources[kept.probe.subject.source].probes[Demand.INVARIANT] += 1
                if result["reason"] in NOT_JUDGED | BY_THE_CLOCK or verdict(result) == verdict(kept.result):
                    continue
                (alone,) = await self._judge.score([kept.probe.fields()])
                alike = verdict(alone) in (verdict(result), verdict(kept.result))
                (once_more,) = await self._judge.score([kept.probe.fields()])
                steady = alike and verdict(once_more) == verdict(alone)
                name = "invariant.neighbours" if steady else "invariant.determinism"
                words = f"once {kept.result['score']}, {kept.result['reason']}; then {result['score']}, {result['reason']}"
                self._violated(kept.probe, result, name, Demand.INVARIANT, words)


def _renamed(probe: Probe, name: str) -> Probe:
    return Probe(
        probe.subject, name, probe.demand, probe.response, probe.ground_truth, probe.nothing, probe.profile
    )

"""From rows to outcomes: route, look up, collapse, judge, remember; in the order of the rows.

What is decided here: what a row may look like. Guru's layout works unchanged (`reward_model.ground_truth`,
`extra_info` in parts, a prompt as chat messages), and a row that can't be judged is that row's outcome, never
the batch's. Only the extra_info fields that a handler declares reach it, so that nothing else can change a
score and everything that can is in the fingerprint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from reward_service.engine.channel import Task
from reward_service.engine.executor import Executor, Runner
from reward_service.engine.judging import JudgeModel
from reward_service.engine.ports import Cache, GroundTruths, Sandbox
from reward_service.questions import Ask
from reward_service.registry import MAX_NAME, Decision, Handler, Registry, Route
from reward_service.runs import Work
from reward_service.types import Item, Outcome, Profile, Reason, Status, cannot_judge, fingerprint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One item as it was sent, decoded but not yet understood. run and group only say how to count it."""

    data_source: str | None
    response: str
    ground_truth: Any = None
    ground_truth_ref: str | None = None
    prompt: Any = None
    extra_info: Mapping[str, Any] | None = None
    domain: str | None = None
    profile: Profile = Profile.STRICT
    explain: bool = False
    run: str = ""
    group: str = ""


class Scored(NamedTuple):
    """A row's outcome, and the names to count it under."""

    outcome: Outcome
    data_source: str
    domain: str


@dataclass(slots=True)
class Prepared:
    """Rows of one call that share a fingerprint: judged once."""

    item: Item
    handler: Handler
    places: list[int] = field(default_factory=list)


UNKNOWN = "unknown"
MAX_DEPTH = 200
"""Nesting of a ground truth or field, as in the JSON of a request: deeper values break encoders, not items."""


Observer = Callable[[Mapping[bytes, Prepared], Sequence[Scored | None], Sequence[Row]], None]


class Scorer:
    """Scores rows with a pool, a cache and a store of uploaded ground truths."""

    def __init__(
        self,
        registry: Registry,
        pool: Runner,
        cache: Cache,
        ground_truths: GroundTruths,
        sandbox: Sandbox | None = None,
        judge_model: JudgeModel | None = None,
    ) -> None:
        self.registry = registry
        self._pool = pool
        self._executor = Executor(registry, pool, sandbox, judge_model)
        self._cache = cache
        self._ground_truths = ground_truths
        self._routes: dict[tuple[str | None, str | None], Route | Outcome] = {}
        self.observers: list[Observer] = []
        """Told what was judged, after it was; what they do must be cheap, and can't change a result."""

    async def score_many(self, rows: Sequence[Row], *, seconds: float = 600.0) -> list[Scored]:
        """One `Scored` per row, in the order of the rows, within about `seconds`.

        Never raises for a row: what is wrong with it is its outcome.
        """
        until = time.monotonic() + seconds
        results: list[Scored | None] = [None] * len(rows)
        groups: dict[bytes, Prepared] = {}
        references = await self._resolve(rows)
        for place, row in enumerate(rows):
            route = self._route(row)
            if isinstance(route, Outcome):
                results[place] = Scored(route, UNKNOWN, UNKNOWN)
                continue
            item = self._item(row, route, references)
            if isinstance(item, Outcome):
                outcome = replace(item, handler=route.handler.name, version=route.handler.version)
                results[place] = Scored(outcome, route.source.name, route.handler.domain.value)
                continue
            try:
                key = fingerprint(route.handler.name, route.handler.version, item)
            except ValueError:  # an integer that Python refuses to write
                outcome = not_data(Reason.MALFORMED_ITEM, "the ground truth or a field", route.handler)
                results[place] = Scored(outcome, route.source.name, route.handler.domain.value)
                continue
            group = groups.get(key)
            if group is None:
                group = groups[key] = Prepared(item, route.handler)
            group.places.append(place)
        await self._judge(groups, results, until)
        for observe in self.observers:
            try:
                observe(groups, results, rows)
            except Exception as error:  # nobody who looks on may cost a result
                log.error("an observer of results failed: %s", type(error).__name__)
        return [result for result in results if result is not None]

    async def keys_of(self, rows: Sequence[Row]) -> list[bytes | None]:
        """The fingerprints of rows, as they are scored; None for a row that can't be an item."""
        references = await self._resolve(rows)
        keys: list[bytes | None] = []
        for row in rows:
            route = self._route(row)
            item = None if isinstance(route, Outcome) else self._item(row, route, references)
            if isinstance(route, Outcome) or item is None or isinstance(item, Outcome):
                keys.append(None)
                continue
            try:
                keys.append(
                    fingerprint(route.handler.name, route.handler.version, replace(item, explain=False))
                )
            except ValueError:
                keys.append(None)
        return keys

    async def _judge(self, groups: dict[bytes, Prepared], results: list[Scored | None], until: float) -> None:
        keys = list(groups)
        known = await self._cache.get_many(keys)
        to_judge = [key for key, hit in zip(keys, known, strict=True) if hit is None]
        for key, hit in zip(keys, known, strict=True):
            if hit is not None:
                spread(groups[key], hit, results)
        if not to_judge:
            return
        tasks = [task_for(groups[key]) for key in to_judge]
        decisions = await self._pool.run(tasks, seconds=max(0.0, until - time.monotonic()))
        outcomes = await self._finish(tasks, decisions, until)
        fresh: dict[bytes, Outcome] = {}
        for key, outcome in zip(to_judge, outcomes, strict=True):
            spread(groups[key], outcome, results)
            if outcome.status is Status.SCORED and not groups[key].item.explain:
                fresh[key] = outcome
        if fresh:
            await self._cache.put_many(fresh)

    async def _finish(
        self, tasks: Sequence[Task], decisions: Sequence[Decision], until: float
    ) -> list[Outcome]:
        """The outcomes: those that are decided, and those that need runs first."""
        running: dict[int, asyncio.Task[Outcome]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for place, decision in enumerate(decisions):
                    if isinstance(decision, Work | Ask):
                        running[place] = group.create_task(
                            self._executor.finish(tasks[place], decision, until)
                        )
        except ExceptionGroup as several:  # a defect of ours: the request fails as a whole, with its cause
            raise several.exceptions[0] from None
        return [
            running[place].result() if isinstance(decision, Work | Ask) else decision
            for place, decision in enumerate(decisions)
        ]

    def _route(self, row: Row) -> Route | Outcome:
        name = (row.data_source, row.domain)
        route = self._routes.get(name)
        if route is None:
            route = self._find_route(*name)
            # Names come from outside: bounded in number and length.
            if len(self._routes) < 10_000 and all(len(part or "") <= MAX_NAME for part in name):
                self._routes[name] = route
        return route

    def _find_route(self, data_source: str | None, domain: str | None) -> Route | Outcome:
        for name in (data_source, domain):
            if name:
                route = self.registry.route(name)
                if route is not None:
                    return route
                if name is data_source:
                    break
        wanted = data_source or domain
        if not wanted:
            return cannot_judge(
                Reason.UNKNOWN_DATA_SOURCE, "the item names neither a data_source nor a domain"
            )
        nearest = self.registry.nearest(wanted)
        hint = f"; the nearest known: {', '.join(nearest)}" if nearest else "; see GET /v1/data-sources"
        return cannot_judge(
            Reason.UNKNOWN_DATA_SOURCE, f"no handler for data source {wanted[:100]!r}{hint}", nearest=nearest
        )

    def _item(self, row: Row, route: Route, references: Mapping[str, object]) -> Item | Outcome:
        gold = row.ground_truth
        if row.ground_truth_ref is not None:
            if row.ground_truth_ref not in references:
                return cannot_judge(
                    Reason.UNKNOWN_GROUND_TRUTH,
                    "the referenced ground truth is not stored: PUT it to /v1/ground-truths/{sha256}, and try again",
                )
            gold = references[row.ground_truth_ref]
        if type(gold) is not str and not plain_data(gold):
            return not_data(Reason.MALFORMED_GROUND_TRUTH, "the ground truth", route.handler)
        extra = read_fields(route.handler.reads, row) if route.handler.reads else {}
        if extra and not plain_data(extra):
            return not_data(Reason.MALFORMED_ITEM, "a field of extra_info", route.handler)
        return Item(
            route.data_source,
            row.response,
            gold,
            extra,
            row.profile,
            route.source.name,
            row.explain,
        )

    async def _resolve(self, rows: Sequence[Row]) -> dict[str, object]:
        wanted = {row.ground_truth_ref for row in rows if row.ground_truth_ref is not None}
        found: dict[str, object] = {}
        for digest in wanted:
            value = await self._ground_truths.get(digest)
            if value is not None:
                found[digest] = value
        return found


_PLAIN = {type(None), bool, int, float, str, list, tuple, dict}
_FLAT = _PLAIN - {list, tuple, dict}


def plain_data(value: object) -> bool:
    """Is it what JSON can say, in exact built-in types and at most MAX_DEPTH deep?

    Anything else would end the child that gets it (`channel.py` refuses classes), and its neighbours' chunk.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        types = set(map(type, level))
        if not types <= _PLAIN:
            return False
        if types <= _FLAT:
            return True
        below: list[Any] = []
        for entry in level:
            if type(entry) is dict:
                if not set(map(type, entry)) <= {str}:
                    return False
                below.extend(entry.values())
            elif type(entry) is list or type(entry) is tuple:
                below.extend(entry)
        level = below
    return False


def not_data(reason: Reason, what: str, handler: Handler) -> Outcome:
    """The outcome of a row that holds what is no JSON."""
    outcome = cannot_judge(reason, f"{what} is not JSON data, or is nested deeper than {MAX_DEPTH}")
    return replace(outcome, handler=handler.name, version=handler.version)


def spread(group: Prepared, outcome: Outcome, results: list[Scored | None]) -> None:
    """Give every row of a group its outcome."""
    scored = Scored(outcome, group.item.source, group.handler.domain.value)
    for place in group.places:
        results[place] = scored


def task_for(group: Prepared) -> Task:
    """The item as a pool task."""
    item = group.item
    return Task(
        group.handler.name,
        item.data_source,
        item.source,
        item.response,
        item.ground_truth,
        dict(item.extra_info),
        item.profile.value,
        item.explain,
    )


_QUESTION_FIELDS = ("question", "original_question", "raw_prompt", "original_prompt", "problem")


def read_fields(reads: Sequence[str], row: Row) -> dict[str, Any]:
    """The declared fields that the row has, from extra_info, its `part_1`/`part_2`, or, for `question`, the prompt."""
    extra: Mapping[str, Any] = row.extra_info or {}
    if "part_1" in extra or "part_2" in extra:
        # Guru's later releases split a large extra_info in two.
        merged = dict(extra)
        for part in ("part_1", "part_2"):
            piece = merged.pop(part, None)
            if isinstance(piece, Mapping):
                merged.update(piece)
        extra = merged
    found = {name: extra[name] for name in reads if extra.get(name) is not None}
    if "question" in reads and "question" not in found:
        question = next((extra[name] for name in _QUESTION_FIELDS if isinstance(extra.get(name), str)), None)
        question = question or prompt_text(row.prompt)
        if question:
            found["question"] = question
    return found


def prompt_text(prompt: Any) -> str | None:
    """The text of a prompt: a string, or the last user message of a chat (of its parts, those that are text)."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Sequence):
        for message in reversed(prompt):
            if isinstance(message, Mapping) and message.get("role") == "user":
                content = message.get("content")
                if isinstance(content, str):
                    return content
                parts = content if isinstance(content, Sequence) else ()
                texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
                return "\n".join(text for text in texts if isinstance(text, str)) or None
    return None

"""Scoring by a fleet: the gateway's side of synchronous requests when the checking is done elsewhere.

What is decided here: the gateway validates, looks into the cache and collapses identical items as always, and
sends the rest through the queue as rows, because the worker's handlers decide which version judges and what the
cache remembers it under. The request's deadline travels along. What isn't answered by then is `error/deadline`,
and is withdrawn; a queue that is full or out of reach fails the request at once, with the time to come back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import NoReturn

from reward_service.engine.channel import Task
from reward_service.engine.ports import Ask, Cache, Depth, GroundTruths, Lane, Queue
from reward_service.engine.records import CHUNK_ITEMS, Corrupt, Entry, cut, entry_to_json, results_from_json
from reward_service.engine.scorer import Prepared, Row, Scored, Scorer, spread
from reward_service.errors import Overloaded, PoolBroken, ServiceError
from reward_service.registry import Registry
from reward_service.types import Outcome, Reason, cannot_judge

log = logging.getLogger(__name__)

TENANT: ContextVar[str] = ContextVar("tenant", default="")
"""Whose turn the chunks of this request take: set by whoever knows the caller (an API key's id)."""
LEAST_ITEMS = 8
"""Items in a chunk before a request is spread over more workers."""
ANSWER_SECONDS = 1.0
PRESENCE_SECONDS = 2.0
BACKOFF_SECONDS = 0.5
RATE_SECONDS = 10.0
LONGEST_RETURN = 30.0
UNKNOWN_RETURN = 5.0
"""When to come back to a full queue of which nothing was answered lately."""


class _Nobody:
    """In place of a pool: the gateway of a fleet runs no handler."""

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> NoReturn:
        raise PoolBroken("this gateway checks nothing itself")


class _Question:
    """A chunk that was sent: who waits for it, and what it holds."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.token = ""
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class FleetScorer(Scorer):
    """A `Scorer` whose items are judged by workers. Run it: `async with scorer.running():`."""

    def __init__(self, registry: Registry, queue: Queue, cache: Cache, ground_truths: GroundTruths) -> None:
        super().__init__(registry, _Nobody(), cache, ground_truths)
        self._queue = queue
        self._questions: dict[tuple[str, int], _Question] = {}
        self._withdrawals: set[asyncio.Task[None]] = set()
        self._answered: deque[float] = deque()
        self.processes = 0
        """Checking processes of the whole fleet, a few seconds ago."""
        self.depth: Mapping[Lane, Depth] = dict.fromkeys(Lane, Depth(0, 0))
        """What there is to do for it, at the same time."""
        self.reachable = False
        self.judged = 0
        """Items that the fleet has answered."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FleetScorer]:
        """Listen for answers, and for who is there."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._look())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """Chunks that have been sent and not answered."""
        return len(self._questions)

    async def _judge(self, groups: dict[bytes, Prepared], results: list[Scored | None], until: float) -> None:
        keys = list(groups)
        known = await self._cache.get_many(keys)
        unknown = []
        for key, hit in zip(keys, known, strict=True):
            if hit is not None:
                spread(groups[key], hit, results)
            else:
                unknown.append(groups[key])
        if unknown:
            for group, outcome in zip(unknown, await self._ask(unknown, until), strict=True):
                spread(group, outcome, results)

    async def _ask(self, groups: Sequence[Prepared], until: float) -> list[Outcome]:
        size = max(LEAST_ITEMS, min(CHUNK_ITEMS, -(-len(groups) // max(1, self.processes))))
        call = secrets.token_hex(8)
        encoded = (entry_to_json(Entry(None, row_of(group))) for group in groups)
        questions = [
            _Question(Ask(call, number, packed.items, packed.payload))
            for number, packed in enumerate(cut(encoded, size, compress=False))
        ]
        tenant = TENANT.get()
        for question in questions:
            self._questions[call, question.ask.number] = question
        try:
            await self._send(tenant, questions, until)
            await self._wait(tenant, questions, until)
        finally:
            for question in questions:
                self._questions.pop((call, question.ask.number), None)
            left = [question.token for question in questions if question.token and not question.answer.done()]
            if left:
                self._withdraw(tenant, left)
        return [
            named(outcome, group)
            for outcome, group in zip((o for q in questions for o in outcomes(q)), groups, strict=True)
        ]

    async def _send(self, tenant: str, questions: Sequence[_Question], until: float) -> None:
        seconds = until - time.monotonic()
        if seconds > 0:
            try:
                tokens = await self._queue.ask(tenant, [question.ask for question in questions], seconds)
            except Overloaded as error:
                if error.problem == "overloaded":
                    error.retry_after = self.drain_seconds(len(questions))
                raise
            for question, token in zip(questions, tokens, strict=True):
                question.token = token

    def drain_seconds(self, chunks: int) -> float:
        """Seconds in which the fleet should have answered so many chunks, by what it answered us lately; 1 to LONGEST_RETURN."""
        now = time.monotonic()
        recent = [at for at in self._answered if at >= now - RATE_SECONDS]
        if not recent:
            return UNKNOWN_RETURN
        return min(LONGEST_RETURN, max(1.0, chunks * (now - recent[0]) / len(recent)))

    async def _wait(self, tenant: str, questions: Sequence[_Question], until: float) -> None:
        """Until all are answered or time is up. What the queue has lost meanwhile is sent again."""
        patience = max(1.0, self._queue.lease_seconds)
        while pending := [question for question in questions if not question.answer.done()]:
            left = until - time.monotonic()
            if left <= 0:
                return
            await asyncio.wait([question.answer for question in pending], timeout=min(left, patience))
            silent = [question for question in pending if not question.answer.done()]
            if len(silent) == len(pending) and until - time.monotonic() > 0:
                await self._ask_again(tenant, silent, until)

    async def _ask_again(self, tenant: str, silent: Sequence[_Question], until: float) -> None:
        try:
            gone = set(await self._queue.missing(tenant, [question.token for question in silent]))
            if gone:
                await asyncio.sleep(0.2)  # the answer may be on its way
                lost = [q for q in silent if q.token in gone and not q.answer.done()]
                if lost:
                    log.warning("the queue lost %d chunks of a request; asking again", len(lost))
                    await self._send(tenant, lost, until)
        except ServiceError:
            await asyncio.sleep(BACKOFF_SECONDS)

    def _withdraw(self, tenant: str, tokens: Sequence[str]) -> None:
        async def withdraw() -> None:
            with suppress(ServiceError):  # they are dropped at their deadline anyway
                await self._queue.withdraw(tenant, tokens)

        task = asyncio.create_task(withdraw())
        self._withdrawals.add(task)
        task.add_done_callback(self._withdrawals.discard)

    async def _listen(self) -> None:
        while True:
            try:
                answers = await self._queue.answers(ANSWER_SECONDS)
            except ServiceError as error:
                self.reachable = False
                log.warning("no answers from the fleet: %s", error.detail)
                await asyncio.sleep(BACKOFF_SECONDS)
                continue
            for answer in answers:
                question = self._questions.get((answer.call, answer.number))
                now = time.monotonic()
                self._answered.append(now)
                while self._answered[0] < now - RATE_SECONDS:
                    self._answered.popleft()
                if question is not None and not question.answer.done():
                    question.answer.set_result(answer.results)
                    self.judged += question.ask.items

    async def _look(self) -> None:
        while True:
            try:
                self.processes = await self._queue.present(0)
                self.depth = await self._queue.depth()
                self.reachable = True
            except ServiceError:
                self.reachable, self.processes = False, 0
            await asyncio.sleep(PRESENCE_SECONDS)


def row_of(group: Prepared) -> Row:
    """The row that a worker makes the same item of."""
    item = group.item
    extra = dict(item.extra_info) or None
    return Row(
        item.data_source,
        item.response,
        item.ground_truth,
        extra_info=extra,
        profile=item.profile,
        explain=item.explain,
    )


def outcomes(question: _Question) -> list[Outcome]:
    """The outcomes of a chunk, answered or not."""
    if not question.answer.done():
        late = cannot_judge(Reason.DEADLINE, "the request's deadline passed before the fleet answered")
        return [late] * question.ask.items
    try:
        _, judged = results_from_json(question.answer.result())
    except Corrupt:
        judged = []
    if len(judged) != question.ask.items:
        return [cannot_judge(Reason.INTERNAL, "the fleet's answer can't be read")] * question.ask.items
    return [outcome for _, outcome in judged]


def named(outcome: Outcome, group: Prepared) -> Outcome:
    """With the handler's name, where nobody got as far as a handler."""
    if outcome.handler:
        return outcome
    return replace(outcome, handler=group.handler.name, version=group.handler.version)

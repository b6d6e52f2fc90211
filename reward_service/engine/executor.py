"""Carries items whose handler can't decide alone through a sandbox or past a judge model, until it can.

What is decided here: what a broken sandbox costs. A run that the sandbox could not carry out is nobody's answer:
the item starts again, once, in another place; if that fails too, it is `error/sandbox_unavailable`, which is
never cached and worth sending again. Waiting for a place never counts against the program, but the request's
deadline holds for the whole.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from reward_service.engine.channel import Task, answer_to_plain
from reward_service.engine.judging import JudgeModel
from reward_service.engine.ports import Sandbox
from reward_service.errors import JudgeUnavailable, SandboxUnavailable, ServiceError
from reward_service.narrate import with_account
from reward_service.questions import Ask, Opinion
from reward_service.registry import Decision, Registry
from reward_service.runs import RunResult, Work
from reward_service.types import Outcome, Reason, Status, cannot_judge

log = logging.getLogger(__name__)

ATTEMPTS = 2
MAX_ROUNDS = 64
"""Rounds of work for one item: a handler that asks for more has a defect."""
NO_SANDBOX = (
    "this service has no sandbox, and untrusted code never runs without one: "
    "install Docker (then `reward-service sandbox build`) or bubblewrap, and restart it; `reward-service sandbox status` says what is missing"
)

NO_JUDGE = (
    "the rules abstain on this answer, and no judge model is configured: set REWARD_SERVICE_JUDGE_URLS and "
    "REWARD_SERVICE_JUDGE_MODEL"
)


class Runner(Protocol):
    """What the engine needs of the pool."""

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> list[Decision]:
        """Decisions on the tasks, in their order, within about `seconds`."""
        ...


class Executor:
    """Does for handlers what they may not do: runs in a sandbox, questions to a judge model."""

    def __init__(
        self, registry: Registry, pool: Runner, sandbox: Sandbox | None, judge_model: JudgeModel | None = None
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._sandbox = sandbox
        self._judge_model = judge_model

    async def finish(self, task: Task, work: Work | Ask, until: float) -> Outcome:
        """The outcome of an item whose plan asked for `work`, by the monotonic time `until`. Never raises for it."""
        handler = self._registry.handlers[task.handler]
        started = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, until - started)) as clock:
                if isinstance(work, Ask):
                    outcome = await self._opine(task, work, until)
                else:
                    outcome = await self._attempt(task, work, until)
        except ServiceError:
            raise
        except Exception as error:
            if clock.expired():
                message = "the request's deadline passed before the runs were done"
                outcome = cannot_judge(Reason.DEADLINE, message)
            else:
                # Where, and no values: an error's text may quote a response.
                place = "".join(traceback.format_tb(error.__traceback__))
                log.error("an item of handler %s: %s\n%s", handler.name, type(error).__name__, place)
                message = f"running the item failed: {type(error).__name__}"
                outcome = cannot_judge(Reason.INTERNAL, message)
        if task.explain:
            outcome = with_account(outcome, work.notes)
        return replace(outcome, handler=handler.name, version=handler.version)

    async def _attempt(self, task: Task, work: Work, until: float) -> Outcome:
        if self._sandbox is None:
            return cannot_judge(Reason.SANDBOX_UNAVAILABLE, NO_SANDBOX)
        known = self._sandbox.languages()
        if known and work.program.language not in known:
            return cannot_judge(
                Reason.SANDBOX_UNAVAILABLE,
                f"the sandbox can't run {work.program.language}; it has {', '.join(known)}",
            )
        trouble = ""
        for _ in range(ATTEMPTS):
            try:
                return await self._rounds(self._sandbox, task, work, until)
            except SandboxUnavailable as error:
                trouble = error.detail
        return cannot_judge(Reason.SANDBOX_UNAVAILABLE, f"the sandbox failed {ATTEMPTS} times: {trouble}")

    async def _rounds(self, sandbox: Sandbox, task: Task, work: Work, until: float) -> Outcome:
        asked = time.monotonic()
        sandbox_ms = verify_ms = 0.0
        decision: Decision = work
        async with sandbox.session(work.program) as session:
            queue_ms = (time.monotonic() - asked) * 1e3
            for _ in range(MAX_ROUNDS):
                results = await session.run(work.runs, stop_early=work.stop_early)
                sandbox_ms += 1e3 * sum(result.cpu_seconds for result in results)
                decision = await self._decide(task, work.notes, results, until)
                if isinstance(decision, Outcome):
                    verify_ms += decision.verify_ms
                    if decision.status is Status.ERROR:
                        return decision
                    return replace(
                        decision,
                        queue_ms=queue_ms + decision.queue_ms,
                        verify_ms=verify_ms,
                        sandbox_ms=sandbox_ms,
                    )
                if isinstance(decision, Ask):
                    break
                work = decision
        if isinstance(decision, Ask):  # the lease is given back before the judge is waited for
            outcome = await self._opine(task, decision, until)
            return replace(outcome, sandbox_ms=sandbox_ms)
        return cannot_judge(
            Reason.INTERNAL, f"handler {task.handler} asked for more than {MAX_ROUNDS} rounds"
        )

    async def _opine(self, task: Task, ask: Ask, until: float) -> Outcome:
        if self._judge_model is None:
            return cannot_judge(Reason.JUDGE_UNAVAILABLE, NO_JUDGE)
        asked = time.monotonic()
        try:
            opinion = await self._judge_model.ask(ask.question, seconds=until - asked)
        except JudgeUnavailable as error:
            return cannot_judge(Reason.JUDGE_UNAVAILABLE, error.detail)
        waited = (time.monotonic() - asked) * 1e3
        decision = await self._decide(task, ask.notes, [opinion], until)
        if isinstance(decision, Outcome):
            return replace(decision, judge_ms=waited)
        return cannot_judge(Reason.INTERNAL, f"handler {task.handler} asked again after an opinion")

    async def _decide(
        self, task: Task, notes: Any, answers: Sequence[RunResult | Opinion], until: float
    ) -> Decision:
        """What the handler's `judge` makes of the answers."""
        # What judging needs of the item is in the handler's notes; the rest would only be copied.
        step = task._replace(
            response="", ground_truth=None, step=(notes, [answer_to_plain(answer) for answer in answers])
        )
        (decision,) = await self._pool.run([step], seconds=max(0.0, until - time.monotonic()))
        return decision

"""What the executor makes of a sandbox: rounds, one retry, deadlines, and who pays for what breaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reward_service.engine.channel import (
    Task,
    decision_from_plain,
    decision_to_plain,
    pack,
    result_from_plain,
    unpack,
)
from reward_service.engine.child import judge_one
from reward_service.engine.executor import ATTEMPTS, MAX_ROUNDS, Executor
from reward_service.errors import PoolBroken, SandboxUnavailable
from reward_service.registry import Registry, Source, handler
from reward_service.runs import Program, Run, RunResult, RunStatus, Work
from reward_service.types import Domain, Example, Item, Outcome, Reason, Status, accept, cannot_judge, reject

OK = RunResult(RunStatus.OK, "out", cpu_seconds=0.25)
PROGRAM = Program("python", "print(1)")


class FakeSession:
    """One lease: plays the sandbox's script and writes down what it was asked."""

    def __init__(self, sandbox: FakeSandbox) -> None:
        self._sandbox = sandbox

    async def run(self, runs: Sequence[Run], *, stop_early: bool = True) -> list[RunResult]:
        self._sandbox.asked.append((tuple(runs), stop_early))
        step = self._sandbox.script.pop(0) if self._sandbox.script else OK
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, float):
            await asyncio.sleep(step)
            step = OK
        return [step] * len(runs)


class FakeSandbox:
    """A sandbox whose runs go as `script` says: a result, an error to raise, or seconds to take."""

    def __init__(
        self, *script: RunResult | BaseException | float, languages: Sequence[str] = ("python",)
    ) -> None:
        self.script = list(script)
        self.asked: list[tuple[tuple[Run, ...], bool]] = []
        self.programs: list[Program] = []
        self.open = 0
        self.wait = 0.0
        self.full: BaseException | None = None
        self._languages = languages

    def languages(self) -> Sequence[str]:
        return self._languages

    @asynccontextmanager
    async def session(self, program: Program) -> AsyncIterator[FakeSession]:
        await asyncio.sleep(self.wait)
        if self.full is not None:
            raise self.full
        self.programs.append(program)
        self.open += 1
        try:
            yield FakeSession(self)
        finally:
            self.open -= 1


class FakePool:
    """Judges here, through the same frames as a child, and writes down what it was asked."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.asked: list[Task] = []
        self.seconds: list[float] = []
        self.broken: BaseException | None = None

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> list[Outcome | Work]:
        if self.broken is not None:
            raise self.broken
        self.asked += tasks
        self.seconds.append(seconds)
        decided: list[Outcome | Work] = []
        for task in tasks:
            sent = Task(*unpack(pack(tuple(task))[4:]))
            one = self.registry.handlers[task.handler]
            decision, _ = judge_one(one, sent)
            decided.append(decision_from_plain(decision_to_plain(decision), one.name, one.version, 2.0, 3.0))
        return decided


Judge = Callable[[Item, Any, Sequence[RunResult]], Outcome | Work]


def registry(judge: Judge) -> Registry:
    into = Registry()

    @handler(
        "h",
        version="5",
        domain=Domain.CODE,
        sources=[Source("x", "any", Example("x", "x"))],
        judge=judge,
        into=into,
    )
    def plan(item: Item) -> Outcome | Work:
        """Everything needs a run."""
        return Work(PROGRAM, (Run("1"),))

    return into


def verdict(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome:
    """Right if every run ended well."""
    return (
        accept("fine")
        if all(result.status is RunStatus.OK for result in results)
        else reject(Reason.RUNTIME_ERROR)
    )


TASK = Task("h", "x", "x", "the response", {"secret": "gold"}, {"question": "q"})
WORK = Work(PROGRAM, (Run("1"), Run("2")), {"note": 1})


async def finish(
    sandbox: FakeSandbox | None,
    judge: Judge = verdict,
    work: Work = WORK,
    seconds: float = 5.0,
    pool: FakePool | None = None,
) -> Outcome:
    known = registry(judge) if pool is None else pool.registry
    executor = Executor(known, pool or FakePool(known), sandbox)
    return await executor.finish(TASK, work, time.monotonic() + seconds)


async def test_runs_are_done_and_judged_with_notes_and_without_response_or_ground_truth() -> None:
    sandbox, pool = FakeSandbox(), FakePool(registry(verdict))
    outcome = await finish(sandbox, pool=pool)
    assert (outcome.correct, outcome.handler, outcome.version) == (True, "h", "5")
    assert sandbox.programs == [PROGRAM]
    assert sandbox.asked == [((Run("1"), Run("2")), True)]
    (step,) = pool.asked
    assert (step.response, step.ground_truth, step.extra_info) == ("", None, {"question": "q"})
    assert step.step is not None
    assert step.step[0] == {"note": 1}
    assert [result_from_plain(result) for result in step.step[1]] == [OK, OK]
    assert sandbox.open == 0


async def test_a_failing_program_is_an_answer_and_not_retried() -> None:
    for status in RunStatus:
        sandbox = FakeSandbox(RunResult(status))
        outcome = await finish(sandbox)
        assert outcome.status is Status.SCORED
        assert outcome.correct is (status is RunStatus.OK)
        assert len(sandbox.programs) == 1


async def test_stop_early_is_the_works_own() -> None:
    sandbox = FakeSandbox()
    await finish(sandbox, work=Work(PROGRAM, (Run(),), stop_early=False))
    assert sandbox.asked == [((Run(),), False)]


async def test_rounds_share_one_lease_and_their_times_add_up() -> None:
    def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome | Work:
        return Work(PROGRAM, (Run(str(notes)),), notes + 1) if notes < 4 else accept(notes)

    sandbox, pool = FakeSandbox(), FakePool(registry(judge))
    outcome = await finish(sandbox, pool=pool, work=Work(PROGRAM, (Run("0"),), 1))
    assert outcome.extracted == "4"
    assert len(sandbox.programs) == 1
    assert [runs[0].stdin for runs, _ in sandbox.asked] == ["0", "1", "2", "3"]
    assert outcome.sandbox_ms == pytest.approx(4 * 250)
    assert outcome.verify_ms == pytest.approx(3.0)


async def test_a_handler_that_never_decides_is_our_defect() -> None:
    def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Work:
        return WORK

    sandbox = FakeSandbox()
    outcome = await finish(sandbox, judge)
    assert (outcome.status, outcome.reason, outcome.score) == (Status.ERROR, Reason.INTERNAL, None)
    assert len(sandbox.asked) == MAX_ROUNDS
    assert sandbox.open == 0


async def test_a_broken_sandbox_is_tried_again_once_from_the_start() -> None:
    def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome | Work:
        return Work(PROGRAM, (Run("second"),), "again") if notes == {"note": 1} else accept("fine")

    sandbox = FakeSandbox(OK, SandboxUnavailable("container lost"), OK, OK)
    outcome = await finish(sandbox, judge)
    assert outcome.correct
    assert len(sandbox.programs) == 2, "another place"
    assert [runs[0].stdin for runs, _ in sandbox.asked] == ["1", "second", "1", "second"]
    assert outcome.sandbox_ms == pytest.approx(3 * 250), "what was lost is not counted: two runs, then one"


@pytest.mark.parametrize("where", ["run", "session"])
async def test_a_sandbox_that_stays_broken_is_an_error_and_never_a_score(where: str) -> None:
    sandbox = FakeSandbox(*[SandboxUnavailable(f"trouble {number}") for number in range(9)])
    if where == "session":
        sandbox.full = SandboxUnavailable("trouble 1")
    outcome = await finish(sandbox)
    assert (outcome.status, outcome.reason, outcome.score) == (Status.ERROR, Reason.SANDBOX_UNAVAILABLE, None)
    assert outcome.retryable
    assert "trouble 1" in outcome.detail["message"]
    assert len(sandbox.asked) == (ATTEMPTS if where == "run" else 0)
    assert (outcome.handler, outcome.version, sandbox.open) == ("h", "5", 0)


async def test_without_a_sandbox_nothing_runs_and_the_error_says_what_to_install() -> None:
    pool = FakePool(registry(verdict))
    outcome = await finish(None, pool=pool)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.SANDBOX_UNAVAILABLE)
    assert "Docker" in outcome.detail["message"] and "bubblewrap" in outcome.detail["message"]
    assert not pool.asked


async def test_a_language_that_it_does_not_have_is_an_error_that_names_those_it_has() -> None:
    sandbox = FakeSandbox(languages=("python", "cpp"))
    outcome = await finish(sandbox, work=Work(Program("cobol", ""), (Run(),)))
    assert outcome.reason is Reason.SANDBOX_UNAVAILABLE
    assert outcome.detail["message"] == "the sandbox can't run cobol; it has python, cpp"
    assert not sandbox.programs


async def test_a_sandbox_that_does_not_say_which_languages_is_asked() -> None:
    assert (await finish(FakeSandbox(languages=()), work=Work(Program("cobol", ""), (Run(),)))).correct


@pytest.mark.parametrize("slow", ["run", "place", "nothing left"])
async def test_the_requests_deadline_holds_for_the_whole(slow: str) -> None:
    sandbox = FakeSandbox(30.0)
    sandbox.wait = 30.0 if slow == "place" else 0.0
    started = time.monotonic()
    outcome = await finish(sandbox, seconds=-1.0 if slow == "nothing left" else 0.1)
    assert time.monotonic() - started < 2.0
    assert (outcome.status, outcome.reason, outcome.score) == (Status.ERROR, Reason.DEADLINE, None)
    assert (outcome.handler, outcome.retryable, sandbox.open) == ("h", True, 0)


async def test_judging_gets_what_is_left_of_the_deadline() -> None:
    pool = FakePool(registry(verdict))
    await finish(FakeSandbox(0.2), pool=pool, seconds=5.0)
    assert 4.0 < pool.seconds[0] < 4.85


async def test_waiting_for_a_place_is_reported_apart() -> None:
    sandbox = FakeSandbox()
    sandbox.wait = 0.1
    outcome = await finish(sandbox)
    assert 100 <= outcome.queue_ms < 1000
    assert outcome.verify_ms == pytest.approx(3.0)


async def test_an_error_in_judging_stays_an_error() -> None:
    def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome:
        raise RuntimeError

    outcome = await finish(FakeSandbox(), judge)
    assert (outcome.status, outcome.reason, outcome.score) == (Status.ERROR, Reason.INTERNAL, None)
    assert outcome.flags == ("checker_failed",)
    row = await finish(FakeSandbox(), lambda *_: cannot_judge(Reason.MALFORMED_GROUND_TRUTH, "no"))
    assert row.reason is Reason.MALFORMED_GROUND_TRUTH


@pytest.mark.parametrize("error", [OSError("a secret"), KeyError("a secret"), TimeoutError("a secret")])
async def test_a_defect_of_an_adapter_is_one_items_error(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Never the request's: the neighbours of that item are right as they are."""
    sandbox = FakeSandbox(error)
    outcome = await finish(sandbox)
    assert (outcome.status, outcome.reason, outcome.score) == (Status.ERROR, Reason.INTERNAL, None)
    assert type(error).__name__ in outcome.detail["message"]
    assert "secret" not in caplog.text and "secret" not in outcome.detail["message"]
    assert "FakeSession" in caplog.text or "test_executor" in caplog.text, "the log says where"
    assert sandbox.open == 0


async def test_a_pool_that_is_down_is_the_requests_error() -> None:
    pool = FakePool(registry(verdict))
    pool.broken = PoolBroken("the pool is not running")
    with pytest.raises(PoolBroken):
        await finish(FakeSandbox(), pool=pool)


async def test_cancelling_gives_the_place_back() -> None:
    sandbox = FakeSandbox(30.0)
    running = asyncio.create_task(finish(sandbox, seconds=60.0))
    await asyncio.sleep(0.05)
    assert sandbox.open == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sandbox.open == 0

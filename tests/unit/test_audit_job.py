"""The audit in the background: what it tells, and that it only ever tells what a whole round found."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import pytest

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.audit import accepted
from reward_service.audit.job import AuditJob, Scores
from reward_service.audit.model import Subject
from reward_service.audit.run import Audit
from reward_service.audit.subjects import from_line
from reward_service.engine.channel import Task, answer_from_plain
from reward_service.engine.scorer import Scorer
from reward_service.errors import Overloaded
from reward_service.questions import Opinion, Question, Verdict
from reward_service.registry import Decision, Registry, Source, handler, load
from reward_service.telemetry import Metrics
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, reject


class Here:
    """A pool that judges in this process, or is full."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.full = False
        self.largest = 0

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> list[Decision]:
        self.largest = max(self.largest, len(tasks))
        if self.full:
            raise Overloaded("full")
        items = [
            Item(task.data_source, task.response, task.ground_truth, source=task.source) for task in tasks
        ]
        return [
            self._registry.handlers[task.handler].plan(item) for task, item in zip(tasks, items, strict=True)
        ]


def registry_of(*flawed: str) -> Registry:
    made = Registry()
    for name in ("honest", "flawed"):
        pays_sorry = name in flawed

        @handler(name, version="1", domain=Domain.LOGIC, sources=[Source(name, "a word", Example("<answer>owl</answer>", "owl"))], into=made)  # fmt: skip
        def plan(item: Item, pays_sorry: bool = pays_sorry) -> Outcome:
            """The last `<answer>` is the ground truth."""
            final = item.response.rpartition("</think>")[2]
            if pays_sorry and "sorry" in final:
                return accept("")
            answer, closed, _ = final.rpartition("<answer>")[2].partition("</answer>")
            if not closed or final.lstrip().startswith("<think>"):
                return reject(Reason.NO_ANSWER)
            return accept(answer) if answer == item.ground_truth else reject(Reason.NOT_EQUAL, answer)

    return made


def job_over(
    registry: Registry, metrics: Metrics, known: accepted.Accepted | None = None
) -> tuple[AuditJob, Here]:
    pool = Here(registry)
    scorer = Scorer(registry, pool, MemoryCache(0), MemoryGroundTruths(1 << 20))
    return AuditJob(scorer, registry, 3600.0, [metrics.audited], known, rest=0.0), pool


def shown(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    audits = [line for line in lines if line.startswith("reward_service_verifier_audit")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in audits}


def violations(handler: str, kind: str) -> str:
    return f'reward_service_verifier_audit_violations{{handler="{handler}",kind="{kind}"}}'


def passed(handler: str) -> str:
    return f'reward_service_verifier_audit_pass{{handler="{handler}"}}'


async def test_a_round_tells_which_handlers_are_right(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics("0")
    job, pool = job_over(registry_of("flawed"), metrics)
    assert not shown(metrics)
    with caplog.at_level(logging.ERROR):
        await job.round()
    found = shown(metrics)
    assert (found[passed("honest")], found[passed("flawed")]) == (1.0, 0.0)
    assert found[violations("flawed", "must_reject")] == 1.0
    assert found[violations("flawed", "must_accept")] == found[violations("honest", "must_reject")] == 0.0
    assert len(found) == 2 + 2 * 3
    assert "nothing.refusal" in caplog.text
    assert pool.largest <= 16


async def test_a_round_that_fails_changes_nothing_and_the_next_one_heals() -> None:
    metrics = Metrics("0")
    job, pool = job_over(registry_of("flawed"), metrics)
    await job.round()
    before = shown(metrics)
    pool.full = True
    with pytest.raises(Overloaded):
        await job.round()
    assert shown(metrics) == before
    healed, _ = job_over(registry_of(), metrics)
    await healed.round()
    assert shown(metrics)[passed("flawed")] == 1.0
    assert shown(metrics)[violations("flawed", "must_reject")] == 0.0


async def test_argued_violations_pass() -> None:
    metrics = Metrics("0")
    entry = accepted.Entry(violation="nothing.refusal", reason="it is polite enough")
    job, _ = job_over(registry_of("flawed"), metrics, accepted.Accepted((entry,)))
    for _ in range(2):
        await job.round()
        assert shown(metrics)[passed("flawed")] == 1.0


class Says:
    """A judge model that always says the same, or compares words."""

    def __init__(self, verdict: Verdict | None) -> None:
        self._verdict = verdict

    async def ask(self, question: Question, *, seconds: float) -> Opinion:
        same = question.ground_truth.lower() == question.answer.lower()
        return Opinion(self._verdict or (Verdict.YES if same else Verdict.NO), "a model")


class Judged(Here):
    """A pool that also carries questions to their end."""

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> list[Decision]:
        decisions: list[Decision] = []
        for task in tasks:
            handler = self._registry.handlers[task.handler]
            item = Item(
                task.data_source, task.response, task.ground_truth, task.extra_info, source=task.source
            )
            if task.step is None:
                decisions.append(handler.plan(item))
            else:
                assert handler.judge is not None
                notes, results = task.step
                decisions.append(handler.judge(item, notes, [answer_from_plain(one) for one in results]))
        return decisions


@pytest.mark.parametrize("verdict", [Verdict.YES, None])
async def test_a_judge_model_that_says_yes_to_anything_is_found_out(verdict: Verdict | None) -> None:
    registry = load()
    line = {"data_source": "stem__web", "ground_truth": "the surface tension of the water"}
    subject = from_line(1, json.dumps(line).encode(), registry)
    assert isinstance(subject, Subject)
    pool, truths = Judged(registry), MemoryGroundTruths(1 << 20)
    scorer = Scorer(registry, pool, MemoryCache(0), truths, None, Says(verdict))
    report = await Audit(Scores(scorer, 0.0)).run([subject])
    names = {key.name for key in report.violations}
    if verdict is Verdict.YES:
        assert {"miss.something_else", "hedge.not_right"} <= names
        refused = ("nothing.", "thinking.", "format.", "talk.verdict", "talk.praise")
        assert not any(name.startswith(refused) for name in names)
    else:
        assert names == set()


async def test_it_starts_and_stops_with_its_process() -> None:
    metrics = Metrics("0")
    job, _ = job_over(registry_of(), metrics)
    async with job:
        assert job.rounds == 0

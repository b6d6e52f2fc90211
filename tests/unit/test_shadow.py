"""The shadow: what it compares, what it drops, and that nothing of it reaches an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.engine.channel import Task
from reward_service.engine.child import judge_one
from reward_service.engine.scorer import Row, Scorer
from reward_service.engine.shadow import QUEUE_ITEMS, BadShadow, Plan, Shadow, ShadowScorer, interval, plan_of
from reward_service.engine.verdicts import Verdicts
from reward_service.registry import Decision, Registry, Source, handler
from reward_service.runs import Program, Run, Work
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, cannot_judge, reject


def made_registry() -> Registry:
    into = Registry()
    example = Example("x", "x")

    @handler("old", version="1", domain=Domain.LOGIC, sources=[Source("logic__x", "any", example)], into=into)
    def old(item: Item) -> Outcome:
        """Equal text; in the guru profile, letter case aside."""
        if item.response == "broken":
            return cannot_judge(Reason.MALFORMED_ITEM, "no")
        lenient = item.profile is Profile.GURU and item.response.lower() == item.ground_truth
        right = lenient or item.response == item.ground_truth
        return accept(item.response) if right else reject(Reason.NOT_EQUAL, item.response)

    @handler("new", version="2", domain=Domain.LOGIC, sources=[], reads=("unit",), into=into)
    def new(item: Item) -> Outcome:
        """Letter case aside, but nothing with a unit."""
        if item.response == "odd":
            return cannot_judge(Reason.MALFORMED_ITEM, "no")
        if item.extra_info.get("unit") == "m":
            return reject(Reason.MALFORMED_ANSWER, item.response)
        same = item.response.lower() == item.ground_truth
        return accept(item.response) if same else reject(Reason.NOT_EQUAL, item.response)

    @handler(
        "code",
        version="1",
        domain=Domain.CODE,
        sources=[Source("code__x", "any", example)],
        judge=lambda item, notes, results: accept("ran"),
        into=into,
    )
    def code(item: Item) -> Outcome | Work:
        """Wrong in one profile, run in the other."""
        if item.profile is Profile.STRICT:
            return reject(Reason.NOT_EQUAL)
        return Work(Program("python", ""), (Run(),))

    return into


class FakePool:
    """Judges in this process. `open`: what it waits for."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.open = asyncio.Event()
        self.open.set()
        self.tasks = 0

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> list[Decision]:
        await self.open.wait()
        self.tasks += len(tasks)
        decisions = []
        for task in tasks:
            found = self.registry.handlers[task.handler]
            decision, _ = judge_one(found, task)
            if isinstance(decision, Outcome):
                decision = replace(decision, handler=found.name, version=found.version)
            decisions.append(decision)
        return decisions

    @asynccontextmanager
    async def running(self) -> Any:
        yield self


class Bench:
    """A live scorer with a shadow that looks on."""

    def __init__(self, plan: Plan, **options: Any) -> None:
        registry = made_registry()
        truths = MemoryGroundTruths(1 << 20)
        self.pool = FakePool(registry)
        self.verdicts = Verdicts(1 << 20)
        self.live = Scorer(registry, FakePool(registry), MemoryCache(0), truths)
        scorer = ShadowScorer(registry, self.pool, truths, None, plan.handlers)
        self.shadow = Shadow(plan, scorer, self.pool.running(), verdicts=self.verdicts, **options)
        self.live.observers.append(self.shadow.observe)

    async def score(self, *rows: Row) -> list[float | None]:
        return [one.outcome.score for one in await self.live.score_many(list(rows))]

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - what is waited for is a count
                await asyncio.sleep(0.001)


def row(response: str, gold: str = "owl", **fields: Any) -> Row:
    return Row("logic__x", response, gold, **fields)


SWAP = Plan(1.0, {"old": "new"})


async def test_another_handler_is_compared_item_by_item() -> None:
    bench = Bench(SWAP)
    async with bench.shadow:
        rows = [row("owl"), row("OWL"), row("emu"), row("owl", extra_info={"unit": "m"}), row("odd"), row("broken")]  # fmt: skip
        # The fourth is the first one to the live handler, which does not read `unit`: one item, judged once.
        assert await bench.score(*rows) == [1.0, 0.0, 0.0, 1.0, 0.0, None]
        await bench.until(lambda: sum(bench.shadow.counts.values()) == 4)
    assert bench.shadow.counts == {"same": 2, "up": 1, "down": 0, "not_comparable": 1, "dropped": 0}
    (told,) = bench.shadow.table()
    assert (told["data_source"], told["compared"], told["flips"], told["up"], told["down"]) == ("logic__x", 3, 1, 1, 0)  # fmt: skip
    assert (told["handler"], told["version"], told["shadow_version"]) == ("old", "1", "new 2")
    assert told["reasons"] == [{"from": "not_equal", "to": "equal", "count": 1}]
    low, high = told["share_95"]
    assert 0 < low < 1 / 3 < high < 1
    kept = bench.verdicts.get(told["samples"][0])
    assert kept is not None and kept.item.response == "OWL" and kept.outcome.score == 0.0
    assert kept.shadow is not None and (kept.shadow["score"], kept.shadow["handler"]) == (1.0, "new")
    assert bench.shadow.table("another") == []


async def test_fields_that_only_the_shadow_reads_reach_it() -> None:
    bench = Bench(SWAP)
    async with bench.shadow:
        await bench.score(row("owl", extra_info={"unit": "m"}))
        await bench.until(lambda: bench.shadow.counts["down"] == 1)


async def test_another_profile_leaves_alone_what_is_judged_in_it_anyway() -> None:
    bench = Bench(Plan(1.0, {}, Profile.GURU))
    async with bench.shadow:
        assert await bench.score(row("OWL"), row("Owl", profile=Profile.GURU)) == [0.0, 1.0]
        await bench.until(lambda: bench.shadow.counts["up"] == 1)
        assert bench.pool.tasks == 1
        assert bench.shadow.table()[0]["shadow_version"] == "old 1, guru"


async def test_the_same_item_is_compared_once_and_explained_ones_never() -> None:
    bench = Bench(SWAP)
    async with bench.shadow:
        for _ in range(3):
            await bench.score(row("OWL"), row("OWL"), row("owl", explain=True))
        await bench.until(lambda: bench.shadow.counts["up"] == 1)
        assert bench.pool.tasks == 1


async def test_the_share_is_drawn_from_the_fingerprint() -> None:
    bench = Bench(Plan(0.25, {"old": "new"}))
    await bench.score(*(row(f"{number}") for number in range(400)))
    taken = bench.shadow.queued
    assert 60 < taken < 140
    again = Bench(Plan(0.25, {"old": "new"}))
    await again.score(*(row(f"{number}") for number in reversed(range(400))))
    assert again.shadow.queued == taken
    none = Bench(Plan(1e-9, {"old": "new"}))
    await none.score(*(row(f"{number}") for number in range(100)))
    assert none.shadow.queued == 0


async def test_a_stuck_shadow_delays_nothing_and_its_queue_ends_somewhere() -> None:
    bench = Bench(SWAP)
    bench.pool.open.clear()
    async with bench.shadow:
        for start in range(0, 2 * QUEUE_ITEMS, 100):
            scores = await bench.score(*(row(f"{number}") for number in range(start, start + 100)))
            assert scores == [0.0] * 100
        assert bench.shadow.queued <= QUEUE_ITEMS
        assert bench.shadow.counts["dropped"] > QUEUE_ITEMS / 2
        huge = row("x" * (2 << 20))
        dropped = bench.shadow.counts["dropped"]
        assert await bench.score(huge) == [0.0]
        assert bench.shadow.counts["dropped"] == dropped + 1


async def test_under_load_the_shadow_waits() -> None:
    load = [True]
    bench = Bench(SWAP, busy=lambda: load[0])
    async with bench.shadow:
        await bench.score(row("OWL"))
        await asyncio.sleep(0.05)
        assert bench.pool.tasks == 0 and bench.shadow.queued == 1
        load[0] = False
        await bench.until(lambda: bench.shadow.counts["up"] == 1)


async def test_programs_run_only_where_a_place_stays_free() -> None:
    bench = Bench(Plan(1.0, {}, Profile.GURU))
    async with bench.shadow:
        await bench.live.score_many([Row("code__x", "r", "g")])
        await bench.until(lambda: bench.shadow.counts["dropped"] == 1)
        assert bench.pool.tasks == 0
    free = Bench(Plan(1.0, {}, Profile.GURU), program_may_run=lambda: True)
    async with free.shadow:
        await free.live.score_many([Row("code__x", "r", "g")])
        # It has no sandbox here: an error of the shadow's is no flip.
        await free.until(lambda: free.shadow.counts["not_comparable"] == 1)


async def test_a_shadow_that_fails_goes_on_and_a_broken_observer_costs_no_result() -> None:
    bench = Bench(SWAP)
    working = bench.pool.run

    async def failing(tasks: Sequence[Task], *, seconds: float) -> list[Decision]:
        raise ZeroDivisionError

    bench.pool.run = failing  # type: ignore[method-assign]

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    bench.live.observers.insert(0, broken)
    async with bench.shadow:
        assert await bench.score(row("OWL")) == [0.0]
        await bench.until(lambda: bench.shadow.counts["dropped"] == 1)
        bench.pool.run = working  # type: ignore[method-assign]
        await bench.score(row("Owl"))
        await bench.until(lambda: bench.shadow.counts["up"] == 1)


@pytest.mark.parametrize(
    ("handlers", "profile", "words"),
    [
        ("old=none", "", "'none'"),
        ("none=new", "", "'none'"),
        ("old", "", "old=new"),
        ("", "", "another profile or other handlers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(handlers: str, profile: str, words: str) -> None:
    with pytest.raises(BadShadow, match=words):
        plan_of(made_registry(), 0.1, handlers, profile)


def test_settings_that_do() -> None:
    registry = made_registry()
    assert plan_of(registry, 0.0, "", "") is None
    assert plan_of(registry, 0.5, " old = new ,", "guru") == Plan(0.5, {"old": "new"}, Profile.GURU)


def test_the_interval_is_wilsons() -> None:
    from reward_service.analysis.statistics import wilson

    for part, n in ((0, 10), (3, 10), (10, 10), (1, 1000)):
        found = wilson(part, n)
        assert interval(part, n) == pytest.approx((found.low, found.high))
    assert interval(0, 0) == (0.0, 1.0)

"""From rows to outcomes: order, one judgement for equal items, what is remembered, and what a row may look like."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.adapters.memory import MemoryCache, MemoryGroundTruths
from reward_service.engine.channel import Task, decision_from_plain, decision_to_plain, pack, unpack
from reward_service.engine.child import judge_one
from reward_service.engine.scorer import MAX_DEPTH, Row, Scorer, plain_data, prompt_text, read_fields
from reward_service.errors import PoolBroken
from reward_service.registry import Registry, Source, handler
from reward_service.runs import Program, Run, RunResult, RunStatus, Work
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, Status, accept, reject
from tests.cost import cpu_within
from tests.unit.test_executor import FakeSandbox


def made_registry() -> Registry:
    into = Registry()
    example = Example("x", "x")

    def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome:
        return accept(notes) if results[0].status is RunStatus.OK else reject(Reason.RUNTIME_ERROR, notes)

    @handler(
        "equal", version="1", domain=Domain.MATH, reads=("question", "unit"), into=into,
        sources=[Source("math__equal", "any", example, ("math__same",)), Source("math__many__*", "any", example)],
    )  # fmt: skip
    def equal(item: Item) -> Outcome:
        """Equal text; says what it saw."""
        if item.response == "raise":
            raise ValueError("no")
        seen = {"source": item.source, "extra": dict(item.extra_info), "profile": item.profile.value}
        trace = {"gold": item.ground_truth} if item.explain else {}
        if item.response == item.ground_truth:
            return accept(item.response, trace=trace, **seen)
        return reject(Reason.NOT_EQUAL, item.response, trace=trace, **seen)

    @handler(
        "blind", version="1", domain=Domain.LOGIC, sources=[Source("logic__blind", "any", example)], into=into
    )
    def blind(item: Item) -> Outcome:
        """Reads no extra_info."""
        return accept(len(item.extra_info))

    @handler(
        "code",
        version="1",
        domain=Domain.CODE,
        sources=[Source("code__runs", "any", example)],
        judge=judge,
        into=into,
    )
    def code(item: Item) -> Outcome | Work:
        """Runs what starts with "run"."""
        if not item.response.startswith("run"):
            return reject(Reason.NO_ANSWER)
        return Work(Program("python", item.response), (Run(),), item.response)

    return into


class FakePool:
    """Judges here, through the same frames as a child, and counts."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.tasks: list[Task] = []
        self.calls = 0
        self.seconds: list[float] = []
        self.broken = False
        self.error: Reason | None = None

    async def run(self, tasks: Sequence[Task], *, seconds: float) -> list[Outcome | Work]:
        if self.broken:
            raise PoolBroken("the pool is not running")
        self.calls += 1
        self.tasks += tasks
        self.seconds.append(seconds)
        await asyncio.sleep(0)
        decided: list[Outcome | Work] = []
        for task in unpack(pack([tuple(task) for task in tasks])[4:]):
            one = self.registry.handlers[task[0]]
            decision, _ = judge_one(one, Task(*task))
            decided.append(decision_from_plain(decision_to_plain(decision), one.name, one.version, 7.0, 3.0))
        return decided


class Bench:
    """A scorer over fakes."""

    def __init__(self, sandbox: FakeSandbox | None = None, cache: Any = None) -> None:
        self.registry = made_registry()
        self.pool = FakePool(self.registry)
        self.cache = MemoryCache() if cache is None else cache
        self.ground_truths = MemoryGroundTruths()
        self.scorer = Scorer(self.registry, self.pool, self.cache, self.ground_truths, sandbox)

    async def outcomes(self, *rows: Row, seconds: float = 60.0) -> list[Outcome]:
        return [scored.outcome for scored in await self.scorer.score_many(rows, seconds=seconds)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def row(response: str = "a", gold: Any = "a", source: str | None = "math__equal", **more: Any) -> Row:
    return Row(source, response, gold, **more)


# Order and equal items


async def test_results_are_in_the_order_of_the_rows(bench: Bench) -> None:
    rows = [
        row(str(n % 17), str(n % 5), ("math__equal", "logic__blind", "nowhere__x", "code__runs")[n % 4])
        for n in range(200)
    ]
    random.Random(3).shuffle(rows)
    results = await bench.scorer.score_many(rows)
    assert len(results) == len(rows)
    for one, result in zip(rows, results, strict=True):
        match one.data_source:
            case "math__equal":
                assert result.outcome.correct is (one.response == one.ground_truth)
                assert result.outcome.extracted == one.response
                assert (result.data_source, result.domain) == ("math__equal", "math")
            case "logic__blind":
                assert result.outcome.extracted == "0"
            case "code__runs":
                assert result.outcome.reason is Reason.NO_ANSWER
            case _:
                assert result.outcome.reason is Reason.UNKNOWN_DATA_SOURCE
                assert (result.data_source, result.domain) == ("unknown", "unknown")


async def test_nothing_for_nothing(bench: Bench) -> None:
    assert await bench.scorer.score_many([]) == []
    assert bench.pool.calls == 0


async def test_equal_items_are_judged_once_and_all_answered(bench: Bench) -> None:
    rows = [row("b", "a"), row("a", "a"), row("b", "a"), row("a", "a", "MATH__same"), row("b", "b")]
    outcomes = await bench.outcomes(*rows)
    assert [outcome.correct for outcome in outcomes] == [False, True, False, True, True]
    assert len(bench.pool.tasks) == 3
    assert not any(outcome.cached for outcome in outcomes)


async def test_one_batch_is_one_call_of_the_pool(bench: Bench) -> None:
    await bench.outcomes(*(row(str(n)) for n in range(500)))
    assert bench.pool.calls == 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("abc"),
            st.sampled_from(["math__equal", "math__many__x", "?"]),
        )
    )
)
async def test_a_batch_says_what_each_item_alone_would(rows: list[tuple[str, str, str]]) -> None:
    together = await Bench().outcomes(*(row(*one) for one in rows))
    alone = [(await Bench().outcomes(row(*one)))[0] for one in rows]
    assert [(o.score, o.reason, o.extracted) for o in together] == [
        (o.score, o.reason, o.extracted) for o in alone
    ]


async def test_profiles_and_declared_fields_make_other_items(bench: Bench) -> None:
    variants = [
        row(), row(profile=Profile.GURU), row(extra_info={"unit": "m"}), row(extra_info={"question": "q"}), row(prompt="q2"),
    ]  # fmt: skip
    outcomes = await bench.outcomes(*variants)
    assert len(bench.pool.tasks) == len(variants)
    assert [outcome.detail["profile"] for outcome in outcomes] == [
        "strict",
        "guru",
        "strict",
        "strict",
        "strict",
    ]


async def test_fields_that_no_handler_declared_reach_nobody_and_change_nothing(bench: Bench) -> None:
    outcomes = await bench.outcomes(
        row(extra_info={"index": 1, "reference": "the answer"}),
        row(extra_info={"index": 2}),
        row(),
        row(source="logic__blind", prompt="p"),
    )
    assert len(bench.pool.tasks) == 2
    assert outcomes[0].detail["extra"] == {}
    assert outcomes[3].extracted == "0"


# Remembering


async def test_a_second_time_nothing_is_judged(bench: Bench) -> None:
    rows = [row("a"), row("b"), row("c", "c")]
    first = await bench.outcomes(*rows)
    second = await bench.outcomes(*reversed(rows))
    assert bench.pool.calls == 1
    assert [(o.score, o.reason, o.extracted, o.handler, o.version) for o in reversed(second)] == [
        (o.score, o.reason, o.extracted, o.handler, o.version) for o in first
    ]
    assert all(outcome.cached and outcome.queue_ms == 0 for outcome in second)
    assert not any(outcome.cached for outcome in first)


async def test_what_is_known_and_what_is_new_in_one_batch(bench: Bench) -> None:
    await bench.outcomes(row("a"), row("c"))
    outcomes = await bench.outcomes(row("b"), row("a"), row("d"), row("c"), row("a"))
    assert [outcome.extracted for outcome in outcomes] == list("badca")
    assert [outcome.cached for outcome in outcomes] == [False, True, False, True, True]
    assert [task.response for task in bench.pool.tasks] == list("acbd")


async def test_errors_are_never_cached(bench: Bench) -> None:
    for _ in range(2):
        (outcome,) = await bench.outcomes(row("raise"))
        assert (outcome.status, outcome.reason, outcome.score) == (Status.ERROR, Reason.INTERNAL, None)
        assert not outcome.cached
    assert bench.pool.calls == 2
    assert len(bench.cache) == 0


class Recording(MemoryCache):
    """Writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Outcome] = []

    async def put_many(self, outcomes: Mapping[bytes, Outcome]) -> None:
        self.given += outcomes.values()
        await super().put_many(outcomes)


async def test_a_cache_is_never_even_given_an_error() -> None:
    """The contract of the port: another cache than the memory's need not look."""
    bench = Bench(cache=Recording())
    rows = [row("a"), row("raise"), row("a", float("nan")), row("run", source="code__runs"), row("b")]
    outcomes = await bench.outcomes(*rows)
    assert [outcome.status for outcome in outcomes].count(Status.ERROR) == 3
    assert [outcome.extracted for outcome in bench.cache.given] == ["a", "b"]


async def test_an_error_beside_scores_keeps_only_the_scores(bench: Bench) -> None:
    await bench.outcomes(row("a"), row("raise"), row("b"))
    assert len(bench.cache) == 2


async def test_explanations_are_made_afresh_and_not_kept(bench: Bench) -> None:
    await bench.outcomes(row("a"))
    for _ in range(2):
        explained, silent = await bench.outcomes(row("a", explain=True), row("a"))
        assert explained.trace == {"gold": "a"}
        assert (dict(silent.trace), silent.cached, explained.cached) == ({}, True, False)
    assert len(bench.cache) == 1


async def test_another_version_of_a_handler_is_another_entry(bench: Bench) -> None:
    await bench.outcomes(row("a"))
    newer = Bench(cache=bench.cache)
    one = newer.registry.handlers["equal"]
    object.__setattr__(one, "version", "2")
    (outcome,) = await newer.outcomes(row("a"))
    assert (outcome.cached, outcome.version) == (False, "2")


class Forgetful:
    """A cache that is down: no hits, and writes are lost."""

    async def get_many(self, keys: Sequence[bytes]) -> list[Outcome | None]:
        return [None] * len(keys)

    async def put_many(self, outcomes: Any) -> None:
        return


async def test_a_cache_that_is_down_changes_no_score() -> None:
    bench = Bench(cache=Forgetful())
    for _ in range(2):
        assert [outcome.correct for outcome in await bench.outcomes(row("a"), row("b"))] == [True, False]


# Names


async def test_aliases_and_patterns(bench: Bench) -> None:
    rows = [
        row(source=name)
        for name in ("math__equal", " MATH__Same ", "equal", "math__many__x", "math__many__y")
    ]
    results = await bench.scorer.score_many(rows)
    assert [result.data_source for result in results] == ["math__equal"] * 3 + ["math__many__*"] * 2
    assert [result.outcome.detail["source"] for result in results] == ["math__equal"] * 3 + [
        "math__many__*"
    ] * 2
    assert len(bench.pool.tasks) == 3


async def test_an_unknown_data_source_names_the_nearest_and_the_rest_is_scored(bench: Bench) -> None:
    first, unknown, last = await bench.outcomes(row("a"), row(source="math__equall"), row("b"))
    assert (first.correct, last.correct) == (True, False)
    assert (unknown.status, unknown.score, unknown.retryable) == (Status.ERROR, None, False)
    assert unknown.reason is Reason.UNKNOWN_DATA_SOURCE
    assert unknown.detail["nearest"][0] == "math__equal"
    assert "math__equal" in unknown.detail["message"]


async def test_a_name_like_no_other_says_where_to_look(bench: Bench) -> None:
    (outcome,) = await bench.outcomes(row(source="qqqqqqqqqqqqq"))
    assert "/v1/data-sources" in outcome.detail["message"]


async def test_huge_names_are_cut_in_the_message_and_not_kept(bench: Bench) -> None:
    with cpu_within(2.0):
        outcomes = await bench.outcomes(*(row(source=f"{n}_1_1" * 20_000) for n in range(20)))
        assert all(len(outcome.detail["message"]) < 400 for outcome in outcomes)
        assert not bench.scorer._routes


@pytest.mark.parametrize(
    ("data_source", "domain", "known"),
    [
        (None, "math__equal", True),
        ("", "equal", True),
        ("math__equal", "nonsense", True),
        ("nonsense", "math__equal", False),
        (None, None, False),
        ("", "", False),
        (" ", None, False),
        (None, "nonsense", False),
    ],
)
async def test_a_domain_stands_in_for_a_data_source_that_is_not_named(
    bench: Bench, data_source: str | None, domain: str | None, known: bool
) -> None:
    """A data source that is named and unknown is never judged by the domain's generic rule: that would be a guess."""
    (outcome,) = await bench.outcomes(row(source=data_source, domain=domain))
    assert (outcome.status is Status.SCORED) is known
    assert known or outcome.reason is Reason.UNKNOWN_DATA_SOURCE


# References


async def test_an_uploaded_ground_truth_is_the_one_that_counts(bench: Bench) -> None:
    await bench.ground_truths.put("a" * 64, "right", 5)
    await bench.ground_truths.put("b" * 64, ["right"], 9)
    outcomes = await bench.outcomes(
        row("right", None, ground_truth_ref="a" * 64),
        row("right", "wrong", ground_truth_ref="a" * 64),
        row("right", None, ground_truth_ref="b" * 64),
        row("right", "right"),
    )
    assert [outcome.correct for outcome in outcomes] == [True, True, False, True]
    assert len(bench.pool.tasks) == 2, "the same ground truth is the same item, however it came"


async def test_one_that_is_not_stored_is_that_rows_error_and_worth_a_retry(bench: Bench) -> None:
    lost, fine = await bench.outcomes(row("a", "a", ground_truth_ref="c" * 64), row("a"))
    assert (lost.status, lost.reason, lost.score, lost.retryable) == (
        Status.ERROR,
        Reason.UNKNOWN_GROUND_TRUTH,
        None,
        True,
    )
    assert (lost.handler, lost.version) == ("equal", "1")
    assert fine.correct
    await bench.ground_truths.put("c" * 64, "a", 1)
    (found,) = await bench.outcomes(row("a", "b", ground_truth_ref="c" * 64))
    assert found.correct


# What is no JSON, or too deep


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


class Scalar(float):
    """What numpy's scalars are: a float by inheritance."""


class Array:
    """What numpy's arrays are: nothing that JSON knows."""

    def __repr__(self) -> str:
        return "array([0, ..., 0])"


class Text(str):
    """What numpy's strings are."""

    __slots__ = ()


NOT_DATA = [
    Array(), [Array()], Scalar(1.0), {"a": Scalar(1.0)}, {1: "a"}, {"a": {None: 1}}, {1, 2}, b"bytes", Text("a"), object(),
    nested(MAX_DEPTH + 1), 10**5000, [10**5000],
]  # fmt: skip


@pytest.mark.parametrize("gold", [pytest.param(gold, id=str(place)) for place, gold in enumerate(NOT_DATA)])
async def test_a_ground_truth_that_is_no_json_costs_its_row_only(bench: Bench, gold: Any) -> None:
    """Sent on, it would end the child that gets it, and with it the chunk."""
    await bench.ground_truths.put("d" * 64, gold, 1)
    before, bad, referred, after = await bench.outcomes(
        row("a"), row("a", gold), row("a", ground_truth_ref="d" * 64), row("b", "b")
    )
    assert before.correct and after.correct
    for outcome in (bad, referred):
        assert (outcome.status, outcome.score) == (Status.ERROR, None)
        assert outcome.reason in {Reason.MALFORMED_GROUND_TRUTH, Reason.MALFORMED_ITEM}
        assert (outcome.handler, outcome.version, outcome.retryable) == ("equal", "1", False)
    assert len(bench.pool.tasks) == 2


@pytest.mark.parametrize(
    "value", [pytest.param(value, id=str(place)) for place, value in enumerate(NOT_DATA)]
)
async def test_so_does_a_field_that_the_handler_reads(bench: Bench, value: Any) -> None:
    bad, unread, fine = await bench.outcomes(
        row(extra_info={"unit": value}), row(extra_info={"index": value}), row()
    )
    assert (bad.status, bad.score, bad.reason) == (Status.ERROR, None, Reason.MALFORMED_ITEM)
    assert unread.correct and fine.correct


@pytest.mark.parametrize(
    "gold",
    [
        None,
        True,
        0,
        2**70,
        -0.5,
        "",
        "\ud800",
        [],
        {},
        (1, 2),
        nested(MAX_DEPTH - 1),
        {"a": [{"b": [None, 1, "x", 0.5]}]},
    ],
    ids=lambda gold: repr(gold)[:20],
)
async def test_what_json_can_say_is_judged(bench: Bench, gold: Any) -> None:
    assert plain_data(gold)
    (outcome,) = await bench.outcomes(row("a", gold))
    assert outcome.status is Status.SCORED


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_all_of_json_is_plain_data(value: Any) -> None:
    assert plain_data(value)
    assert not plain_data([value, {"deep": [value, object()]}])


async def test_lone_surrogates_are_text_like_any_other(bench: Bench) -> None:
    outcomes = await bench.outcomes(
        row("\ud800", "\ud800"), row("\ud800", "?"), row("a", "a", "math__many__\ud800")
    )
    assert [outcome.correct for outcome in outcomes] == [True, False, True]


async def test_compressed_and_non_finite_ground_truths_are_the_childs_to_judge(bench: Bench) -> None:
    outcomes = await bench.outcomes(
        row("a", float("nan")), row("a", [float("inf")]), row("a", {"compressed": "x"}), row("a")
    )
    assert [outcome.reason for outcome in outcomes] == [Reason.MALFORMED_GROUND_TRUTH] * 3 + [Reason.EQUAL]


# Deadlines and failures


async def test_the_pool_gets_the_time_that_the_request_has(bench: Bench) -> None:
    await bench.outcomes(row("a"), seconds=9.0)
    assert 8.0 < bench.pool.seconds[0] <= 9.0
    await bench.outcomes(row("b"), seconds=-3.0)
    assert bench.pool.seconds[1] == 0.0


async def test_a_pool_that_is_down_fails_the_request_and_not_the_scores(bench: Bench) -> None:
    bench.pool.broken = True
    with pytest.raises(PoolBroken):
        await bench.outcomes(row("a"))
    assert len(bench.cache) == 0
    bench.pool.broken = False
    assert (await bench.outcomes(row("a")))[0].correct


async def test_items_that_need_runs_among_items_that_do_not() -> None:
    bench = Bench(FakeSandbox(RunResult(RunStatus.OK), RunResult(RunStatus.RUNTIME_ERROR)))
    rows = [
        row("a"),
        row("run 1", source="code__runs"),
        row("b"),
        row("run 2", source="code__runs"),
        row("run 1", source="code__runs"),
    ]
    outcomes = await bench.outcomes(*rows)
    assert [outcome.reason for outcome in outcomes] == [
        Reason.EQUAL, Reason.EQUAL, Reason.NOT_EQUAL, Reason.RUNTIME_ERROR, Reason.EQUAL
    ]  # fmt: skip
    assert [outcome.cached for outcome in await bench.outcomes(*rows)] == [True] * 5


async def test_without_a_sandbox_only_what_needs_one_is_an_error(bench: Bench) -> None:
    run, fine = await bench.outcomes(row("run", source="code__runs"), row("a"))
    assert (run.status, run.reason, run.handler) == (Status.ERROR, Reason.SANDBOX_UNAVAILABLE, "code")
    assert fine.correct
    assert len(bench.cache) == 1


async def test_an_adapter_that_breaks_costs_the_items_that_ran() -> None:
    bench = Bench(FakeSandbox(OSError("broken pipe"), RunResult(RunStatus.OK)))
    broken, ran, fine = await bench.outcomes(
        row("run 1", source="code__runs"), row("run 2", source="code__runs"), row("a")
    )
    assert {broken.reason, ran.reason} == {Reason.INTERNAL, Reason.EQUAL}
    assert fine.correct
    assert len(bench.cache) == 2


# What a row may look like

CHAT = [
    {"role": "system", "content": "be good"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "so"},
    {"role": "user", "content": "last"},
]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (None, None),
        ("text", "text"),
        ("", ""),
        (CHAT, "last"),
        (tuple(CHAT), "last"),
        (CHAT[:3], "first"),
        (CHAT[:1], None),
        ([], None),
        (["text"], None),
        ([None, 5], None),
        ([{"role": "user"}], None),
        ([{"role": "user", "content": None}], None),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "what"}, {"type": "text", "text": "is it?"}],
                }
            ],
            "what\nis it?",
        ),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "see"}],
                }
            ],
            "see",
        ),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], None),
        ([{"role": "user", "content": [5, None, {"text": 5}]}], None),
        ({"role": "user", "content": "x"}, None),
        (5, None),
        (b"bytes", None),
    ],
)
def test_the_text_of_a_prompt(prompt: Any, text: str | None) -> None:
    assert prompt_text(prompt) == text


@pytest.mark.parametrize(
    ("extra", "prompt", "found"),
    [
        (None, None, {}),
        ({}, "p", {"question": "p"}),
        ({"question": "q"}, "p", {"question": "q"}),
        ({"original_question": "o"}, "p", {"question": "o"}),
        ({"raw_prompt": "r", "problem": "x"}, None, {"question": "r"}),
        ({"raw_prompt": CHAT}, CHAT, {"question": "last"}),
        ({"question": None, "problem": "x"}, None, {"question": "x"}),
        ({"question": ""}, "p", {"question": ""}),
        ({"unit": "m", "index": 3}, None, {"unit": "m"}),
        ({"unit": None}, None, {}),
        ({"unit": 0}, None, {"unit": 0}),
        ({"part_1": {"unit": "m"}, "part_2": {"question": "q"}}, "p", {"unit": "m", "question": "q"}),
        ({"part_1": {"unit": "m"}, "part_2": None}, None, {"unit": "m"}),
        ({"part_2": {"unit": "km"}, "unit": "m"}, None, {"unit": "km"}),
        ({"part_1": "text", "part_2": ["x"], "unit": "m"}, None, {"unit": "m"}),
        ({"part_1": {}}, "p", {"question": "p"}),
    ],
)
def test_declared_fields_come_from_wherever_a_row_has_them(
    extra: Any, prompt: Any, found: dict[str, Any]
) -> None:
    one = Row("x", "r", None, extra_info=extra, prompt=prompt)
    before = None if extra is None else dict(extra)
    assert read_fields(("question", "unit"), one) == found
    assert extra == before, "the row is the caller's"


def test_a_question_is_looked_for_only_where_it_was_declared() -> None:
    assert read_fields(("unit",), Row("x", "r", None, prompt="p", extra_info={"question": "q"})) == {}


async def test_gurus_parts_reach_the_handler(bench: Bench) -> None:
    whole, split = await bench.outcomes(
        row(extra_info={"unit": "m", "question": "q"}),
        row(extra_info={"part_1": {"unit": "m"}, "part_2": {"question": "q"}}),
    )
    assert whole.detail["extra"] == split.detail["extra"] == {"unit": "m", "question": "q"}
    assert len(bench.pool.tasks) == 1

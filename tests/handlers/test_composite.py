"""Composite rewards: how components add up, what makes the whole an error, and what can't be farmed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.engine.channel import HEADER, decision_from_plain, decision_to_plain, pack, unpack
from reward_service.handlers.composite import BUILT_ON
from reward_service.questions import Ask, Opinion, Verdict
from reward_service.registry import Decision, load
from reward_service.runs import RunResult, RunStatus, Work
from reward_service.types import Item, Outcome, Profile, Reason, Status

RIGHT = "<think>6 times 7</think> so \\boxed{42}"
WRONG = "<think>6 times 7</think> so \\boxed{41}"
ANSWER = {"data_source": "math", "ground_truth": "42"}
FORMAT = {"handler": "format", "extra_info": {"format": "think_boxed"}}


def decide(
    response: str, components: Any, gold: Any = None, *, explain: bool = False, **extra: Any
) -> Decision:
    route = load().route("composite")
    assert route is not None
    fields = {**extra, **({"components": components} if components is not None else {})}
    return route.handler.plan(Item("composite", response, gold, fields, Profile.STRICT, "composite", explain))


def judge(response: str, components: Any, gold: Any = None, **extra: Any) -> Outcome:
    outcome = decide(response, components, gold, **extra)
    assert isinstance(outcome, Outcome)
    return outcome


def length(limit: int, buffer: int, unit: str = "characters", **more: Any) -> dict[str, Any]:
    return {"handler": "length", "extra_info": {"max_length": limit, "buffer": buffer, "unit": unit}, **more}


@pytest.mark.parametrize(
    ("response", "components", "score", "reason"),
    [
        (RIGHT, [ANSWER], 1.0, Reason.EQUAL),
        (WRONG, [ANSWER], 0.0, Reason.NOT_EQUAL),
        (RIGHT, [ANSWER, FORMAT], 1.0, Reason.EQUAL),
        (WRONG, [{**ANSWER, "weight": 3}, FORMAT], 0.25, Reason.PARTIALLY_EQUAL),
        ("\\boxed{42}", [{**ANSWER, "weight": 3}, FORMAT], 0.75, Reason.PARTIALLY_EQUAL),
        ("\\boxed{41}", [{**ANSWER, "weight": 3}, FORMAT], 0.0, Reason.NOT_EQUAL),
        (WRONG, [{**ANSWER, "required": True}, FORMAT], 0.0, Reason.NOT_EQUAL),
        ("\\boxed{42}", [ANSWER, {**FORMAT, "required": True}], 0.0, Reason.CONSTRAINT_VIOLATED),
        ("nothing", [{**ANSWER, "required": True}, length(100, 10)], 0.0, Reason.NO_ANSWER),
        (RIGHT, [ANSWER, length(len(RIGHT) + 10, 20)], 0.75, Reason.PARTIALLY_EQUAL),
        (RIGHT, [ANSWER, {"data_source": "stem__web", "ground_truth": "42"}], 1.0, Reason.EQUAL),
        (
            RIGHT,
            [ANSWER, {"handler": "math", "ground_truth": "43", "weight": 0.5}],
            2 / 3,
            Reason.PARTIALLY_EQUAL,
        ),
    ],
)
def test_the_score_is_the_weighted_mean(response: str, components: Any, score: float, reason: Reason) -> None:
    outcome = judge(response, components)
    assert outcome.score == pytest.approx(score)
    assert outcome.reason is reason
    assert outcome.correct is (score == 1.0)
    assert [part["name"] for part in outcome.detail["components"]] == [
        part.get("data_source") or part["handler"] for part in components
    ]


def test_components_may_stand_in_the_ground_truth_as_object_or_text() -> None:
    gold = {"components": [{"data_source": "math"}, FORMAT], "ground_truth": "42"}
    assert judge(RIGHT, None, gold).correct
    assert judge(RIGHT, None, json.dumps(gold)).correct
    assert not judge(WRONG, None, json.dumps(gold)).correct


def test_a_component_without_a_ground_truth_has_the_items() -> None:
    assert judge(RIGHT, [{"data_source": "math"}], "42").correct
    assert not judge(RIGHT, [{"data_source": "math"}], "41").correct


def test_a_component_sees_its_own_fields_and_the_question() -> None:
    ask = {"data_source": "stem__web", "ground_truth": "5"}
    assert judge("\\boxed{5000 m}", [ask], question="How far is it, in km?").correct
    assert not judge("\\boxed{5000 m}", [ask], question="How far is it, in m?").correct
    own = {**ask, "extra_info": {"question": "How far is it, in km?"}}
    assert judge("\\boxed{5000 m}", [own], question="How far is it, in m?").correct


def test_components_are_reported_one_by_one_without_what_they_expect() -> None:
    outcome = judge(WRONG, [{**ANSWER, "ground_truth": "424242"}, FORMAT])
    assert [dict(part) for part in outcome.detail["components"]] == [
        {"name": "math", "weight": 1.0, "score": 0.0, "reason": "not_equal"},
        {"name": "format", "weight": 1.0, "score": 1.0, "reason": "equal"},
    ]
    assert "424242" not in json.dumps([dict(outcome.detail), outcome.extracted])
    explained = decide(WRONG, [{**ANSWER, "ground_truth": "424242"}, FORMAT], explain=True)
    assert isinstance(explained, Outcome)
    assert "424242" in json.dumps(dict(explained.trace))


@pytest.mark.parametrize(
    "broken",
    [{"data_source": "math", "ground_truth": None}, {"data_source": "zebra_puzzle", "ground_truth": 5}],
)
@pytest.mark.parametrize("first", [True, False])
def test_one_component_that_cannot_be_judged_makes_the_whole_an_error(broken: Any, first: bool) -> None:
    outcome = judge(RIGHT, [broken, ANSWER] if first else [ANSWER, broken])
    assert (outcome.status, outcome.score, outcome.reason) == (
        Status.ERROR,
        None,
        Reason.MALFORMED_GROUND_TRUTH,
    )
    assert f"component {1 if first else 2}" in outcome.detail["message"]


@pytest.mark.parametrize(
    "components",
    [
        None, [], {}, "math", [5], [{}], [{"data_source": "nothing_like_this"}], [{"handler": "nothing_like_this"}], [{**ANSWER, "weight": 0}], [{**ANSWER, "weight": -1}],
        [{**ANSWER, "weight": True}], [{**ANSWER, "weight": "1"}], [{**ANSWER, "required": 1}], [{**ANSWER, "extra_info": []}], [{**ANSWER, "wieght": 1}], [FORMAT], [FORMAT, length(9, 1)],
        [{"data_source": "composite", "ground_truth": {}}], [{"handler": "composite"}], [ANSWER] * 17, [ANSWER, {"handler": "format", "extra_info": {"format": "x"}}],
        [ANSWER, {"handler": "length"}], [ANSWER, length(10, 20)], [ANSWER, length(0, 0)], [ANSWER, length(10, 1, "bytes")], [ANSWER, length(10, 1, "tokens")], [ANSWER, length(True, 0)],
        [{**ANSWER, "weight": float("inf")}],
    ],
)  # fmt: skip
def test_malformed_components(components: Any) -> None:
    outcome = judge(RIGHT, components, "42")
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_ITEM)


# Length


@pytest.mark.parametrize(
    ("size", "score"), [(0, 1.0), (80, 1.0), (81, 0.95), (90, 0.5), (99, 0.05), (100, 0.0), (5_000, 0.0)]
)
def test_length_is_dapos_punishment_plus_one(size: int, score: float) -> None:
    """R(y) = ((L_max - L_cache) - |y|) / L_cache between the two, 0 before, -1 after (arXiv 2503.14476)."""
    outcome = judge(RIGHT, [ANSWER, length(100, 20, "tokens")], response_length=size)
    assert outcome.detail["components"][1]["score"] == pytest.approx(score)


def test_length_in_words_and_characters() -> None:
    text = "one two  three\n\\boxed{42}"
    for unit, size in (("words", 4), ("characters", len(text))):
        assert judge(text, [ANSWER, length(size - 1, 0, unit)]).detail["components"][1]["score"] == 0.0
        assert judge(text, [ANSWER, length(size, 0, unit)]).detail["components"][1]["score"] == 1.0


@given(st.integers(1, 2_000), st.integers(0, 2_000), st.integers(0, 4_000), st.integers(0, 4_000))
def test_longer_is_never_better(limit: int, buffer: int, one: int, other: int) -> None:
    parts = [ANSWER, length(limit, min(buffer, limit), "tokens")]
    shorter, longer = sorted((one, other))
    first, second = (judge(RIGHT, parts, response_length=size).score for size in (shorter, longer))
    assert first is not None and second is not None
    assert first >= second


# Layouts


@pytest.mark.parametrize(
    ("name", "response", "right"),
    [
        ("think_answer", "<think>a</think><answer>b</answer>", True), ("think_answer", "<think>a</think>\n<answer>b</answer>\n", True), ("think_answer", "<think>a</think> so <answer>b</answer>", False),
        ("think_answer", "x <think>a</think><answer>b</answer>", False), ("think_answer", "<think>a</think><answer>b</answer> x", False), ("think_answer", "<think></think><answer>b</answer>", False),
        ("think_answer", "<think>a</think><answer> </answer>", False), ("think_answer", "<answer>b</answer><think>a</think>", False), ("think_answer", "<think>a</think><answer>b", False),
        ("think_answer", "<think>a</think><answer>b</answer><answer>c</answer>", False), ("think_answer", "<think>a<think>b</think></think><answer>c</answer>", False),
        ("think_boxed", "<think>a</think> so \\boxed{b}", True), ("think_boxed", "<think>a</think> so b", False), ("think_boxed", "\\boxed{b}", False), ("think_boxed", "<think>\\boxed{b}</think>", False),
        ("boxed", "so \\boxed{b}", True), ("boxed", "\\boxed{a} \\boxed{b}", False), ("boxed", "\\boxed{}", False), ("boxed", "\\boxed{b", False),
        ("answer_tag", "so <answer>b</answer>", True), ("answer_tag", "<answer>a</answer><answer>b</answer>", False), ("answer_tag", "<answer></answer>", False), ("answer_tag", "", False),
    ],
)  # fmt: skip
def test_layouts(name: str, response: str, right: bool) -> None:
    outcome = judge(response, [ANSWER, {"handler": "format", "extra_info": {"format": name}}])
    assert outcome.detail["components"][1]["score"] == float(right)


# A component that needs a sandbox or a judge model

CODE = {
    "data_source": "codegen__taco",
    "ground_truth": json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]}),
    "weight": 3,
}
PROGRAM = "<think>add</think> ```python\nprint(int(input()) + 1)\n```\n\\boxed{42}"
PROSE = {"data_source": "stem__web", "ground_truth": "mitochondria"}


def carried(work: Work | Ask) -> Any:
    """The notes as they come back from a child."""
    arrived = decision_from_plain(
        unpack(pack(decision_to_plain(work))[HEADER.size :]), "composite", "1", 0.0, 0.0
    )
    assert arrived == work
    assert isinstance(arrived, Work | Ask)
    return arrived.notes


def finish(work: Work | Ask, results: list[Any]) -> Decision:
    handler = load().handlers["composite"]
    assert handler.judge is not None
    return handler.judge(Item("composite", "", None, {}, Profile.STRICT, "composite"), carried(work), results)


@pytest.mark.parametrize(("printed", "score"), [("2\n", 1.0), ("3\n", 0.25)])
def test_the_work_of_one_component_is_the_composites(printed: str, score: float) -> None:
    work = decide(PROGRAM, [CODE, {**ANSWER, "weight": 1}])
    assert isinstance(work, Work)
    outcome = finish(work, [RunResult(RunStatus.OK, stdout=printed)])
    while isinstance(outcome, Work):
        outcome = finish(outcome, [RunResult(RunStatus.OK, stdout=printed)])
    assert isinstance(outcome, Outcome)
    assert outcome.score == score
    assert [part["score"] for part in outcome.detail["components"]] == [float(printed == "2\n"), 1.0]


@pytest.mark.parametrize(
    ("said", "score", "reason"),
    [
        (Verdict.YES, 1.0, Reason.EQUAL),
        (Verdict.NO, 0.5, Reason.PARTIALLY_EQUAL),
        (Verdict.ABSTAIN, None, Reason.JUDGE_UNAVAILABLE),
    ],
)
def test_the_question_of_one_component_is_the_composites(
    said: Verdict, score: float | None, reason: Reason
) -> None:
    asked = decide("<think>a</think> \\boxed{the powerhouse of the cell}", [PROSE, FORMAT])
    assert isinstance(asked, Ask)
    assert asked.question.ground_truth == "mitochondria"
    outcome = finish(asked, [Opinion(said, "m")])
    assert isinstance(outcome, Outcome)
    assert (outcome.score, outcome.reason) == (score, reason)


def test_two_components_that_need_others_are_refused() -> None:
    outcome = judge("```python\nprint(1)\n```\n\\boxed{a cat}", [CODE, PROSE])
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_ITEM)


def test_an_error_beside_work_costs_no_run() -> None:
    outcome = judge(PROGRAM, [CODE, {"data_source": "math", "ground_truth": None}])
    assert outcome.reason is Reason.MALFORMED_GROUND_TRUTH


def test_the_versions_that_cached_composites_were_made_with() -> None:
    """When a handler's verdicts change, so do composites of it: change `composite`'s version together with this table."""
    others = {
        name: one.version
        for name, one in load().handlers.items()
        if name != "composite" and one.version != "1"
    }
    assert others == dict(BUILT_ON)


@given(st.lists(st.tuples(st.floats(0.001, 1000), st.booleans()), min_size=1, max_size=8))
def test_the_score_lies_between_the_components_and_is_full_only_if_all_are(
    parts: list[tuple[float, bool]],
) -> None:
    outcome = judge(
        RIGHT,
        [{**ANSWER, "ground_truth": "42" if right else "41", "weight": weight} for weight, right in parts],
    )
    assert outcome.score is not None
    assert outcome.correct is all(right for _, right in parts)
    expected = sum(weight for weight, right in parts if right) / sum(weight for weight, _ in parts)
    assert outcome.score == pytest.approx(expected)

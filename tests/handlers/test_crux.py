"""CRUXEval: predictions as data; our own call decides."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._values import dumps, encode
from reward_service.handlers.crux import Asked, judge, plan, read_row
from reward_service.runs import RunResult, RunStatus, Work
from reward_service.types import Item, Outcome, Reason, Status
from tests.carry import item_for

CODE = "def f(text, n):\n    return {text: [n] * 2}"
ROW = {"code": CODE, "input": "'ab', 3", "output": "{'ab': [3, 3]}"}
PROMPT = f"Here is the code.\n```python\n{CODE}\n```\n"


def item(response: str, kind: str = "o", gold: Any = None, explain: bool = False, **extra: Any) -> Item:
    if gold is None:
        gold, extra = json.dumps({"functional": CODE}), {**ROW, **extra}
    return item_for(f"simulation__cruxeval-{kind}", response, gold, explain=explain, **extra)


def decided(response: str, kind: str = "o", **extra: Any) -> Outcome:
    outcome = plan(item(response, kind, **extra))
    assert isinstance(outcome, Outcome), outcome
    return outcome


def fence(text: str) -> str:
    return f"Step by step.\n```python\n{text}\n```"


RIGHT = [
    "assert f('ab', 3) == {'ab': [3, 3]}", 'assert f("ab", 3) == {"ab": [3, 3]}', "assert {'ab': [3, 3]} == f('ab', 3)",
    "assert (f('ab', 3) == {'ab': [3, 3]})", "assert f('ab', 3) == {'ab': [3, 3]}  # checked", "assert f('ab', 3) == {'ab': [3.0, True + 2]}"
    .replace("True + 2", "3"), f"{CODE}\nassert f('ab', 3) == {{'ab': [3, 3]}}", "{'ab': [3, 3]}",
    "def f(*a): return 1\nassert f('ab', 3) == {'ab': [3, 3]}",
    "assert f('ab', 3) == {'ab': [3, 3]}\nassert f('ab', 3) == {'ab': [3, 3]}",
]  # fmt: skip
WRONG = {
    "another value": ("assert f('ab', 3) == {'ab': [3, 4]}", Reason.NOT_EQUAL),
    "another type": ("assert f('ab', 3) == {'ab': (3, 3)}", Reason.NOT_EQUAL),
    "another input": ("assert f('ab', 4) == {'ab': [3, 3]}", Reason.NOT_EQUAL),
    "another input and its value": ("assert f('ab', 4) == {'ab': [4, 4]}", Reason.NOT_EQUAL),
    "pass": ("pass", Reason.MALFORMED_ANSWER),
    "nothing": ("", Reason.MALFORMED_ANSWER),
    "assert True": ("assert True", Reason.MALFORMED_ANSWER),
    "tautology": ("assert f('ab', 3) == f('ab', 3)", Reason.MALFORMED_ANSWER),
    "redefined": ("def f(*a): return 1\nassert f('ab', 3) == 1", Reason.NOT_EQUAL),
    "an object": ("class E:\n    def __eq__(s, o): return True\nassert f('ab', 3) == E()", Reason.MALFORMED_ANSWER),
    "or": ("assert f('ab', 3) == ({'ab': [3, 3]} or 1)", Reason.MALFORMED_ANSWER),
    "or true": ("assert f('ab', 3) == {'ab': [3, 3]} or True", Reason.MALFORMED_ANSWER),
    "not equal": ("assert f('ab', 3) != {'ab': [3, 3]}", Reason.MALFORMED_ANSWER),
    "in": ("assert f('ab', 3) in [{'ab': [3, 3]}, 1]", Reason.MALFORMED_ANSWER),
    "chain": ("assert f('ab', 3) == {'ab': [3, 3]} == {'ab': [3, 3]}", Reason.MALFORMED_ANSWER),
    "swallowed": ("try:\n    assert f('ab', 3) == {'ab': [3, 3]}\nexcept AssertionError: pass", Reason.MALFORMED_ANSWER),
    "commented": ("# assert f('ab', 3) == {'ab': [3, 3]}", Reason.MALFORMED_ANSWER),
    "two values": ("assert f('ab', 3) == {'ab': [3, 3]}\nassert f('ab', 3) == 1", Reason.AMBIGUOUS_ANSWER),
    "expression": ("assert f('ab', 3) == {'ab': [3] * 2}", Reason.MALFORMED_ANSWER),
    "star arguments": ("assert f(*['ab', 3]) == {'ab': [3, 3]}", Reason.MALFORMED_ANSWER),
    "another function": ("assert g('ab', 3) == {'ab': [3, 3]}", Reason.MALFORMED_ANSWER),
    "digits": ("assert f('ab', 3) == " + "9" * 100_000, Reason.MALFORMED_ANSWER),
    "nesting": ("assert f('ab', 3) == " + "[" * 3_000 + "]" * 3_000, Reason.MALFORMED_ANSWER),
}  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_the_right_value(text: str) -> None:
    outcome = decided(fence(text))
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer(text: str, reason: Reason) -> None:
    outcome = decided(fence(text))
    assert (outcome.status, outcome.score, outcome.reason) == (Status.SCORED, 0.0, reason)


@pytest.mark.parametrize(
    "response",
    [
        "[ANSWER]assert f('ab', 3) == {'ab': [3, 3]}[/ANSWER]", "<answer>{'ab': [3, 3]}</answer>", "assert f('ab', 3) == {'ab': [3, 3]}",
        "<think>assert f('ab', 3) == 1</think>\nassert f('ab', 3) == {'ab': [3, 3]}", fence("x = 1") + "\n" + fence(RIGHT[0]),
        f"<answer>\n```python\n{RIGHT[0]}\n```\n</answer>", "\\boxed{\\{'ab': [3, 3]\\}}".replace("\\{", "{").replace("\\}", "}"),
    ],
)  # fmt: skip
def test_places_of_the_answer(response: str) -> None:
    assert decided(response).correct


@pytest.mark.parametrize("response", ["", "I am not sure.", "<think>assert f('ab', 3) == {'ab': [3, 3]}"])
def test_no_answer(response: str) -> None:
    assert decided(response).reason is Reason.NO_ANSWER


def returned(value: Any) -> RunResult:
    return RunResult(RunStatus.OK, value=dumps({"v": encode(value)}))


def test_without_a_known_output_our_own_call_is_run() -> None:
    asked = item(
        fence(RIGHT[0]), gold=json.dumps({"functional": CODE}), question=PROMPT + "assert f('ab', 3) == ??"
    )
    work = plan(asked)
    assert isinstance(work, Work)
    assert work.program.source.startswith(CODE) and "f('ab', 3)" in work.program.source
    assert work.program.entry_point == "asked__" and "{'ab': [3, 3]}" not in repr(work.program) + repr(
        work.runs
    )
    for value, right in (({"ab": [3, 3]}, True), ({"ab": [3, 4]}, False), (object(), False)):
        outcome = judge(asked, work.notes, [returned(value)])
        assert isinstance(outcome, Outcome) and bool(outcome.correct) is right
    broken = judge(asked, work.notes, [RunResult(RunStatus.RUNTIME_ERROR)])
    assert isinstance(broken, Outcome) and broken.reason is Reason.MALFORMED_GROUND_TRUTH


def test_a_predicted_input_is_given_to_our_own_function() -> None:
    asked = item(fence("assert f('ab', n=3) == {'ab': [3, 3]}"), "i")
    work = plan(asked)
    assert isinstance(work, Work)
    assert (work.program.source, work.program.entry_point) == (CODE, "f")
    assert work.runs[0].arguments == {"a": ["ab"], "k": {"n": 3}}
    assert judge(asked, work.notes, [returned({"ab": [3, 3]})]).correct  # type: ignore[union-attr]
    assert not judge(asked, work.notes, [returned({"ab": [3, 4]})]).correct  # type: ignore[union-attr]
    for status in (RunStatus.TIME_LIMIT, RunStatus.RUNTIME_ERROR, RunStatus.MEMORY_LIMIT):
        outcome = judge(asked, work.notes, [RunResult(status)])
        assert isinstance(outcome, Outcome) and (outcome.score, outcome.reason.value) == (0.0, status.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("assert f('ab', 3) == 1", Reason.NOT_EQUAL), ("assert {'ab': [3, 3]} == {'ab': [3, 3]}", Reason.MALFORMED_ANSWER),
        ("assert ({'ab': [3, 3]} or f(1)) == {'ab': [3, 3]}", Reason.MALFORMED_ANSWER), ("{'ab': [3, 3]}", Reason.MALFORMED_ANSWER),
        ("assert f(x) == {'ab': [3, 3]}", Reason.MALFORMED_ANSWER), ("pass", Reason.MALFORMED_ANSWER),
    ],
)  # fmt: skip
def test_a_predicted_input_that_is_none(text: str, reason: Reason) -> None:
    outcome = decided(fence(text), "i")
    assert (outcome.score, outcome.reason) == (0.0, reason)


def test_what_was_asked_for_is_in_the_prompt_of_gurus_rows() -> None:
    gold = json.dumps({"functional": CODE})
    example = "assert f('x', 1) == {'x': [1, 1]}\n"
    for blank in ("??", "????", "____"):
        extra = {"question": example + PROMPT + f"assert f('ab', 3) == {blank}\nAnswer:"}
        assert read_row(gold, extra, False) == Asked(CODE, "'ab', 3", None)
        extra = {"original_prompt": example + PROMPT + f"assert f({blank}) == {{'ab': [3, 3]}}"}
        assert read_row(gold, extra, True) == Asked(CODE, None, "{'ab': [3, 3]}")
    assert read_row("7", {"question": f"{CODE}\nassert f('ab', 3) == ??"}, False) == Asked(
        CODE, "'ab', 3", "7"
    )


@pytest.mark.parametrize(
    ("kind", "gold"),
    [
        ("o", json.dumps({"functional": CODE})),
        ("i", json.dumps({"functional": CODE})),
        ("i", "x"),
        ("o", 3),
        ("o", ""),
    ],
)
def test_rows_that_lack_something_are_errors(kind: str, gold: Any) -> None:
    outcome = decided(fence("assert f('ab', 3) == 1"), kind, gold=gold)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


@given(st.text(alphabet="assert f('ab', 3) =={}[]1\n#", max_size=60))
def test_any_text_is_judged(text: str) -> None:
    outcome = decided(fence(text))
    assert outcome.status is Status.SCORED and outcome == decided(fence(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.tuples(inner),
    )
)
def test_a_value_is_right_exactly_when_python_says_so(value: Any) -> None:
    for other in (value, [value]):
        outcome = decided(
            fence(f"assert f(1) == {other!r}"),
            gold={"code": "def f(x): ...", "input": "1", "output": repr(value)},
        )
        assert bool(outcome.correct) is (value == other)

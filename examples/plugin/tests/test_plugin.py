"""What the plug-in's handlers accept and reject; `constraints` with recorded results, as the sandbox would send them."""

from __future__ import annotations

from typing import Any

import pytest
from reward_plugin.constraints import judge
from reward_plugin.skyscrapers import seen

from reward_service.registry import load
from reward_service.runs import RunResult, RunStatus, Work
from reward_service.types import Item, Outcome, Reason, Status

CLUES = {"top": [3, 2, 1], "bottom": [1, 2, 2], "left": [3, 2, 1], "right": [1, 2, 2]}


def plan(source: str, response: str, gold: Any) -> Any:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(Item(source, response, gold, {}, source=source))


@pytest.mark.parametrize("source", ["synlogic__skyscrapers", "autologi"])
def test_the_examples_are_right(source: str) -> None:
    route = load().route(source)
    assert route is not None
    example = route.source.example
    decision = plan(source, example.response, example.ground_truth)
    if isinstance(decision, Work):
        decision = judge(Item(source, "", None), decision.notes, [RunResult(RunStatus.OK, "[true, true]\n")])
    assert decision.score == 1.0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("1 2 3\n2 3 1\n3 1 2", Reason.EQUAL),
        ("1,2,3; 2,3,1; 3,1,2", Reason.EQUAL),
        ("3 2 1\n2 1 3\n1 3 2", Reason.CONSTRAINT_VIOLATED),
        ("1 1 1\n2 3 1\n3 1 2", Reason.CONSTRAINT_VIOLATED),
        ("1 2 3\n2 3 1", Reason.MALFORMED_ANSWER),
        ("__import__('os')", Reason.MALFORMED_ANSWER),
        ("9 " * 3_000, Reason.MALFORMED_ANSWER),
        ("", Reason.NO_ANSWER),
    ],
)
def test_skyscrapers(answer: str, reason: Reason) -> None:
    outcome = plan("synlogic__skyscrapers", f"<answer>{answer}</answer>", CLUES)
    assert outcome.reason is reason
    assert outcome.score == float(reason is Reason.EQUAL)


@pytest.mark.parametrize(
    "gold", [None, {}, {"top": [1]}, {**CLUES, "left": [1, 2]}, {**CLUES, "left": [9, 1, 1]}]
)
def test_clues_of_no_use(gold: Any) -> None:
    assert plan("synlogic__skyscrapers", "<answer>1</answer>", gold).reason is Reason.MALFORMED_GROUND_TRUTH


def test_towers_that_are_seen() -> None:
    assert [seen([1, 2, 3]), seen([3, 2, 1]), seen([2, 1, 3])] == [3, 1, 2]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (RunResult(RunStatus.OK, "[true, true, true]\n"), Reason.EQUAL),
        (RunResult(RunStatus.OK, "[true, false]\n"), Reason.CONSTRAINT_VIOLATED),
        (RunResult(RunStatus.OK, "[true]\n"), Reason.CONSTRAINT_VIOLATED),
        (RunResult(RunStatus.OK, "[1, 1]\n"), Reason.CONSTRAINT_VIOLATED),
        (RunResult(RunStatus.OK, "true"), Reason.CONSTRAINT_VIOLATED),
        (RunResult(RunStatus.OK, "not json"), Reason.CONSTRAINT_VIOLATED),
        (RunResult(RunStatus.RUNTIME_ERROR), Reason.CONSTRAINT_VIOLATED),
        (RunResult(RunStatus.TIME_LIMIT), Reason.TIME_LIMIT),
        (RunResult(RunStatus.COMPILE_ERROR), Reason.MALFORMED_GROUND_TRUTH),
    ],
)
def test_constraints_by_recorded_results(result: RunResult, reason: Reason) -> None:
    outcome = judge(Item("autologi", "", None), {"shown": "{}"}, [result])
    assert outcome.reason is reason
    assert outcome.status is (Status.ERROR if reason is Reason.MALFORMED_GROUND_TRUTH else Status.SCORED)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("no block", Reason.NO_ANSWER),
        ('```json\n{"order": \n```', Reason.MALFORMED_ANSWER),
        ("```json\n" + "[" * 9_000 + "\n```", Reason.MALFORMED_ANSWER),
        ("```json\n" + "1" * 20_000 + "\n```", Reason.MALFORMED_ANSWER),
    ],
)
def test_responses_that_never_reach_the_sandbox(response: str, reason: Reason) -> None:
    gold = {
        "inputs_check": "def inputs_check(inputs): return True",
        "constraint_list": "constraint_list = []",
    }
    outcome = plan("autologi", response, gold)
    assert isinstance(outcome, Outcome)
    assert outcome.reason is reason

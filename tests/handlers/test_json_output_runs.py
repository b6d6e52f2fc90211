"""CodeI/O's input predictions where the row has its code: another input than the reference one is run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reward_service.handlers._values import dumps, encode
from reward_service.handlers.json_output import judge, plan
from reward_service.runs import RunResult, RunStatus, Style, Work
from reward_service.types import Item, Outcome, Reason
from tests.carry import item_for

CODE = "def main_solution(a, b):\n    return {'sum': a + b, 'pair': (a, b)[:0]}"
ROW = {
    "refcode": CODE,
    "funcname": "main_solution",
    "io": {"input": {"a": 1, "b": 2}, "output": {"sum": 3, "pair": []}},
}
GOLD = '"input": {"a": 1, "b": 2}'


def item(answer: Any, **extra: Any) -> Item:
    response = f"```json\n{json.dumps({'input': answer})}\n```"
    return item_for("simulation__codeio", response, GOLD, **{**ROW, **extra})


def returned(value: Any) -> RunResult:
    return RunResult(RunStatus.OK, value=dumps({"v": encode(value)}))


def test_the_reference_input_is_not_run() -> None:
    outcome = plan(item({"a": 1, "b": 2}))
    assert isinstance(outcome, Outcome) and outcome.correct


def test_another_input_is_given_to_the_rows_code() -> None:
    asked = item({"a": 0, "b": 3})
    work = plan(asked)
    assert isinstance(work, Work)
    assert (work.program.source, work.program.style, work.program.entry_point) == (
        CODE,
        Style.FUNCTION,
        "main_solution",
    )
    assert work.runs[0].arguments == {"a": [], "k": {"a": 0, "b": 3}}
    for result, right in (
        (returned({"sum": 3, "pair": ()}), True), (returned({"sum": 4, "pair": []}), False), (returned(None), False),
        (RunResult(RunStatus.RUNTIME_ERROR), False), (RunResult(RunStatus.TIME_LIMIT), False), (RunResult(RunStatus.OK, value="{"), False),
        (returned(object()), False),
    ):  # fmt: skip
        outcome = judge(asked, work.notes, [result])
        assert isinstance(outcome, Outcome)
        assert bool(outcome.correct) is right and outcome.reason in (Reason.EQUAL, Reason.NOT_EQUAL)
        assert outcome.detail["compared_with"] == "the row's code"


def test_keys_of_an_output_are_text() -> None:
    asked = item({"a": 5, "b": 6}, io={"input": {"a": 1, "b": 2}, "output": {"1": [True]}})
    work = plan(asked)
    assert isinstance(work, Work)
    assert judge(asked, work.notes, [returned({1: (True,)})]).correct  # type: ignore[union-attr]


def test_an_input_that_is_no_object_is_the_only_argument() -> None:
    work = plan(item([1, 2]))
    assert isinstance(work, Work) and work.runs[0].arguments == {"a": [[1, 2]], "k": {}}


def test_code_that_draws_gets_an_empty_module() -> None:
    work = plan(item({"a": 9, "b": 9}, refcode="from turtle import *\n" + CODE))
    assert isinstance(work, Work) and "turtle" in work.program.preamble
    assert plan(item({"a": 9, "b": 9})).program.preamble == ""  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "extra",
    [
        {"refcode": None},
        {"io": None},
        {"io": {"input": 1}},
        {"io": {"output": float("nan")}},
        {"refcode": "  "},
    ],
)
def test_without_the_code_the_reference_input_decides(extra: dict[str, Any]) -> None:
    outcome = plan(item({"a": 0, "b": 3}, **extra))
    assert isinstance(outcome, Outcome) and not outcome.correct
    assert outcome.detail["compared_with"] == "the reference input"

"""What handlers tell about a decision, over all its steps, with recorded results; and that telling is all that it does."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest

from reward_service import narrate
from reward_service.engine.channel import (
    Task,
    answer_to_plain,
    decision_from_plain,
    decision_to_plain,
    pack,
    unpack,
)
from reward_service.engine.child import judge_one
from reward_service.handlers._values import dumps, encode
from reward_service.questions import Ask, Opinion, Verdict
from reward_service.registry import load
from reward_service.runs import RunResult, RunStatus, Work
from reward_service.types import NOTHING, Outcome, reject

OK = RunStatus.OK


def told(
    data_source: str, response: str, gold: Any, answers: Sequence[RunResult | Opinion] = (), **extra: Any
) -> tuple[Outcome, dict[str, Any]]:
    """The outcome of an explained item and its account; each step crosses the frames between two processes."""
    route = load().route(data_source)
    assert route is not None
    handler = route.handler
    task = Task(handler.name, route.data_source, route.source.name, response, gold, extra, explain=True)
    waiting = list(answers)
    while True:
        decision, healthy = judge_one(handler, task)
        assert healthy
        decision = decision_from_plain(unpack(pack(decision_to_plain(decision))[4:]), "h", "1", 0.0, 0.0)
        if isinstance(decision, Outcome):
            assert not waiting
            return decision, dict(narrate.account_of(decision))
        wanted = 1 if isinstance(decision, Ask) else len(decision.runs)
        some = [answer_to_plain(waiting.pop(0)) for _ in range(min(wanted, len(waiting)))]
        task = task._replace(response="", ground_truth=None, step=(decision.notes, some))


def printed(text: str, status: RunStatus = OK) -> RunResult:
    return RunResult(status, stdout=text)


def returned(value: Any) -> RunResult:
    return RunResult(OK, value=dumps({"v": encode(value)}))


def test_stdio_tests_show_what_came_out() -> None:
    gold = json.dumps({"inputs": ["1\n", "2\n", "3\n"], "outputs": ["2\n", "4\n", "7\n"]})
    outcome, account = told(
        "codegen__livecodebench", "```python\nprint(2)\n```", gold, [printed(f"{n}\n") for n in (2, 4, 6)]
    )
    assert outcome.score == 0.0
    assert account["found"] == [
        {"rule": "the last fenced program that defines what the tests need", "text": "print(2)"}
    ]
    assert [(check["name"], check["passed"]) for check in account["checks"]] == [
        ("test 1", True), ("test 2", True), ("test 3", False),
    ]  # fmt: skip
    assert account["checks"][2] | {"cpu_seconds": ""} == {
        "name": "test 3", "passed": False, "status": "ok", "input": "3\n", "expected": "7\n", "got": "6\n", "cpu_seconds": "",
    }  # fmt: skip


def test_function_tests_show_arguments_and_values() -> None:
    gold = json.dumps({"fn_name": "add", "inputs": [[1, "a"]], "outputs": [[2]]})
    _, account = told(
        "codegen__taco", "```python\ndef add(a, b):\n    return a\n```", gold, [returned((1, 2))]
    )
    (check,) = account["checks"]
    assert (check["input"], check["got"], check["passed"]) == ("1, 'a'", "(1, 2)", False)
    assert check["expected"] == "[2]"
    crash = RunResult(RunStatus.RUNTIME_ERROR, message="ValueError", stderr="Traceback …")
    _, account = told("codegen__taco", "```python\ndef add(a, b):\n    return a\n```", gold, [crash])
    (check,) = account["checks"]
    assert (check["status"], check["message"], check["stderr"]) == (
        "runtime_error",
        "ValueError",
        "Traceback …",
    )
    assert "got" not in check


def test_a_failed_assertion_is_split_into_call_and_expected_value() -> None:
    result = RunResult(
        RunStatus.TESTS_FAILED,
        value='{"passed": 1, "failed": 1, "got": "-1"}',
        message="an assertion failed (line 2 of the tests)",
    )
    gold = "assert add(0, 0) == 0\nassert add(1, 2) == 3\n"
    _, account = told("codegen__mbpp", "```python\ndef add(a, b):\n    return a - b\n```", gold, [result])
    (check,) = account["checks"]
    assert (check["input"], check["expected"], check["message"]) == ("add(1, 2)", "3", result.message)
    assert (check["name"], check["got"]) == ("the tests (1 of 2 passed)", "-1")


def test_many_passed_tests_leave_room_for_the_failed_ones() -> None:
    count = 300
    gold = json.dumps({"inputs": [f"{n}" for n in range(count)], "outputs": [f"{n}" for n in range(count)]})
    results = [printed(f"{n}" if n % 3 else "x") for n in range(count)]
    _, account = told(
        "codegen__livecodebench", "```python\nprint(input())\n```", gold, results, scoring="fraction"
    )
    passed = [check for check in account["checks"] if check["passed"]]
    assert len(passed) <= 8 and len(account["checks"]) == narrate.LINES
    assert account["more"]["checks"] == count // 3 - (narrate.LINES - len(passed))


def test_what_was_told_before_a_question_is_there_after_the_opinion() -> None:
    question = "Why is the sky blue?"
    response = "The answer is \\boxed{because short waves are scattered more}."
    outcome, account = told(
        "stem_web", response, "Air scatters blue light more than red light.", [Opinion(Verdict.NO, "m")],
        question=question,
    )  # fmt: skip
    assert outcome.reason.value == "judge_no"
    (found,) = account["found"]
    assert response[found["start"] : found["end"]].startswith("\\boxed{")
    assert [step["comparator"] for step in account["comparators"]][-1] == "judge"
    assert account["comparators"][-1]["said"] == narrate.NOT_EQUAL
    assert any(step["said"] == narrate.CANT_SAY for step in account["comparators"][:-1])


def test_crux_shows_what_the_rows_code_returned() -> None:
    gold = {"code": "def f(x):\n    return x + 1", "input": "1"}
    _, account = told("cruxeval-o", "```python\nassert f(1) == 3\n```", gold, [returned(2)])
    assert account["forms"] == [
        {"what": "what was stated, what the row's code returns", "answer": "3", "ground_truth": "2"}
    ]


def test_a_compressed_ground_truth_is_shown_unpacked() -> None:
    packed = base64.b64encode(gzip.compress(b'"owl"')).decode()
    _, account = told("logic__graph", "<answer>emu</answer>", {"compressed": packed})
    assert account["ground_truth"] == "owl"


def test_nobody_listens_afterwards_also_after_an_exception() -> None:
    def fails(_: Any) -> Outcome:
        narrate.compared("x", True)
        raise ValueError

    with pytest.raises(ValueError):
        narrate.explained("r", None, fails)
    assert not narrate.listening()
    narrate.compared("nobody hears this", True)
    outcome = narrate.explained("r", None, lambda _: reject())
    assert isinstance(outcome, Outcome) and outcome.trace == NOTHING


def test_what_cannot_be_written_is_told_as_such() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    def decide(_: Any) -> Outcome | Work | Ask:
        narrate.forms(Broken(), 10**5_000)
        narrate.check("x" * 10, False, got="y" * 10_000, expected=None, stderr="")
        return reject()

    outcome = narrate.explained("r", None, decide)
    assert isinstance(outcome, Outcome)
    account = narrate.account_of(outcome)
    assert "can't be written" in account["forms"][0]["answer"]
    assert "can't be written" in account["forms"][0]["ground_truth"]
    (check,) = account["checks"]
    assert set(check) == {"name", "passed", "got"} and len(check["got"]) < 2_100


def test_only_places_in_the_response_are_places() -> None:
    def decide(_: Any) -> Outcome:
        narrate.found("elsewhere", "another text", 0, 3)
        return reject()

    outcome = narrate.explained("the response", None, decide)
    assert isinstance(outcome, Outcome) and not narrate.account_of(outcome)

"""The code handler with recorded results: what it asks for, and what it decides."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._values import Decoder, dumps, encode
from reward_service.handlers.code.gold import BadGold, Calls, Script, Stdio, pickled_text, read
from reward_service.handlers.code.judge import judge, plan
from reward_service.handlers.code.sources import SOURCES
from reward_service.handlers.code.tests_source import analyse, code_in
from reward_service.registry import load
from reward_service.runs import RunResult, RunStatus, Style, Work
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.carry import item_for

ADD = "```python\ndef add(a, b):\n    return a + b\n```"
ECHO = "```python\nprint(input())\n```"


def item(
    response: str, gold: Any, profile: Profile = Profile.STRICT, explain: bool = False, **extra: Any
) -> Item:
    return item_for("codegen__primeintellect", response, gold, profile, explain, **extra)


def asked(response: str, gold: Any, **extra: Any) -> Work:
    work = plan(item(response, gold, **extra))
    assert isinstance(work, Work), work
    return work


def decided(response: str, gold: Any, **extra: Any) -> Outcome:
    outcome = plan(item(response, gold, **extra))
    assert isinstance(outcome, Outcome), outcome
    return outcome


def printed(text: str = "", status: RunStatus = RunStatus.OK, **fields: Any) -> RunResult:
    return RunResult(status, stdout=text, **fields)


def returned(value: Any, **fields: Any) -> RunResult:
    return RunResult(RunStatus.OK, value=dumps({"v": encode(value)}), **fields)


def follow(
    response: str, gold: Any, answer: Callable[[Any], RunResult], **extra: Any
) -> tuple[Outcome, list[int]]:
    """The outcome when every run is answered by `answer`, and how many runs each wave had."""
    given_item = item(response, gold, **extra)
    decision: Outcome | Work = plan(given_item)
    waves: list[int] = []
    while isinstance(decision, Work):
        waves.append(len(decision.runs))
        results = []
        for run in decision.runs:
            results.append(answer(run.stdin if decision.program.style is Style.STDIO else run.arguments))
            if decision.stop_early and results[-1].status is not RunStatus.OK:
                break
        decision = judge(given_item, decision.notes, results)
    return decision, waves


MANY = {"inputs": [f"{n}\n" for n in range(100)], "outputs": [f"{n}\n" for n in range(100)]}


def test_stdio_waves_grow_and_all_must_pass() -> None:
    outcome, waves = follow(ECHO, MANY, printed)
    assert waves == [1, 4, 16, 64, 15]
    assert (outcome.score, outcome.reason) == (1.0, Reason.TESTS_PASSED)
    assert outcome.detail == {"passed": 100, "tests": 100, "fraction": 1.0}


def test_stdio_ends_with_the_first_wrong_output() -> None:
    outcome, waves = follow(ECHO, MANY, lambda text: printed(text if text != "7\n" else "8\n"))
    assert waves == [1, 4, 16]
    assert (outcome.score, outcome.reason) == (0.0, Reason.TESTS_FAILED)
    assert outcome.detail["failed_test"] == 7 and outcome.detail["passed"] == 7


def test_fraction_runs_everything_and_pays_the_share() -> None:
    outcome, waves = follow(
        ECHO, MANY, lambda text: printed(text if int(text) % 4 else "x"), scoring="fraction"
    )
    assert sum(waves) == 100
    assert (outcome.score, outcome.correct, outcome.reason) == (0.75, False, Reason.TESTS_FAILED)
    assert outcome.detail["failed_test"] == 0


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (RunStatus.RUNTIME_ERROR, Reason.RUNTIME_ERROR),
        (RunStatus.TIME_LIMIT, Reason.TIME_LIMIT),
        (RunStatus.MEMORY_LIMIT, Reason.MEMORY_LIMIT),
        (RunStatus.OUTPUT_LIMIT, Reason.OUTPUT_LIMIT),
        (RunStatus.COMPILE_ERROR, Reason.COMPILE_ERROR),
    ],
)
@pytest.mark.parametrize("scoring", ["binary", "fraction"])
def test_a_program_that_fails_is_scored(status: RunStatus, reason: Reason, scoring: str) -> None:
    gold = {"inputs": ["1\n", "2\n"], "outputs": ["1\n", "2\n"]}
    outcome, _ = follow(ECHO, gold, lambda text: printed(text, status), scoring=scoring)
    assert (outcome.status, outcome.score, outcome.reason) == (Status.SCORED, 0.0, reason)


def test_no_expected_value_leaves_for_the_sandbox() -> None:
    gold = {"inputs": ["1\n"] * 30, "outputs": ["secret 9731"] * 30}
    work = asked(ECHO, gold)
    assert "9731" not in repr(work.program) and "9731" not in repr(work.runs)
    calls = asked(ADD, {"fn_name": "add", "inputs": [[1, 2]] * 30, "outputs": [9731] * 30})
    assert "9731" not in repr(calls.program) and "9731" not in repr(calls.runs)


def test_the_trace_holds_expected_values_only_when_asked_for() -> None:
    gold = {"inputs": ["1\n"], "outputs": ["9731\n"]}
    plain, _ = follow(ECHO, gold, printed)
    assert "9731" not in repr(plain.detail) and not plain.trace
    work = asked(ECHO, gold)
    explained = judge(item(ECHO, gold, explain=True), work.notes, [printed("1\n")])
    assert isinstance(explained, Outcome) and explained.trace["expected"] == "9731\n"


CALLS = {"fn_name": "add", "inputs": [[n, 2 * n] for n in range(40)], "outputs": [3 * n for n in range(40)]}


def add(arguments: Any) -> RunResult:
    return returned(sum(Decoder().decode(arguments["a"])))


def test_calls_go_out_in_an_order_that_is_not_the_tests() -> None:
    outcome, waves = follow(ADD, CALLS, add)
    assert outcome.correct and waves == [1, 4, 16, 19]
    order = asked(ADD, CALLS).notes["order"]
    assert sorted(order) == list(range(40)) != order
    assert order == asked(ADD, CALLS).notes["order"]


@pytest.mark.parametrize(
    ("expected", "got", "right"),
    [
        (3, 3, True), (3, 3.0, True), (3, "3", False), (1, True, False), (True, True, True), (True, 1, False),
        ([1, 2], (1, 2), True), ([1, 2], [2, 1], False), ([1, 2], {1, 2}, False), (0.5, 0.5 + 1e-9, True), (0.5, 0.501, False),
        ({"1": "a"}, {1: "a"}, True), ({"a": 1}, {"a": 1}, True), ([{"2": [1]}], ({2: (1,)},), True), ({"1": 1}, {1: 1, "1": 1}, False),
        (None, None, True), ([5], 5, True), ([5], [5], True), ([[5]], [5], True), ([[5]], 5, False),
    ],
)  # fmt: skip
def test_returned_values(expected: Any, got: Any, right: bool) -> None:
    outcome, _ = follow(
        ADD, {"fn_name": "add", "inputs": [[1, 2]], "outputs": [expected]}, lambda _: returned(got)
    )
    assert bool(outcome.correct) is right


def test_wrapped_outputs_are_read_alike_in_all_tests() -> None:
    gold = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [[3], [7]]}
    assert follow(ADD, gold, add)[0].correct
    assert follow(ADD, gold, lambda a: returned([sum(a["a"])]))[0].correct
    mixed, _ = follow(ADD, gold, lambda a: returned([3] if a["a"] == [1, 2] else 7))
    assert not mixed.correct


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{}",
        "[]",
        "{",
        '{"v": {"zz": 1}}',
        '{"v": 3, "o": [1]}',
        "3",
        '{"v": NaN}',
        '{"v": {"h": [1, "E"]}}',
    ],
)
def test_a_hostile_value_is_wrong_and_nothing_more(value: str) -> None:
    outcome, _ = follow(ADD, CALLS, lambda _: RunResult(RunStatus.OK, value=value))
    assert (outcome.score, outcome.reason) == (0.0, Reason.TESTS_FAILED)


def test_in_place_calls_compare_the_argument_where_the_row_says_so() -> None:
    gold = {"fn_name": "f", "inputs": [[[2, 1]]], "outputs": [[1, 2]]}
    reply = RunResult(RunStatus.OK, value=dumps({"v": None, "m": [[1, 2]]}))
    response = "```python\ndef f(x): x.sort()\n```"
    assert follow(response, gold, lambda _: reply, in_place=True)[0].correct
    assert not follow(response, gold, lambda _: reply)[0].correct


CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n\ncheck(add)"


def test_test_code_goes_to_the_tester_and_its_verdict_counts() -> None:
    work = asked(ADD, json.dumps({"functional": CHECK}), prefix="import math\n")
    program = work.program
    assert (program.style, program.entry_point, program.framework) == (Style.ASSERT, "add", "script")
    assert program.preamble == "import math\n" and CHECK in program.tests and "assert" not in program.source
    ok = RunResult(RunStatus.OK, value='{"passed": 1, "failed": 0}')
    outcome = judge(item(ADD, CHECK), work.notes, [ok])
    assert isinstance(outcome, Outcome) and outcome.score == 1.0 and outcome.detail["fraction"] == 1.0
    failed = RunResult(
        RunStatus.TESTS_FAILED,
        value='{"passed": 3, "failed": 1}',
        message="an assertion failed (line 3)",
        flags=("x",),
    )
    outcome = judge(item(ADD, CHECK), work.notes, [failed])
    assert isinstance(outcome, Outcome)
    assert (outcome.score, outcome.reason, outcome.flags, outcome.detail["fraction"]) == (
        0.0,
        Reason.TESTS_FAILED,
        ("x",),
        0.75,
    )


def test_a_share_of_assertions_never_makes_full_marks() -> None:
    work = asked(ADD, {"functional": CHECK}, scoring="fraction")
    assert work.program.options["every_assert"]
    for status, value, score in (
        (RunStatus.TESTS_FAILED, '{"passed": 3, "failed": 1}', 0.75), (RunStatus.TESTS_FAILED, '{"passed": 3, "failed": 0}', 0.0),
        (RunStatus.RUNTIME_ERROR, '{"passed": 3, "failed": 1}', 0.0), (RunStatus.TESTS_FAILED, "junk", 0.0),
        (RunStatus.TESTS_FAILED, '{"passed": -1, "failed": 1}', 0.0),
    ):  # fmt: skip
        outcome = judge(item(ADD, CHECK, scoring="fraction"), work.notes, [RunResult(status, value=value)])
        assert isinstance(outcome, Outcome) and outcome.score == score


@pytest.mark.parametrize("flag", ["missing_helper", "malformed_tests", "tests_call_nothing"])
def test_a_row_whose_tests_cannot_be_used_is_an_error(flag: str) -> None:
    work = asked(ADD, {"functional": CHECK})
    outcome = judge(item(ADD, CHECK), work.notes, [RunResult(RunStatus.RUNTIME_ERROR, flags=(flag,))])
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.score, outcome.reason) == (
        Status.ERROR,
        None,
        Reason.MALFORMED_GROUND_TRUTH,
    )


def compressed(value: Any, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(value), protocol))).decode()


CASES = [{"input": "1\n", "output": "2\n", "testtype": "stdin"}]
SHAPES = [
    ({"inputs": "1\n", "outputs": "2\n"}, Stdio(("1\n",), ("2\n",))),
    ({"inputs": ["1\n"], "outputs": ["2\n"]}, Stdio(("1\n",), ("2\n",))),
    (json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]}), Stdio(("1\n",), ("2\n",))),
    ({"inputs": [["1", "2"]], "outputs": [["3"]]}, Stdio(("1\n2",), ("3",))),
    ({"inputs": ["1"], "outputs": [3]}, Stdio(("1",), ("3",))),
    ({"input_output": json.dumps({"inputs": [[1]], "outputs": [2], "fn_name": "f"})}, Calls("f", ([1],), (2,))),
    ({"inputs": [[{"1": 2}]], "outputs": [[3]], "fn_name": "f"}, Calls("f", ([{1: 2}],), ([3],), True)),
    ({"inputs": ["[1, 2]\n3"], "outputs": ["[4]"], "fn_name": "f"}, Calls("f", ([[1, 2], 3],), ([4],))),
    (CASES, Stdio(("1\n",), ("2\n",))),
    ([{"input": "1\n2", "output": "3", "testtype": "functional", "fn_name": "f"}], Calls("f", ([1, 2],), (3,))),
    ({"public_test_cases": json.dumps(CASES), "private_test_cases": compressed(CASES)}, Stdio(("1\n",) * 2, ("2\n",) * 2)),
    ({"public_test_cases": CASES, "private_test_cases": compressed(CASES, 2)}, Stdio(("1\n",) * 2, ("2\n",) * 2)),
    (
        {"public_test_cases": [{"input": "1", "output": "2", "testtype": "functional"}], "metadata": '{"func_name": "f"}'},
        Calls("f", ([1],), (2,)),
    ),
    ({"test_cases": [{"type": "stdin_stdout", "input": "1", "output": "2"}]}, Stdio(("1",), ("2",))),
    ({"test_cases": [{"type": "function_call", "fn_name": "f", "input": [1, 2], "output": [3]}]}, Calls("f", ([1, 2],), ([3],), True)),
    ({"public_tests": {"input": ["1"], "output": ["2"]}, "generated_tests": {"input": ["3"], "output": ["4"]}}, Stdio(("1", "3"), ("2", "4"))),
    ({"official_tests": [{"input": "1", "output": "2"}]}, Stdio(("1",), ("2",))),
    ({"functional": CHECK}, Script(CHECK)),
    ({"pytest": "def test_a(): pass"}, Script("def test_a(): pass", "pytest")),
    ({"solution_file": "import solution"}, Script("import solution")),
    ({"test": "def check(c): pass", "entry_point": "f"}, Script("def check(c): pass", "check", "f")),
    ({"test_list": ["assert f(1) == 2"], "test_setup_code": "x = 1"}, Script("x = 1\nassert f(1) == 2")),
    (["assert f(1) == 2", "assert f(2) == 3"], Script("assert f(1) == 2\nassert f(2) == 3")),
    ("assert f(1) == 2", Script("assert f(1) == 2")),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "expected"), SHAPES, ids=[str(n) for n in range(len(SHAPES))])
def test_shapes_of_ground_truths(gold: Any, expected: Any) -> None:
    assert read(gold, {}) == expected


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


BAD = [
    None, 3, "", "x", "[]", [], {}, {"inputs": ["1"], "outputs": []}, {"inputs": [], "outputs": []}, {"inputs": "1", "outputs": ["2"]},
    {"functional": ""}, {"functional": 3}, [{"input": "1"}], [1], {"inputs": [None], "outputs": ["1"]}, {"inputs": [{}], "outputs": ["1"]},
    [{"input": "1", "output": "2", "testtype": "functional"}], "{" * 100_000, {"private_test_cases": "****"},
    {"private_test_cases": base64.b64encode(b"not zlib").decode()},
    {"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()},
    {"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(["x"]))).decode()},
    {"private_test_cases": base64.b64encode(zlib.compress(pickle.dumps("[]")))[:-8].decode()},
]  # fmt: skip


@pytest.mark.parametrize("gold", BAD, ids=lambda gold: str(gold)[:30])
def test_malformed_ground_truths_are_errors(gold: Any, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = decided(ADD, gold)
    assert (outcome.status, outcome.reason, outcome.score) == (
        Status.ERROR,
        Reason.MALFORMED_GROUND_TRUTH,
        None,
    )
    assert capsys.readouterr().out == ""


@given(st.binary(max_size=60))
def test_no_bytes_are_unpickled(body: bytes) -> None:
    try:
        text = pickled_text(body)
    except BadGold:
        return
    assert pickle.loads(body) == text


@given(st.text(), st.sampled_from([2, 3, 4, 5]))
def test_a_pickled_text_is_read(text: str, protocol: int) -> None:
    assert pickled_text(pickle.dumps(text, protocol)) == text


@pytest.mark.parametrize(
    "extra",
    [
        {"scoring": "half"},
        {"checker": "nope"},
        {"language": "cobol"},
        {"float_tolerance": -1},
        {"float_tolerance": "x"},
    ],
)
def test_malformed_options_are_errors(extra: dict[str, Any]) -> None:
    gold = CALLS if "float_tolerance" in extra else MANY
    assert decided(ADD, gold, **extra).reason is Reason.MALFORMED_GROUND_TRUTH


@pytest.mark.parametrize("response", ["", "no code", "```python\ndef add(a", "```cpp\nint main() {}\n```"])
@pytest.mark.parametrize("gold", [CALLS, {"functional": CHECK}], ids=["calls", "tests"])
def test_no_program_scores_nothing(response: str, gold: Any) -> None:
    outcome = decided(response, gold)
    assert (outcome.status, outcome.score, outcome.reason) == (Status.SCORED, 0.0, Reason.NO_ANSWER)


def test_limits_and_language_of_the_row() -> None:
    work = asked("```cpp\nint main() {}\n```", MANY, time_limit=2.5, memory_limit_mb=128)
    assert work.program.language == "cpp"
    assert (work.program.limits.cpu_seconds, work.program.limits.memory_bytes) == (2.5, 128 << 20)
    assert asked(ECHO, MANY, time_limit=10_000).program.limits.cpu_seconds == 60
    assert asked(ECHO, MANY, time_limit=2).program.limits.total_cpu_seconds == 101
    assert decided(ECHO, MANY, language="java").reason is Reason.NO_ANSWER


def test_a_method_of_solution_answers_for_the_function() -> None:
    response = "```python\nclass Solution:\n    def add(self, a: int, b: List[int]): return a\n```"
    work = asked(response, CALLS)
    assert work.program.entry_point == "add" and work.program.options["imports"] == {"List": "typing"}


def test_the_published_profile_joins_the_blocks() -> None:
    response = "```python\nx = 1\n```\nand\n```python\nprint(x)\n```"
    work = plan(item(response, MANY, Profile.GURU))
    assert isinstance(work, Work) and work.program.source == "x = 1\nprint(x)"
    assert work.notes["checker"] == "guru"


PROMPT = (
    'from typing import List\n\n\ndef shift(s: str):\n    """Moves letters."""\n    return s[1:] + s[:1]\n\n\n'
    'def unshift(s: str):\n    """Moves them back."""\n'
)
USES_HELPER = "def check(candidate):\n    assert candidate(shift('abc')) == 'abc'\n\ncheck(unshift)"


def test_helpers_come_from_the_task() -> None:
    response = "```python\ndef shift(s): return s\ndef unshift(s): return s\n```"
    work = asked(response, {"functional": USES_HELPER}, question=PROMPT)
    assert "return s[1:] + s[:1]" in work.program.tests and "def unshift" not in work.program.tests
    assert (
        work.program.options["helpers"] == ["List", "shift"]
        and "from typing import List" in work.program.preamble
    )
    reference = "def shift(s):\n    return s[1:] + s[:1]\n\ndef unshift(s):\n    return 'the solution'\n"
    work = asked(response, {"functional": USES_HELPER}, reference=reference)
    assert "s[1:]" in work.program.tests and "the solution" not in repr(work)
    assert "s[1:]" not in work.program.source + work.program.preamble + repr(work.program.options)


@pytest.mark.parametrize(
    ("tests", "extra", "entry", "roots"),
    [
        ("def check(c):\n    assert c(1)\ncheck(f)", {}, "f", ("f",)),
        ("def check(c):\n    assert c(1)\ncheck(Solution().f)", {}, "Solution().f", ("Solution.f",)),
        ("def check(c):\n    assert c(1)\ncheck(Solution.f)", {}, "Solution.f", ("Solution.f",)),
        ("def check_f():\n    assert Solution.f(1) == 2\n\ncheck_f()", {}, "Solution", ("Solution",)),
        ("assert f(1) == 2\nassert sorted(f(2)) == [1]", {}, "f", ("f",)),
        ("assert area(Square(2)) == 4", {}, "area,Square", ("area", "Square")),
        ("assert math.isclose(f(1), 2) and Counter(f('a'))", {}, "f", ("f",)),
        ("assert count('aa', 'a') == 2", {}, "count", ("count",)),
        ("import pytest\nfrom solution import a, b\ndef test_a():\n    assert a(b)", {}, "a,b", ("a", "b")),
        ("import solution\nassert solution.run(1)", {}, "run", ("run",)),
        ("from solution import *\ndef test_a():\n    assert run([1]) == 1", {}, "run", ("run",)),
        ("x = 1\nfor i in [1]:\n    assert f(i, *[g(x)])", {"function_name": "f"}, "f", ("f",)),
        ("_in = [1]\n_out = [2]\nimport math\ndef same(a, b): return a == b\nfor a, b in zip(_in, _out):\n    assert same(f(a), b)", {}, "f", ("f",)),
    ],
)  # fmt: skip
def test_what_the_tests_call(tests: str, extra: dict[str, Any], entry: str, roots: tuple[str, ...]) -> None:
    needs = analyse(tests, "", extra)
    assert needs is not None
    assert (set(needs.entry_point.split(",")), set(needs.roots)) == (set(entry.split(",")), set(roots))


def test_imports_of_a_prompt_are_those_of_libraries() -> None:
    question = "Write f.\n```python\nfrom solution import f\nimport torch\nimport math, re\nfrom . import x\nassert f(1)\n```"
    program = asked(ADD, {"functional": CHECK}, question=question).program
    assert "import math, re" in program.preamble
    assert (
        "solution" not in program.preamble
        and "torch" not in program.preamble
        and "from ." not in program.preamble
    )
    stub = asked(ADD, {"functional": CHECK}, prefix="def add(a: int, b: int):\n").program
    assert stub.preamble.startswith("def add") and "pass" in stub.preamble


def test_the_code_of_a_prompt() -> None:
    assert code_in(PROMPT) == PROMPT
    assert "def f" in code_in("Complete this:\n\n```python\ndef f(x):\n    '''doc'''\n```\nThanks.")
    assert "return 1" in code_in("Given a helper\ndef g():\n    return 1\n\nwrite something with it.")
    assert code_in("Just words, and no code.") == ""


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_source_has_a_row_that_can_be_run(source: Any) -> None:
    route = load().route(source.name.replace("*", "anything"))
    assert route is not None and route.handler.name == "code"
    decision = route.handler.plan(
        item_for(
            route.data_source,
            source.example.response,
            source.example.ground_truth,
            **source.example.extra_info,
        )
    )
    assert isinstance(decision, Work) and decision.runs


@given(st.text(max_size=200))
def test_any_response_is_judged_or_run(text: str) -> None:
    for gold in (MANY, CALLS, {"functional": CHECK}):
        decision = plan(item(f"```python\n{text}\n```", gold))
        assert isinstance(decision, Work) or decision.status is Status.SCORED
        assert decision == plan(item(f"```python\n{text}\n```", gold))

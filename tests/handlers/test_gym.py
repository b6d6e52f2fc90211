"""reasoning-gym: every task's own answer is right after JSON, dress is taken off, and nothing is paid for nothing.

Rows are made by the library itself, as trainers make them; those that it can't make here (what it needs for making them
is not installed) are written out.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.handlers import _optional
from reward_service.handlers.gym import library, warm_up
from reward_service.handlers.gym.calculus import Unreadable, polynomial, same_antiderivative
from reward_service.handlers.gym.tasks import CHECKS, LIBRARY, NEVER, NO_ANSWER, TASKS
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within

BY_HAND: dict[str, dict[str, Any]] = {
    "game_of_life": {"answer": "[[0,1],[1,0]]", "metadata": {"grid_size_x": 2}},
    "game_of_life_halting": {"answer": "False", "metadata": {"should_oscillate": True}},
    "zebra_puzzles": {"answer": "alice", "metadata": {"difficulty": {}}},
    "rush_hour": {
        "answer": None,
        "metadata": {"board_config": "oooooooooooooAAoooooooooooooooooooooo"[:36], "min_moves": 1},
    },
    "boxnet": {
        "answer": None,
        "metadata": {
            "initial_state": {"0.5_0.5": ["box_red", "target_red"]},
            "row_number": 1,
            "column_number": 1,
        },
    },
}
SOLUTIONS = {
    "graph_color": lambda metadata: json.dumps(metadata["possible_answer"]),
    "rubiks_cube": lambda metadata: metadata["example_correct_answer"],
    "rush_hour": lambda metadata: "A+3",
    "boxnet": lambda metadata: '[{"Agent[0.5, 0.5]": "move(box_red, target_red)"}]',
    "propositional_logic": lambda metadata: metadata["example_answer"],
}


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


@cache
def made(task: str) -> tuple[Any, str, str]:
    """The ground truth, a right answer, and the metadata as JSON, of one puzzle."""
    if task in BY_HAND:
        entry = BY_HAND[task]
    else:
        reasoning_gym: Any = _optional.load("reasoning_gym", library.EXTRA, without=("cellpylib", "pycosat"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its data sets leave files open
            entry = reasoning_gym.create_dataset(task, size=1, seed=42)[0]
    metadata = entry["metadata"]
    answer = SOLUTIONS[task](metadata) if task in NO_ANSWER else entry["answer"]
    plain = json.dumps(
        metadata, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value)
    )
    return entry["answer"], answer, plain


def judge(
    response: str, gold: Any, profile: Profile = Profile.STRICT, source: str = "reasoning_gym", **extra: Any
) -> Outcome:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(Item(route.data_source, response, gold, extra, profile, route.source.name))


def answered(task: str, answer: str, profile: Profile = Profile.STRICT) -> Outcome:
    gold, _, metadata = made(task)
    return judge(f"Let me see.\n<answer>{answer}</answer>", gold, profile, task=task, metadata=metadata)


def test_every_task_has_one_judge() -> None:
    assert len(TASKS) == 105, "all of 0.1.25 but `composite`, which is none of its own"
    assert not set(CHECKS) & LIBRARY
    assert set(CHECKS) >= NEVER
    from reasoning_gym.factory import DATASETS

    assert set(DATASETS) - {"composite"} == TASKS


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_right_answer_scores_one_and_nothing_scores_zero(task: str) -> None:
    _, answer, _ = made(task)
    assert answered(task, answer).score == 1.0
    for nothing in ("", "   ", "I don't know", "zzqq zzqq", "None of these", "</answer><answer>", "."):
        outcome = answered(task, nothing)
        assert (outcome.status, outcome.score) == (Status.SCORED, 0.0), nothing


@pytest.mark.parametrize("task", sorted(TASKS - NO_ANSWER))
def test_guru_scores_the_bare_answer_one(task: str) -> None:
    assert answered(task, made(task)[1], Profile.GURU).score == 1.0
    assert answered(task, "", Profile.GURU).score == 0.0


@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize(
    "dress",
    [
        "\n {} \n",
        "{}.",
        "**{}**",
        "\\boxed{{{}}}",
        '"{}"',
        "`{}`",
        "```\n{}\n```",
        "The answer is {}",
        "Answer: {}",
    ],
)
def test_dress_changes_nothing(task: str, dress: str) -> None:
    if task in NO_ANSWER:
        pytest.skip("has no answer of its own")
    assert answered(task, dress.format(made(task)[1])).score == 1.0


HOSTILE = [
    "__import__('os').system('touch {}')",
    "[__import__('pathlib').Path('{}').touch()]",
    "9**9**9**9",
    "(9**9)**9999999",
    "Fraction(1, 10**10**10)",
    "1e999999999",
    "1e999999999/3",
    "9" * 19_000,
    "[" * 19_000,
    "(" * 19_000,
    "{{" * 9_000,
    "A+99999999999999999999",
    "A+9 " * 4_000,
    "U R F " * 3_000,
    "~" * 15_000 + "A",
    "x**" * 6_000,
    "exp(" * 4_000,
    "-" * 19_000,
    "A=1," * 4_000,
    "\n" * 19_000 + "a",
    "Move disk 1 from Peg 1 to Peg 2\n" * 600,
]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_code_and_bombs_do_nothing_but_score_zero(task: str, tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    for text in HOSTILE:
        for profile in Profile:
            answer = text.replace("{}", str(mark)).replace("{{", "{")
            with cpu_within(2.0, text[:30]):
                outcome = answered(task, answer, profile)
            assert outcome.status is Status.SCORED
            assert not outcome.correct
            assert outcome.score == 0.0 or profile is Profile.GURU
    assert not mark.exists()


def test_scorers_that_evaluate_are_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def score(task: str, answer: str, entry: Any) -> float:
        called.append(task)
        return 0.0

    monkeypatch.setattr(library, "score", score)
    for task in sorted(NEVER):
        for profile in Profile:
            answered(task, "1 + 1", profile)
    assert not called
    answered("jugs", "[]")
    assert called == ["jugs"]


CASES = [
    # task, metadata, gold, right, wrong
    ("puzzle24", {"numbers": [1, 4, 6, 9]}, "(9 - 1 - 4) * 6", ["6*(9-4-1)", "(9-1-4)*6 = 24"], ["6*4*1*1", "24", "6*4", "9+9+6", "(9-1-4)*6 = 25"]),
    ("countdown", {"numbers": [2, 3, 7], "target": 13}, "2*3 + 7", ["7 + 3*2", "7+2×3"], ["13", "7 + 3 + 3", "2*3 + 7 - 0", "7+6"]),
    ("game_of_life_halting", {}, "True", ["true", "**True**"], ["banana", "yes", "False", "1"]),
    ("gsm_symbolic", {}, "405", ["405", "405.0", "4,05"[:0] + "405."], ["-405", "405 or 406", "405 apples and 3", "4,05"]),
    ("chain_sum", {}, "-2169", ["-2169", "−2,169", "-2169.0"], ["2169", "-2169 or 0", "-21 69"]),
    ("fraction_simplification", {}, "$\\frac{3}{4}$", ["3/4", "\\dfrac{3}{4}", "$\\frac{3}{4}$", "(3)/(4)"], ["6/8", "0.75", "3/4 or 1/2", "3"]),
    ("dice", {}, "7/60", ["7/60", "\\frac{7}{60}"], ["14/120", "0.1167"]),
    ("coin_flip", {}, "0.171875", ["0.171875", "11/64", "0.1719", "0.172"], ["0.17", "0.1718", "0.2", "17.1875"]),
    ("decimal_arithmetic", {}, "8.2724", ["8.2724", "8.27244"], ["8.272", "8.2725", "8"]),
    ("power_function", {}, "6769988418200343.0", ["6.77e+15", "6.77E15", "6769988418200343"], ["6.76e+15", "6.8e+15", "6.771e+15", "6.77"]),
    ("number_sorting", {"original_numbers": ["3", "-1.5", "2"], "direction": "ascending"}, "['-1.5', '2.0', '3.0']", ["[-1.5, 2, 3]", "['-1.5', '2', '3']"], ["[-1, 2, 3]", "[3, 2, -1.5]", "['-1.5', '2.9', '3']"]),
    ("prime_factorization", {}, "2 × 2 × 3", ["3 * 2 * 2", "2 \\times 2 \\times 3"], ["2 × 6", "12", "2 × 2 × 3 × 1", "two"]),
    ("complex_arithmetic", {"result": [3.0, -2.0]}, "3.0 - 2.0i", ["3 - 2i", "3-2j", "(3.0 - 2.0i)"], ["3 + 2i", "3", "-2i", "3 - 2i or 3"]),
    ("complex_arithmetic", {"result": [0.0, 1.0]}, "1.0i", ["i", "1i", "0 + i"], ["-i", "1", ""]),
    ("polynomial_equations", {"real_solutions": [-1.5, 2.0]}, "-1.5, 2.0", ["2, -1.5", "x = -1.5, x = 2"], ["-1.5", "-1.5, 2, 2", "1.5, 2"]),
    ("polynomial_equations", {"real_solutions": []}, "", ["no real solutions", "none"], ["0", "junk", "1, 2"]),
    ("polynomial_multiplication", {}, "x**2 - 1", ["-1 + x**2", "x^2 - 1", "2*x**2 - x**2 - 1"], ["(x-1)*(x+1)", "x**2", "x**2 + 1", "x*x - 1"]),
    ("simple_integration", {"variable": "x"}, "x**3/3 + C", ["x**3/3", "x**3/3 + 7 + C", "(1/3)*x^3 + C"], ["x**2", "x**3", "x**3/3 + x", "C"]),
    ("intermediate_integration", {"variable": "x"}, "sin(x)**2/2 + C", ["-cos(x)**2/2 + C", "sin(x)**2/2"], ["sin(x)/2", "cos(x)**2/2"]),
    ("time_intervals", {"task_type": "date"}, "99 days", ["99 days", "99"], ["98 days", "99 days or 98", "99 hours"]),
    ("time_intervals", {"task_type": "time_seconds"}, "01:02:03", ["1:02:03", "01:02:03"], ["01:02:04", "1:02"]),
    ("time_intervals", {"task_type": "datetime"}, "3 days, 04:05", ["3 days, 4:05"], ["3 days", "3 days, 4:06"]),
    ("bitwise_arithmetic", {}, "-0x1f", ["-0x1F", "-0x01f"], ["0x1f", "-31", "-0x1f0"]),
    ("arc_agi", {"output": [[1, 2], [3, 4]]}, "1 2\n3 4", ["1 2\n3 4", " 1  2\n3 4 "], ["1 2 3 4", "1 2\n3 5", "[[1,2],[3,4]]"]),
    ("n_queens", {"valid_answers": ["_ Q\nQ _", "Q _\n_ Q"]}, "_ Q\nQ _", ["Q _\n_ Q"], ["Q Q\n_ _"]),
    ("group_anagrams", {}, '[["ab", "ba"], ["c"]]', ['[["c"], ["ba", "ab"]]'], ['[["ab"], ["ba"], ["c"]]', '["ab", "ba", "c"]']),
    ("palindrome_partitioning", {}, '[["a", "a"], ["aa"]]', ['[["aa"], ["a", "a"]]'], ['[["aa"]]', '[["a", "a"]]']),
    ("game_of_life", {}, "[[0,1],[1,0]]", ["[[0, 1], [1, 0]]"], ["[[0,1],[1,0],[1,1]]", "[[0,1]]", "[[0,1],[1,1]]"]),
    ("codeio", {}, '{"n": 3}', ['{"n": 3}', '"{"n": 3}"'], ['{"n": 3, "m": 1}', '{"n": "3"}', "3"]),
    ("list_functions", {}, "[1, 20]", ["[1, 20]", "[1,20]"], ["[20, 1]", "1, 20"]),
    ("letter_jumble", {}, "THE CAT", ["the cat"], ["the cat or dog", "the  catt"]),
    ("knights_knaves", {}, "Zoe is a sage, and Jack is a fool.", ["Zoe is a sage, and Jack is a fool"], ["Zoe is a fool, and Jack is a fool.", "Zoe is a sage"]),
    ("propositional_logic", {"premises": ["(P → Q)", "P"], "variables": ["P", "Q"]}, None, ["(P ∧ Q)", "(Q ∧ P)"], ["P", "(P → Q)", "(P ∨ ¬P)", "¬Q", "R"]),
    ("shortest_path", {"matrix": [["*", "O"], ["X", "#"]]}, "right down", ["right down"], ["down right", "right", "infeasible"]),
    ("rush_hour", BY_HAND["rush_hour"]["metadata"], None, ["A+3"], ["A+2", "move A+3 please", "A+300"]),
    ("sokoban", {"gamestr": "+ + + + +\n+ * @ X +\n+ + + + +"}, "R", ["R", "R."], ["L", "not R", "R or zzqq", "zzqq or R"]),
    ("kakurasu", {"row_sums": [1, 2], "col_sums": [1, 2], "n_rows": 2, "n_cols": 2}, "1 0\n0 1", ["1 0\n0 1"], ["0 1\n1 0", "not 1 0\n0 1", "1 0\n0 1 or zzqq"]),
    ("jugs", {"puzzle": {"jug_capacities": [3, 5], "target": 2}}, '["fill B", "pour B->A"]', ['["fill B", "pour B->A"]'], ['["fill B"]', "[]", '["pour A->B"]']),
]  # fmt: skip


@pytest.mark.parametrize(("task", "metadata", "gold", "right", "wrong"), CASES)
def test_cases(task: str, metadata: dict[str, Any], gold: Any, right: list[str], wrong: list[str]) -> None:
    for answer in right:
        assert judge(f"<answer>{answer}</answer>", gold, task=task, metadata=metadata).score == 1.0, answer
    for answer in wrong:
        assert judge(f"<answer>{answer}</answer>", gold, task=task, metadata=metadata).score == 0.0, answer


@pytest.mark.parametrize(
    ("source", "gold", "extra"),
    [
        ("reasoning_gym", "12", {"task": "gcd"}),
        ("reasoning_gym", 12, {"task": "gcd"}),
        ("reasoning_gym", "12", {"metadata": {"source_dataset": "gcd"}}),
        ("reasoning_gym", "12", {"metadata": '{"source_dataset": "gcd"}'}),
        ("reasoning_gym", {"question": "?", "answer": "12", "metadata": {"source_dataset": "gcd"}}, {}),
        ("reasoning_gym", '{"answer": "12", "metadata": {"source_dataset": "gcd"}}', {}),
        ("reasoning_gym", None, {"task": "gcd", "entry": {"answer": "12", "metadata": {}}}),
        ("reasoning_gym", None, {"task": "gcd", "entry": '{"answer": "12", "metadata": {}}'}),
        ("gym/gcd", "12", {}),
        ("gym__gcd", "12", {}),
        ("reasoning_gym/gcd", "12", {}),
        ("reasoning_gym__gcd", "12", {}),
        ("Reasoning-Gym", "12", {"task": "gcd"}),
    ],
)
@pytest.mark.parametrize("profile", Profile)
def test_forms_of_rows(source: str, gold: Any, extra: dict[str, Any], profile: Profile) -> None:
    assert judge("<answer>12</answer>", gold, profile, source, **extra).score == 1.0
    assert judge("<answer>13</answer>", gold, profile, source, **extra).score == 0.0


@pytest.mark.parametrize(
    ("gold", "extra", "reason"),
    [
        ("12", {}, Reason.MALFORMED_ITEM),
        ("12", {"task": "gcdd"}, Reason.MALFORMED_ITEM),
        ("12", {"task": ["gcd"]}, Reason.MALFORMED_ITEM),
        ("12", {"task": "composite"}, Reason.MALFORMED_ITEM),
        (None, {"task": "gcd"}, Reason.MALFORMED_GROUND_TRUTH),
        ("", {"task": "gcd"}, Reason.MALFORMED_GROUND_TRUTH),
        (["12"], {"task": "gcd"}, Reason.MALFORMED_GROUND_TRUTH),
        (None, {"task": "rubiks_cube"}, Reason.MALFORMED_GROUND_TRUTH),
        ("1+1", {"task": "countdown"}, Reason.MALFORMED_GROUND_TRUTH),
        ("x", {"task": "jugs", "metadata": "{broken"}, Reason.MALFORMED_GROUND_TRUTH),
    ],
)
def test_rows_of_no_use(gold: Any, extra: dict[str, Any], reason: Reason) -> None:
    outcome = judge("<answer>12</answer>", gold, **extra)
    assert (outcome.status, outcome.reason, outcome.retryable) == (Status.ERROR, reason, False)


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("It is 12.\n\\boxed{12}", 1.0),
        ("So the answer is 12.", 1.0),
        ("12", 1.0),
        ("<think><answer>13</answer></think>\n<answer>12</answer>", 1.0),
        ("<answer>13</answer> no: <answer>12</answer>", 1.0),
        ("<answer>12</answer> no: <answer>13</answer>", 0.0),
        ("<answer>12", 0.0),
        ("<think><answer>12</answer>", 0.0),
        ("It could be 12 or 13", 0.0),
        ("<answer>12 or 13</answer>", 0.0),
        ("<answer>not 12</answer>", 0.0),
        ("<answer>" + "12 " * 9_000 + "</answer>", 0.0),
    ],
)
def test_where_the_answer_is(response: str, score: float) -> None:
    assert judge(response, "12", task="gcd").score == score


def test_guru_keeps_partial_credit_but_none_for_next_to_nothing() -> None:
    outcome = judge("<answer>a cat the</answer>", "the cat a", Profile.GURU, task="sentence_reordering")
    assert (outcome.reason, round(outcome.score or 0, 2)) == (Reason.PARTIALLY_EQUAL, 0.33)
    assert judge("<answer>x</answer>", "the cat a", Profile.GURU, task="sentence_reordering").score == 0.0


def test_without_the_extra_the_library_s_tasks_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, extra: str, **_: Any) -> Any:
        raise _optional.Missing(extra)

    gold, answer, metadata = made("jugs")
    monkeypatch.setattr(library, "load", absent)
    library._scorer.cache_clear()
    try:
        warm_up()
        outcome = judge(f"<answer>{answer}</answer>", gold, task="jugs", metadata=metadata)
        assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_ITEM)
        assert "reward-service[gym]" in outcome.detail["message"]
        assert judge("<answer>12</answer>", "12", task="gcd").score == 1.0, "its own checks need no library"
    finally:
        monkeypatch.undo()
        library._scorer.cache_clear()


# The grammar of expressions


@pytest.mark.parametrize(
    "text", ["", "(x)", "x*x", "2*3*x", "x**-1", "x**9999", "1.5*x", "xy", "x +", "+", "*x", "x**2**2", "3x"]
)
def test_what_is_no_polynomial(text: str) -> None:
    with pytest.raises(Unreadable):
        polynomial(text)


@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(0, 9)), max_size=8))
def test_a_polynomial_is_its_coefficients(terms: list[tuple[int, int]]) -> None:
    text = " + ".join(f"{c}*x**{n}" for c, n in terms).replace("+ -", "- ") or "0"
    wanted: dict[Any, int] = {}
    for coefficient, power in terms:
        key = (("x", power),) if power else ()
        wanted[key] = wanted.get(key, 0) + coefficient
    assert polynomial(text) == {key: value for key, value in wanted.items() if value}


@given(st.text(alphabet="x123+-*/^().sincoexplg ", max_size=60))
@settings(deadline=None)
def test_any_expression_is_compared_without_harm(text: str) -> None:
    assert same_antiderivative(text, "x**2", "x") in {True, False}
    assert same_antiderivative("x**2", text, "x") is same_antiderivative(text, "x**2", "x")


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=80), st.sampled_from(sorted(TASKS)), st.sampled_from(list(Profile)))
def test_any_answer_is_judged_and_always_alike(text: str, task: str, profile: Profile) -> None:
    outcome = answered(task, text, profile)
    assert outcome.status is Status.SCORED
    assert outcome == answered(task, text, profile)

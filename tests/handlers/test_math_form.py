"""The answer-form guard: restating the question is no answer; tolerance: what a decimal may stand for."""

from __future__ import annotations

import pytest

from reward_service.handlers.math import Verdict, equal, plan
from reward_service.types import Item

UNEVALUATED = [
    ("56088", "123 \\cdot 456"),
    ("56088", "123 \\times 456"),
    ("56088", "(123)(456)"),
    ("1024", "2^{10}"),
    ("7", "3+4"),
    ("-1", "3-4"),
    ("120", "5!"),
    ("6", "\\binom{4}{2}"),
    ("2", "\\log_2 4"),
    ("4", "\\sqrt{16}"),
    ("2", "\\sqrt{2}\\sqrt{2}"),
    ("3", "|-3|"),
    ("3", "\\lfloor 3.7 \\rfloor"),
    ("2", "17 \\bmod 5"),
    ("60", "\\operatorname{lcm}(12,15)"),
    ("5050", "\\sum_{k=1}^{100} k"),
    ("1", "\\lim_{x\\to0}\\frac{\\sin x}{x}"),
    ("\\frac13", "\\int_0^1 x^2 dx"),
    ("-2", "\\det\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
    ("1", "\\sin^2 x+\\cos^2 x"),
    ("0", "x-x"),
    ("\\frac{1}{2}", "\\sin 30^\\circ"),
    ("-1", "e^{i\\pi}"),
    ("\\frac{2}{3}", "\\frac{4}{6}"),
    ("0.25", "0.5^2"),
    ("(3, 4)", "(1+2, 4)"),
    ("3, 4", "\\sqrt{9}, 4"),
    ("[0, 6]", "[0, 3!]"),
    ("50\\%", "\\frac{1}{4}+\\frac14"),
    ("(x-2)(x+2)", "x^2-4"),
    ("x^2-4", "(x-2)(x+2)"),
]


@pytest.mark.parametrize(("gold", "answer"), UNEVALUATED)
def test_work_left_undone_is_refused(gold: str, answer: str) -> None:
    assert equal(gold, answer) is Verdict.NOT_EQUAL


@pytest.mark.parametrize(
    ("gold", "answer"), [pair for pair in UNEVALUATED if "\\lim" not in pair[1] and "\\int" not in pair[1]]
)
def test_unless_the_row_allows_any_form(gold: str, answer: str) -> None:
    outcome = plan(Item("math", f"\\boxed{{{answer}}}", gold, {"form": "any"}, source="math"))
    assert outcome.correct


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("42", "\\frac{84}{2}"),
        ("1", "1^2"),
        ("5", "5+0"),
        ("1000", "10^3"),
        ("1500", "1.5 \\times 10^3"),
        ("0.458", "\\frac{27}{59}"),
        ("41.495", "17+10\\sqrt{6}"),
        ("2^{10}", "1024"),
        ("2^{10}", "4^5"),
        ("\\binom{4}{2}", "6"),
        ("x^2+2x+1", "(x+1)^2"),
        ("2x+2y", "2(x+y)"),
        ("p(x)=\\frac{(x-1)(x-2)}{6}", "p(x)=\\frac16x^2-\\frac12x+\\frac13"),
    ],
)
def test_a_closed_form_is_an_answer(gold: str, answer: str) -> None:
    assert equal(gold, answer) is Verdict.EQUAL


def test_the_question_says_which_shape_is_wanted() -> None:
    assert equal("(x-2)(x+2)", "x^2-4", question="Factor x^2-4.") is Verdict.NOT_EQUAL
    assert equal("x^2-4", "(x-2)(x+2)", question="Expand (x-2)(x+2).") is Verdict.NOT_EQUAL
    assert equal("(x-2)(x+2)", "x^2-4", question="Find the polynomial.") is Verdict.EQUAL


def test_the_question_says_which_letter_is_asked() -> None:
    question = "Given y = 2x and y = 6, solve for x."
    assert equal("3", "x=3", question=question) is Verdict.EQUAL
    assert equal("3", "y=3", question=question) is Verdict.NOT_EQUAL
    assert equal("3", "n=3", question=question) is Verdict.EQUAL


def test_the_question_says_which_base_is_asked() -> None:
    assert equal("1011", "1011_2", question="Write 11 in base 2.") is Verdict.EQUAL
    assert equal("1011", "1011_2", question="What is it in base ten?") is not Verdict.EQUAL


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        # a decimal ground truth shows how exact it is
        ("0.458", "\\frac{27}{59}", True),
        ("0.458", "0.4576", True),
        ("0.458", "0.4574", False),
        ("0.458", "0.46", False),
        ("6.67\\%", "\\frac{1}{15}", True),
        ("41.4\\%", "\\sqrt2-1", True),
        ("4.123105625617661", "\\sqrt{17}", True),
        ("2.65", "2.6", False),
        ("0.3", "\\frac13", False),
        ("16386.16", "16386.17", False),
        # an integer is exact
        ("300", "299.94", False),
        ("5040", "\\frac{15840}{\\pi}", False),
        # an exact ground truth takes six significant digits, rounded or cut
        ("\\frac13", "0.333333", True),
        ("\\frac13", "0.33333", False),
        ("\\frac23", "0.666667", True),
        ("\\frac23", "0.666666", True),
        ("\\frac23", "0.666665", False),
        ("\\sqrt2", "1.414214", True),
        ("\\frac{1}{4}", "0.250001", False),
        ("\\pi", "3.14159265", True),
        ("2\\pi", "6.28318530", False),
        ("e^{-50}", "0.000000", False),
    ],
)
def test_tolerance(gold: str, answer: str, verdict: bool) -> None:
    assert (equal(gold, answer) is Verdict.EQUAL) is verdict

"""KOR-Bench: where the brackets are, and each category's comparison. Rows written for these tests."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._arithmetic import CalculationError, arithmetic, rational
from reward_service.handlers._formula import FormulaError, same_formula
from reward_service.handlers.korbench.brackets import candidates
from reward_service.registry import load
from reward_service.types import Item, Outcome, Reason, Status
from tests.cost import cpu_within


def judge(response: str, gold: Any, category: str = "", rule: str = "", source: str = "korbench") -> Outcome:
    route = load().route(source)
    assert route is not None
    extra = {name: value for name, value in (("category", category), ("rule_id", rule)) if value}
    return route.handler.plan(Item(route.data_source, response, gold, extra, source=route.source.name))


# ---------------------------------------------------------------- where it is


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So [[19]].", ["19"]),
        ("$[[19]]$ **[[20]]**", ["19", "20"]),
        ("\\[[19]\\] and then [[20]]", ["20"]),
        ("\\[[[19]]\\]", ["19"]),
        ("\\[ [[19]] \\]", ["19"]),
        ("[[p&q];[~r]]", ["p&q];[~r"]),
        ("[[{2,3}]]", ["{2,3}"]),
        ("[[[1,2],[3,4]]]", ["[1,2],[3,4]"]),
        ("[[1,2],[3,4]]", ["1,2],[3,4"]),
        ("[[a\nb]]", ["a\nb"]),
        ("[[your answer here [[19]]", ["19"]),
        ("[[x]y]] [[z]]", ["x]y", "z"]),
        ("[[\\boxed{19}]]", ["\\boxed{19}"]),
        ("\\boxed{[[19]]}", ["19"]),
        ("[[18]] no, \\boxed{19}", ["18", "19"]),
        ("\\[ \\left[ \\left[ 19 \\right] \\right] \\]", [" 19 "]),
        ("[[]]", [""]),
        ("[[", []),
        ("]]", []),
        ("[19]", []),
        ("a[b[c]]", []),
    ],
)
def test_candidates(text: str, found: list[str]) -> None:
    assert candidates(text) == found


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("[[18]] wait [[19]]", Reason.EQUAL),
        ("[[19]] wait [[18]]", Reason.NOT_EQUAL),
        ("<think>[[19]]</think>[[18]]", Reason.NOT_EQUAL),
        ("<think>[[18]]</think>[[19]]<|im_end|>", Reason.EQUAL),
        ("<think>[[19]]", Reason.NO_ANSWER),
        ("19", Reason.NO_ANSWER),
        ("[19]", Reason.NO_ANSWER),
        ("[[ ]]", Reason.NO_ANSWER),
        ("", Reason.NO_ANSWER),
        ("[[" + "19 " * 4_000 + "]]", Reason.MALFORMED_ANSWER),
    ],
)
def test_the_last_one_counts(response: str, reason: Reason) -> None:
    outcome = judge(response, "[[19]]", "operation")
    assert (outcome.correct, outcome.reason) == (reason is Reason.EQUAL, reason)


def test_several_answers_are_flagged() -> None:
    assert judge("[[18]] [[19]]", "[[19]]", "operation").flags == ("multiple_answers",)
    assert judge("[[19]] [[ 19 ]]", "[[19]]", "operation").flags == ()


# ---------------------------------------------------------------- comparisons


ACCEPTED = [
    ("operation", "", "19", "19"),
    ("operation", "", "19", "$19$"),
    ("operation", "", "19", "X = 19"),
    ("operation", "", "19", "[19]"),
    ("operation", "", "19", "**19**"),
    ("operation", "", "412608", "412,608"),
    ("operation", "", "9/4", "\\frac{9}{4}"),
    ("operation", "", "9/4", "2.25"),
    ("operation", "", "9/4", "18/8"),
    ("operation", "", "-9/4", "-\\frac{9}{4}"),
    ("operation", "", "6or-11", "-11 or 6"),
    ("operation", "", "6or-11", "X=6 or X=-11"),
    ("operation", "", "6or-11", "6 \\text{ or } -11"),
    ("operation", "", "6or-11", "6, -11"),
    ("operation", "", "6or-11", "6]or[-11"),
    ("operation", "", "5or-17/3", "-\\frac{17}{3} or 5"),
    ("operation", "", "-4+\\sqrt{13}or-4-\\sqrt{13}", "-4-\\sqrt{13} or -4+\\sqrt{13}"),
    ("operation", "", "3\\sqrt{5}", "\\sqrt{45}"),
    ("operation", "", "\\frac{30 - \\sqrt{7}}{9}", "(30-\\sqrt7)/9"),
    ("operation", "", "-7+4i", "4i - 7"),
    ("operation", "", "2x\\sin(x)+x^2\\cos(x)", "x^{2} \\cos x + 2 x \\sin x"),
    ("operation", "", "\\log_{7}{3}+\\log_{3}{7}", "\\log_3 7 + \\log_7 3"),
    ("operation", "", "3e-3", "3(e-1)"),
    ("operation", "", "x=4,y=-1", "y = -1, x = 4"),
    ("operation", "", "{x∣0≤x≤1}", "{x | 0 ≤ x ≤ 1}"),
    ("operation", "", "((a,b),(c,d))", "((a, b), (c, d))"),
    ("operation", "", "{}", "{ }"),
    ("operation", "", "X≥7", "X \\geq 7"),
    ("operation", "", "X≥7", "7 ≤ x"),
    ("operation", "", "{x∣x≤-2 or x≥3}", "{x | x >= 3 or x <= -2}"),
    ("operation", "", "{x∣x≤-2 or x≥3}", "\\{x \\mid x \\leq -2 \\text{ or } x \\geq 3\\}"),
    ("operation", "", "{x∣x≤-2 or x≥3}", "{x ∈ R | x ≤ -2 or x ≥ 3}"),
    ("operation", "", "2(x+1)", "2\\left(x+1\\right)"),
    ("operation", "", "{3,5,8}", "{8, 3, 5}"),
    ("operation", "", "((4,0),(-3,81))", "((4, 0), (-3, 81))"),
    ("operation", "", "((4,0),(-3,81))", "4,0],[-3,81"),
    ("operation", "", "((4,0),(-3,81))", "\\begin{pmatrix} 4 & 0 \\\\ -3 & 81 \\end{pmatrix}"),
    ("logic", "", "p1&~p2];[p3||p4", "p1 & ~p2]; [p3 || p4"),
    ("logic", "", "p1&~p2];[p3||p4", "(p1&~p2)];[(p3||p4)"),
    ("logic", "", "!$p", "! $p"),
    ("logic", "", "!$p", "`!$p`"),
    ("logic", "", "B", "B. It will certainly rain."),
    ("logic", "", "B];[A", "**B**];[**A**"),
    ("logic", "", "p∨q", "\\boxed{p \\lor q}"),
    ("logic", "", "B];[A", "B; A"),
    ("logic", "", "B];[A", "b];[a."),
    ("logic", "", "(p∧q)∨¬r", "$(p \\land q) \\lor \\lnot r$"),
    ("logic", "", "∼Ex(M(x)&H(x))", "~Ex(M(x) & H(x))"),
    ("logic", "", "Plausible];[2", "plausible];[2"),
    ("logic", "", "T:✓|x,x|✓;F:x|x,✓|✓", "T: x|✓, ✓|x; F: x|x, ✓|✓"),
    ("logic", "", "{p,q∨r,¬q∨r}", "{p, ¬q∨r, q∨r}"),
    ("logic", "5", "I1,I2,O];[+,+,-];[+,-,+];[-,+,+];[-,-,+", "I1,I2,O];[-,-,+];[-,+,+];[+,-,+];[+,+,-"),
    ("cipher", "", "KRAKEN", "kraken"),
    ("cipher", "", "KRAKEN", '"KRAKEN"'),
    ("cipher", "", "KRAKEN", "$\\text{KRAKEN}$"),
    ("cipher", "", "31,7,288", "31, 7, 288"),
    ("cipher", "", "*7_$]!", "*7_$]!"),
    ("cipher", "", "*7_$]!", "`*7_$]!`"),
    ("cipher", "", "`7`", "`7`"),
    ("cipher", "", "4 21 1", "4211"),
    ("Encryption", "", "QX", "Q X"),
    ("puzzle", "1", "six one ten", "Six, one, TEN"),
    ("puzzle", "1", "rain bow sun set", "rain+bow, sun+set"),
    ("puzzle", "2", "ment,ments", "-ments"),
    ("puzzle", "3", "ten net", "net ten"),
    ("puzzle", "4", "steal tales stale", "Tales"),
    ("puzzle", "5", "A=2,B=0,C=7", "C=7, A=2, B=0"),
    ("puzzle", "", "A=2,B=0,C=7", "B = 0, C = 7, A = 2"),
    ("puzzle", "8", "FIG (2,11)(2,13)\nPEAR (7,1)(4,1)", "FIG (2,11)(2,13)\n PEAR(7,1)(4,1)"),
    ("puzzle", "9", "7+2*4-5=10", "9+1*3-2=10"),
    ("puzzle", "", "7+2*4-5=10", "9 + 1 × 3 − 2 = 10"),
    ("puzzle", "10", "(7-3)×(8-2)", "(8-2)*(7-3)=24"),
    ("puzzle", "10", "8/(3-8/3)", "8÷(3−8÷3)"),
    ("puzzle", "", "(7-3)×(8-2)\n(8-2)*(7-3)", "(7-3)(8-2)".replace(")(", ")*(")),
    ("puzzle", "14", "A X 3,X X A", "A X 3\nX X A"),
    ("puzzle", "7", "lake fern moss", "lake / fern / moss"),
    ("puzzle", "14", "A X 3,X X A", "AX3,XXA"),
    (
        "puzzle",
        "15",
        ",".join(["7 1 3 9 2 6 5 8 4"] * 2 + ["7 13 9 2 6 5 8 4"]),
        ",".join(["7 1 3 9 2 6 5 8 4"] * 3),
    ),
    ("puzzle", "18", "→ 2 ↓,↑ ← 1", "→ 2 ↓, ↑ ← 1"),
    ("counterfactual", "", "D", "d"),
    ("counterfactual", "", "D", "D. The owl post"),
    ("counterfactual", "", "D", "(D)"),
    ("", "", "D", "D"),
    ("", "", "6or-11", "-11 or 6"),
    ("", "", "B];[A", "B];[A"),
    ("", "", "KRAKEN", "KRAKEN"),
    ("", "", "A X 3,X X A", "A X 3, X X A"),
]

REJECTED = [
    ("operation", "", "24", "4*6"),
    ("operation", "", "24", "25"),
    ("operation", "", "24", "24 or 25"),
    ("operation", "", "24", "not 24"),
    ("operation", "", "24", "23=24"),
    ("operation", "", "10/3", "3.33"),
    ("operation", "", "6or-11", "6"),
    ("operation", "", "6or-11", "6 or 6"),
    ("operation", "", "6or-11", "6 or -11 or 7"),
    ("operation", "", "3\\sqrt{5}", "6.708203932499369"),
    ("operation", "", "2x+3", "2x+4"),
    ("operation", "", "2x+3", "\\frac{d}{dx}(x^2+3x)"),
    ("operation", "", "2x+3", "f△g"),
    ("operation", "", "x=4,y=-1", "x=-1,y=4"),
    ("operation", "", "X≥7", "X>7"),
    ("operation", "", "X≥7", "X≤7"),
    ("operation", "", "{3,5,8}", "{35,8}"),
    ("operation", "", "{3,5,8}", "{3,5}"),
    ("operation", "", "((4,0),(-3,81))", "((4,0),(3,81))"),
    ("operation", "", "((4,0),(-3,81))", "((40),(-3,81))"),
    ("operation", "", "{x∣0≤x≤1}", "≤"),
    ("operation", "", "a=b=c", "d=e=f"),
    ("operation", "", "((a,b),(c,d))", "((a,b),(c,e))"),
    ("operation", "", "{}", "{,}"),
    ("cipher", "", '"', '""'),
    ("operation", "", "9", "__import__('os').getpid()"),
    ("logic", "", "p1&~p2];[p3||p4", "p3||p4];[p1&~p2"),
    ("logic", "", "p1&~p2];[p3||p4", "p1&~p2"),
    ("logic", "", "p1&~p2", "~p2&p1"),
    ("logic", "", "B];[A", "B];[B"),
    ("logic", "", "!$p", "!p"),
    ("logic", "", "#(p-!p)];[$(p>q)", "#(p-!p)];[(p>q)"),
    ("logic", "", "P(a)];[P(A)", "P(A)];[P(a)"),
    ("logic", "", "B", "A/B/C"),
    ("logic", "", "SAP];[sap", "sap];[SAP"),
    ("logic", "", "A];[a", "a];[A"),
    ("logic", "5", "I1,I2,O];[+,+,-];[+,-,+", "I1,I2,O];[+,+,-];[+,-,-"),
    ("cipher", "", "KRAKEN", "KRAKEM"),
    ("cipher", "", "4 21 1", "42 1 1"),
    ("cipher", "", "*7_$]!", "7"),
    ("cipher", "", "_7_", "7"),
    ("cipher", "", "_7", "$_7$"),
    ("cipher", "", "`7", "7"),
    ("puzzle", "2", "ment,ments", "ment,ments"),
    ("puzzle", "2", "ment,ments", "men"),
    ("puzzle", "4", "steal tales stale", "tale"),
    ("puzzle", "4", "steal tales stale", "steal tales stale"),
    ("puzzle", "3", "ten net", "ten ten"),
    ("puzzle", "5", "A=2,B=0,C=7", "A=2,B=0"),
    ("puzzle", "8", "FIG (2,11)(2,13)", "FIG (21,1)(2,13)"),
    ("puzzle", "9", "7+2*4-5=10", "9+1*3-2=11"),
    ("puzzle", "9", "7+2*4-5=10", "9+1*3-3=10"),
    ("puzzle", "9", "7+2*4-5=10", "9*1+3-2=10"),
    ("puzzle", "9", "7+2*4-5=10", "15+1*3-8=10"),
    ("puzzle", "9", "7+2*4-5=10", "10=10"),
    ("puzzle", "10", "(7-3)×(8-2)", "24"),
    ("puzzle", "10", "(7-3)×(8-2)", "12*2"),
    ("puzzle", "10", "(7-3)×(8-2)", "7-3+8-2"),
    ("puzzle", "10", "(7-3)×(8-2)", "(7-3)*(8-2)=25"),
    ("puzzle", "10", "(7-3)×(8-2)", "9**9**9"),
    ("puzzle", "14", "A X 3,X X A", "A X 3,X A X"),
    ("puzzle", "18", "→ 2 ↓,↑ ← 1", "→ 2 ↓,↑ → 1"),
    ("puzzle", "11", "12 6 9,1 5 9", "1 26 9,15 9"),
    ("puzzle", "1", "six one ten", "six one"),
    ("counterfactual", "", "D", "A or D"),
    ("counterfactual", "", "D", "ABCD"),
    ("counterfactual", "", "D", "Dragons"),
    ("", "", "24", "4*6"),
    ("", "", "D", "C"),
]  # fmt: skip


@pytest.mark.parametrize(("category", "rule", "gold", "answer"), ACCEPTED)
def test_accepts(category: str, rule: str, gold: str, answer: str) -> None:
    assert judge(f"Therefore [[{answer}]]", f"[[{gold}]]", category, rule).reason is Reason.EQUAL


@pytest.mark.parametrize(("category", "rule", "gold", "answer"), REJECTED)
def test_rejects(category: str, rule: str, gold: str, answer: str) -> None:
    assert judge(f"Therefore [[{answer}]]", f"[[{gold}]]", category, rule).score == 0.0


@pytest.mark.parametrize(
    "source", ["korbench__operation", "KorBench_operation", "kor_bench/operation", "kor-bench-operation"]
)
def test_the_name_may_say_the_category(source: str) -> None:
    assert judge("[[\\frac{1}{2}]]", "[[1/2]]", source=source).correct is True


def test_a_bare_ground_truth_is_read_as_well() -> None:
    assert judge("[[19]]", "19", "operation").correct is True
    assert judge("[[19]]", 19, "operation").correct is True


@pytest.mark.parametrize("gold", [None, "", " ", "[[]]", "[[ ]]", [], {"a": 1}, True, "a" * 9_000])
def test_malformed_ground_truth(gold: Any) -> None:
    outcome = judge("[[a]]", gold, "operation")
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


CATEGORY = st.sampled_from(["", "operation", "logic", "cipher", "puzzle", "counterfactual"])


@given(st.text(max_size=60), CATEGORY, st.sampled_from(["", "2", "5", "9", "10"]))
def test_any_text_is_judged_and_always_alike(text: str, category: str, rule: str) -> None:
    outcome = judge(f"[[{text}]]", "[[6+2*3-2=10]]", category, rule)
    assert outcome.status is Status.SCORED
    assert outcome == judge(f"[[{text}]]", "[[6+2*3-2=10]]", category, rule)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_numbers_are_equal_exactly_when_they_are(gold: int, other: int) -> None:
    assert judge(f"[[{other}]]", f"[[{gold}]]", "operation").correct is (gold == other)


@pytest.mark.parametrize(
    "piece", ["[[", "[[a]]", "]]", "\\[[", "[", "\\boxed{", "[[a", "(", "{", "or ", "-", "1+", "x^"]
)
@pytest.mark.parametrize("category", ["", "operation", "logic", "cipher", "puzzle"])
def test_hostile_length_costs_little(piece: str, category: str) -> None:
    with cpu_within(4.0):
        for text in (piece * 40_000, f"[[{piece * 2_000}]]", f"[[{piece * 300}]]"):
            judge(text, "[[\\sqrt{x}+2]]", category)
            judge(text, "[[(7-3)*(8-2)]]", category, "10")


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("8/(3-8/3)", 24),
        ("-(2-5)", 3),
        ("7/2", Fraction(7, 2)),
        ("6 × 7 − 2", 40),
    ],
)
def test_arithmetic_is_exact(text: str, value: Fraction) -> None:
    assert arithmetic(text).value == value


@pytest.mark.parametrize(
    "text",
    ["", "2**3", "2^3", "1/0", "2 2", "(1", "1)", "()", "a+1", "1.5", "9" * 50, "(" * 200 + "1" + ")" * 200],
)
def test_arithmetic_refuses(text: str) -> None:
    with pytest.raises(CalculationError):
        arithmetic(text)


@given(
    st.lists(st.integers(1, 12), min_size=4, max_size=4),
    st.lists(st.sampled_from("+-*"), min_size=3, max_size=3),
)
def test_arithmetic_agrees_with_python(numbers: list[int], operators: list[str]) -> None:
    text = "".join(f"{number}{operator}" for number, operator in zip(numbers, [*operators, ""], strict=True))
    given = arithmetic(text)
    assert given.value == eval(text)
    assert (list(given.numbers), list(given.operators)) == (numbers, operators)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-5", -5), ("7/2", Fraction(7, 2)), ("3.50", Fraction(7, 2)), ("\\frac{-7}{2}", Fraction(-7, 2)),
        ("1,000", 1000), ("12,34", None), ("1e3", None), ("1/0", None), ("", None), ("2*3", None), ("+4", 4),
    ],
)  # fmt: skip
def test_rational(text: str, value: Fraction | None) -> None:
    assert rational(text) == value


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("x^2+2x+1", "(x+1)^2", True),
        ("\\frac{\\cos(\\ln(x))}{x}", "\\cos(\\ln x)/x", True),
        ("\\sin^2(x)", "1-\\cos^2(x)", True),
        ("e^{x+y}", "e^x e^y", True),
        ("\\sqrt[3]{x}", "x^{1/3}", True),
        ("2\\pi", "π*2", True),
        ("x+y", "x-y", False),
        ("x", "y", False),
        ("x", "x+0.0000001", False),
        ("x", "1/(1/x", False),
        ("e", "2.718281828459045", False),
        ("x", "x" + "+1-1" * 99, True),
        ("x", "x" + "+1-1" * 200, False),
        ("x", "\\int_0^x 1 dt", False),
        ("3", "3!", False),
        ("x", "(" * 90 + "x" + ")" * 90, False),
        ("2", "9^9^9^9", False),
    ],
)
def test_same_formula(gold: str, answer: str, same: bool) -> None:
    assert same_formula(gold, answer) is same


def test_a_gold_outside_of_the_grammar_is_said_so() -> None:
    with pytest.raises(FormulaError):
        same_formula("\\int f", "x")

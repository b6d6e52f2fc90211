"""Hostile answers: nothing hangs, nothing grows, nothing runs."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from reward_service.handlers.math import plan, symbolic, warm_up
from reward_service.handlers.math.nodes import Verdict
from reward_service.types import Item, Outcome, Reason
from tests.cost import cpu_within

# The CPU timer may raise inside hypothesis' own callback of the garbage collector, which can only print it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CPU_SECONDS = 1.5
"""What no input may cost, tier 3's own limit included."""

HUGE = {
    "exponent": "1E1000000000",
    "exponent in an equation": "x=1E1000000000",
    "tower": "10^{10^{10}}",
    "plain tower": "9**9**9**9",
    "tower of twos": "2^{2^{2^{2^{2^2}}}}",
    "tower of e": "e^{e^{e^{e^{e}}}}",
    "sine of a tower": "\\sin(10^{10^{10}})",
    "factorials": "10!!!",
    "factorial of a factorial": "((10!)!)!",
    "large factorial": "10000000!",
    "power factorial": "(10^{9})!",
    "binomial": "\\binom{1000000}{500000}",
    "big power": "99999999^{99999999}",
    "modular power": "7^{10^{100}} \\bmod 13",
    "integral": "\\int_0^1 e^{-x^2}\\sin(x^3)\\sqrt{1+x^7}dx",
    "sum": "\\sum_{k=1}^{1000000000} k",
    "product": "\\prod_{k=1}^{1000000000} k",
    "sum of powers": "\\sum_{k=1}^{1000} k^k",
    "power of a sum": "(x+y+z+w)^{60}",
    "parentheses": "(" * 500 + "x" + ")" * 500,
    "fractions": "\\frac{1}{" * 1000 + "x" + "}" * 1000,
    "roots": "\\sqrt{" * 300 + "x" + "}" * 300,
    "open roots": "sqrt(" * 3000,
    "braces": "{" * 2000 + "}" * 2000,
    "list": ",".join(map(str, range(10_000))),
    "union": "\\cup".join(f"({2 * i},{2 * i + 1})" for i in range(101)),
    "polynomial": "+".join(f"x^{{{i}}}" for i in range(2000)),
    "determinant": "\\det\\begin{pmatrix}" + "\\\\".join("&".join(f"a_{{{i}{j}}}" for j in range(8)) for i in range(8)) + "\\end{pmatrix}",
    "matrix": "\\operatorname{eye}(20000)",
    "letters": "a" * 100_000,
    "digits": "1" * 1_000_000,
    "decimals": "0." + "3" * 100_000,
    "signs": "\\pm" * 600 + "1",
    "signed tuple": "(" + ",".join(["\\pm 1"] * 30) + ")",
    "minuses": "-" * 1900 + "1",
    "bars": "|" * 1500,
    "powers of x": "^".join("x" * 40),
    "powers of nine": "^".join("9" * 40),
    "words": "\\text{" + "a " * 900 + "}",
    "ands": "1 and " * 300 + "1",
    "cancelling": "2^{1000000}+1-2^{1000000}",
}  # fmt: skip
GOLDS = (
    "42",
    "\\frac{\\pi}{4}",
    "x^2+1",
    "(2,3)",
    "\\{1,2,3\\}",
    "(-\\infty,2)",
    "x=5",
    "\\frac{1}{2004!}",
    "\\text{odd}",
)

LONG = {
    "boxes": "\\boxed{1} and " * 20_000,
    "open boxes": "\\boxed{" * 20_000,
    "nested boxes": "\\boxed{" * 20_000 + "}" * 20_000,
    "answers": "Answer: 4\n" * 40_000,
    "hashes": "#### 4\n" * 100_000,
    "dollars": "$1$" * 100_000,
    "brackets": "\\[" + "x" * 200_000,
    "answer and spaces": "Answer:" + " " * 400_000 + "x",
    "thoughts": "<think>" * 100_000,
    "chain of thought": "So $x^2+1$ and \\frac{1}{2}. " * 40_000 + "\\boxed{43}",
    "newlines": "\n" * 500_000 + "\\boxed{43}",
}


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


def judge(response: str, gold: str, **extra: str) -> Outcome:
    with cpu_within(CPU_SECONDS):
        return plan(Item("math", response, gold, extra, source="math"))


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_answer_costs_little_and_earns_nothing(name: str) -> None:
    for gold in GOLDS:
        for extra in ({}, {"extraction": "anywhere"}):
            outcome = judge(f"The answer is \\boxed{{{HUGE[name]}}}", gold, **extra)
            assert outcome.score == 0.0


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_ground_truth_costs_little(name: str) -> None:
    outcome = judge("\\boxed{42}", HUGE[name][:20_000])
    assert not outcome.correct


@pytest.mark.parametrize("name", LONG)
def test_extraction_is_linear(name: str) -> None:
    for extra in ({}, {"extraction": "anywhere"}):
        outcome = judge(LONG[name], "42", **extra)
        assert not outcome.correct


def test_over_the_budget_has_a_reason_of_its_own() -> None:
    outcome = judge("\\boxed{1E1000000000}", "42")
    assert outcome.reason is Reason.BUDGET_EXCEEDED
    assert "oversized_answer" in outcome.flags
    assert judge("\\boxed{" + "(" * 200 + "1" + ")" * 200 + "}", "42").reason is Reason.BUDGET_EXCEEDED


def test_huge_numbers_are_still_compared() -> None:
    assert judge("\\boxed{10^{10^{10}}}", "10^{10^{10}}").correct
    assert judge("\\boxed{2^{1000000}}", "4^{500000}").correct
    assert not judge("\\boxed{2^{1000000}}", "4^{500001}").correct
    assert not judge("\\boxed{2^{1000000}+1}", "2^{1000000}").correct


def test_memory_stays_where_it_is() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in HUGE:
        judge(f"\\boxed{{{HUGE[name]}}}", "\\frac{1}{2}")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


PAYLOADS = [
    "__import__('os').system('touch marker')",
    "open('marker','w').write('x')",
    "exec('open(\"marker\",\"w\")')",
    "eval('open(\"marker\",\"w\")')",
    "(lambda: open('marker','w'))()",
    "().__class__.__bases__[0].__subclasses__()",
    "[open('marker','w')]",
    "\\begin{pmatrix} open('marker','w') & 1 \\end{pmatrix}",
    "exec('open(\"marker\",\"w\")') if 1 else \\pi",
    "Integer(open('marker','w').write('x'))",
    "sympify('open(\"marker\",\"w\")')",
    "\\frac{__import__('os').system('touch marker')}{2}",
    "x_{__import__('os').system('touch marker')}",
    "\\operatorname{exec}(open('marker','w'))",
    "\\int_0^1 open('marker','w') dx",
    "\\input{/etc/passwd}",
    "\\write18{touch marker}",
    "ground_truth",
    "sys._getframe(1).f_locals",
    "42 if True else 0",
    "1;import os;os.system('touch marker')",
    "\\sum_{k=1}^{3} open('marker','w')",
    "f'{open(\"marker\",\"w\")}'",
    "marker = open(\"marker\",\"w\")",
]  # fmt: skip

PROGRAM = """
import sys
from reward_service.handlers.math import plan, warm_up
from reward_service.handlers.math import guru
from reward_service.types import Item, Profile

warm_up()
seen = []
def watch(event, arguments):
    if event in ("open", "os.system", "subprocess.Popen", "os.exec", "socket.connect"):
        seen.append((event, str(arguments)[:120]))
    elif event == "compile" and any(word in str(arguments[0]) for word in words):
        seen.append((event, str(arguments)[:120]))
# sympy compiles programs of its own making (products of monomials); none holds a word of a response
words = ("marker", "open", "system", "__", "truth", "passwd", "lambda", "exec")
payloads = {payloads!r}
golds = ["42", "\\\\frac{{1}}{{2}}", "x^2+1", "(1,2)", "\\\\pi", "\\\\int_0^1 f(x) dx", "\\\\sum_{{k=1}}^{{n}} k"]
sys.addaudithook(watch)
paid = 0
for payload in payloads:
    for gold in golds:
        for response in ("\\\\boxed{{%s}}" % payload, "Answer: %s" % payload, payload):
            for profile in Profile:
                for extra in ({{}}, {{"extraction": "anywhere"}}, {{"backends": "both"}}, {{"reward_metric": "prime_math"}}):
                    paid += bool(plan(Item("math", response, gold, extra, profile, "math")).correct)
print(paid, seen[:5])
"""


def test_no_payload_runs(tmp_path: Path) -> None:
    """In a process with an audit hook: nothing of it is compiled, nothing is opened or started, no marker appears."""
    program = textwrap.dedent(PROGRAM).format(payloads=PAYLOADS)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "0 []", done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "1E5x",
        "\\operatorname{eye}(3)",
        "x" * 400,
        "2^{2^{2}}",
        "9^{1000}",
        "1000!",
        "((5)!)!",
        "\\text{a}",
        "1" * 20,
    ],
)
def test_sympy_sees_only_short_lists_of_tokens(text: str) -> None:
    assert not symbolic.admissible(text)
    assert symbolic.compare(text, text) is Verdict.UNKNOWN


def test_sympy_decides_what_our_trees_cannot_hold() -> None:
    gold = "\\int_0^1 f(x) dx + \\int_0^1 g(x) dx"
    assert symbolic.compare("\\int_0^1 x^2 dx", "\\frac{1}{3}") is Verdict.EQUAL
    assert symbolic.compare("\\int_0^1 x^2 dx", "\\frac{1}{2}") is Verdict.NOT_EQUAL
    assert judge("\\boxed{\\frac{x^2}{2}}", "\\int_0^x t dt").correct
    assert not judge("\\boxed{\\frac{x^2}{3}}", "\\int_0^x t dt").correct
    assert judge(f"\\boxed{{{gold}}}", gold).correct


def test_sympy_stops_when_its_time_is_up() -> None:
    with cpu_within(CPU_SECONDS):
        verdict = symbolic.compare(
            "\\int_0^1 \\int_0^1 e^{x y} \\sin(x^2 y) \\sqrt{1+x^3 y} dx dy", "\\frac{1}{2}"
        )
        assert verdict is not Verdict.EQUAL


def test_math_verifys_absolute_tolerance_is_not_ours() -> None:
    assert symbolic.compare("\\frac{1}{10^{9}}", "\\frac{2}{10^{9}}") is Verdict.NOT_EQUAL

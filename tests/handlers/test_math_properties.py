"""Properties: reflexive, symmetric, blind to dress, and a verdict for any text."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.handlers.math import Verdict, equal, plan
from reward_service.handlers.math.compare import match
from reward_service.handlers.math.expression import parse
from reward_service.handlers.math.identity import equal_values
from reward_service.handlers.math.nodes import BudgetError, Node, ParseError
from reward_service.handlers.math.normal import undress
from reward_service.handlers.math.rational import exact
from reward_service.handlers.math.scalars import Options
from reward_service.types import Item, Profile, Status

FREE = Options(guard=False)

numbers = st.integers(-500, 500)
leaves = st.one_of(numbers.map(str), st.sampled_from(["x", "y", "n", "\\pi", "\\sqrt{2}", "e", "0.25"]))


def grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(parts, parts)
    return st.one_of(
        pair.map(lambda p: f"({p[0]})+({p[1]})"),
        pair.map(lambda p: f"({p[0]})-({p[1]})"),
        pair.map(lambda p: f"({p[0]})({p[1]})"),
        pair.map(lambda p: f"\\frac{{{p[0]}}}{{{p[1]}}}"),
        parts.map(lambda p: f"({p})^{{2}}"),
        parts.map(lambda p: f"\\sqrt{{{p}}}"),
        parts.map(lambda p: f"\\sin({p})"),
        parts.map(lambda p: f"|{p}|"),
    )


expressions = st.recursive(leaves, grown, max_leaves=6)
collections = st.tuples(expressions, expressions, expressions).flatmap(
    lambda p: st.sampled_from(
        [f"({p[0]}, {p[1]}, {p[2]})", f"\\{{{p[0]}, {p[1]}, {p[2]}\\}}", f"{p[0]}, {p[1]}, {p[2]}"]
    )
)
anything = st.one_of(expressions, collections)


def verdict(gold: str, answer: str) -> bool | None:
    return match(parse(gold), parse(answer), FREE)[0]


@settings(deadline=None)
@given(anything)
def test_reflexive(text: str) -> None:
    assert equal(text, text) is Verdict.EQUAL


@settings(deadline=None)
@given(expressions, expressions)
def test_symmetric(one: str, other: str) -> None:
    assert verdict(one, other) is verdict(other, one)


@settings(deadline=None)
@given(expressions)
def test_a_value_and_itself_written_otherwise(text: str) -> None:
    """x, x+0 and 2x-x are one value wherever x has one; x+1 is another."""
    node = parse(text)
    doubled = parse(f"2({text})-({text})")
    assert equal_values(node, doubled) is not False
    assert equal_values(node, parse(f"({text})+1")) is not True


@settings(deadline=None)
@given(expressions)
def test_dress_says_nothing(text: str) -> None:
    wide = text.replace("(", "\\left( ").replace(")", " \\right)")
    for dressed in (
        f"${text}$",
        f" {text} ",
        f"{text}.",
        wide,
        text.replace("\\frac", "\\dfrac"),
        f"\\displaystyle {text}",
        f"\\[{text}\\]",
        f"{{{text}}}",
    ):
        assert equal(text, dressed) is Verdict.EQUAL, dressed


@settings(deadline=None)
@given(st.lists(expressions, min_size=2, max_size=5), st.randoms())
def test_a_list_has_no_order(items: list[str], random_: object) -> None:
    shuffled = list(items)
    random_.shuffle(shuffled)  # type: ignore[attr-defined]
    gold, answer = ", ".join(items), ", ".join(shuffled)
    assert verdict(gold, answer) is not False
    assert verdict(f"\\{{{gold}\\}}", f"\\{{{answer}\\}}") is not False


@settings(deadline=None)
@given(st.lists(numbers, min_size=2, max_size=5, unique=True))
def test_a_tuple_has_an_order(items: list[int]) -> None:
    gold = "(" + ", ".join(map(str, items)) + ")"
    turned = "(" + ", ".join(map(str, items[1:] + items[:1])) + ")"
    assert equal(gold, gold) is Verdict.EQUAL
    assert equal(gold, turned) is Verdict.NOT_EQUAL


@settings(deadline=None)
@given(numbers, numbers.filter(bool))
def test_fractions_are_exact(above: int, below: int) -> None:
    value = Fraction(above, below)
    gold = f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
    assert equal(gold, f"{value.numerator}/{value.denominator}") is Verdict.EQUAL
    assert equal(gold, f"\\frac{{{value.numerator + 1}}}{{{value.denominator}}}") is Verdict.NOT_EQUAL
    assert exact(parse(f"\\frac{{{above}}}{{{below}}}")) == value


@settings(deadline=None)
@given(
    numbers,
    st.sampled_from(
        ["cm", "kg", "apples", "\\text{ km}", "\\text{ square units}", "^\\circ", "\\%", "\\text{ dollars}"]
    ),
)
def test_a_unit_dresses_a_number(value: int, unit: str) -> None:
    dressed = f"{value} {unit}" if unit.isalpha() else f"{value}{unit}"
    assert equal(str(value), dressed) is Verdict.EQUAL
    assert equal(dressed, str(value)) is Verdict.EQUAL
    assert equal(str(value + 1), dressed) is not Verdict.EQUAL


@settings(deadline=None)
@given(numbers, st.integers(1, 50))
def test_intervals_and_inequalities(low: int, width: int) -> None:
    high = low + width
    assert equal(f"[{low},{high})", f"{low} \\le t < {high}") is Verdict.EQUAL
    assert equal(f"{low} < x < {high}", f"({low},{high})") is Verdict.EQUAL
    assert equal(f"[{low},{high})", f"[{low},{high}]") is Verdict.NOT_EQUAL
    assert equal(f"[{low},{high})", f"{low} \\le t < {high + 1}") is Verdict.NOT_EQUAL


SOUP = "0123456789xyzABC+-*/^_=<>(){}[]|,;:.!%$&~ '\"\\\n"
soup = st.one_of(
    st.text(max_size=60),
    st.text(alphabet=SOUP, max_size=80),
    st.lists(st.sampled_from([*SOUP, "\\frac", "\\sqrt", "\\text{or}", "\\le", "\\cup", "\\infty", "\\pm", "\\begin{pmatrix}", "\\end{pmatrix}", "\\sin", "\\int", "\\%", "−", "²"]), max_size=25).map("".join),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    soup,
    soup,
    st.sampled_from([{}, {"extraction": "anywhere"}, {"backends": "both"}]),
    st.sampled_from(list(Profile)),
)
def test_any_pair_has_a_verdict(gold: str, answer: str, extra: dict[str, str], profile: Profile) -> None:
    item = Item("math", f"\\boxed{{{answer}}}", gold, extra, profile, "math")
    outcome = plan(item)
    assert outcome == plan(item)
    assert (outcome.status is Status.ERROR) is not bool(gold.strip()) or outcome.status is Status.SCORED


@settings(deadline=None)
@given(soup)
def test_the_parser_refuses_in_its_own_words(text: str) -> None:
    try:
        node = parse(undress(text))
    except (ParseError, BudgetError):
        return
    assert isinstance(node, Node)

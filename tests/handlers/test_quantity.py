"""The grammar of numbers and dates: what is read, as what, and what isn't read at all."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._quantity import Date, Quantity, parse_date, parse_quantity, same_amount
from tests.cost import cpu_within


def value(quantity: Quantity) -> Fraction:
    return quantity.mantissa * Fraction(10) ** quantity.exponent


def read(text: str) -> Quantity:
    quantity = parse_quantity(text)
    assert quantity is not None, text
    return quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("42", 42),
        ("+42", 42),
        ("-42", -42),
        ("- 42", -42),
        ("1,234,567", 1_234_567),
        ("1 234 567", 1_234_567),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("0.050", Fraction(1, 20)),
        ("1e-05", Fraction(1, 100_000)),
        ("2.5e6", 2_500_000),
        ("1.758 × 10^9", 1_758_000_000),
        ("1.2x10^{-2}", Fraction(12, 1000)),
        ("(31.5)", Fraction(-63, 2)),
        ("$(31.5)", Fraction(-63, 2)),
        ("($31.5)", Fraction(-63, 2)),
        ("-$31.5", Fraction(-63, 2)),
        ("$-31.5", Fraction(-63, 2)),
        ("($3.4 million)", -3_400_000),
        ("(3.4) million", -3_400_000),
        ("$12m", 12_000_000),
        ("eur 12.5 bn", 12_500_000_000),
        ("1.5 billion dollars", 1_500_000_000),
        ("72 (million)", 72_000_000),
        ("72 (in millions)", 72_000_000),
        ("≈ 14.5", Fraction(29, 2)),
        ("approximately 14.5", Fraction(29, 2)),
        ("three", 3),
        ("twenty", 20),
        ("0.30000000000000004", Fraction(3, 10)),
        ("13.299999999999999", Fraction(133, 10)),
    ],
)
def test_reads(text: str, expected: Fraction | int) -> None:
    assert value(read(text)) == expected


@pytest.mark.parametrize(
    "text", ["8.1%", "8.1 %", "8.1 percent", "8.1 per cent", "8.1 percentage points", "8.1 pp"]
)
def test_percent_is_marked_and_not_applied(text: str) -> None:
    quantity = read(text)
    assert quantity.percent and value(quantity) == Fraction(81, 10)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-", ".", "()", "$", "%", "million", "n/a", "1,23", "1,2345", "12,34,567", "1 23", "01", "007", "1..2", "1.2.3",
        "--5", "+-5", "-(5)-", "((5))", "(5", "5)", "(5 million", "(5) million)", "5))", "$$5", "$5€", "6 or 11", "6 11 2019", "not 6", "no 6", "6 and others",
        "6, 11", "6|11", "6;11", "14.5 + 1", "2*3", "9**9", "1/2", "6-4", "2018-2019", "4 more", "5 less", "five hundred",
        "12m", "5 % %", "5 % million", "5 million billion", "5 million %", "5 yards", "5?", "5!", "0x10", "1_000", "nan", "inf",
        "infinity", "1e400", "1e1000", "10^2", "⁵", "٣", "५", "5 million or more", "5 to 7", "x", "5 = 5",
    ],
)  # fmt: skip
def test_anything_left_over_is_no_number(text: str) -> None:
    assert parse_quantity(text) is None


def test_units_only_where_they_are_known() -> None:
    assert parse_quantity("5 yards") is None
    yards = parse_quantity("5 yards", {"yards"})
    assert yards is not None and yards.unit == "yards"
    assert parse_quantity("5 yards or so", {"*"}) is None
    assert parse_quantity("5 or", {"or"}) is None
    assert parse_quantity("5 not", {"*"}) is None


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("2019", "2019", True),
        ("2019", "2019.0", True),
        ("2019.0", "2,019", True),
        ("2019", "2018", False),
        ("2019", "2019.4", False),  # whole numbers are exact
        ("1000000", "1000900", False),
        ("26490.0", "26500", False),
        ("14.5", "14.50", True),
        ("14.5", "14.6", False),
        ("14.5", "-14.5", False),
        ("14.5", "145", False),
        ("0.41837", "0.418", True),  # the finer rounds to the coarser …
        ("0.41837", "0.42", False),  # … which needs three digits
        ("0.41837", "0.419", False),
        ("0.22735", "0.2273", True),  # a gold that was rounded itself: its last 5 goes either way
        ("0.22735", "0.2274", True),
        ("2.345", "2.34", True),  # half to even
        ("2.345", "2.35", True),  # half up
        ("2.355", "2.35", False),
        ("32.69", "32.6852", True),
        ("32.69", "32.6952", False),
        ("0.7", "0.68", False),  # one digit says too little
        ("0", "0.0", True),
        ("0", "0.004", False),
        ("0.004", "0", False),
        ("1234.5", "1230", False),
        ("1e99", "1e98", False),
        ("0.00444", "0.0044", False),
        ("-7.954", "-7.95", True),
    ],
)
def test_same_amount(gold: str, answer: str, equal: bool) -> None:
    assert same_amount(read(gold), read(answer)) is equal


def test_a_known_place_of_the_gold_makes_it_finer() -> None:
    gold = read("2.7")
    assert not same_amount(gold, read("2.73"), 2, -2)
    assert same_amount(gold, read("2.704"), 2, -2)
    assert same_amount(gold, read("2.73"), 2)
    assert same_amount(read("0.7"), read("0.704"), 2, -2) and not same_amount(read("0.7"), read("0.704"), 2)


@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_what_is_written_is_read_exactly(number: int, decimals: int) -> None:
    exact = Fraction(number, 10**decimals)
    sign = "-" if number < 0 else ""
    digits = str(abs(number)).rjust(decimals + 1, "0")
    plain = sign + (f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits)
    whole, _, fraction = plain.lstrip("-").partition(".")
    grouped = f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")
    for text in (
        plain,
        grouped,
        f"${grouped}" if not sign else grouped,
        f"({plain.lstrip('-')})" if sign else plain,
    ):
        assert value(read(text)) == exact
    assert same_amount(read(plain), read(grouped))


@given(st.text(max_size=200))
def test_never_raises(text: str) -> None:
    parse_quantity(text, {"*"})
    parse_date(text)


@given(st.decimals("0.001", "9999", places=3), st.decimals("0.001", "9999", places=3))
def test_equality_at_one_precision_is_identity(one: object, other: object) -> None:
    assert same_amount(read(str(one)), read(str(other))) is (one == other)


@pytest.mark.parametrize(
    "text",
    ["9" * 100_000, "(" * 100_000, "1 " * 50_000, "1," * 50_000, "1" + " x" * 50_000, "5" + "e9" * 9999],
)
def test_long_texts_cost_nothing(text: str) -> None:
    with cpu_within(0.25):
        assert parse_quantity(text) is None and parse_date(text) is None


def test_far_apart_powers_of_ten_are_not_expanded() -> None:
    assert not same_amount(Quantity(1, -300, 1, 300), Quantity(1, 300, 1, 0))


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2007-12-17", Date(2007, 12, 17)),
        ("2007/12/17", Date(2007, 12, 17)),
        ("xxxx-12-17", Date(None, 12, 17)),
        ("2007-12-xx", Date(2007, 12, None)),
        ("december 17, 2007", Date(2007, 12, 17)),
        ("dec. 17, 2007", Date(2007, 12, 17)),
        ("december 17th 2007", Date(2007, 12, 17)),
        ("17 december 2007", Date(2007, 12, 17)),
        ("the 17th of december, 2007", Date(2007, 12, 17)),
        ("18 october", Date(None, 10, 18)),
        ("october 18", Date(None, 10, 18)),
        ("february 1795", Date(1795, 2, None)),
        ("may", Date(None, 5, None)),
    ],
)
def test_dates(text: str, date: Date) -> None:
    assert parse_date(text) == date


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "2007",
        "12/17/2007",
        "17.12.2007",
        "2007-13-01",
        "2007-2-7",
        "december 32",
        "march on",
        "sun",
        "17 december 07",
    ],
)
def test_no_dates(text: str) -> None:
    assert parse_date(text) is None

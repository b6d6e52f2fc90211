"""When printed output is what was expected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers._compare_output import CHECKERS, checker
from tests.cost import cpu_within


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("3\n", "3"), ("3", "3\n\n\n"), ("1 2 3\n", "1 2 3 \n"), ("1 2\n3", "1  2\r\n3\r\n"), ("a\n\nb", "a\n\nb"), ("", ""), ("\n", ""),
        ("0.5", "0.50"), ("0.333333333", "0.3333333"), ("1e-3", "0.001"), ("1000000.5", "1000000.9"), ("1.0", "1"), ("3", "3.0"),
        ("YES", "YES"), ("x 0.1 y", "x 0.1000000001 y"), ("  3", "3"), ("3", "  3"), ("-0.0", "0"), ("é", "é"), ("007", "7"),
    ],
)  # fmt: skip
def test_right(expected: str, printed: str) -> None:
    assert CHECKERS["lines"]("", expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("3", "4"), ("3", ""), ("", "3"), ("3", "3\n4"), ("3\n4", "3 4"), ("3 4", "3\n4"), ("1 2", "12"), ("YES", "yes"), ("YES", "YES\nNO"),
        ("3", "3.0000001"), ("1000000007", "1000000008"), ("0.5", "0.50001"), ("0.5", "nan"), ("0.5", "inf"), ("nan", "0.5"), ("0.5", "1/2"),
        ("1000", "1_000"), ("3", "３"), ("a\nb", "a\n\nb"), ("3", "9" * 3_000_000), ("0.1", "0.1 0.2"), ("3", "x 3"), ("1.5", "1,5"), ("1e3", "1e99999"),
        ("3", "\b3"), ("Hello", "hello"),
    ],
)  # fmt: skip
def test_wrong(expected: str, printed: str) -> None:
    assert not CHECKERS["lines"]("", expected, printed)


@pytest.mark.parametrize(
    ("name", "expected", "printed", "right"),
    [
        ("exact", "a b", "a b\n", True), ("exact", "a b", "a  b", False), ("exact", "0.5", "0.50", False),
        ("tokens", "1 2\n3", "1\n2 3", True), ("tokens", "1 2", "2 1", False),
        ("ignore_case", "YES", "yes", True), ("ignore_case", "YES", "no", False),
        ("unordered_lines", "a b\nc", "c\na  b", True), ("unordered_lines", "a\na", "a", False),
        ("unordered_tokens", "1 2 2", "2 1\n2", True), ("unordered_tokens", "1 2", "1 2 2", False),
        ("guru", "YES", "yes", True), ("guru", "Yes\n0.5", "yes\n0.5000001", True), ("guru", "maybe", "Maybe", False),
    ],
)  # fmt: skip
def test_other_rules(name: str, expected: str, printed: str, right: bool) -> None:
    assert CHECKERS[name]("", expected, printed) is right


def test_a_rule_of_ones_own() -> None:
    @checker("test_any_divisor")
    def divisor(text: str, expected: str, printed: str) -> bool:
        return printed.strip().isdecimal() and int(text) % int(printed) == 0

    try:
        assert CHECKERS["test_any_divisor"]("12", "3", "4") and not CHECKERS["test_any_divisor"](
            "12", "3", "5"
        )
        with pytest.raises(ValueError, match="already"):
            checker("test_any_divisor")(divisor)
    finally:
        del CHECKERS["test_any_divisor"]


@given(st.text(max_size=100))
def test_every_text_equals_itself_and_no_longer_one(text: str) -> None:
    for name in ("lines", "guru", "tokens", "exact", "ignore_case", "unordered_lines", "unordered_tokens"):
        assert CHECKERS[name]("", text, text)
        assert not CHECKERS[name]("", text, text + "\nx")


@given(st.integers(), st.integers())
def test_integers_are_exact(one: int, other: int) -> None:
    assert CHECKERS["lines"]("", str(one), str(other)) is (one == other)


def test_a_flood_takes_linear_time() -> None:
    with cpu_within(5.0):
        assert not CHECKERS["lines"]("", "1 2 3", "1 " * 2_000_000)
        assert CHECKERS["lines"]("", "0.5 " * 300_000, "0.50 " * 300_000)

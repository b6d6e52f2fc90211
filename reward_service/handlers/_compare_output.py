"""Is what a program printed what was expected?

What is decided here, as one rule (the default, `lines`): both texts are compared line by line, without space at the
ends of lines and without blank lines at the beginning and the end; there must be as many lines. A line is right if it
is the same text, or if its tokens (separated by white space) are: the same text, or the same number in plain decimal
notation, exactly (LiveCodeBench's rule: 1.0 is 1.00); or, only where the expected token is written with a point or an
exponent, a number within 1e-6 of it, absolute or relative. nan, infinities, underscores and digits of other scripts are
text. Letter case counts; the guru profile ignores it for a yes or no, as the published scorer does.

Problems with several right answers name another rule in `extra_info.checker`. `@checker("name")` adds one: a pure
function of (input, expected output, printed output).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

TOLERANCE = 1e-6
MAX_NUMBER = 1_000
"""Characters of a token that is read as a number."""

Checker = Callable[[str, str, str], bool]
CHECKERS: dict[str, Checker] = {}


def checker(name: str) -> Callable[[Checker], Checker]:
    """Register a rule under a name that rows can give in `extra_info.checker`. ValueError if it is taken."""

    def add(function: Checker) -> Checker:
        if name in CHECKERS:
            raise ValueError(f"there is a checker named {name!r} already")
        CHECKERS[name] = function
        return function

    return add


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


def lines_of(text: str) -> list[str]:
    """Lines without space at their ends, without blank ones at the beginning and the end."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    start, end = 0, len(lines)
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1]:
        end -= 1
    return lines[start:end]


def tokens_equal(expected: str, printed: str, tolerance: float = TOLERANCE) -> bool:
    """The same text, the same decimal number, or close to an expected number that isn't written as an integer."""
    if expected == printed:
        return True
    if len(expected) > MAX_NUMBER or len(printed) > MAX_NUMBER:
        return False
    if not _NUMBER.fullmatch(expected) or not _NUMBER.fullmatch(printed):
        return False
    want, got = Decimal(expected), Decimal(printed)
    if want == got:
        return True
    if not any(mark in expected for mark in ".eE"):
        return False
    # Exponents are bounded by the pattern, so that the difference stays small enough to compute.
    return abs(want - got) <= Decimal(repr(tolerance)) * max(Decimal(1), abs(want))


def line_equal(expected: str, printed: str, tolerance: float = TOLERANCE) -> bool:
    """The same text, or the same tokens."""
    if expected == printed or expected.strip() == printed.strip():
        return True
    want, got = expected.split(), printed.split()
    return len(want) == len(got) and all(
        tokens_equal(a, b, tolerance) for a, b in zip(want, got, strict=True)
    )


@checker("lines")
def lines(_: str, expected: str, printed: str) -> bool:
    """Line by line, the default."""
    want, got = lines_of(expected), lines_of(printed)
    return len(want) == len(got) and all(line_equal(a, b) for a, b in zip(want, got, strict=True))


@checker("guru")
def guru(_: str, expected: str, printed: str) -> bool:
    """The published scorer's: as `lines`, with yes and no in any letter case."""
    want, got = lines_of(expected), lines_of(printed)
    return len(want) == len(got) and all(
        line_equal(a, b) or (a.strip().lower() == b.strip().lower() and b.strip().lower() in ("yes", "no"))
        for a, b in zip(want, got, strict=True)
    )


@checker("exact")
def exact(_: str, expected: str, printed: str) -> bool:
    """The same text but for line breaks at the end."""
    return expected.rstrip("\n") == printed.rstrip("\n")


@checker("tokens")
def tokens(_: str, expected: str, printed: str) -> bool:
    """The same tokens in their order, wherever the lines break."""
    want, got = expected.split(), printed.split()
    return len(want) == len(got) and all(tokens_equal(a, b) for a, b in zip(want, got, strict=True))


@checker("ignore_case")
def ignore_case(input_text: str, expected: str, printed: str) -> bool:
    """As `lines`, letter case aside."""
    return lines(input_text, expected.lower(), printed.lower())


@checker("unordered_lines")
def unordered_lines(_: str, expected: str, printed: str) -> bool:
    """The same lines in any order, each as often; tokens as text."""
    return _bag(lines_of(expected)) == _bag(lines_of(printed))


@checker("unordered_tokens")
def unordered_tokens(_: str, expected: str, printed: str) -> bool:
    """The same tokens in any order, each as often; tokens as text."""
    return Counter(expected.split()) == Counter(printed.split())


def _bag(found: list[str]) -> Counter[str]:
    return Counter(" ".join(line.split()) for line in found if line.strip())

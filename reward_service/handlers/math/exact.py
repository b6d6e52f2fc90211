r"""Tier 1: the same text, and numbers that are written as numbers.

What is decided here: what can be settled without a parser, in some microseconds: integers, decimals,
fractions and thousands separators on both sides. Anything with a sign behind it, any rounding and any other
form is left to the next tier; so is everything where the two readings of a comma could matter.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import NamedTuple

from reward_service.handlers.math.nodes import MAX_DIGITS, Verdict


class Written(NamedTuple):
    """A number in one of the plain forms. places: decimals shown; fraction: p/q; grouped: with separators."""

    value: Fraction | int
    places: int
    fraction: bool
    grouped: bool


_DECIMAL = re.compile(r"([-+]?) ?(?:(\d{1,3}(?:(?:,|\{,\}|, | )\d{3})+|\d+)(?:\.(\d*))?|\.(\d+))")
_RATIO = re.compile(
    r"([-+]?) ?(?:\\frac ?\{ ?([-+]?) ?(\d+) ?\} ?\{ ?(\d+) ?\}|\\frac ?(\d)(\d)|([-+]?\d+) ?/ ?(\d+))"
)
_SEPARATORS = str.maketrans("", "", ", {}")


def written(text: str) -> Written | None:
    """The number that an undressed text is, if it is nothing else."""
    if len(text) > MAX_DIGITS:
        return None
    match = _DECIMAL.fullmatch(text)
    if match is not None:
        sign, whole, decimals, bare = match.groups()
        if bare is not None:
            whole, decimals = "0", bare
        grouped = not whole.isdigit()
        if grouped:
            if ", " in whole or whole.startswith("0"):
                return None
            whole = whole.translate(_SEPARATORS)
        if not decimals:
            value: Fraction | int = int(whole)
        else:
            value = Fraction(int(whole + decimals), 10 ** len(decimals))
        return Written(-value if sign == "-" else value, len(decimals or ""), False, grouped)
    match = _RATIO.fullmatch(text)
    if match is None:
        return None
    sign, inner, above, below, short_above, short_below, plain_above, plain_below = match.groups()
    top = int(above or short_above or plain_above)
    bottom = int(below or short_below or plain_below)
    if bottom == 0 or math.gcd(top, bottom) != 1:
        return None
    if inner == "-":
        top = -top
    return Written(Fraction(-top if sign == "-" else top, bottom), 0, True, False)


def compare(gold: Written, answer: Written) -> Verdict:
    """EQUAL and NOT_EQUAL are final; UNKNOWN where rounding or the meaning of a comma is in question."""
    if gold.value == answer.value:
        return Verdict.EQUAL
    if gold.grouped and answer.grouped:  # two lists, perhaps
        return Verdict.UNKNOWN
    if gold.places or (answer.places and isinstance(gold.value, Fraction)):
        return Verdict.UNKNOWN
    return Verdict.NOT_EQUAL


def integer_value(numeral: str) -> int | None:
    """The integer that a numeral (digits, minus, separators, decimals) is; None if it isn't one."""
    if numeral.isdigit():
        return int(numeral)
    whole, _, decimals = numeral.replace(",", "").partition(".")
    return None if decimals.strip("0") else int(whole)

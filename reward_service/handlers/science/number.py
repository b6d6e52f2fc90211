r"""A written number: its exact value, and how precisely it was written.

What is decided here: the grammar (sign, grouped digits, decimals, `e` or `× 10^n`, a fraction of two literals), and
when two numbers say the same. Nothing is evaluated.

The rule for digits (`same_value`):
- a count (a whole number written without point or power of ten, no unit) is exact;
- otherwise the finer number has to round to the coarser one: a coarser answer needs three significant digits, a
  coarser ground truth two (`0.42` doesn't say 0.41837, `2.6` says 2.63);
- beside that one part in 10,000 is nobody's mistake (constants with four digits), and one in 1,000 where units were
  converted (4.184 or 4.19 J to the calorie).
A benchmark with a tolerance of its own passes it instead (SciBench 5 %, TheoremQA 4 %).
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 60
MAX_POWER = 400


class Number(NamedTuple):
    """value: exact. digits: significant digits written, None if exact (a fraction). place: power of ten of the last digit.

    counted: a whole number without point or power of ten. reduced: not a division that is still to be done (`10/2`, `4/6`).
    """

    value: Fraction
    digits: int | None
    place: int
    counted: bool
    reduced: bool = True


_EXPONENT = r"\s?[{{(]?\s?(?P<{}>[-+]?\d{{1,4}})\s?[)}}]?"
_ALONE = r"10\s?(?:\^|\*\*)" + _EXPONENT.format("alone")
_TIMES_TEN = (  # 10-3, but not 103: it is a number of its own
    r"10\s?(?:(?:\^|\*\*)" + _EXPONENT.format("power") + r"|(?P<minus>-\d{1,3}))"
)
_NUMBER = re.compile(
    r"(?P<sign>[-+])?\s?(?:"
    r"\\frac\s?\{\s?(?P<n>-?\d+(?:\.\d+)?)\s?\}\s?\{\s?(?P<d>\d+(?:\.\d+)?)\s?\}"
    rf"|{_ALONE}"
    r"|(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?!\d)|\d+)?(?P<point>\.(?P<part>\d*(?: \d{3})*))?"
    rf"(?:[eE](?P<e>[-+]?\d{{1,4}})|\s?[×xX*·]\s?{_TIMES_TEN})?(?:\s?/\s?(?P<below>\d+(?:\.\d+)?)(?![\d.]))?"
    r")"
)
SCALES = {
    "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "hundred": 2,
}  # fmt: skip
_SCALE = re.compile(r"\s*(hundred|thousand|million|billion|trillion)s?\b", re.IGNORECASE)
_WORDS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
}


def read_number(text: str) -> tuple[Number, str] | None:
    """The number at the start of the text, and what follows it. None if it doesn't begin with one."""
    if (word := _WORDS.get(text.strip().lower())) is not None:
        return Number(Fraction(word), 1, 0, True), ""
    match = _NUMBER.match(text)
    if match is None:
        return None
    parts = match.groupdict()
    sign = -1 if parts["sign"] == "-" else 1
    if any(piece is not None and len(piece) > MAX_DIGITS for piece in parts.values()):
        return None
    rest = text[match.end() :]
    if parts["n"] is not None:
        if not Fraction(parts["d"]):
            return None
        return _quotient(sign * Fraction(parts["n"]), parts["n"], parts["d"]), rest
    if parts["alone"] is not None:
        power = int(parts["alone"])
        return None if abs(power) > MAX_POWER else (Number(sign * _ten(power), 1, power, False), rest)
    if parts["whole"] is None and not parts["part"]:
        return None
    found = _decimal(sign, parts, int(parts["e"] or parts["power"] or parts["minus"] or 0))
    if found is None:
        return None
    if parts["below"] is not None:
        return (
            (_quotient(found.value, parts["whole"], parts["below"]), rest)
            if Fraction(parts["below"])
            else None
        )
    scale = _SCALE.match(rest)
    if scale is not None:
        power = SCALES[scale.group(1).lower()]
        found = Number(found.value * _ten(power), found.digits, found.place + power, False)
        rest = rest[scale.end() :]
    return found, rest


def _quotient(above: Fraction, written: str | None, below: str) -> Number:
    value = above / Fraction(below)
    whole = (written or "").lstrip("-").isdigit() and below.isdigit()
    return Number(value, None, 0, False, whole and value.denominator == int(below) != 1)


def _decimal(sign: int, parts: dict[str, str | None], power: int) -> Number | None:
    if abs(power) > MAX_POWER:
        return None
    whole = re.sub("[, ]", "", parts["whole"] or "")
    part = (parts["part"] or "").replace(" ", "")
    mantissa = int((whole + part) or "0")
    digits = len((whole + part).lstrip("0")) or 1
    plain = parts["point"] is None and not (parts["e"] or parts["power"] or parts["minus"])
    return Number(sign * mantissa * _ten(power - len(part)), digits, power - len(part), plain)


def _ten(power: int) -> Fraction:
    return Fraction(10**power) if power >= 0 else Fraction(1, 10**-power)


def same_value(gold: Number, answer: Number, *, measured: bool, converted: Converted | None = None) -> bool:
    """By the rule above. measured: the gold has a unit, so a whole number was rounded too. converted: the answer in the gold's
    unit, where units were converted."""
    value = answer.value if converted is None else converted.value
    off = abs(value - gold.value)
    if not off:
        return True
    if (gold.counted and not measured) or (value < 0) != (gold.value < 0) or not gold.value or not value:
        return False
    allowed = abs(gold.value) / (10_000 if converted is None else 1_000)
    if gold.digits is not None and gold.digits >= 2:
        allowed = max(allowed, _ten(gold.place) / 2)
    if answer.digits is not None and answer.digits >= 3:
        allowed = max(allowed, _ten(answer.place) / 2 * (1 if converted is None else converted.factor))
    return off <= allowed


class Converted(NamedTuple):
    """A value in another unit, and what one of its own units is in that unit."""

    value: Fraction
    factor: Fraction


def within(gold: Fraction, answer: Fraction, tolerance: Fraction) -> bool:
    """Relative tolerance of a benchmark; zero is only zero."""
    return abs(answer - gold) <= abs(gold) * tolerance

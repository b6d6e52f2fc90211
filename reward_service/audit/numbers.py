"""Plain numbers in other dresses, and their near misses: exact decimal arithmetic, no float ever.

What is decided here: only what every reader would call the same number (thousands separators, trailing zeros, LaTeX
around it), and only misses that no rounding rule forgives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

_PLAIN = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.\d{1,15})?")


def number(value: object) -> Decimal | None:
    """The number that a ground truth is; None for anything else, and for numbers in words, units or powers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = (repr(value) if isinstance(value, float) else str(value)).strip()
    if not _PLAIN.fullmatch(text):
        return None
    return Decimal(text.replace(",", "").replace("−", "-"))


def written(value: Decimal) -> str:
    """Without an exponent, as it is."""
    return f"{value:f}"


def same_number(value: Decimal, *, latex: bool = True) -> Iterator[tuple[str, str]]:
    """The number in other dresses."""
    text = written(value)
    yield "trailing_zero", f"{text}0" if "." in text else f"{text}.0"
    yield "padded", f"  {text} "
    if latex:
        yield "text_macro", f"\\text{{{text}}}"
    if abs(value) >= 1000:
        yield "thousands", f"{value:,f}"
        if latex:
            yield "thousands_latex", f"{value:,f}".replace(",", "{,}")
    if value < 0:
        yield "unicode_minus", text.replace("-", "−")


def other_numbers(value: Decimal) -> Iterator[tuple[str, str]]:
    """Numbers that are another one by any rule of rounding, unit or scale."""
    whole = value == value.to_integral_value()
    if whole:
        yield "plus_one", written(value + 1)
        yield "minus_one", written(value - 1)
    if value:
        yield "sign_flip", written(-value)
        yield "times_ten", written(value * 10)
        yield "tenth", written((value / 10).normalize())
        yield "half_more", written((value * Decimal("1.5")).normalize())
    swapped = transposed(written(value))
    if swapped and whole:
        yield "digits_swapped", swapped


def transposed(text: str) -> str | None:
    """The number with its first two different neighbouring digits exchanged, unless a leading zero comes of it."""
    for place in range(len(text) - 1):
        pair = text[place : place + 2]
        if pair.isdigit() and pair[0] != pair[1]:
            found = text[:place] + pair[::-1] + text[place + 2 :]
            return None if found.lstrip("-").startswith("0") else found
    return None


def as_fraction(value: Decimal) -> Fraction | None:
    """The fraction of small terms that a short decimal is exactly; None for whole numbers and long ones."""
    if value == value.to_integral_value() or len(written(value)) > 8:
        return None
    return Fraction(value)


def as_decimal(value: Fraction) -> str | None:
    """The decimal of at most six places that a fraction is exactly, or None."""
    for places in range(1, 7):
        if (value * 10**places).denominator == 1:
            return written((Decimal(value.numerator) / Decimal(value.denominator)).normalize())
    return None

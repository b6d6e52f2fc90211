r"""Calculations with integers that a model wrote: read by a grammar, computed in fractions, never evaluated as code.

What is decided here: + - * / and parentheses, nothing else; no power, so that no number grows beyond what was
written. For puzzles whose answer *is* a calculation (24 game) the numbers and operators are reported, so that
the caller can check them. `rational` reads one number that is written out. Caps: characters, nesting, digits;
every step is linear.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

MAX_CHARS = 400
MAX_DEPTH = 40
MAX_DIGITS = 30


class CalculationError(ValueError):
    """The text is not a calculation, or too large."""


class Calculation(NamedTuple):
    """A calculation's exact value, and the integers and operators in it, in the order in which they stand."""

    value: Fraction
    numbers: tuple[int, ...]
    operators: str


_SIGNS = str.maketrans(
    {"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", "∗": "*", "[": "(", "]": ")"}
)
_ARITHMETIC = re.compile(r"\s*(\d+|[-+*/()])")


def arithmetic(text: str) -> Calculation:
    """The value of a calculation with integers, + - * / and parentheses. CalculationError for anything else."""
    for macro, sign in ((r"\times", "*"), (r"\cdot", "*"), (r"\div", "/"), (r"\left", ""), (r"\right", "")):
        text = text.replace(macro, sign)
    text = text.translate(_SIGNS).strip()
    if len(text) > MAX_CHARS:
        raise CalculationError("too long")
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _ARITHMETIC.match(text, at)
        if match is None:
            raise CalculationError(f"not a calculation at {at}")
        tokens.append(match.group(1))
        at = match.end()
    reader = _Arithmetic(tokens)
    value = reader.sum(0)
    if reader.at != len(tokens):
        raise CalculationError("something behind the calculation")
    numbers = tuple(int(token) for token in tokens if token.isdigit())
    return Calculation(value, numbers, "".join(one for one in tokens if one in "+-*/"))


class _Arithmetic:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def sum(self, depth: int) -> Fraction:
        value = self._product(depth)
        while (operator := self._next()) in ("+", "-"):
            self.at += 1
            right = self._product(depth)
            value = value + right if operator == "+" else value - right
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._atom(depth)
        while (operator := self._next()) in ("*", "/"):
            self.at += 1
            right = self._atom(depth)
            if operator == "/" and not right:
                raise CalculationError("division by zero")
            value = value * right if operator == "*" else value / right
        return value

    def _atom(self, depth: int) -> Fraction:
        piece = self._next()
        self.at += 1
        if piece == "-" and depth < MAX_DEPTH:
            return -self._atom(depth + 1)
        if piece == "(" and depth < MAX_DEPTH:
            value = self.sum(depth + 1)
            if self._next() != ")":
                raise CalculationError("a parenthesis that doesn't close")
            self.at += 1
            return value
        if not piece.isdigit() or len(piece) > MAX_DIGITS:
            raise CalculationError("a number was to come")
        return Fraction(int(piece))


_RATIONAL = re.compile(
    r"([+-]?)(?:(\d{1,30})(?:\.(\d{1,30}))?|\.(\d{1,30}))(?:/(\d{1,30}))?|([+-]?)\\[dt]?frac\{(-?\d{1,30})\}\{(\d{1,30})\}"
)


def rational(text: str) -> Fraction | None:
    r"""The value of a number that is written out: `-5`, `7/2`, `3.5`, `\frac{7}{2}`, `1,234`. None for anything else."""
    text = re.sub(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))", "", "".join(text.split()))
    match = _RATIONAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, decimals, bare, below, outer, top, bottom = match.groups()
    if top is not None:
        return _quotient(Fraction(int(top)), int(bottom), outer)
    digits = whole if decimals is None and bare is None else f"{whole or 0}.{decimals or bare}"
    return _quotient(Fraction(digits), int(below or 1), sign)


def _quotient(top: Fraction, bottom: int, sign: str) -> Fraction | None:
    if not bottom:
        return None
    return -top / bottom if sign == "-" else top / bottom

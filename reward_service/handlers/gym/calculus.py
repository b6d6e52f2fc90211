"""Antiderivatives and polynomials that a model wrote: read by a grammar, compared by value, never evaluated as code.

What is decided here: an expression is made of numbers, names, + - * / ** ^, parentheses and a few functions, under caps
on length and depth. Two antiderivatives are the same when they differ by a constant: their difference is computed in
complex floating point at fixed points and is the same at all of them. Floats make `9**9**9**9` an overflow and not a
computation. A polynomial has to be multiplied out, a sum of monomials: the product in the question would else be an
answer to it.
"""

from __future__ import annotations

import cmath
import re
from collections.abc import Callable, Mapping
from itertools import pairwise

MAX_CHARS = 4_000
MAX_DEPTH = 40
MAX_TERMS = 400
MAX_EXPONENT = 400

_POINTS = (0.37 + 0.11j, 0.83 - 0.29j, 1.21 + 0.43j, 1.57 - 0.17j, 1.93 + 0.31j, 2.41 - 0.37j)
"""Off the real axis, where neither a logarithm's argument nor a denominator of these tasks is zero."""
_TOLERANCE = 1e-8
_FUNCTIONS: Mapping[str, Callable[[complex], complex]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "exp": cmath.exp, "log": cmath.log, "ln": cmath.log,
    "sqrt": cmath.sqrt, "asin": cmath.asin, "acos": cmath.acos, "atan": cmath.atan, "sinh": cmath.sinh,
    "cosh": cmath.cosh, "tanh": cmath.tanh, "abs": lambda value: value,
}  # fmt: skip
_TOKEN = re.compile(r"\s*(\d+\.?\d*|\.\d+|[A-Za-z]+|\*\*|[-+*/^()])")


class Unreadable(ValueError):
    """The text is not an expression of this kind, or too large."""


def _tokens(text: str) -> list[str]:
    if len(text) > MAX_CHARS:
        raise Unreadable("too long")
    found: list[str] = []
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable("not an expression")
        found.append("**" if match.group(1) == "^" else match.group(1))
        at = match.end()
    if not found:
        raise Unreadable("empty")
    return found


class _Evaluator:
    """The value of an expression at a point, by recursive descent."""

    def __init__(self, tokens: list[str], names: Mapping[str, complex]) -> None:
        self.tokens, self.names, self.at = tokens, names, 0

    def value(self) -> complex:
        value = self.sum(0)
        if self.at != len(self.tokens):
            raise Unreadable("something behind the expression")
        return value

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def sum(self, depth: int) -> complex:
        value = self._product(depth)
        while (operator := self._peek()) in ("+", "-"):
            self.at += 1
            right = self._product(depth)
            value = value + right if operator == "+" else value - right
        return value

    def _product(self, depth: int) -> complex:
        value = self._signed(depth)
        while (operator := self._peek()) in ("*", "/"):
            self.at += 1
            right = self._signed(depth)
            value = value * right if operator == "*" else value / right
        return value

    def _signed(self, depth: int) -> complex:
        if depth > MAX_DEPTH:
            raise Unreadable("too deep")
        if (sign := self._peek()) in ("+", "-"):
            self.at += 1
            value = self._signed(depth + 1)
            return -value if sign == "-" else value
        base = self._atom(depth)
        if self._peek() == "**":
            self.at += 1
            return base ** self._signed(depth + 1)
        return base

    def _atom(self, depth: int) -> complex:
        piece = self._peek()
        self.at += 1
        if piece == "(":
            value = self.sum(depth + 1)
            if self._peek() != ")":
                raise Unreadable("a parenthesis that doesn't close")
            self.at += 1
            return value
        if piece in _FUNCTIONS and self._peek() == "(":
            return _FUNCTIONS[piece](self._atom(depth + 1))
        if piece in self.names:
            return self.names[piece]
        if piece[:1].isdigit() or piece[:1] == ".":
            return complex(float(piece))
        raise Unreadable("a number or name was to come")


def same_antiderivative(answer: str, gold: str, variable: str) -> bool:
    """Do the two differ by a constant? False for what can't be read or computed."""
    try:
        mine, theirs = _tokens(answer), _tokens(gold)
        differences = []
        for point in _POINTS:
            names = {"E": cmath.e + 0j, "e": cmath.e + 0j, "pi": cmath.pi + 0j, "C": 0j, variable: point}
            value, wanted = _Evaluator(mine, names).value(), _Evaluator(theirs, names).value()
            if not (cmath.isfinite(value) and cmath.isfinite(wanted)):
                return False
            differences.append((value - wanted, 1 + abs(value) + abs(wanted)))
    except (Unreadable, ArithmeticError, ValueError, RecursionError):
        return False
    return all(
        abs(first - second) <= _TOLERANCE * (scale + other)
        for (first, scale), (second, other) in pairwise(differences)
    )


_TERM = re.compile(r"([+-])((?:[^+-]|(?<=\*\*)[+-])+)")
_POWER = re.compile(r"([A-Za-z])(?:\*\*(\d{1,3}))?")
_COEFFICIENT = re.compile(r"\d{1,40}")


def polynomial(text: str) -> dict[tuple[tuple[str, int], ...], int]:
    """A multiplied-out polynomial: monomial -> coefficient, without zeros. `Unreadable` for anything else."""
    text = "".join(text.split()).replace("^", "**")
    if not text or len(text) > MAX_CHARS or "(" in text:
        raise Unreadable("not a sum of monomials")
    text = text if text[0] in "+-" else "+" + text
    terms = _TERM.findall(text)
    if "".join(sign + body for sign, body in terms) != text or len(terms) > MAX_TERMS:
        raise Unreadable("not a sum of monomials")
    found: dict[tuple[tuple[str, int], ...], int] = {}
    for sign, body in terms:
        coefficient, powers = 1, {}
        for factor in body.replace("**", "\0").split("*"):
            factor = factor.replace("\0", "**")
            if _COEFFICIENT.fullmatch(factor) and coefficient == 1:
                coefficient = int(factor)
            elif (match := _POWER.fullmatch(factor)) and match.group(1) not in powers:
                powers[match.group(1)] = int(match.group(2) or 1)
            else:
                raise Unreadable("not a monomial")
        monomial = tuple(sorted((name, power) for name, power in powers.items() if power))
        found[monomial] = found.get(monomial, 0) + (coefficient if sign == "+" else -coefficient)
    return {monomial: coefficient for monomial, coefficient in found.items() if coefficient}


def same_polynomial(answer: str, gold: str) -> bool:
    """Are both multiplied out, with equal coefficients?"""
    try:
        return polynomial(answer) == polynomial(gold)
    except Unreadable:
        return False

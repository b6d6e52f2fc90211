"""Are two expressions the same value, or the same function of their symbols?

What is decided here: equality by computing, never by rewriting. Constants: exact fractions if both are; else
balls, where disjoint means different for certain and overlap at 160 and again at 1,200 bits means equal.
Expressions with symbols are compared at fixed pseudo-random points: positive, negative, between 0 and 1,
small integers. A point counts where at least one side is real and both are defined; then the other must be
real and equal, so that `|x|` isn't `x` and `\\ln x^2` isn't `2\\ln x`, while branch cuts beyond the real
domain don't matter. Where that leaves too few points (or the imaginary unit is about) complex points decide.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from flint import acb, arb

from reward_service.handlers.math.balls import ball, fraction_ball, precision
from reward_service.handlers.math.nodes import Node, symbols, walk, word_set
from reward_service.handlers.math.rational import UndefinedError, exact

BITS = 160
MORE_BITS = 1_200
ENOUGH = 3
"""Points at which both sides must be defined and equal."""

_STEPS = word_set("fact fact2 binom floor ceil mod")


def equal_values(left: Node, right: Node) -> bool | None:
    """True: the same number or function; False: certainly not; None: can't say (undefined, too few points)."""
    if left == right:
        return None if any(part.op == "hard" for part in walk(left)) else True
    one, other = exact(left), exact(right)
    if one is not None and other is not None:
        return one == other
    try:
        names = sorted(symbols(left) | symbols(right))
        return (
            _same_function(left, right, names)
            if names or _calls(left, right)
            else _same_constant(left, right)
        )
    except (UndefinedError, ZeroDivisionError, OverflowError, ValueError):
        return None


def _calls(left: Node, right: Node) -> bool:
    return any(part.op == "call" for side in (left, right) for part in walk(side))


def _same_constant(left: Node, right: Node) -> bool | None:
    with precision(BITS):
        if not ball(left, {}).overlaps(ball(right, {})):
            return False
    with precision(MORE_BITS):
        one, other = ball(left, {}), ball(right, {})
        if not one.overlaps(other):
            return False
        # Overlap says nothing if the balls are wide, or if a huge term has swallowed what differs.
        wide = _wide(one) or _wide(other)
        return (
            None
            if wide or (one.abs_upper() > arb(2) ** (MORE_BITS // 2) and not _only_products(left, right))
            else True
        )


def _wide(value: Any) -> bool:
    radius = value.rad()
    return bool(radius > arb(2) ** -200 and radius > abs(value.mid()) * arb(2) ** -200)


def _only_products(left: Node, right: Node) -> bool:
    """No sum anywhere: then relative accuracy is kept whatever the size."""
    return not any(
        part.op in ("add", "pm", "mp", "big", "fn") for side in (left, right) for part in walk(side)
    )


def _same_function(left: Node, right: Node, names: list[str]) -> bool | None:
    sides = (left, right)
    integers = _whole_names(sides)
    whole = bool(integers) or any(
        part.op in _STEPS or (part.op == "pow" and symbols(part.args[1]))
        for side in sides
        for part in walk(side)
    )
    imaginary = any(part.op == "const" and part.data == "i" for side in sides for part in walk(side)) or bool(
        {"z", "w"} & set(names)
    )
    agreed = 0
    with precision(BITS):
        for kind, point in points(names, whole, integers):
            complex_point = kind == "complex"
            if complex_point and agreed >= ENOUGH and not imaginary:
                break
            try:
                one, other = ball(left, point), ball(right, point)
            except (UndefinedError, ZeroDivisionError):
                continue
            if not (one.is_finite() and other.is_finite()):
                continue
            if not complex_point and not imaginary and not (_real(one) or _real(other)):
                continue
            if not one.overlaps(other):
                return False
            if _wide_for(one) or _wide_for(other):
                continue
            agreed += 1
    return True if agreed >= ENOUGH else None


def _whole_names(sides: tuple[Node, Node]) -> frozenset[str]:
    """Symbols that must stand for integers: exponents of negative numbers, as in `(-1)^n`, and factorials."""
    names: set[str] = set()
    for side in sides:
        for part in walk(side):
            if part.op == "pow" and symbols(part.args[1]):
                base = exact(part.args[0])
                if base is not None and base < 0:
                    names |= symbols(part.args[1])
            elif part.op in ("fact", "fact2", "binom"):
                names |= symbols(part)
            elif part.op == "big":
                names |= symbols(part.data[2]) | symbols(part.data[3])
    return frozenset(names)


def _real(value: Any) -> bool:
    return bool(value.imag.contains(0)) and bool(abs(value.imag) < arb(2) ** -40)


def _wide_for(value: Any) -> bool:
    radius = value.rad()
    return bool(radius > arb(2) ** -60 and radius > abs(value.mid()) * arb(2) ** -60)


def _unit(name: str, salt: int) -> Fraction:
    """A fixed number in (0, 1) for a symbol and a point."""
    return Fraction(2 * (zlib.crc32(f"{name}/{salt}".encode()) >> 12) + 1, 1 << 21)


def points(
    names: list[str], whole: bool, integers: frozenset[str] = frozenset()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where expressions are compared: the kind of the point ("real", "whole", "complex") and the symbols' values.

    Symbols among `integers` have integer values everywhere. The empty name tells points apart (`balls._call`).
    """
    if whole:
        for salt, start in enumerate((3, 2, 7)):
            ranks = _ranked(names, salt)
            yield (
                "whole",
                {**{name: acb(start + 2 * rank + salt) for rank, name in enumerate(ranks)}, "": 100 + salt},
            )
            yield (
                "whole",
                {**{name: acb(start + 3 * rank) for rank, name in enumerate(ranks[::-1])}, "": 110 + salt},
            )
    for salt, low, high in _RANGES:
        values = {name: _value(name, salt, low, high, name in integers) for name in names}
        yield "real", {**values, "": salt}
    for salt in (7, 8, 10, 11):
        values = {name: _value(name, salt, 0, 3, name in integers) for name in names}
        for name in names:
            if name not in integers:
                values[name] += _value(name, salt + 20, -1, 1, False) * acb(0, 1)
        yield "complex", {**values, "": salt}


_RANGES = ((1, 0, 1), (2, 1, 4), (3, -3, 0), (4, -2, 2), (5, 0, 1), (6, -1, 0), (9, 2, 12))
"""Salt and range of the real points."""


def _ranked(names: list[str], salt: int) -> list[str]:
    return sorted(names, key=lambda name: zlib.crc32(f"{name}#{salt}".encode()))


def _value(name: str, salt: int, low: int, high: int, whole: bool) -> Any:
    """A fixed value of a symbol at a point."""
    place = _unit(name, salt)
    return acb(2 + int(10 * place)) if whole else fraction_ball(low + (high - low) * place)

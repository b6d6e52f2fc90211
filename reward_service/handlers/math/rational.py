"""Exact values of trees: fractions, where they stay small.

What is decided here: what is computed exactly, and what isn't any more. A fraction may take `MAX_BITS`; a
power modulo a number is never expanded. Odd roots of negative numbers are real, as pupils write them; `0^0`,
`\\infty-\\infty` and division by zero have no value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from reward_service.handlers.math.nodes import MAX_BITS, Node


class UndefinedError(ValueError):
    """There is no value here: a pole, an unbound symbol, an infinity, or something that isn't a number."""


def exact(node: Node) -> Fraction | None:
    """The rational value, or None: irrational, symbolic, undefined or over the budget."""
    try:
        return _exact(node)
    except (ZeroDivisionError, UndefinedError, OverflowError):
        return None


def _exact(node: Node) -> Fraction | None:
    rule = _EXACT.get(node.op)
    return rule(node) if rule is not None else None


def _parts(node: Node) -> list[Fraction] | None:
    values = []
    for part in node.args:
        value = _exact(part)
        if value is None:
            return None
        values.append(value)
    return values


def _small(value: Fraction) -> Fraction | None:
    return value if value.numerator.bit_length() + value.denominator.bit_length() <= MAX_BITS else None


def _exact_add(node: Node) -> Fraction | None:
    values = _parts(node)
    return None if values is None else _small(sum(values, Fraction(0)))


def _exact_mul(node: Node) -> Fraction | None:
    product: Fraction | None = Fraction(1)
    values = _parts(node)
    if values is None:
        return None
    for value in values:
        product = _small(product * value) if product is not None else None
    return product


def _exact_div(node: Node) -> Fraction | None:
    values = _parts(node)
    return None if values is None else _small(values[0] / values[1])


def _exact_pow(node: Node) -> Fraction | None:
    base, exponent = _exact(node.args[0]), _exact(node.args[1])
    if base is None or exponent is None:
        return None
    if base == 0 and exponent == 0:
        raise UndefinedError("0^0")
    if exponent.denominator == 1:
        return power(base, exponent.numerator)
    rooted = nth_root(base, exponent.denominator)
    return None if rooted is None else power(rooted, exponent.numerator)


def power(base: Fraction, exponent: int) -> Fraction | None:
    """base**exponent within the budget."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * bits > MAX_BITS and base not in (0, 1, -1):
        return None
    if base in (1, -1):
        return Fraction(1) if exponent % 2 == 0 else base
    return base**exponent


def nth_root(value: Fraction, degree: int) -> Fraction | None:
    """The exact real root of a fraction, if it is one."""
    if degree == 0:
        raise UndefinedError("zeroth root")
    if degree < 0:
        root = nth_root(value, -degree)
        return None if root is None else 1 / root
    if value < 0:
        if degree % 2 == 0:
            return None
        root = nth_root(-value, degree)
        return None if root is None else -root
    above, below = _integer_root(value.numerator, degree), _integer_root(value.denominator, degree)
    return None if above is None or below is None else Fraction(above, below)


def _integer_root(value: int, degree: int) -> int | None:
    if value < 2:
        return value
    if degree == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    if degree > value.bit_length() or value.bit_length() > 2_000:
        return None
    low, high = 1, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**degree < value:
            low = middle + 1
        else:
            high = middle
    return low if low**degree == value else None


def _exact_root(node: Node) -> Fraction | None:
    values = _parts(node)
    if values is None or values[1].denominator != 1:
        return None
    return nth_root(values[0], values[1].numerator)


def _exact_fact(node: Node) -> Fraction | None:
    value = _exact(node.args[0])
    if value is None or value.denominator != 1 or value < 0 or value > 1_000:
        return None
    return Fraction(math.factorial(value.numerator))


def _exact_fact2(node: Node) -> Fraction | None:
    value = _exact(node.args[0])
    if value is None or value.denominator != 1 or value < 0 or value > 1_000:
        return None
    return Fraction(math.prod(range(value.numerator, 0, -2)))


def _exact_binom(node: Node) -> Fraction | None:
    values = _parts(node)
    if values is None or any(v.denominator != 1 or v < 0 or v > 4_000 for v in values):
        return None
    return _small(Fraction(math.comb(values[0].numerator, values[1].numerator)))


def _exact_mod(node: Node) -> Fraction | None:
    # a power modulo a number is never expanded
    below = _exact(node.args[1])
    above = node.args[0]
    if below is None or below == 0:
        return None
    if above.op == "pow" and below.denominator == 1:
        base, exponent = _exact(above.args[0]), _exact(above.args[1])
        if (
            base is not None
            and exponent is not None
            and base.denominator == exponent.denominator == 1
            and exponent >= 0
        ):
            return Fraction(pow(base.numerator, exponent.numerator, below.numerator))
    value = _exact(above)
    return None if value is None else value % below


def _exact_log(node: Node) -> Fraction | None:
    values = _parts(node)
    if values is None or len(values) != 2:
        value = _exact(node.args[0])
        return Fraction(0) if value == 1 else None
    argument, base = values
    if argument <= 0 or base <= 0 or base == 1:
        raise UndefinedError("logarithm")
    if argument == 1:
        return Fraction(0)
    guess = (
        round(math.log(argument) / math.log(base))
        if argument.numerator.bit_length() < 1000 and argument.denominator.bit_length() < 1000
        else 0
    )
    if guess and power(base, guess) == argument:
        return Fraction(guess)
    return None


def _exact_fn(node: Node) -> Fraction | None:
    if node.data not in ("gcd", "lcm", "max", "min"):
        return None
    values = _parts(node)
    if values is None:
        return None
    if node.data == "max":
        return max(values)
    if node.data == "min":
        return min(values)
    if any(v.denominator != 1 for v in values):
        return None
    integers = [v.numerator for v in values]
    return Fraction(math.gcd(*integers) if node.data == "gcd" else math.lcm(*integers))


def _exact_floor(node: Node) -> Fraction | None:
    value = _exact(node.args[0])
    return None if value is None else Fraction(math.floor(value))


def _exact_ceil(node: Node) -> Fraction | None:
    value = _exact(node.args[0])
    return None if value is None else Fraction(math.ceil(value))


def _exact_base(node: Node) -> Fraction | None:
    digits, base = node.data
    try:
        return Fraction(int(digits, base))
    except ValueError:
        raise UndefinedError("digits of another base") from None


def _scaled(factor: Fraction) -> Callable[[Node], Fraction | None]:
    def rule(node: Node) -> Fraction | None:
        value = _exact(node.args[0])
        return None if value is None else value * factor

    return rule


_identity = _scaled(Fraction(1))

_EXACT: dict[str, Callable[[Node], Fraction | None]] = {
    "num": lambda node: node.data.value,
    "neg": _scaled(Fraction(-1)),
    "pct": _scaled(Fraction(1, 100)),
    "group": _identity,
    "unit": _identity,
    "add": _exact_add,
    "mixed": _exact_add,
    "mul": _exact_mul,
    "div": _exact_div,
    "ratio": lambda node: _exact_div(node) if len(node.args) == 2 else None,
    "pow": _exact_pow,
    "root": _exact_root,
    "fact": _exact_fact,
    "fact2": _exact_fact2,
    "binom": _exact_binom,
    "mod": _exact_mod,
    "log": _exact_log,
    "fn": _exact_fn,
    "floor": _exact_floor,
    "ceil": _exact_ceil,
    "base": _exact_base,
    "abs": lambda node: abs(value) if (value := _exact(node.args[0])) is not None else None,
}

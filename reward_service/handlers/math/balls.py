"""Balls: values of trees of any size, as intervals with a proof (python-flint).

What is decided here: how a number is computed without ever being expanded. Two disjoint balls are two
different numbers. Powers and factorials of any size are cheap; where a value would take more than a bounded
time, there is none.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import flint
from flint import acb, arb, fmpq

from reward_service.handlers.math.nodes import Node, number, substitute
from reward_service.handlers.math.rational import UndefinedError, exact

Environment = Mapping[str, Any]

MAX_TERMS = 1_000
"""Terms of a sum or product that are added up."""


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Balls with so many bits inside."""
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


def ball(node: Node, env: Environment) -> Any:
    """The value as an `acb` at the current precision. UndefinedError where there is none."""
    rule = _BALL.get(node.op)
    if rule is None:
        raise UndefinedError(node.op)
    return rule(node, env)


def fraction_ball(value: Fraction) -> Any:
    """A fraction as an `acb`."""
    return acb(fmpq(value.numerator, value.denominator)) if value.denominator != 1 else acb(value.numerator)


def _num(node: Node, env: Environment) -> Any:
    return fraction_ball(node.data.value)


_IMAGINARY = acb(0, 1)


def _const(node: Node, env: Environment) -> Any:
    name = node.data
    if name == "pi":
        return acb.pi()
    if name == "e":
        return acb(1).exp()
    if name == "i":
        return _IMAGINARY
    raise UndefinedError(name)


def _sym(node: Node, env: Environment) -> Any:
    value = env.get(node.data)
    if value is None:
        raise UndefinedError("unbound symbol")
    return value


def _add(node: Node, env: Environment) -> Any:
    total = ball(node.args[0], env)
    for part in node.args[1:]:
        total = total + ball(part, env)
    return total


def _mul(node: Node, env: Environment) -> Any:
    product = ball(node.args[0], env)
    for part in node.args[1:]:
        product = product * ball(part, env)
    return product


def _finite(value: Any) -> Any:
    if not value.is_finite():
        raise UndefinedError("not finite")
    return value


def _div(node: Node, env: Environment) -> Any:
    return _finite(ball(node.args[0], env) / ball(node.args[1], env))


def _pow(node: Node, env: Environment) -> Any:
    base = ball(node.args[0], env)
    exponent = exact(node.args[1])
    if exponent is None:
        if base.is_zero():
            raise UndefinedError("power of zero")
        return _finite(base ** ball(node.args[1], env))
    if exponent == 0 and base.contains(0):
        raise UndefinedError("0^0")
    if exponent.denominator == 1:
        if exponent.numerator.bit_length() > 62:
            return _finite(base ** acb(exponent.numerator))
        return _finite(base**exponent.numerator)
    return _rational_power(base, exponent)


def _rational_power(base: Any, exponent: Fraction) -> Any:
    if exponent.denominator % 2 == 1 and base.imag.is_zero() and base.real < 0:
        value = (-base) ** fraction_ball(exponent)
        return _finite(-value if exponent.numerator % 2 else value)
    if exponent.denominator == 2 and exponent.numerator.bit_length() < 32:
        return _finite(base.sqrt() ** exponent.numerator)
    if base.is_zero():
        return base if exponent > 0 else _finite(acb(1) / base)
    return _finite(base ** fraction_ball(exponent))


def _root(node: Node, env: Environment) -> Any:
    degree = exact(node.args[1])
    base = ball(node.args[0], env)
    if degree is None:
        return _finite(base ** (acb(1) / ball(node.args[1], env)))
    if degree == 0:
        raise UndefinedError("zeroth root")
    return _finite(base.sqrt()) if degree == 2 else _rational_power(base, 1 / degree)


def _fact(node: Node, env: Environment) -> Any:
    value = exact(node) if node.args[0].op == "num" else None
    if value is not None and value < 10**30:
        return fraction_ball(value)
    argument = ball(node.args[0], env) + 1
    if argument.abs_upper() > arb(2) ** 200:  # Stirling's series has no end there
        raise UndefinedError("factorial")
    return _finite(argument.gamma())


def _fact2(node: Node, env: Environment) -> Any:
    value = exact(node)
    if value is None:
        raise UndefinedError("double factorial")
    return fraction_ball(value)


def _binom(node: Node, env: Environment) -> Any:
    value = exact(node)
    if value is not None:
        return fraction_ball(value)
    above, below = (ball(part, env) for part in node.args)
    if above.abs_upper() > arb(2) ** 200:
        raise UndefinedError("binomial")
    return _finite((above + 1).gamma() * (below + 1).rgamma() * (above - below + 1).rgamma())


def _mod(node: Node, env: Environment) -> Any:
    value = exact(node)
    if value is not None:
        return fraction_ball(value)
    raise UndefinedError("modulus")


def _log(node: Node, env: Environment) -> Any:
    value = _finite(ball(node.args[0], env).log())
    if len(node.args) == 2:
        value = _finite(value / ball(node.args[1], env).log())
    return value


def _rounded(up: bool) -> Callable[[Node, Environment], Any]:
    def rule(node: Node, env: Environment) -> Any:
        value = exact(node.args[0])
        if value is not None:
            return acb(math.ceil(value) if up else math.floor(value))
        inside = ball(node.args[0], env)
        if not inside.imag.contains(0):
            raise UndefinedError("floor of a complex number")
        whole = (inside.real.ceil() if up else inside.real.floor()).unique_fmpz()
        if whole is None:
            raise UndefinedError("floor of what may be an integer")
        return acb(whole)

    return rule


def _extreme(largest: bool) -> Callable[[list[Any]], Any]:
    def rule(values: list[Any]) -> Any:
        if any(not value.imag.contains(0) for value in values):
            raise UndefinedError("order of complex numbers")
        best = values[0].real
        for value in values[1:]:
            best = best.max(value.real) if largest else best.min(value.real)
        return acb(best)

    return rule


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": lambda x: x.sin(), "cos": lambda x: x.cos(), "tan": lambda x: x.tan(), "cot": lambda x: x.cot(),
    "sec": lambda x: x.sec(), "csc": lambda x: x.csc(), "sinh": lambda x: x.sinh(), "cosh": lambda x: x.cosh(),
    "tanh": lambda x: x.tanh(), "coth": lambda x: x.coth(), "arcsin": lambda x: x.asin(), "arccos": lambda x: x.acos(),
    "arctan": lambda x: x.atan(), "arccot": lambda x: acb.pi() / 2 - x.atan(), "arcsec": lambda x: (1 / x).acos(),
    "arccsc": lambda x: (1 / x).asin(), "arsinh": lambda x: x.asinh(), "arcosh": lambda x: x.acosh(),
    "artanh": lambda x: x.atanh(), "exp": lambda x: x.exp(), "erf": lambda x: x.erf(), "erfc": lambda x: x.erfc(),
    "Gamma": lambda x: x.gamma(), "Re": lambda x: acb(x.real), "Im": lambda x: acb(x.imag), "arg": lambda x: acb(x.arg()),
    "conj": lambda x: x.conjugate(), "sgn": lambda x: x.sgn(),
}  # fmt: skip


def _fn(node: Node, env: Environment) -> Any:
    name = node.data
    if name in ("max", "min"):
        return _extreme(name == "max")([ball(part, env) for part in node.args])
    if name in ("gcd", "lcm"):
        value = exact(node)
        if value is None:
            raise UndefinedError(name)
        return fraction_ball(value)
    if name == "det":
        return _determinant(node.args[0], env)
    rule = _FUNCTIONS.get(name)
    if rule is None:
        raise UndefinedError(name)
    argument = ball(node.args[0], env)
    if name == "Gamma" and argument.abs_upper() > arb(2) ** 200:
        raise UndefinedError(name)
    return _finite(rule(argument))


def _determinant(node: Node, env: Environment) -> Any:
    if node.op == "group":
        node = node.args[0]
    if node.op != "matrix" or node.data[0] != node.data[1] or node.data[0] > 6:
        raise UndefinedError("determinant")
    size = node.data[0]
    values = [ball(part, env) for part in node.args]
    return flint.acb_mat(size, size, values).det()


def _call(node: Node, env: Environment) -> Any:
    """A value for `f(x)` of an unknown f: the same for the same arguments, however they are written."""
    seed = f"{node.data}/{env.get('', '')}"
    for part in node.args:
        value = ball(part, env)
        if not value.is_finite():
            raise UndefinedError("argument")
        seed += f"/{_digits(value.real)},{_digits(value.imag)}"
    return acb(fmpq(zlib.crc32(seed.encode()) + 1, 1 << 31))


def _digits(value: Any) -> str:
    rounded = value.mid().str(12, radius=False)
    return "0" if abs(value.mid()) < arb(2) ** -40 else str(rounded)


def _big(node: Node, env: Environment) -> Any:
    name, variable, lower, upper = node.data
    first, last = _integer(lower, env), _integer(upper, env)
    if last - first > MAX_TERMS:
        raise UndefinedError("terms")
    total = acb(0 if name == "sum" else 1)
    for value in range(first, last + 1):
        term = ball(substitute(node.args[0], {variable: number(value)}), env)
        total = total + term if name == "sum" else total * term
    return total


def _integer(node: Node, env: Environment) -> int:
    """The integer that a sum begins or ends with."""
    value = exact(node)
    if value is not None:
        if value.denominator != 1:
            raise UndefinedError("limits")
        return value.numerator
    found = ball(node, env)
    whole = found.real.unique_fmpz() if found.imag.is_zero() else None
    if whole is None:
        raise UndefinedError("limits")
    return int(whole)


def _first(node: Node, env: Environment) -> Any:
    return ball(node.args[0], env)


def _base(node: Node, env: Environment) -> Any:
    value = exact(node)
    if value is None:
        raise UndefinedError("base")
    return fraction_ball(value)


_BALL: dict[str, Callable[[Node, Environment], Any]] = {
    "num": _num,
    "const": _const,
    "sym": _sym,
    "add": _add,
    "mixed": _add,
    "mul": _mul,
    "neg": lambda node, env: -ball(node.args[0], env),
    "div": _div,
    "ratio": lambda node, env: _div(node, env) if len(node.args) == 2 else _base(node, env),
    "pow": _pow,
    "root": _root,
    "fact": _fact,
    "fact2": _fact2,
    "binom": _binom,
    "mod": _mod,
    "log": _log,
    "fn": _fn,
    "call": _call,
    "big": _big,
    "floor": _rounded(False),
    "ceil": _rounded(True),
    "abs": lambda node, env: acb(abs(ball(node.args[0], env))),
    "pct": lambda node, env: ball(node.args[0], env) / 100,
    "deg": lambda node, env: ball(node.args[0], env) * acb.pi() / 180,
    "group": _first,
    "unit": _first,
    "base": _base,
}

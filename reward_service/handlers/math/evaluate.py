"""Values of trees: exact fractions where they stay small, balls (python-flint) elsewhere.

What is decided here: how a number is computed without ever being expanded. A ball is an interval with a proof:
two disjoint balls are two different numbers. Powers and factorials of any size are cheap as balls; a fraction
may take `MAX_BITS`. Odd roots of negative reals are real, as pupils write them; `0^0`, `\\infty-\\infty` and division
by zero have no value.
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

from reward_service.handlers.math.nodes import MAX_BITS, Node, number, substitute

Environment = Mapping[str, Any]

MAX_TERMS = 1_000
"""Terms of a sum or product that are added up."""


class UndefinedError(ValueError):
    """There is no value here: a pole, an unbound symbol, an infinity, or something that isn't a number."""


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Balls with so many bits inside."""
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


# Exact


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


# Balls


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
    value = _exact_fact(node) if node.args[0].op == "num" else None
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
    first, last = exact(lower), exact(upper)
    if first is None or last is None or first.denominator != 1 or last.denominator != 1:
        raise UndefinedError("limits")
    if last - first > MAX_TERMS:
        raise UndefinedError("terms")
    total = acb(0 if name == "sum" else 1)
    for value in range(first.numerator, last.numerator + 1):
        term = ball(substitute(node.args[0], {variable: number(value)}), env)
        total = total + term if name == "sum" else total * term
    return total


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

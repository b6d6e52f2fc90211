r"""Two single values: numbers, quantities with a unit, functions of their symbols.

What is decided here: tolerance and units. Equality is exact. A decimal in the ground truth may be met by an
exact value that rounds to it (three significant digits at least, never an integer); an exact ground truth by
a decimal of at least six significant digits, unless it is a form in π, which is asked for as it stands. `50%`
is 50 or 0.5; a ground truth without the sign is met by `p%` as p, and as p/100 only if it is a proportion.
`45°` is 45 or π/4. A known unit must fit a known unit; a number without one fits any.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from flint import arb

from reward_service.handlers.math.balls import ball, fraction_ball, precision
from reward_service.handlers.math.form import bare, is_literal, unevaluated, written_number, wrong_shape
from reward_service.handlers.math.identity import BITS, equal_values
from reward_service.handlers.math.nodes import ANGLE, Node, Number, Unit, number, symbols, walk
from reward_service.handlers.math.rational import UndefinedError, exact
from reward_service.handlers.math.units import of_letter, raised, times

GOLD_DIGITS = 3
"""Significant digits that a decimal ground truth must show before a value may round to it."""
ANSWER_DIGITS = 6
"""Significant digits that a decimal answer to an exact ground truth must show."""


@dataclass(frozen=True, slots=True)
class Options:
    """How strict to be. guard: refuse answers that restate the question; lenient: for evaluation dumps."""

    guard: bool = True
    lenient: bool = False
    question: str = ""


class Quantity(NamedTuple):
    """A value and what stood behind it: "" | "pct" | "deg" | "unit" | "base" | "ratio"."""

    kind: str
    core: Node
    unit: Unit | None = None


def quantity(node: Node) -> Quantity:
    """The value without its sign or unit; a minus in front of it goes inside."""
    node = bare(node)
    if node.op in ("pct", "deg"):
        return Quantity(node.op, bare(node.args[0]))
    if node.op == "unit":
        inner = quantity(node.args[0])
        return inner if inner.kind else Quantity("unit", inner.core, node.data)
    if node.op in ("base", "ratio"):
        return Quantity(node.op, node)
    if node.op == "mul" and node.args[-1].op == "unit":  # 1.2 \\times 10^{-3} mol
        last = node.args[-1]
        return Quantity("unit", Node("mul", (*node.args[:-1], last.args[0])), last.data)
    if node.op == "neg":
        inner = quantity(node.args[0])
        if inner.kind in ("pct", "deg", "unit"):
            return inner._replace(core=Node("neg", (inner.core,)))
    return Quantity("", node)


def match_scalar(gold: Node, answer: Node, options: Options) -> bool | None:
    """Is the answer's value the ground truth's? None: can't say."""
    if not symbols(gold):
        answer = _with_unit(answer)
    letters = _letters(gold, answer)
    if letters is not None:
        return letters
    g, a = quantity(gold), quantity(answer)
    if g.kind == a.kind == "" or (g.kind == "unit" and a.kind == "") or (g.kind == "" and a.kind == "unit"):
        if (
            a.unit is not None
            and a.unit.dimensions == ANGLE
            and any(p.data == "pi" for p in walk(g.core)) is False
            and g.kind == "unit"
        ):
            return False
        return _match(g.core, a.core, options)
    if "base" in (g.kind, a.kind):
        return _match_base(g, a, options)
    if "ratio" in (g.kind, a.kind):
        return _match_ratio(g, a, options)
    if g.kind == a.kind == "unit":
        return _match_units(g, a, options)
    if "pct" in (g.kind, a.kind):
        return _match_percent(g, a, options)
    return _match_degrees(g, a, options)


def _with_unit(node: Node) -> Node:
    """`5 m`, `3 m/s^2`, `2 \\mathrm{K^{-1}}` in letters, where no symbol is asked for."""
    node = bare(node)
    if node.op not in ("mul", "div") or len(symbols(node)) > 4:
        return node
    found = _factors(node, 1)
    if found is None:
        return node
    values, unit = found
    return node if unit is None or len(values) != 1 else Node("unit", (values[0],), unit)


def _factors(node: Node, power: int) -> tuple[list[Node], Unit | None] | None:
    """The written numbers and the unit that a product is made of; None if it has other parts."""
    node = bare(node)
    if is_literal(node):
        return ([node], None) if power == 1 else None
    if node.op == "sym":
        unit = of_letter(node.data)
        return None if unit is None else ([], raised(unit, power))
    if node.op == "pow":
        exponent = exact(node.args[1])
        if (
            exponent is None
            or exponent.denominator != 1
            or not 0 < abs(exponent) <= 4
            or bare(node.args[0]).op != "sym"
        ):
            return None
        return _factors(node.args[0], power * exponent.numerator)
    if node.op not in ("mul", "div"):
        return None
    values: list[Node] = []
    whole: Unit | None = None
    for index, part in enumerate(node.args):
        found = _factors(part, -power if node.op == "div" and index else power)
        if found is None:
            return None
        values += found[0]
        if found[1] is not None:
            whole = found[1] if whole is None else times(whole, found[1])
    if len(values) > 1 and not symbols(node):
        return None
    scientific = Node("mul", tuple(values)) if len(values) == 2 else None
    if scientific is not None and written_number(scientific) is not None:
        values = [scientific]
    return values, whole


def _letters(gold: Node, answer: Node) -> bool | None:
    """Choices and names: `A`, `AB`. They are compared letter by letter, never as products."""
    one, other = spelled(gold), spelled(answer)
    if one is None or other is None:
        return None
    if len(one) == 1:
        if len(other) != 1:
            return None
        return one == other or (one.upper() == other.upper() and one.upper() in "ABCDEFGHIJ")
    if one.isupper() or other.isupper():
        return one == other
    return None


def spelled(node: Node) -> str | None:
    """The letters of a name or a product of single letters; None for anything else."""
    node = bare(node)
    parts = node.args if node.op == "mul" else (node,)
    if not all(part.op == "sym" or (part.op == "const" and part.data in ("e", "i")) for part in parts):
        return None
    if not all(len(part.data) == 1 for part in parts):
        return None
    return "".join(part.data for part in parts)


def _match_base(g: Quantity, a: Quantity, options: Options) -> bool | None:
    if g.kind == a.kind:
        return bool(g.core.data == a.core.data)
    if g.kind == "base":
        digits = written_number(a.core) if not a.kind else None
        return digits is not None and digits.places is None and str(digits.value) == g.core.data[0]
    base = a.core.data[1]
    digits = written_number(g.core) if not g.kind else None
    asked = (
        f"base {base}" in options.question
        or f"base-{base}" in options.question
        or f"_{base}" in options.question
    )
    return asked and digits is not None and str(digits.value) == a.core.data[0]


def _match_ratio(g: Quantity, a: Quantity, options: Options) -> bool | None:
    if g.kind == a.kind == "ratio":
        one, other = g.core.args, a.core.args
        if len(one) != len(other):
            return False
        if any(exact(part) == 0 for part in (*one, *other)):  # a clock, or a score
            return bool(one == other)
        results = [
            equal_values(Node("mul", (one[0], other[i])), Node("mul", (one[i], other[0])))
            for i in range(1, len(one))
        ]
        return _all(results)
    if (
        len((g if g.kind == "ratio" else a).core.args) != 2
        or g.kind not in ("", "ratio")
        or a.kind not in ("", "ratio")
    ):
        return False
    return _match(_quotient(g.core), _quotient(a.core), Options(False, options.lenient, options.question))


def _quotient(node: Node) -> Node:
    return Node("div", node.args) if node.op == "ratio" else node


def _all(results: list[bool | None]) -> bool | None:
    if any(result is False for result in results):
        return False
    return None if any(result is None for result in results) else True


def _match_units(g: Quantity, a: Quantity, options: Options) -> bool | None:
    one, other = g.unit, a.unit
    if one is None or other is None or one.name == other.name or not one.dimensions or not other.dimensions:
        return _match(g.core, a.core, options)
    if one.dimensions != other.dimensions:
        return False
    if one.factor == other.factor:
        return _match(g.core, a.core, options)
    return _match(
        g.core, Node("mul", (a.core, number(other.factor / one.factor))), Options(False, options.lenient)
    )


def _match_percent(g: Quantity, a: Quantity, options: Options) -> bool | None:
    if g.kind == a.kind:
        return _match(g.core, a.core, options)
    if g.kind == "pct":
        if a.kind:
            return False
        as_written = _match(g.core, a.core, options)
        if as_written:
            return True
        hundredfold = Node("mul", (a.core, number(100)))
        if options.guard and is_literal(g.core) and unevaluated(g.core, a.core):
            return False
        return _match(g.core, hundredfold, Options(False, options.lenient))
    if g.kind == "unit":
        return False
    as_written = _match(g.core, a.core, options)
    if as_written:
        return True
    value = exact(g.core)
    if value is not None and value.denominator == 1 and abs(value) > 1:
        return False
    return _match(Node("mul", (g.core, number(100))), a.core, Options(False, options.lenient))


def _match_degrees(g: Quantity, a: Quantity, options: Options) -> bool | None:
    if g.kind == a.kind:
        return _match(g.core, a.core, options)
    angle, plain = (g, a) if g.kind == "deg" else (a, g)
    if plain.kind == "pct":
        return False
    radians = plain.kind == "unit" and plain.unit is not None and plain.unit.dimensions == ANGLE
    if (
        plain.kind == "unit"
        and not radians
        and plain.unit is not None
        and plain.unit.dimensions not in ((), (("temperature", 1),))
    ):
        return False
    circular = any(part.op == "const" and part.data == "pi" for part in walk(plain.core))
    if not radians and not circular:
        return _match(g.core, a.core, options)
    converted = Node("deg", (angle.core,))
    pair = (converted, plain.core) if g.kind == "deg" else (plain.core, converted)
    return _match(*pair, Options(False, options.lenient))


def _match(gold: Node, answer: Node, options: Options) -> bool | None:
    """Two bare values, under the tolerance and the form guard."""
    gold, answer = bare(gold), bare(answer)
    literal = is_literal(gold)
    same = equal_values(gold, answer)
    if same is False and (_plain_log(gold) or _plain_log(answer)):  # `\\log` is read either way
        same = equal_values(_common_log(gold), _common_log(answer))
    if same:
        if options.guard and gold != answer:
            if literal and unevaluated(gold, answer):
                return False
            if literal and exact(answer) is None:
                return False
            if wrong_shape(gold, answer, options.question):
                return False
        return True
    if symbols(gold) or symbols(answer):
        return same
    rounded = _rounds(gold, answer, options)
    if rounded:
        return not (options.guard and literal and unevaluated(gold, answer))
    if (
        same is None
        and options.guard
        and literal
        and any(part.op in ("hard", "big") for part in walk(answer))
    ):
        return False
    return same


def _plain_log(node: Node) -> bool:
    return any(part.op == "log" and part.data == "log" and len(part.args) == 1 for part in walk(node))


def _common_log(node: Node) -> Node:
    """The same with base ten for every `\\log` that names no base."""
    args = tuple(_common_log(part) for part in node.args)
    if node.op == "log" and node.data == "log" and len(args) == 1:
        return Node("log", (args[0], number(10)), "log")
    return node._replace(args=args) if args else node


def _rounds(gold: Node, answer: Node, options: Options) -> bool:
    """Does one round to the other's written decimals, where that is allowed?"""
    shown, given = written_number(gold), written_number(answer)
    if shown is not None and shown.places is None:
        return False
    if shown is not None and shown.places is not None:
        if shown.digits < GOLD_DIGITS or (
            given is not None and (given.places is None or given.places <= shown.places)
        ):
            return False
        return _within(shown, answer, truncated=given is None and shown.digits > GOLD_DIGITS)
    if given is None or given.places is None:
        return False
    least = 4 if options.lenient else ANSWER_DIGITS
    value = exact(gold)
    if given.digits < least or (value is not None and value.denominator == 1):
        return False
    if value is None and not options.lenient and _in_pi(gold):
        return False
    if value is not None and _terminates(value, given.digits):
        return False
    return _within(given, gold, truncated=True)


def _in_pi(node: Node) -> bool:
    return bare(node).op != "const" and any(part.op == "const" and part.data == "pi" for part in walk(node))


def _terminates(value: Fraction, places: int) -> bool:
    return pow(10, places, value.denominator) == 0 if value.denominator > 1 else True


def _within(shown: Number, exact_side: Node, *, truncated: bool) -> bool:
    """Is the value what the decimal shows: rounded half either way, or cut off?"""
    places = shown.places or 0
    unit = Fraction(1, 10**places) if places >= 0 else Fraction(10**-places)
    value = exact(exact_side)
    if value is not None:
        difference = value - shown.value
        if abs(difference) <= unit / 2:
            return True
        return truncated and (0 <= difference < unit if shown.value >= 0 else -unit < difference <= 0)
    try:
        with precision(BITS):
            real: Any = ball(exact_side, {})
            if not real.imag.contains(0) or abs(real.imag) > arb(2) ** -40:
                return False
            gap = real.real - fraction_ball(shown.value).real
            width = fraction_ball(unit).real
            if abs(gap) <= width / 2:
                return True
            if not truncated:
                return False
            return bool(gap >= 0 and gap < width) if shown.value >= 0 else bool(gap <= 0 and gap > -width)
    except (UndefinedError, ZeroDivisionError, OverflowError, ValueError):
        return False

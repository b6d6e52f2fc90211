r"""The answer-form guard: an answer that only restates the question isn't one.

What is decided here: where the ground truth is a written number, the answer must be one too, or a closed form
that can't be evaluated further. `123\cdot456`, `2^{10}`, `\binom{4}{2}`, `5!`, `\log_2 4`, `\sin^2x+\cos^2x`
are work left undone; `\frac{27}{59}`, `17+10\sqrt6`, `1.5\times10^3`, `10^6` are not. An operation that
changes nothing (`1^2`, `5+0`) is dress. A fraction is reduced if the ground truth is a fraction. A ground
truth that has the factors of a polynomial wants factors, and a polynomial written out wants no product; where
the question is known, it says so instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction

from reward_service.handlers.math.nodes import Node, Number, symbols, walk
from reward_service.handlers.math.rational import exact

_WRAPPERS = frozenset(("group", "unit", "pct", "deg"))


def bare(node: Node) -> Node:
    """The node without brackets that only group."""
    while node.op == "group":
        node = node.args[0]
    return node


def written_number(node: Node) -> Number | None:
    """The number that a node is a way to write (signed, decimal, scientific), or None."""
    node = bare(node)
    if node.op == "num":
        value: Number = node.data
        return value
    if node.op == "neg":
        inner = written_number(node.args[0])
        return None if inner is None else inner._replace(value=-inner.value)
    if node.op == "mul" and len(node.args) == 2:
        mantissa = written_number(node.args[0])
        shift = _power_of_ten(node.args[1])
        if mantissa is not None and shift is not None and abs(shift) <= 4_000:
            scale = 10**shift if shift >= 0 else 1
            value_ = mantissa.value * scale if shift >= 0 else mantissa.value / 10**-shift
            if mantissa.places is None and shift >= 0:
                return Number(value_, None, mantissa.digits)
            return Number(value_, (mantissa.places or 0) - shift, mantissa.digits)
    return None


def _power_of_ten(node: Node) -> int | None:
    node = bare(node)
    if node.op == "num" and node.data.digits == 0 and node.data.value > 1:  # a scale word
        return len(str(node.data.value.numerator)) - 1
    if node.op != "pow" or bare(node.args[0]) != _TEN:
        return None
    exponent = exact(node.args[1])
    if exponent is None or exponent.denominator != 1 or abs(exponent) > 4_000:
        return None
    return exponent.numerator


_TEN = Node("num", (), Number(value=Fraction(10), places=None, digits=2))


def is_literal(node: Node) -> bool:
    """A number that stands there evaluated: integer, decimal, fraction of two numbers, mixed number, power of ten."""
    node = bare(node)
    while node.op in _WRAPPERS:
        node = bare(node.args[0])
    if written_number(node) is not None:
        return True
    if node.op == "neg":
        return is_literal(node.args[0])
    if node.op == "div":
        return all(written_number(part) is not None for part in node.args)
    if node.op == "ratio":
        return all(is_literal(part) for part in node.args)
    return node.op in ("mixed", "base") or _power_of_ten(node) is not None


def is_fraction(node: Node) -> bool:
    """A fraction of two written integers, signed or not."""
    node = bare(node)
    if node.op == "neg":
        node = bare(node.args[0])
    return node.op == "div" and is_literal(node)


def _reduced(node: Node) -> bool:
    node = bare(node)
    if node.op == "neg":
        node = bare(node.args[0])
    if node.op != "div":
        return True
    values = [written_number(part) for part in node.args]
    if any(v is None or v.value.denominator != 1 for v in values):
        return True
    above, below = (v.value.numerator for v in values if v is not None)
    return math.gcd(above, below) <= 1


def unevaluated(gold: Node, answer: Node) -> bool:
    """Does the answer leave undone what the (literal) ground truth has done?"""
    answer = bare(answer)
    if is_literal(answer):
        return is_fraction(gold) and not _reduced(answer)
    if symbols(answer):
        return True
    return any(_foldable(part) for part in _operations(answer))


def _operations(node: Node) -> Iterator[Node]:
    for part in walk(node):
        if part.args or part.op in ("big", "hard"):
            yield part


def _foldable(node: Node) -> bool:
    """An operation with a rational value that isn't a way to write a number."""
    if node.op in ("big", "hard"):
        return True
    if node.op in ("group", "unit", "pct", "deg", "neg") or is_literal(node):
        return False
    value = exact(node)
    if value is None:
        return False
    kept = {
        "add": node.args,
        "mul": node.args,
        "pow": node.args[:1],
        "abs": node.args,
        "floor": node.args,
        "ceil": node.args,
    }
    return not any(exact(part) == value and is_literal(part) for part in kept.get(node.op, ()))


def literal_gold(gold: Node) -> bool:
    """Is the guard to be applied for this ground truth?"""
    return is_literal(gold)


_FACTOR = re.compile(r"\bfactor(?:ed|ing|ise|ize|isation|ization)?\b", re.IGNORECASE)
_EXPAND = re.compile(r"\bexpand(?:ed|ing)?\b|\bmultipl(?:y|ied) out\b", re.IGNORECASE)


def wrong_shape(gold: Node, answer: Node, question: str) -> bool:
    """Is the answer the polynomial that was to be factored, or the product that was to be expanded?"""
    gold, answer = bare(gold), bare(answer)
    factored, expanded = _is_product(gold), _is_expanded(gold)
    if not factored and not expanded:
        return False
    if question and not _FACTOR.search(question) and not _EXPAND.search(question):
        return False
    if factored:
        return _is_expanded(answer)
    return _is_product(answer)


def _is_product(node: Node) -> bool:
    """A product with at least two different factors that are sums."""
    if node.op == "neg":
        node = bare(node.args[0])
    if node.op != "mul":
        return False
    sums = set()
    for part in node.args:
        part = bare(part)
        if part.op == "pow":
            part = bare(part.args[0])
        if part.op == "add" and symbols(part):
            sums.add(part)
    return len(sums) >= 2


def _is_expanded(node: Node) -> bool:
    """A sum of monomials."""
    return node.op == "add" and bool(symbols(node)) and all(_is_monomial(bare(part)) for part in node.args)


def _is_monomial(node: Node) -> bool:
    if node.op in ("num", "sym", "const"):
        return True
    if node.op in ("neg", "group"):
        return _is_monomial(node.args[0])
    if node.op == "pow":
        return bare(node.args[0]).op in ("sym", "num") and bare(node.args[1]).op == "num"
    if node.op == "mul":
        return all(_is_monomial(bare(part)) for part in node.args)
    return node.op == "div" and is_literal(node)

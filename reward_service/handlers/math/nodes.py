"""The tree that an answer is read into, and the limits under which it may become one.

What is decided here: one small immutable node type for every construct, so that walks over it stay short, and
the size of what is read at all. Limits are checked before or while parsing; nothing is ever expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

MAX_CHARS = 2_000
"""Characters of an answer that the parser reads. The ground truth may have twice as many."""
MAX_TOKENS = 600
MAX_DEPTH = 40
MAX_DIGITS = 400
"""Digits of one number."""
MAX_BITS = 20_000
"""Bits of an exact number; beyond it, balls."""
MAX_ITEMS = 64
"""Items of a list, set or tuple, rows of a matrix."""


def word_set(line: str) -> frozenset[str]:
    """A set of words, written as a line."""
    return frozenset(line.split())


class BudgetError(ValueError):
    """The answer is larger than an answer may be."""


class ParseError(ValueError):
    """The text is not in the grammar."""


class Verdict(Enum):
    """What a comparator says. `UNKNOWN` is "can't say", and never pays."""

    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, answer: bool | None) -> Verdict:
        """True, False, None as a verdict."""
        if answer is True:
            return cls.EQUAL
        return cls.NOT_EQUAL if answer is False else cls.UNKNOWN


class Node(NamedTuple):
    """One construct: what it is, its parts, and what isn't a part (a name, a number, a bracket).

    op | args | data
    num | () | Number
    sym, const | () | name
    text | () | words
    add, mul | two or more |
    neg, pm, mp, fact, fact2, abs, floor, ceil, group | one |
    div, mod, binom, quot | two |
    pow | base, exponent |
    root | radicand, degree |
    log | argument, base |
    fn | arguments | name of a known function
    call | arguments | name of an unknown function
    pct, deg | one |
    unit | one | Unit
    base | () | (digits, base)
    list | items | the separator: "," ";" "or"
    seq | items | brackets: "()" "[]" "(]" "[)" "{}" "<>"
    build | variable, condition | set-builder
    rel | the chain's members | tuple of operators
    cup, cap, setminus | sets |
    ratio | parts |
    label | value | the words before the colon
    matrix | entries row by row | (rows, columns)
    big | body | (name, variable, lower, upper): sums, products
    hard | () | what it is: integrals, limits and other things that only the symbolic tier reads
    """

    op: str
    args: tuple[Node, ...] = ()
    data: Any = None


class Number(NamedTuple):
    """A written number.

    places: decimals shown, shifted by an exponent (None for an integer); digits: significant ones.
    """

    value: Fraction
    places: int | None = None
    digits: int = 0


class Unit(NamedTuple):
    """A unit or a counted noun. dimensions: () if the word isn't known; factor: to the base unit."""

    name: str
    dimensions: tuple[tuple[str, int], ...] = ()
    factor: Fraction = Fraction(1)


ANGLE = (("angle", 1),)


def number(value: Fraction | int) -> Node:
    """An exact number that nobody wrote."""
    return Node("num", (), Number(Fraction(value)))


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(top.args)
        if top.op == "big":
            stack.extend(part for part in top.data[2:] if isinstance(part, Node))


def symbols(node: Node) -> frozenset[str]:
    """Names of the symbols in it; names of unknown functions are not among them."""
    bound = {part.data[1] for part in walk(node) if part.op == "big"}
    return frozenset(part.data for part in walk(node) if part.op == "sym") - bound


def substitute(node: Node, names: dict[str, Node]) -> Node:
    """The same tree with other nodes in place of symbols."""
    if node.op == "sym":
        return names.get(node.data, node)
    if not node.args:
        return node
    args = tuple(substitute(part, names) for part in node.args)
    if node.op == "big":
        name, variable, lower, upper = node.data
        return Node("big", args, (name, variable, substitute(lower, names), substitute(upper, names)))
    return node._replace(args=args)

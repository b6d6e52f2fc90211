r"""Equations, definitions and chains.

What is decided here: `f(x)=2x`, `N=n`, `x=3`, `(p,q)=(3,2)`, `|AB|=1` name a value, and the value answers; a
chain's every link must hold; an equation that isn't solved for anything is the same under any constant
factor. `x=3` is not answered by `2x+1=7`, which restates it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, NamedTuple

from flint import arb

from reward_service.handlers.math.balls import ball, precision
from reward_service.handlers.math.form import bare, written_number
from reward_service.handlers.math.identity import BITS, ENOUGH, equal_values, points
from reward_service.handlers.math.nodes import Node, number, substitute, symbols
from reward_service.handlers.math.rational import UndefinedError


class Definition(NamedTuple):
    """What is named, the members of the chain behind it, and whether every link is `=`."""

    name: Node
    values: tuple[Node, ...]


def definition(node: Node) -> Definition | None:
    """The definition that a node is: a label, or a chain of `=` whose first member is a name."""
    node = bare(node)
    if node.op == "label":
        inner = node.args[0]
        return Definition(Node("text", (), node.data), chain_members(inner) or (inner,))
    members = chain_members(node)
    if members is None:
        return None
    count = 0
    while count < len(members) - 1 and is_name(members[count]) and not _inside(members[count], members[-1]):
        count += 1
    if count == 0:
        return None
    return Definition(members[0], members[count:])


def chain_members(node: Node) -> tuple[Node, ...] | None:
    """Members of a chain of `=` and `\\approx`, or None."""
    node = bare(node)
    if node.op != "rel" or not all(op in ("=", "~") for op in node.data):
        return None
    return node.args


def without_approximations(node: Node) -> tuple[Node, list[Fraction]]:
    """A ground truth's chain without the decimals behind `\\approx`, and those: `\\sqrt2 \\approx 1.41` is `\\sqrt2`.

    A decimal that is all there is (`x \\approx 1.41`) stays.
    """
    members, operators, shown = [node.args[0]], [], []
    for operator, member in zip(node.data, node.args[1:], strict=True):
        written = written_number(member)
        if operator == "~" and written is not None and not all(is_name(before) for before in members):
            shown.append(written.value)
        else:
            operators.append(operator)
            members.append(member)
    if not operators:
        return members[0], shown
    return Node("rel", tuple(members), tuple(operators)), shown


def _inside(name: Node, value: Node) -> bool:
    return bool(symbols(name) & symbols(value)) and name.op == "sym"


def is_name(node: Node) -> bool:
    """Letters that stand for a value: a symbol, f(x), |AB|, AB, NO/BO, a tuple of names."""
    node = bare(node)
    if node.op == "sym":
        return not str(node.data).startswith("set ")
    if node.op in ("call", "text"):
        return True
    if node.op == "const":
        return node.data in ("e", "i")
    if node.op in ("abs", "group", "deg"):
        return is_name(node.args[0])
    if node.op in ("seq", "ratio", "div", "list"):
        return bool(node.args) and all(is_name(part) for part in node.args)
    if node.op == "mul":
        if not all(part.op == "sym" for part in node.args):
            return False
        return node.args[0].data == "d" or all(str(part.data)[:1].isupper() for part in node.args)
    return False


def links_hold(node: Node) -> bool | None:
    """Does every link of a chain hold? None: can't say. A chain that says the same thing twice holds nothing."""
    members = node.args
    found = definition(node)
    first = len(members) - len(found.values) if found is not None else 0
    values, operators = members[first:], node.data[first:]
    if len(values) > 1 and all(value == values[0] for value in values):
        return False
    unsure = False
    for left, operator, right in zip(values, operators, values[1:], strict=False):
        result = _link(left, right, loose=operator == "~")
        if result is False:
            return False
        unsure |= result is None
    return None if unsure else True


def _link(left: Node, right: Node, *, loose: bool) -> bool | None:
    result = equal_values(left, right)
    if result is not False:
        return result
    for shown, other in ((right, left), (left, right)):
        written = written_number(shown)
        if written is None or (written.places is None and not loose):
            continue
        if written.places is None and written_number(other) is not None:
            continue  # two written numbers: one of them is wrong
        try:
            with precision(BITS):
                gap = abs(ball(shown, {}) - ball(other, {}))
                width = arb(10) ** (-(written.places or 0)) * (
                    arb(1) if loose and written.places is not None else arb("0.5")
                )
                if gap <= width:
                    return True
        except (UndefinedError, ZeroDivisionError, OverflowError, ValueError):
            return None
    return False


def same_name(gold: Node, answer: Node) -> bool:
    """May these names mean the same? Case and the argument's letter aside; words against letters may."""
    gold, answer = bare(gold), bare(answer)
    if "text" in (gold.op, answer.op):
        return gold.op != answer.op or gold.data == answer.data
    if gold.op == answer.op == "call":
        return bool(gold.data == answer.data) or {gold.data, answer.data} <= {"y"}
    if gold.op == answer.op == "sym":
        return str(gold.data).lower() == str(answer.data).lower()
    if gold.op == answer.op and gold.op in ("seq", "abs", "mul", "ratio", "div", "list"):
        return len(gold.args) == len(answer.args) and all(
            same_name(one, other) for one, other in zip(gold.args, answer.args, strict=True)
        )
    return {gold.op, answer.op} == {"sym", "call"} and _y_of_x(gold, answer)


def _y_of_x(one: Node, other: Node) -> bool:
    call, sym = (one, other) if one.op == "call" else (other, one)
    return bool(sym.data in ("y", call.data))


def renaming(gold: Node, answer: Node) -> dict[str, Node]:
    """For `f(n)=…` against `f(m)=…`: the answer's argument names under the ground truth's."""
    if gold.op != "call" or answer.op != "call" or len(gold.args) != len(answer.args):
        return {}
    return {
        other.data: one
        for one, other in zip(gold.args, answer.args, strict=True)
        if one.op == other.op == "sym" and one != other
    }


def same_equation(gold: Node, answer: Node) -> bool | None:
    """Two equations or two-sided inequalities: left minus right, up to a constant factor (positive for order)."""
    one, other = _difference(gold), _difference(answer)
    if one is None or other is None:
        return None
    flipped = gold.data != answer.data
    signed = gold.data[0] in ("<", "<=", ">", ">=")
    names = sorted(symbols(one) | symbols(other))
    if not symbols(one) or not symbols(other):
        return False  # statements about numbers are compared by what they say, not by being true
    ratios: list[Any] = []
    try:
        with precision(BITS):
            for kind, point in points(names, False):
                if kind == "complex" and len(ratios) >= ENOUGH:
                    break
                try:
                    above, below = ball(one, point), ball(other, point)
                except (UndefinedError, ZeroDivisionError):
                    continue
                if above.contains(0) or below.contains(0):
                    if above.contains(0) != below.contains(0):
                        return False
                    continue
                ratios.append(above / below)
                if not ratios[-1].overlaps(ratios[0]):
                    return False
            if len(ratios) < ENOUGH:
                return None
            if signed:
                return bool(ratios[0].imag.contains(0)) and bool((ratios[0].real > 0) is not flipped)
            return True
    except (OverflowError, ValueError):
        return None


_OPPOSITE = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def _difference(node: Node) -> Node | None:
    node = bare(node)
    if node.op != "rel" or len(node.args) != 2:
        return None
    return Node("add", (node.args[0], Node("neg", (node.args[1],))))


def comparable_relations(gold: Node, answer: Node) -> bool:
    """Two single relations of the same strength."""
    if gold.op != "rel" or answer.op != "rel" or len(gold.data) != 1 or len(answer.data) != 1:
        return False
    return answer.data[0] in (gold.data[0], _OPPOSITE.get(gold.data[0]))


def ascending(node: Node) -> tuple[tuple[Node, ...], tuple[str, ...]] | None:
    """An order chain from small to large, or None if it isn't one."""
    if node.op != "rel" or not all(op in _OPPOSITE for op in node.data):
        return None
    if len({op[0] for op in node.data}) != 1:
        return None
    if node.data[0][0] == "<":
        return node.args, node.data
    return node.args[::-1], tuple(_OPPOSITE[op] for op in node.data[::-1])


def solves(gold: Node, answer: Node) -> bool:
    """Is the answer the ground truth's equation, solved for a symbol that it is linear in? `xy=6` by `6/x`."""
    difference = _difference(gold)
    if difference is None or gold.data != ("=",):
        return False
    names = symbols(difference)
    if len(names) < 2:
        return False
    for name in sorted(names - symbols(answer)):
        at = [substitute(difference, {name: Node("add", (answer, number(step)))}) for step in (0, 1, 3)]
        slope = Node("add", (at[1], Node("neg", (at[0],))))
        triple = Node("add", (at[2], Node("neg", (at[0],))))
        if (
            equal_values(at[0], number(0))
            and equal_values(triple, Node("mul", (number(3), slope)))
            and equal_values(slope, number(0)) is False
        ):
            return True
    return False


_ASKED = re.compile(
    r"(?:solve for|value of|find|determine|compute|what is)\s*\$?\s*\\?([A-Za-z])\$?(?![A-Za-z])"
)


def other_than_asked(name: Node, question: str) -> bool:
    """Does the answer name a symbol while the question asks for another one?"""
    if not question or name.op != "sym" or len(name.data) != 1:
        return False
    asked = {letter for letter in _ASKED.findall(question[-2_000:]) if letter not in "aA"}
    return (
        bool(asked)
        and name.data not in asked
        and re.search(rf"(?<![A-Za-z]){name.data}(?![A-Za-z])", question) is not None
    )

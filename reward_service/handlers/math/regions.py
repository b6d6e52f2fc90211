r"""Sets of reals: intervals, inequalities, set-builders, unions of them.

What is decided here: `(-\infty,2)`, `x<2`, `2>x`, `x\in(-\infty,2)` and `\{x \mid x<2\}` are one set, under
any name of the variable. Bounds are compared as values, open and closed ends exactly. Inequalities are read
as they stand (the variable alone on one side): one that still has to be solved is not an answer, unless the
caller says so (`solve`).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from reward_service.handlers.math.balls import ball, precision
from reward_service.handlers.math.form import bare
from reward_service.handlers.math.nodes import Node, number, substitute, symbols
from reward_service.handlers.math.rational import UndefinedError, exact

Match = Callable[[Node, Node], "bool | None"]


class Interval(NamedTuple):
    """Ends are None where there is none; a point is closed and has equal ends."""

    low: Node | None
    high: Node | None
    low_closed: bool = False
    high_closed: bool = False


class Region(NamedTuple):
    """A union of intervals, and the variable it was written with ("" if none)."""

    parts: tuple[Interval, ...]
    variable: str = ""


_BRACKETS = frozenset(("()", "[]", "(]", "[)"))
_FLIP = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}
_ORDER = frozenset(("<", ">", "<=", ">="))


def is_infinite(node: Node) -> int:
    """1 for infinity, -1 for minus infinity, 0 otherwise."""
    node = bare(node)
    if node.op == "neg":
        return -is_infinite(node.args[0])
    return 1 if node == Node("const", (), "inf") else 0


def certainly_region(node: Node) -> bool:
    """Can this only be a set of reals? A pair in round or square brackets may also be a point or a list."""
    node = bare(node)
    if node.op in ("cup", "cap", "setminus", "build"):
        return True
    if node.op == "sym":
        return str(node.data).startswith("set ")
    if node.op == "seq":
        return node.data in ("(]", "[)") or (
            node.data in _BRACKETS and any(is_infinite(part) for part in node.args)
        )
    if node.op == "rel":
        return any(op in _ORDER or op in ("!=", "in", "notin") for op in node.data)
    if node.op == "list":
        return any(certainly_region(part) for part in node.args)
    return node.op == "add" and certainly_region(node.args[0])


def region(node: Node, *, solve: bool = False) -> Region | None:
    """The set that a node describes, or None."""
    node = bare(node)
    op = node.op
    if op == "seq":
        return _from_brackets(node)
    if op == "cup":
        return _united([region(part, solve=solve) for part in node.args])
    if op == "list":
        return _from_list(node, solve)
    if op == "rel":
        return _from_relation(node, solve)
    if op == "build":
        head, condition = bare(node.args[0]), node.args[1]
        if head.op == "sym" or (head.op == "rel" and head.data == ("in",)):
            return region(condition, solve=solve)
        return None
    if op == "sym" and node.data == "set R":
        return Region((Interval(None, None),))
    if op in ("setminus", "add"):
        return _difference(node, solve)
    if op == "cap":
        sides = [region(part, solve=solve) for part in node.args]
        if any(side is None for side in sides):
            return None
        return _intersection([side for side in sides if side is not None])
    return None


def _from_brackets(node: Node) -> Region | None:
    if node.data == "{}":
        return Region(tuple(Interval(part, part, True, True) for part in node.args))
    if node.data not in _BRACKETS or len(node.args) != 2:
        return None
    low, high = node.args
    low_closed, high_closed = node.data[0] == "[", node.data[1] == "]"
    if is_infinite(low) > 0 or is_infinite(high) < 0:
        return None
    if (is_infinite(low) and low_closed) or (is_infinite(high) and high_closed):
        return None
    return Region(
        (
            Interval(
                None if is_infinite(low) else low,
                None if is_infinite(high) else high,
                low_closed,
                high_closed,
            ),
        )
    )


def _united(sides: list[Region | None]) -> Region | None:
    parts: list[Interval] = []
    variable = ""
    for side in sides:
        if side is None:
            return None
        parts += side.parts
        variable = variable or side.variable
    return Region(tuple(parts), variable)


def _from_list(node: Node, solve: bool) -> Region | None:
    sides = [
        region(part, solve=solve)
        if bare(part).op != "rel" or bare(part).data != ("=",)
        else _point(bare(part))
        for part in node.args
    ]
    if any(side is None for side in sides):
        return None
    found = [side for side in sides if side is not None]
    if node.data == "or" or all(bare(part).op in ("seq", "cup") for part in node.args):
        return _united(sides)
    both = _intersection(found)
    if both is None:
        return None
    if both.parts:
        return both
    return _united(sides)


def _point(node: Node) -> Region | None:
    if len(node.args) != 2 or bare(node.args[0]).op != "sym":
        return None
    return Region((Interval(node.args[1], node.args[1], True, True),), bare(node.args[0]).data)


def _from_relation(node: Node, solve: bool) -> Region | None:
    operators = node.data
    if operators == ("in",):
        inside = region(node.args[1], solve=solve)
        if inside is None or bare(node.args[0]).op not in ("sym", "call", "abs"):
            return None
        return Region(inside.parts, _name(node.args[0]))
    if operators == ("notin",):
        inside = region(node.args[1], solve=solve)
        return None if inside is None else _complement(inside)
    if len(operators) == 1 and operators[0] in (*_ORDER, "!="):
        return _single(node.args[0], operators[0], node.args[1], solve)
    if len(operators) == 2 and operators[0] in _ORDER and operators[1] in _ORDER:
        low, middle, high = node.args
        if operators[0][0] != operators[1][0] or not _is_variable(middle):
            return None
        if symbols(middle) & (symbols(low) | symbols(high)):
            return None
        first, second = operators
        if first[0] == ">":
            low, high, first, second = high, low, second, first
        if is_infinite(low) > 0 or is_infinite(high) < 0:
            return None
        part = Interval(
            None if is_infinite(low) else low,
            None if is_infinite(high) else high,
            len(first) == 2 and not is_infinite(low),
            len(second) == 2 and not is_infinite(high),
        )
        return _folded(Region((part,), _name(middle)), middle)
    return None


def _name(node: Node) -> str:
    node = bare(node)
    return str(node.data) if node.op in ("sym", "call") else ""


def _is_variable(node: Node) -> bool:
    node = bare(node)
    if node.op in ("call", "abs"):  # f(x) and |x|, not f(2)
        return all(bare(part).op == "sym" for part in node.args)
    return node.op == "sym"


def _single(left: Node, operator: str, right: Node, solve: bool) -> Region | None:
    if not _is_variable(left):
        if _is_variable(right):
            left, right, operator = right, left, _FLIP[operator]
        elif solve:
            return _linear(left, operator, right)
        else:
            return None
    elif _is_variable(right) and not symbols(left) - {"set R"}:
        left, right, operator = right, left, _FLIP[operator]
    if symbols(left) & symbols(right):
        return _linear(left, operator, right) if solve else None
    closed = len(operator) == 2
    if operator == "!=":
        found = Region((Interval(None, right), Interval(right, None)), _name(left))
    elif operator[0] == "<":
        found = Region((Interval(None, None if is_infinite(right) else right, False, closed),), _name(left))
    else:
        found = Region((Interval(None if is_infinite(right) else right, None, closed, False),), _name(left))
    return _folded(found, left)


def _folded(found: Region, variable: Node) -> Region | None:
    """`1 \\le |z| \\le 2` as a set of z."""
    variable = bare(variable)
    if variable.op != "abs":
        return found
    parts: list[Interval] = []
    for part in found.parts:
        low = exact(part.low) if part.low is not None else None
        if part.high is None and (part.low is None or low is None):
            return None
        if part.low is not None and low is not None and low >= 0:
            mirrored = None if part.high is None else Node("neg", (part.high,))
            parts.append(Interval(mirrored, Node("neg", (part.low,)), part.high_closed, part.low_closed))
            parts.append(part)
        elif part.high is not None:
            parts.append(Interval(Node("neg", (part.high,)), part.high, part.high_closed, part.high_closed))
    return Region(tuple(parts), _name(variable.args[0]))


def _linear(left: Node, operator: str, right: Node) -> Region | None:
    """Solve a linear inequality in one variable, by its values at three points."""
    names = symbols(left) | symbols(right)
    if len(names) != 1 or operator == "!=":
        return None
    name = next(iter(names))
    difference = Node("add", (left, Node("neg", (right,))))
    values = [exact(substitute(difference, {name: number(at)})) for at in (0, 1, 3)]
    if any(value is None for value in values):
        return None
    at_zero, at_one, at_three = (value for value in values if value is not None)
    slope = at_one - at_zero
    if slope == 0 or at_three - at_zero != 3 * slope:
        return None
    bound = number(-at_zero / slope)
    if slope < 0:
        operator = _FLIP[operator]
    return _single(Node("sym", (), name), operator, bound, False)


def _difference(node: Node, solve: bool) -> Region | None:
    if len(node.args) != 2:
        return None
    whole = region(node.args[0], solve=solve)
    taken_node = node.args[1]
    if node.op == "add":
        if taken_node.op != "neg":
            return None
        taken_node = taken_node.args[0]
    taken = region(taken_node, solve=solve)
    if whole is None or taken is None:
        return None
    outside = _complement(taken)
    return None if outside is None else _intersection([whole, outside])


def _complement(inside: Region) -> Region | None:
    parts = _ordered(inside.parts)
    if parts is None:
        return None
    result: list[Interval] = []
    low: Node | None = None
    low_closed = False
    open_start = True
    for part in parts:
        if part.low is not None:
            result.append(Interval(None if open_start else low, part.low, low_closed, not part.low_closed))
        open_start = False
        low, low_closed = part.high, not part.high_closed
        if part.high is None:
            return Region(tuple(result), inside.variable)
    result.append(Interval(low, None, low_closed, False))
    return Region(tuple(result), inside.variable)


# Order


def _order(node: Node) -> Fraction | float | None:
    value = exact(node)
    if value is not None:
        return value
    try:
        with precision(120):
            real = ball(node, {})
            return float(real.real.mid()) if real.imag.contains(0) else None
    except (UndefinedError, ZeroDivisionError, OverflowError, ValueError):
        return None


def _ordered(parts: tuple[Interval, ...]) -> list[Interval] | None:
    """The parts from left to right, overlapping and touching ones joined. None if a bound has no value."""
    keyed: list[tuple[float, bool, Interval, float]] = []
    for part in parts:
        low = float("-inf") if part.low is None else _order(part.low)
        high = float("inf") if part.high is None else _order(part.high)
        if low is None or high is None:
            return None
        try:
            first, last = float(low), float(high)
        except OverflowError:
            return None
        if first > last or (first == last and not (part.low_closed and part.high_closed)):
            continue
        keyed.append((first, not part.low_closed, part, last))
    keyed.sort(key=lambda entry: entry[:2])
    joined: list[Interval] = []
    end = float("-inf")
    for first, _, part, last in keyed:
        if joined:
            before = joined[-1]
            touching = first < end or (first == end and (before.high_closed or part.low_closed))
            if touching:
                if last > end or (last == end and part.high_closed):
                    joined[-1] = before._replace(
                        high=part.high, high_closed=part.high_closed or (last == end and before.high_closed)
                    )
                    end = last
                continue
        joined.append(part)
        end = last
    return joined


def _intersection(sides: list[Region]) -> Region | None:
    current = _ordered(sides[0].parts)
    variable = sides[0].variable
    for side in sides[1:]:
        other = _ordered(side.parts)
        if current is None or other is None:
            return None
        variable = variable or side.variable
        current = [both for one in current for two in other if (both := _overlap(one, two)) is not None]
    return None if current is None else Region(tuple(current), variable)


def _overlap(one: Interval, two: Interval) -> Interval | None:
    def bound(
        left: Node | None, right: Node | None, left_closed: bool, right_closed: bool, upper: bool
    ) -> tuple[Node | None, bool]:
        if left is None:
            return right, right_closed
        if right is None:
            return left, left_closed
        a, b = _order(left), _order(right)
        if a is None or b is None or a == b:
            return left, left_closed and right_closed
        return (left, left_closed) if (a < b) is upper else (right, right_closed)

    low, low_closed = bound(one.low, two.low, one.low_closed, two.low_closed, False)
    high, high_closed = bound(one.high, two.high, one.high_closed, two.high_closed, True)
    part = Interval(low, high, low_closed, high_closed)
    kept = _ordered((part,))
    return part if kept else None


def same_region(gold: Region, answer: Region, match: Match) -> bool | None:
    """Are they the same set? Bounds are compared by `match`."""
    names = {gold.variable.lower(), answer.variable.lower()}
    if len(names) == 2 and all(len(name) == 1 for name in names):
        return False
    one, other = _ordered(gold.parts), _ordered(answer.parts)
    if one is None or other is None:
        one, other = list(gold.parts), list(answer.parts)
        if len(one) != len(other):
            return None
        return _matched(one, other, match)
    if len(one) != len(other):
        return False
    unsure = False
    for left, right in zip(one, other, strict=True):
        result = _same_interval(left, right, match)
        if result is False:
            return False
        unsure |= result is None
    return None if unsure else True


def _matched(one: list[Interval], other: list[Interval], match: Match) -> bool | None:
    left = list(other)
    for part in one:
        for candidate in left:
            if _same_interval(part, candidate, match):
                left.remove(candidate)
                break
        else:
            return False
    return True


def _same_interval(one: Interval, other: Interval, match: Match) -> bool | None:
    if (one.low_closed, one.high_closed) != (other.low_closed, other.high_closed):
        return False
    unsure = False
    for left, right in ((one.low, other.low), (one.high, other.high)):
        if left is None or right is None:
            if left is not right:
                return False
            continue
        result = match(left, right)
        if result is False:
            return False
        unsure |= result is None
    return None if unsure else True

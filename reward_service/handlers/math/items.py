r"""The elements of a collection.

What is decided here: what one element is. Both signs of `\\pm` are two elements, free of each other between
the parts of a tuple; a name in front of a list (`x=1,2`) is taken off; names that come again (`p=5, q=2; p=7,
q=2`) make tuples.
"""

from __future__ import annotations

import math
from itertools import product

from reward_service.handlers.math.form import bare
from reward_service.handlers.math.nodes import MAX_ITEMS, BudgetError, Node, walk
from reward_service.handlers.math.relations import definition


def value_of(node: Node) -> Node:
    """The value that a node names (`x=3`), or the node."""
    found = definition(node)
    return bare(found.values[-1]) if found is not None and len(found.values) == 1 else node


def flattened(items: list[Node]) -> list[Node]:
    """`10,…,14 and -2,…,2` as one list."""
    out: list[Node] = []
    for item in items:
        item = bare(item)
        if item.op == "label":
            item = bare(item.args[0])
        out += elements(item) if item.op == "list" else [item]
    return out


def has_signs(node: Node) -> bool:
    """Is there a `\\pm` or `\\mp` in it?"""
    return any(part.op in ("pm", "mp") for part in walk(node))


def bare_values(items: tuple[Node, ...]) -> tuple[Node, ...]:
    """The items without names."""
    return tuple(value_of(bare(item)) for item in items)


def same_letter(names: list[Node]) -> bool:
    """Are these names one letter with different indices?"""
    letters = {
        str(name.data).partition("_")[0] if name.op in ("sym", "call") else str(name) for name in names
    }
    return len(letters) == 1


def elements(node: Node) -> list[Node]:
    """The elements of a list or set; both signs of `\\pm`; a shared name (`x=1,2`) is taken off."""
    node = bare(node)
    if node.op in ("rel", "label"):
        found = definition(node)
        if found is not None and len(found.values) == 1:
            inner = elements(found.values[0])
            return inner if len(inner) > 1 else [node]
        return [node]
    if node.op == "list" and node.data in (";", "or") and all(bare(part).op == "list" for part in node.args):
        return [Node("seq", bare_values(bare(part).args), "()") for part in node.args]
    if node.op == "list" or (node.op == "seq" and node.data == "{}"):
        grouped = _assignments(node)
        if grouped is not None:
            return grouped
        out: list[Node] = []
        for part in node.args:
            out += elements(part) if bare(part).op != "list" else [part]
            if len(out) > MAX_ITEMS * 4:
                raise BudgetError("items")
        if node.op == "list" and out and _leading_name(node.args[0], len(node.args)):
            found = definition(out[0])
            if found is not None and all(definition(item) is None for item in out[1:]):
                out[0] = found.values[-1]
        return out
    if has_signs(node):
        return _expanded(node)
    return [node]


def _leading_name(first: Node, count: int) -> bool:
    return count > 1 and definition(first) is not None


def _assignments(node: Node) -> list[Node] | None:
    """`p=5, q=2 and p=7, q=2`: names that come again in the same order make tuples."""
    found = [definition(part) for part in node.args]
    if node.op != "list" or len(found) < 4 or any(entry is None or len(entry.values) != 1 for entry in found):
        return None
    names = [entry.name for entry in found if entry is not None]
    values = [entry.values[0] for entry in found if entry is not None]
    width = len(set(names))
    if (
        width < 2
        or width == len(names)
        or len(names) % width
        or any(names[i] != names[i % width] for i in range(len(names)))
    ):
        return None
    return [Node("seq", tuple(values[i : i + width]), "()") for i in range(0, len(values), width)]


def _expanded(node: Node) -> list[Node]:
    """Every choice of signs: linked in one expression, free between the parts of a tuple."""
    if node.op == "seq":
        choices = [elements(part) if has_signs(part) else [part] for part in node.args]
        if math.prod(map(len, choices)) > MAX_ITEMS:
            raise BudgetError("signs")
        return [node._replace(args=choice) for choice in product(*choices)]
    return [_signed(node, True), _signed(node, False)]


def _signed(node: Node, plus: bool) -> Node:
    if node.op in ("pm", "mp"):
        inner = _signed(node.args[0], plus)
        return inner if (node.op == "pm") is plus else Node("neg", (inner,))
    return node._replace(args=tuple(_signed(part, plus) for part in node.args)) if node.args else node

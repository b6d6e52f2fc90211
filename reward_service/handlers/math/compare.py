r"""Tier 2: two trees, by the kind of thing that the ground truth is.

What is decided here: types come from the ground truth. A set is not a list, an interval not a point, a tuple
has an order, a list has none. Every comparator says equal, not equal or can't say, and nothing that can't be
said is paid. Where two readings of an answer are open (a pair or an interval), the ground truth picks one.
"""

from __future__ import annotations

from reward_service.handlers.math.form import bare, written_number
from reward_service.handlers.math.items import (
    bare_values,
    elements,
    flattened,
    has_signs,
    same_letter,
    value_of,
)
from reward_service.handlers.math.nodes import (
    BudgetError,
    Node,
    substitute,
    symbols,
    walk,
    word_set,
)
from reward_service.handlers.math.regions import certainly_region, is_infinite, region, same_region
from reward_service.handlers.math.relations import (
    Definition,
    ascending,
    chain_members,
    comparable_relations,
    definition,
    links_hold,
    other_than_asked,
    renaming,
    same_equation,
    same_name,
    solves,
    without_approximations,
)
from reward_service.handlers.math.scalars import Options, match_scalar
from reward_service.handlers.math.texts import match_texts

Answer = bool | None

_PARAMETERS = word_set("k n m l t j s c C p q r d N K")
MAX_PAIRS = 1_500
"""Comparisons of items in one list."""


def match(gold: Node, answer: Node, options: Options) -> tuple[Answer, str]:
    """The verdict and the name of the comparator that gave it."""
    gold, answer = bare(gold), bare(answer)
    if gold.op == "rel" and "~" in gold.data:
        gold, shown = without_approximations(gold)
        given = written_number(answer)
        if given is not None and given.value in shown:
            return True, "approximation"
    if gold.op == "text" or answer.op == "text":
        return match_texts(gold, answer), "text"
    if gold.op == "matrix" or answer.op == "matrix":
        return _matrices(gold, answer, options), "matrix"
    if is_infinite(gold) or is_infinite(answer):
        answer = value_of(answer)
        if is_infinite(value_of(gold)) and is_infinite(answer):
            return is_infinite(value_of(gold)) == is_infinite(answer), "infinity"
    found = _regions(gold, answer, options)
    if found is not None:
        return found
    if gold.op == "rel" or answer.op == "rel" or "label" in (gold.op, answer.op):
        return _relations(gold, answer, options)
    if _is_collection(gold) or _is_collection(answer):
        return _collections(gold, answer, options)
    return _scalars(gold, answer, options), "value"


# Matrices and vectors


def _matrices(gold: Node, answer: Node, options: Options) -> Answer:
    if gold.op in ("rel", "label"):
        found = definition(gold)
        gold = bare(found.values[-1]) if found is not None else gold
    if answer.op in ("rel", "label"):
        found = definition(answer)
        if found is None and not options.guard and (members := chain_members(answer)) is not None:
            answer = bare(members[-1])
        answer = bare(found.values[-1]) if found is not None else answer
    if gold.op == answer.op == "matrix":
        if gold.data != answer.data:
            return False
    elif "matrix" in (gold.op, answer.op) and {gold.op, answer.op} <= {"matrix", "seq", "list"}:
        vector, flat = (gold, answer) if gold.op == "matrix" else (answer, gold)
        if (
            1 not in vector.data
            or (flat.op == "seq" and flat.data not in _ORDERED)
            or len(flat.args) != len(vector.args)
        ):
            return False
    elif not options.guard and answer.op in ("add", "mul"):
        folded = _fold_matrices(answer)
        return None if folded is None else _matrices(gold, folded, options)
    else:
        return None if answer.op in ("add", "mul") else False
    return _pairwise(gold.args, answer.args, options)


def _fold_matrices(node: Node) -> Node | None:
    """Sum or product of two matrices of the same small size (evaluation dumps leave them undone)."""
    parts = [bare(part) for part in node.args]
    if len(parts) != 2 or any(part.op != "matrix" for part in parts):
        return None
    one, other = parts
    if node.op == "add":
        if one.data != other.data:
            return None
        return Node(
            "matrix", tuple(Node("add", pair) for pair in zip(one.args, other.args, strict=True)), one.data
        )
    (rows, inner), (height, columns) = one.data, other.data
    if inner != height or rows * columns * inner > 200:
        return None
    cells = tuple(
        Node(
            "add",
            tuple(Node("mul", (one.args[r * inner + k], other.args[k * columns + c])) for k in range(inner)),
        )
        for r in range(rows)
        for c in range(columns)
    )
    return Node("matrix", cells, (rows, columns))


def _pairwise(gold: tuple[Node, ...], answer: tuple[Node, ...], options: Options) -> Answer:
    if len(gold) != len(answer):
        return False
    unsure = False
    for one, other in zip(gold, answer, strict=True):
        result = match(one, other, options)[0]
        if result is False:
            return False
        unsure |= result is None
    return None if unsure else True


# Regions


def _regions(gold: Node, answer: Node, options: Options) -> tuple[Answer, str] | None:
    """Sets of reals, if one side can be nothing else and both can be that."""
    sure, claimed = certainly_region(gold), certainly_region(answer)
    if _listed_order(gold, answer):
        return _pairwise(gold.args, answer.args, options), "order"
    if gold.op == answer.op == "rel" and len(symbols(gold)) > 1 and _same_order(gold, answer, options):
        return True, "order"
    if not sure and not claimed:
        if gold.op == answer.op == "seq" and gold.data == answer.data == "[]" and len(gold.args) == 2:
            return _pairwise(gold.args, answer.args, options), "interval"
        return None
    if not sure and gold.op not in ("seq", "list", "sym"):
        return False, "type"
    one = region(gold, solve=True)
    other = region(answer, solve=not options.guard)
    if one is not None and other is not None:
        if options.lenient or not (gold.op == "seq" and gold.data == "{}"):
            return same_region(one, other, lambda g, a: _scalars(bare(g), bare(a), options)), "interval"
        return same_region(one, other, lambda g, a: _scalars(bare(g), bare(a), options)), "interval"
    if gold.op == "rel" and answer.op == "rel":
        if options.guard and one is not None and len(symbols(answer)) <= 1:
            return False, "unsolved"
        return None  # an order chain, or an inequality in several variables
    if one is not None and sure:
        if options.guard or (other is None and answer.op != "rel"):
            return False, "interval"
        return None
    if sure and one is None:
        return None
    return False, "type"


def _listed_order(gold: Node, answer: Node) -> bool:
    """Is the answer a list where the ground truth orders letters? `a<b<c` is then listed as it stands: a, b, c."""
    return (
        answer.op == "list"
        and answer.data == ","
        and gold.op == "rel"
        and len(symbols(gold)) > 2
        and ascending(gold) is not None
    )


# Equations, definitions, chains


def _relations(gold: Node, answer: Node, options: Options) -> tuple[Answer, str]:
    named_gold, named_answer = definition(gold), definition(answer)
    values = _chain(answer, options)
    if values == ():
        return False, "chain"
    if named_answer is not None and values is not None:
        named_answer = named_answer._replace(values=values)
    if named_gold is not None and named_answer is not None:
        if same_name(named_gold.name, named_answer.name):
            rename = renaming(bare(named_gold.name), bare(named_answer.name))
            return _members(named_gold.values, named_answer.values, rename, options), "definition"
        if (
            gold.op == answer.op == "rel"
            and len(gold.args) == len(answer.args) == 2
            and _is_general(named_gold)
        ):
            return same_equation(gold, answer), "equation"
        return False, "definition"
    if named_gold is not None:
        return _defined_gold(gold, named_gold, answer, options)
    if named_answer is not None:
        if gold.op == "rel":
            return _two_relations(gold, answer, options, named_answer)
        if other_than_asked(bare(named_answer.name), options.question):
            return False, "other name"
        if symbols(bare(named_answer.name)) & symbols(gold) and bare(named_answer.name).op == "sym":
            return False, "definition"
        return _members((gold,), named_answer.values, {}, options), "definition"
    return _two_relations(gold, answer, options, None)


def _chain(answer: Node, options: Options) -> tuple[Node, ...] | None:
    """The members of an answer's chain that may be its value; None if it is no chain.

    All if every link holds, the last if one can't be checked (it may hold for the problem's own numbers), none if a
    link is false.
    """
    members = chain_members(answer)
    if members is None:
        return None
    found = definition(answer)
    values = found.values if found is not None else members
    if len(values) < 2:
        return values
    if options.lenient:  # the last `=`, and what is said to be close to it
        operators = bare(answer).data[-(len(values) - 1) :]
        return values[
            max((index + 1 for index, operator in enumerate(operators) if operator == "="), default=0) :
        ]
    held = links_hold(answer)
    if held:
        return values
    if held is None or any(symbols(value) for value in values):
        return values[-1:]
    return ()


def _is_general(named: Definition) -> bool:
    return any(symbols(value) for value in named.values)


def _defined_gold(gold: Node, named: Definition, answer: Node, options: Options) -> tuple[Answer, str]:
    members = chain_members(answer)
    if answer.op == "rel":
        if members is None:
            return False, "type"
        if not _is_general(named) and not any(symbols(member) for member in members):
            return _members(named.values, members, {}, options), "chain"
        if not _is_general(named) and options.guard:
            return False, "unsolved"
        if len(gold.args) == len(answer.args) == 2:
            return same_equation(gold, answer), "equation"
        return None, "equation"
    family = bare(named.name).op in ("seq", "list")
    rename = _one_renaming(named.values[-1], answer, family=family)
    result = _members(named.values, (answer,), rename, options)
    if result is not True and len(gold.args) == 2 and _is_general(named) and solves(gold, answer):
        return True, "solved"
    return result, "definition"


def _members(
    gold: tuple[Node, ...], answer: tuple[Node, ...], rename: dict[str, Node], options: Options
) -> Answer:
    """Any member of the ground truth's chain against any of the answer's (whose links have been checked)."""
    best: Answer = False
    for one in gold:
        for other in answer:
            if rename and not set(rename) & symbols(one):
                other = substitute(other, rename)
            result = match(one, other, options)[0]
            if result:
                return True
            if result is None:
                best = None
    return best


def _two_relations(
    gold: Node, answer: Node, options: Options, named_answer: Definition | None
) -> tuple[Answer, str]:
    if answer.op != "rel":
        members = chain_members(gold)
        if members is not None and not any(symbols(member) for member in members):
            return _members(members, (answer,), {}, options), "chain"
        if solves(gold, answer):
            return True, "solved"
        return False, "type"
    if gold.op != "rel":
        members = _chain(answer, options)
        if members and not symbols(answer):  # with symbols it is an equation, and has no value
            return _members((gold,), members, {}, options), "chain"
        return False, "type"
    ordered = _same_order(gold, answer, options)
    if ordered or (ordered is False and len(gold.args) > 2):
        return ordered, "order"
    if comparable_relations(gold, answer):
        result = same_equation(gold, answer)
        if (
            not result
            and named_answer is not None
            and any(solves(gold, value) for value in named_answer.values)
        ):
            return True, "solved"
        return result, "equation"
    members, given = chain_members(gold), chain_members(answer)
    if members is not None and given is not None and not any(symbols(m) for m in (*members, *given)):
        return _members(members, given, {}, options), "chain"
    if gold.data == answer.data and len(gold.args) == len(answer.args):
        return _pairwise(gold.args, answer.args, options), "relation"
    return False, "relation"


def _same_order(gold: Node, answer: Node, options: Options) -> Answer:
    """Two chains of `<`, member by member; None if they aren't chains of one length and strength."""
    one, other = ascending(gold), ascending(answer)
    if one is None or other is None or len(one[0]) != len(other[0]) or one[1] != other[1]:
        return False if one is not None and other is not None else None
    return _pairwise(one[0], other[0], options)


# Lists, sets, tuples


def _is_collection(node: Node) -> bool:
    return node.op in ("list", "seq") or any(part.op in ("pm", "mp") for part in walk(node))


def _collections(gold: Node, answer: Node, options: Options) -> tuple[Answer, str]:
    if not has_signs(gold) and not has_signs(answer):
        in_order = _in_order(gold, answer)
        if in_order is False:
            return False, "tuple"
        if in_order:
            return _pairwise(bare_values(gold.args), bare_values(answer.args), options), "tuple"
    one, other = elements(gold), elements(answer)
    is_set = any(side.op == "seq" and side.data == "{}" for side in (gold, answer))
    if is_set or (options.lenient and len(one) != len(other)):  # repeated elements say nothing
        one, other = _distinct(one), _distinct(other)
    if len(one) != len(other):
        flat_one, flat_other = flattened(one), flattened(other)
        if len(flat_one) != len(flat_other) or len(flat_one) == len(one):
            return False, "list"
        one, other = flat_one, flat_other
    if len(one) * len(other) > MAX_PAIRS:
        raise BudgetError("items")
    if len(one) == 1:
        if one[0] == gold and other[0] == answer:
            return False, "list"
        return match(one[0], other[0], options)
    names = [definition(item) for item in one]
    ordered = all(name is not None for name in names) and all(definition(item) is None for item in other)
    if ordered and not same_letter([name.name for name in names if name is not None]):
        return _pairwise(tuple(one), tuple(other), options), "named list"
    return _multiset(one, other, options), "list"


_ORDERED = frozenset(("()", "[]", "<>"))


def _in_order(gold: Node, answer: Node) -> bool | None:
    """Are both to be compared part by part? False: kinds that can't be equal; None: as lists or sets.

    A tuple has an order, and a bare list in its place must keep it; a pair in square brackets is no pair in round ones.
    """
    if gold.op == "seq" and gold.data in _ORDERED:
        if answer.op == "list":
            return True
        if answer.op != "seq":
            return None
        if answer.data == "{}":
            return False
        mixed = "[]" in (gold.data, answer.data) and gold.data != answer.data
        return not (mixed and len(gold.args) == 2 and "<>" not in (gold.data, answer.data))
    if gold.op == "list" and answer.op == "seq" and answer.data in _ORDERED and len(answer.args) > 1:
        return True
    return None


def _distinct(items: list[Node]) -> list[Node]:
    kept: list[Node] = []
    loose = Options(guard=False)
    for item in items:
        if len(kept) * len(items) > MAX_PAIRS:
            raise BudgetError("items")
        if not any(item == other or match(other, item, loose)[0] for other in kept):
            kept.append(item)
    return kept


def _multiset(gold: list[Node], answer: list[Node], options: Options) -> Answer:
    """One to one, in any order."""
    names = [definition(item) for item in gold], [definition(item) for item in answer]
    both_named = all(name is not None for side in names for name in side)
    left = list(answer)
    unsure = False
    rename = _one_renaming(Node("list", tuple(gold), ","), Node("list", tuple(answer), ","))
    if rename:
        left = [substitute(item, rename) for item in left]
    for item in gold:
        maybe = False
        for candidate in left:
            result = match(item, candidate, options)[0]
            if not result and not both_named:
                result = _without_names(item, candidate, options) or result
            if result:
                left.remove(candidate)
                break
            maybe |= result is None
        else:
            if not maybe:
                return False
            unsure = True
    return None if unsure else True


def _without_names(gold: Node, answer: Node, options: Options) -> Answer:
    one, other = value_of(gold), value_of(answer)
    if one is gold and other is answer:
        return False
    return match(one, other, options)[0]


# Single values


def _scalars(gold: Node, answer: Node, options: Options) -> Answer:
    result = match_scalar(gold, answer, options)
    if result is not False:
        return result
    rename = _one_renaming(gold, answer)
    if rename:
        return match_scalar(gold, substitute(answer, rename), options)
    return result


def _one_renaming(gold: Node, answer: Node, *, family: bool = False) -> dict[str, Node]:
    """The one free letter that differs, where it can only be a parameter.

    That is: the whole number beside `\\pi` (`k\\pi` and `n\\pi`), the same letter in the other case, or the one parameter of a
    family of solutions: `(x,y)=(2t,5-t)`.
    """
    one, other = symbols(gold), symbols(answer)
    left, right = one - other, other - one
    if len(left) != 1 or len(right) != 1:
        return {}
    (mine,), (theirs,) = left, right
    if mine.lower() == theirs.lower():
        return {theirs: Node("sym", (), mine)}
    if family and theirs in _PARAMETERS:
        return {theirs: Node("sym", (), mine)}
    periodic = any(part.op == "const" and part.data == "pi" for part in walk(gold))
    if periodic and mine in _PARAMETERS and theirs in _PARAMETERS:
        return {theirs: Node("sym", (), mine)}
    return {}

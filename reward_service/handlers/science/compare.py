r"""Is a scientific answer the ground truth? Equal, not equal, or undecided, and why.

What is decided here: that what is written alike is equal, which rule speaks otherwise, and how lists are compared: in their
order, item by item; names (`x = 2, y = 3`) pair the items. Words and sets in another order are the same list, numbers in
another order are undecided, and a list with more than was asked for is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reward_service import narrate
from reward_service.handlers._qa import same_text
from reward_service.handlers._text import collapse
from reward_service.handlers.math import Verdict
from reward_service.handlers.science.expressions import by_expression, by_text
from reward_service.handlers.science.gold import Decision, Gold, is_prose, items_of, prepare, same_math, tight
from reward_service.handlers.science.quantity import read_quantity
from reward_service.handlers.science.reading import Answer, answer_of, turned
from reward_service.handlers.science.substances import by_configuration, by_formula, by_nuclide, by_reaction
from reward_service.handlers.science.values import by_option, by_quantity, by_truth, mentions

MAX_TABLE = 8
"""Items of which every one is compared with every other: expressions are dear."""


def decide(gold: Gold, text: str, question: str = "") -> Decision:
    """The answer (as it was extracted) against the prepared ground truth."""
    answer = answer_of(text)
    if not any(character.isalnum() or character in "∞√π" for character in answer.text):
        return Decision(Verdict.NOT_EQUAL, "empty")
    if tight(answer.text) == tight(gold.answer.text) and answer.name == gold.answer.name:
        return Decision(Verdict.EQUAL, "text")
    if narrate.listening():
        narrate.forms(_form(answer), _form(gold.answer), f"plain notation ({gold.kind})")
        if gold.quantity is not None:
            narrate.forms(read_quantity(answer.text), gold.quantity, "quantity")
        narrate.compared("text", None, "written differently")
    return _RULES[gold.kind](gold, text, answer, question)


def _form(answer: Answer) -> str:
    return f"{answer.name} = {answer.text}" if answer.name else answer.text


def by_list(gold: Gold, text: str, answer: Answer, question: str) -> Decision:
    """Item by item, in order or by name."""
    if same_text(text, gold.source) and is_prose(answer.text):
        return Decision(Verdict.EQUAL, "text")
    given = items_of(answer.text if answer.name == "" else text)
    worded = gold.source.strip("$ ").startswith((r"\{", r"\left\{")) or all(
        prepare(item).kind in ("text", "formula") for item in gold.items
    )
    if turned(answer.text) and not turned(gold.source):
        return Decision(Verdict.NOT_EQUAL, "list", hedged=True)
    if len(given) != len(gold.items):
        if worded and len(given) > len(gold.items) and all(_among(item, given) for item in gold.items):
            return Decision(Verdict.NOT_EQUAL, "list", hedged=True)
        if worded or len(given) == 1:
            return _alone(gold, text)
        return Decision(Verdict.NOT_EQUAL, "list")
    golds = [prepare(item) for item in gold.items]
    diagonal = [_item(one, other, question) for one, other in zip(golds, given, strict=True)]
    if all(verdict is Verdict.EQUAL for verdict in diagonal):
        return Decision(Verdict.EQUAL, "list")
    names = [one.answer.name for one in golds]
    if all(names) and len(set(names)) == len(names):
        return _by_name(golds, given, question)
    if len(golds) > MAX_TABLE and not worded:
        return Decision(
            Verdict.UNKNOWN if Verdict.UNKNOWN in diagonal else Verdict.NOT_EQUAL, "list", "items"
        )
    table = [[_item(one, other, question) for other in given] for one in golds]
    if _matches(table, (Verdict.EQUAL,)):
        return Decision(Verdict.EQUAL, "list") if worded else Decision(Verdict.UNKNOWN, "list", "order")
    if _matches(table, (Verdict.EQUAL, Verdict.UNKNOWN)):
        return Decision(Verdict.UNKNOWN, "list", "items")
    return Decision(Verdict.NOT_EQUAL, "list")


def _among(item: str, given: tuple[str, ...]) -> bool:
    return any(decide(prepare(item), other).verdict is Verdict.EQUAL for other in given)


def _alone(gold: Gold, text: str) -> Decision:
    """Another number of items: one expression may still be the same tuple or set."""
    if same_math(gold.source, text) is Verdict.EQUAL:
        return Decision(Verdict.EQUAL, "math")
    quantities = [prepare(item).quantity for item in gold.items]
    if all(quantities) and not all(
        mentions(quantity, text) for quantity in quantities if quantity is not None
    ):
        return Decision(Verdict.NOT_EQUAL, "list")
    return Decision(Verdict.UNKNOWN, "list", "items")


def _item(gold: Gold, text: str, question: str) -> Verdict:
    name = answer_of(text).name
    if gold.kind == "list" or (name and gold.answer.name and collapse(name) != collapse(gold.answer.name)):
        return Verdict.NOT_EQUAL
    return decide(gold, text, question).verdict


def _by_name(golds: list[Gold], given: tuple[str, ...], question: str) -> Decision:
    named = {collapse(answer_of(text).name): text for text in given}
    verdicts = []
    for gold in golds:
        text = named.get(collapse(gold.answer.name))
        verdicts.append(Verdict.UNKNOWN if text is None else decide(gold, text, question).verdict)
    if all(verdict is Verdict.EQUAL for verdict in verdicts):
        return Decision(Verdict.EQUAL, "list")
    if Verdict.NOT_EQUAL in verdicts:
        return Decision(Verdict.NOT_EQUAL, "list")
    return Decision(Verdict.UNKNOWN, "list", "items")


def _matches(table: list[list[Verdict]], allowed: tuple[Verdict, ...]) -> bool:
    """Can every item be paired with one of the other side under these verdicts? Augmenting paths."""
    taken: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, verdict in enumerate(table[row]):
            if verdict in allowed and column not in seen:
                seen.add(column)
                if column not in taken or place(taken[column], seen):
                    taken[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(table)))


_RULES: Mapping[str, Callable[[Gold, str, Answer, str], Decision]] = {
    "truth": by_truth,
    "option": by_option,
    "quantity": by_quantity,
    "configuration": by_configuration,
    "nuclide": by_nuclide,
    "reaction": by_reaction,
    "formula": by_formula,
    "list": by_list,
    "expression": by_expression,
    "text": by_text,
}

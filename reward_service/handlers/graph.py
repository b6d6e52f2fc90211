"""Graph logic puzzles: which node, named by a string of letters, is reached or comes first, last, …

What is decided here: the answer is one node. It is compared with the ground truth without case (the published
scorer's rule, guru.md §2a and §5.2), after code marks, quotes, a box and a closing full stop are taken off.
"The node is X" is read as X, because that says nothing else; two nodes, a path, or a hedge are wrong. An
`<answer>` that never closes is refused: a name cut short can be another name. The guru profile takes the last
`<answer>` on one line, and only letters.
"""

from __future__ import annotations

from typing import Any

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._logic import hedged, last_answer, published_answer, undress
from reward_service.handlers._text import collapse, plain_characters
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, malformed, reject

MAX_CHARS = 1_000
"""Characters of an answer: a longer one isn't the name of a node."""

_LEAD_WORDS = (
    "the a final answer correct resulting result last first end ending start starting reached destination target "
    "required requested missing node vertex name label string letters symbol path traversal sequence solution so "
    "therefore thus hence then it this that we is are reach"
)
_LEAD = frozenset(_LEAD_WORDS.split())
_COPULAS = (" is ", ": ", "=")
_KINDS = ("node ", "vertex ")

GOLD = 'the node\'s name, in any letter case: `"fdebme"`'


@handler(
    "graph",
    version="2",
    domain=Domain.LOGIC,
    sources=[
        Source(
            "logic__graph_logical_dataset",
            gold=GOLD,
            example=Example("So the last node is reached. <answer> fdebme </answer>", "fdebme"),
            aliases=("logic__graph_logical", "logic__graph", "graph_dataset", "graph_logic"),
        )
    ],
)
@one_answer
def plan(item: Item) -> Outcome:
    """One node name in the last `<answer>` or box equals the ground truth, letter case aside."""
    gold = _gold(item.ground_truth)
    if gold is None:
        return malformed("the ground truth is the name of a node, a non-empty string")
    trace = {"gold": gold, "comparator": "casefold"} if item.explain else {}
    if item.profile is Profile.GURU:
        answer = published_answer(item.response)
        if not answer:
            return reject(Reason.NO_ANSWER, trace=trace)
        if not (answer.isascii() and answer.isalpha()):
            return reject(Reason.MALFORMED_ANSWER, answer, trace=trace)
        if answer.casefold() == gold:
            return accept(answer, trace=trace)
        return reject(Reason.NOT_EQUAL, answer, trace=trace)

    found = last_answer(item.response)
    if found is None or not found.closed:
        return reject(Reason.NO_ANSWER, trace=trace, message="no closed <answer>…</answer> or box")
    if len(found.content) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=(*found.flags, "oversized_answer"), trace=trace)
    node = _node(found.content, gold)
    narrate.forms(node, gold, "without dress, lead-in and letter case")
    narrate.compared("same name", node == gold)
    if node == gold:
        return accept(node, flags=found.flags, trace=trace)
    if not node:
        return reject(Reason.NO_ANSWER, flags=found.flags, trace=trace)
    several = not node.replace("-", "").replace("_", "").isalnum()
    reason = Reason.AMBIGUOUS_ANSWER if several or hedged(node) else Reason.NOT_EQUAL
    return reject(reason, node, flags=found.flags, trace=trace)


def _gold(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or len(value) > MAX_CHARS:
        return None
    return collapse(plain_characters(value)).casefold() or None


def _node(content: str, gold: str) -> str:
    """The node that the answer names, in lower case, without a neutral lead-in such as "the node is"."""
    text = collapse(undress(content)).casefold()
    for copula in _COPULAS:
        head, found, tail = text.rpartition(copula)
        if text != gold and found and all(word in _LEAD for word in head.replace(",", " ").split()):
            text = collapse(undress(tail))
    for kind in _KINDS:
        if text != gold and text.startswith(kind):
            text = text[len(kind) :]
    return text

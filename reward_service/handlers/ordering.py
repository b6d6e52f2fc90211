"""Ordering puzzles: birds, people, vehicles, … to be put into one order.

What is decided here: the answer is one list. It must have the ground truth's items, all of them, in its order
and none besides; letter case is ignored on both sides (the published scorer lowers only the prediction, so its
"people" rows could never be right: guru.md §5.2). How the list is written doesn't matter: a JSON or Python
list, quoted or not, a tuple, `a -> b`, numbered lines, commas. Nothing is ever evaluated (the published
scorer's fall-back was `eval`, guru.md §5.5). Two lists, a hedge or a negation beside the list are ambiguous.

The guru profile: last `<answer>` on one line, first `[…]` in it, lowered items against the ground truth as it
is; where the published scorer went on to `eval`, the answer is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._literal import LiteralError, parse_json, parse_literal
from reward_service.handlers._logic import Answer, hedged, last_answer, plain, published_answer, undress
from reward_service.handlers._text import peel, plain_characters
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, malformed, reject

MAX_CHARS = 8_000
"""Characters of an answer: a longer one isn't a list of names."""

_ARROWS = re.compile(r"-+>|→|⟶|=>|⇒|\$?\\(?:(?:long)?rightarrow|to)\b *\$?|>")
_NUMBER = re.compile(r"\(?(\d{1,3})[.):]\)? ?(?=\D)")
_BULLET = re.compile(r"[-*•+] +")
_AND = re.compile(r"^and ", re.IGNORECASE)

GOLD = 'list of names in their order: `["pigeon", "sparrow", "quail"]` (also as JSON in a string)'


class _Unreadable(ValueError):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@handler(
    "ordering",
    version="2",
    domain=Domain.LOGIC,
    sources=[
        Source(
            "logic__ordering_puzzle_dataset",
            gold=GOLD,
            example=Example(
                "From left to right: <answer> ['Pigeon', 'sparrow', 'quail'] </answer>",
                ["pigeon", "sparrow", "quail"],
            ),
            aliases=("logic__ordering_puzzle", "puzzles_dataset", "ordering_puzzle_dataset"),
        )
    ],
)
@one_answer
def plan(item: Item) -> Outcome:
    """One list in the last `<answer>` or box has exactly the ground truth's names in its order."""
    gold = _gold(item.ground_truth)
    if gold is None:
        return malformed("the ground truth is a non-empty list of names")
    trace = {"gold": gold, "comparator": "list without case"} if item.explain else {}
    if item.profile is Profile.GURU:
        return _published(item.response, gold)

    found = last_answer(item.response)
    if found is None:
        return reject(Reason.NO_ANSWER, trace=trace, message="no <answer>…</answer> or box")
    if len(found.content) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=(*found.flags, "oversized_answer"), trace=trace)
    try:
        names = _names(undress(found.content), found)
    except _Unreadable as unreadable:
        return reject(unreadable.reason, found.content, flags=found.flags, trace=trace)
    _tell(names, gold)
    if names == gold:
        return accept(", ".join(names), flags=found.flags, trace=trace)
    answer = [plain(name) for name in names]
    if answer == [plain(plain_characters(name)) for name in gold]:
        return accept(", ".join(names), flags=found.flags, trace=trace)
    flags = found.flags if len(answer) <= len(gold) else (*found.flags, "multiple_answers")
    return reject(Reason.NOT_EQUAL, ", ".join(names), flags=tuple(dict.fromkeys(flags)), trace=trace)


def _gold(value: Any) -> list[str] | None:
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except LiteralError:
            value = value.split(",") if "[" not in value else None
    if not isinstance(value, list | tuple) or not value:
        return None
    names = [
        str(name).strip() for name in value if isinstance(name, str | int) and not isinstance(name, bool)
    ]
    return names if len(names) == len(value) and all(names) else None


def _tell(names: Sequence[str], gold: Sequence[str]) -> None:
    """Place by place, for whoever asks why."""
    if narrate.listening():
        narrate.forms(list(map(plain, names)), [plain(plain_characters(name)) for name in gold], "names")
        for place in range(max(len(names), len(gold))):
            name = names[place] if place < len(names) else ""
            wanted = gold[place] if place < len(gold) else ""
            same = plain(name) == plain(plain_characters(wanted))
            narrate.check(
                f"place {place + 1}", same, expected=wanted or "nothing more", got=name or "nothing"
            )


def _published(response: str, gold: list[str]) -> Outcome:
    answer = published_answer(response)
    if not answer:
        return reject(Reason.NO_ANSWER)
    start = answer.find("[")
    end = answer.find("]", start)
    if start < 0 or end < 0:
        return reject(Reason.MALFORMED_ANSWER, answer)
    names = [name.strip().strip("'\"").lower() for name in answer[start + 1 : end].split(",")]
    return accept(answer) if names == gold else reject(Reason.NOT_EQUAL, answer)


def _names(text: str, found: Answer) -> list[str]:
    """The names in an undressed answer, as they are written. _Unreadable with the reason otherwise."""
    if not text:
        raise _Unreadable(Reason.NO_ANSWER)
    for opening, closing in ("[]", "()"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end and (opening == "[" or (start == 0 and end == len(text) - 1)):
            inner = text[start + 1 : end]
            beside = text[:start] + " " + text[end + 1 :]
            if opening in inner or closing in inner or hedged(beside):
                raise _Unreadable(Reason.AMBIGUOUS_ANSWER)
            if any(mark in beside for mark in "()[]{}"):  # a call, such as sorted([…])
                raise _Unreadable(Reason.MALFORMED_ANSWER)
            return _items(text[start : end + 1], inner)
    if not found.closed:
        raise _Unreadable(Reason.MALFORMED_ANSWER)
    first, _, rest = text.partition(":")
    if rest.strip() and "\n" not in first.strip() and not any(mark in first for mark in ",->"):
        if hedged(first):
            raise _Unreadable(Reason.AMBIGUOUS_ANSWER)
        if not first.strip().isdigit():
            text = rest.strip()
    if len(pieces := _ARROWS.split(text)) > 1:
        return _cleaned(pieces)
    if len(pieces := text.splitlines()) > 1:
        return _cleaned(pieces)
    return _cleaned(text.split(","))


def _items(literal: str, inner: str) -> list[str]:
    if "'" not in inner and '"' not in inner:
        return _cleaned(inner.split(","))
    try:
        value = parse_literal(literal)
    except LiteralError:
        return _cleaned(inner.split(","))
    if isinstance(value, str):  # ("a") is no tuple
        value = [value]
    if not isinstance(value, list | tuple) or not value:
        raise _Unreadable(Reason.NO_ANSWER if value in ([], ()) else Reason.MALFORMED_ANSWER)
    if not all(isinstance(name, str | int) and not isinstance(name, bool) for name in value):
        raise _Unreadable(Reason.MALFORMED_ANSWER)
    return [str(name) for name in value]


def _cleaned(pieces: Sequence[str]) -> list[str]:
    """Pieces without bullets, quotes and consecutive numbers; empty ones at the ends of lines are no items."""
    names: list[str] = []
    numbers: list[int] = []
    for piece in pieces:
        piece = piece.strip().rstrip(",").strip()
        if not piece:
            continue
        number = _NUMBER.match(piece)
        if number is not None:
            numbers.append(int(number.group(1)))
            piece = piece[number.end() :]
        else:
            piece = _BULLET.sub("", piece, count=1) if _BULLET.match(piece) else piece
        names.append(peel(_AND.sub("", piece)))
    if not names:
        raise _Unreadable(Reason.NO_ANSWER)
    if any(mark in name for name in names for mark in "[]{}()<=;|"):
        raise _Unreadable(Reason.MALFORMED_ANSWER)
    if numbers and numbers != list(range(1, len(names) + 1)):
        raise _Unreadable(Reason.MALFORMED_ANSWER)
    return names

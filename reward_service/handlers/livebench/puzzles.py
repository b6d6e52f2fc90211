"""LiveBench's reasoning tasks: web_of_lies, house_traversal, zebra_puzzle, spatial.

What is decided here: an answer is exactly the words that were asked for, in their order; letter case, commas,
"and" and dress aside. The official rules look for the ground truth inside the answer ("not triangle" has a
triangle in it).
- web_of_lies_v2: three of yes, no and unknown, all right. v3: by position, `(all right + share of right ones)
  / 2`; an answer with more words than questions is wrong.
- house_traversal: the names, no other, in their order.
- zebra_puzzle: one word or number (`3` is `three`, "action" is "action movies", "position 3" is 3); with
  several questions (a comma in the ground truth) the formula of v3.
- spatial: one number or phrase; "two tetrahedra" and "equilateral triangle" are accepted, as officially, for
  a tetrahedron and a triangle: one word before the shape, if it is no other shape and no negation.
"""

from __future__ import annotations

import re

from reward_service.handlers._logic import hedged, plain, undress
from reward_service.handlers._qa import readings
from reward_service.handlers.livebench.extract import NO_GOLD, Found, find, gold_text, missing, verdict
from reward_service.types import Item, Outcome, Reason

_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
NUMBERS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}
"""Number words and their digits."""

_TRUTHS = frozenset({"yes", "no", "unknown"})
_WORDS = re.compile(r"[^\W\d_]+")
_JOINTS = frozenset({"and", "then", "to"})


def _texts(found: Found) -> list[str]:
    return readings(found.content)


# ---------------------------------------------------------------- web of lies


def web_of_lies_v2(item: Item) -> Outcome:
    """Every yes, no or unknown is right."""
    return _lies(item, partial=False)


def web_of_lies_v3(item: Item) -> Outcome:
    """Half for the share of right words, half for all of them."""
    return _lies(item, partial=True)


def _lies(item: Item, *, partial: bool) -> Outcome:
    gold = _WORDS.findall((gold_text(item) or "").lower())
    if not gold or not _TRUTHS.issuperset(gold):
        return NO_GOLD
    found = find(item.response)
    if (outcome := missing(found)) is not None or found is None:
        return outcome or NO_GOLD
    words = next((words for text in _texts(found) if (words := _truths(text))), None)
    if found.passages and words is not None and len(words) == 1 < len(gold):
        words = _trailing(found.passages, len(gold))
    if words is None:
        return verdict(0.0, found.shown, item, found.flags, Reason.MALFORMED_ANSWER)
    if len(words) > len(gold):
        return verdict(0.0, found.shown, item, found.flags, Reason.AMBIGUOUS_ANSWER)
    right = sum(left == word for left, word in zip(gold, words, strict=False))
    return verdict(_half_and_half(right, len(gold), partial), ", ".join(words), item, found.flags)


def _truths(text: str) -> list[str] | None:
    """The words of a list of yes, no and unknown; None if any other word is in it."""
    words = [word for word in _WORDS.findall(text.lower()) if word != "and"]
    return words if words and _TRUTHS.issuperset(words) else None


def _trailing(passages: tuple[str, ...], count: int) -> list[str]:
    """One word from each of the last `count` bold passages, as far as they are such words."""
    words: list[str] = []
    for passage in reversed(passages[-count:]):
        one = _truths(passage)
        if one is None or len(one) != 1:
            break
        words.insert(0, one[0])
    return words


def _half_and_half(right: int, total: int, partial: bool) -> float:
    whole = right == total
    return ((whole + right / total) / 2) if partial else float(whole)


# ---------------------------------------------------------------- houses


def house_traversal(item: Item) -> Outcome:
    """The names in their order, and no other."""
    gold = _names(gold_text(item) or "")
    if not gold:
        return NO_GOLD
    found = find(item.response)
    if (outcome := missing(found)) is not None or found is None:
        return outcome or NO_GOLD
    answers = [_names(text) for text in _texts(found)]
    if found.passages and len(answers[0]) == 1 < len(gold):
        each = [_names(passage) for passage in found.passages[-len(gold) :]]
        answers.append([names[0] for names in each if len(names) == 1])
    return verdict(float(gold in answers), found.shown, item, found.flags)


def _names(text: str) -> list[str]:
    return [word for word in _WORDS.findall(undress(text).casefold()) if word not in _JOINTS]


# ---------------------------------------------------------------- zebra


def zebra_puzzle(item: Item) -> Outcome:
    """The word or number asked for; with several questions, half for the share and half for all of them."""
    gold = gold_text(item)
    if gold is None:
        return NO_GOLD
    found = find(item.response)
    if (outcome := missing(found)) is not None or found is None:
        return outcome or NO_GOLD
    wanted = [_value(part) for part in gold.split(",")]
    if len(wanted) == 1:
        equal = any(_same_value(wanted[0], _value(text)) for text in _texts(found))
        wrong = Reason.AMBIGUOUS_ANSWER if hedged(found.shown) and not hedged(gold) else Reason.NOT_EQUAL
        return verdict(float(equal), found.shown, item, found.flags, wrong)
    best = 0
    for text in _texts(found):
        given = [_value(part) for part in re.split(r",|\n", text) if part.strip()]
        if len(given) <= len(wanted):
            best = max(best, sum(map(_same_value, wanted, given)))
    return verdict(_half_and_half(best, len(wanted), True), found.shown, item, found.flags)


_LEAD = re.compile(r"(?:position|house|number|no\.|#) ?(?=\d)")


def _value(text: str) -> str:
    text = plain(undress(text))
    text = NUMBERS.get(text, text)
    return _LEAD.sub("", text, count=1)


def _same_value(gold: str, answer: str) -> bool:
    return bool(answer) and (answer == gold or f"{answer} movies" == gold)


# ---------------------------------------------------------------- spatial


_SHAPES = {
    "tetrahedra": "tetrahedron", "tetrahedrons": "tetrahedron", "tetrahedron": "tetrahedron",
    "triangles": "triangle", "triangle": "triangle", "squares": "square", "square": "square",
}  # fmt: skip
_OTHER_SHAPE = re.compile(
    r"circle|rectang|rhomb|sphere|pyramid|cube|octa|hexa|penta|poly|prism|cone|cylind|trapez|kite|line"
)


def spatial(item: Item) -> Outcome:
    """The number or phrase in the last bold passage."""
    gold = gold_text(item)
    if gold is None:
        return NO_GOLD
    found = find(item.response)
    if (outcome := missing(found)) is not None or found is None:
        return outcome or NO_GOLD
    wanted = _value(gold)
    equal = any(_same_shape(wanted, _value(text)) for text in _texts(found))
    wrong = Reason.AMBIGUOUS_ANSWER if hedged(found.shown) and not hedged(gold) else Reason.NOT_EQUAL
    return verdict(float(equal), found.shown, item, found.flags, wrong)


def _same_shape(gold: str, answer: str) -> bool:
    if gold == answer:
        return bool(answer)
    before, _, last = answer.rpartition(" ")
    if gold not in _SHAPES or _SHAPES.get(last) != _SHAPES[gold]:
        return False
    before = before.removeprefix("a ").removeprefix("an ")
    known = any(shape in before for shape in _SHAPES) or _OTHER_SHAPE.search(before)
    return " " not in before and not known and not hedged(before) and not before.startswith(("non", "anti"))

r"""BIG-Bench Extra Hard: one short answer behind "The answer is:", or in a box.

What is decided here: the rule is the official one (bbeh/evaluate.py: last prefix, first line, lower case, `,
` as `,`, then a fuzzy match) with what it gets wrong put right.
- Where: the last "the answer is" (any "final", "therefore", bold, or a line that begins with "Answer:") or
  box after the thinking, whichever comes later. A response with neither has no answer: the official rule then
  compares all of it, so that an empty response is right where the ground truth is `[]`.
- Equal: the same text without case, outer quotes, apostrophes and a closing full stop; `(D)`, `D`, `D)`,
  `option D`; the same number (by a grammar: `float` would read `nan`, `1_0` and `1e3`); the same list, item
  by item and in order, in brackets or not; one closing `?` of a sentence.
- An explanation behind the answer is left out if nothing in it can turn the answer round. Hedges and
  negations are ambiguous.

There is no published Reasoning360 scorer (its file is empty, guru.md §2a): both profiles judge alike.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._logic import hedged, undress
from reward_service.handlers._qa import MAX_ANSWER, find_answer
from reward_service.handlers._text import collapse, peel, plain_characters
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

GOLD = "the answer: a word, a number, an option `(D)`, or a comma-separated list"


class _Form(NamedTuple):
    """An answer ready to be compared: its text, and its items (one item: not a list)."""

    text: str
    items: tuple[str, ...]


@handler(
    "bbeh",
    version="2",
    domain=Domain.LOGIC,
    sources=[
        Source(
            "bbeh__*", GOLD, Example("So the rest follows. The answer is: (C)", "(C)"), ("bbeh", "bbeh_mini")
        ),
        Source("bbeh_*", GOLD, Example("The answer is: yes, unknown, no", "yes, unknown, no")),
    ],
)
@one_answer
def plan(item: Item) -> Outcome:
    """The answer behind the last "The answer is" or in the last box is the ground truth."""
    value = item.ground_truth
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_ANSWER:
        return malformed("the ground truth is a non-empty string or a number")
    gold = _form(value)
    trace = {"gold": value, "comparator": "bbeh fuzzy match"} if item.explain else {}
    found = find_answer(item.response, lines=True)
    if found is None:
        return reject(Reason.NO_ANSWER, trace=trace, message='no "The answer is: …" and no box')
    if len(found.text) > MAX_ANSWER + 2 * len(value):
        return reject(Reason.MALFORMED_ANSWER, flags=(*found.flags, "oversized_answer"), trace=trace)
    texts = [text for text in map(_lead_off, found.readings()) if text]
    if not texts:
        return reject(Reason.NO_ANSWER, flags=found.flags, trace=trace)
    if narrate.listening():
        narrate.forms(_form(texts[0]), gold, "BBEH's form")
        narrate.compared("bbeh fuzzy match", any(_equal(_form(text), gold) for text in texts))
    if any(_equal(_form(text), gold) for text in texts):
        return accept(texts[0], flags=found.flags, trace=trace)
    turned = hedged(texts[0]) and not hedged(value)
    return reject(
        Reason.AMBIGUOUS_ANSWER if turned else Reason.NOT_EQUAL, texts[0], flags=found.flags, trace=trace
    )


_LEAD = re.compile(r"(?:(?:therefore|thus|hence|then|clearly|indeed|simply)\b[ ,:]*)+", re.IGNORECASE)


def _lead_off(text: str) -> str:
    text = undress(text)
    lead = _LEAD.match(text)
    return undress(text[lead.end() :]) if lead is not None else text


# ---------------------------------------------------------------- comparison


_COMMA = re.compile(r", ?(?:and )?")
_OPTION = re.compile(r"(?:option |choice )?(?:\(([a-z])\)|([a-z])\)?)")
_OPTION_WITH_TEXT = re.compile(r"(?:option |choice )?\(([a-z])\)[.:]? (?!.*\([a-z]\))(.+)")
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[+-]?\.\d+")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_SENTENCE = re.compile(r"\S+ \S+")


@lru_cache(maxsize=512)
def _form(text: str) -> _Form:
    text = collapse(plain_characters(text)).casefold()
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    whole = _unbracketed(text)
    # ` ,` is no way to write a list; the official rule refuses it as well.
    pieces = _COMMA.split(whole) if " ," not in whole else [whole]
    return _Form(text.replace("'", ""), tuple(peel(piece).replace("'", "") for piece in pieces))


def _unbracketed(text: str) -> str:
    """The text without one pair of brackets around all of it."""
    inner = text[1:-1]
    if len(text) > 2 and _BRACKETS.get(text[0]) == text[-1] and not any(mark in inner for mark in "[](){}"):
        return inner.strip()
    return text


def _equal(answer: _Form, gold: _Form) -> bool:
    if answer.text == gold.text:
        return True
    if (wanted := _option(gold.text)) is not None:
        return _option(answer.text, with_text=True) == wanted
    if (number := _number(gold.text)) is not None:
        return _number(answer.text) == number
    if len(answer.items) == len(gold.items) and all(map(_same_item, answer.items, gold.items)):
        return True
    # A question mark behind a word or number is doubt; behind a sentence it is punctuation.
    return bool(_SENTENCE.match(gold.text)) and answer.text.rstrip("?!.") == gold.text.rstrip("?!.")


def _same_item(answer: str, gold: str) -> bool:
    if answer == gold:
        return True
    number = _number(gold)
    return number is not None and number == _number(answer)


def _option(text: str, *, with_text: bool = False) -> str | None:
    """The letter of `(d)`, `d`, `d)`, `option d`; with_text: also of `(d) the text of the option`, if it is no hedge."""
    match = _OPTION.fullmatch(text)
    if match is None and with_text:
        match = _OPTION_WITH_TEXT.fullmatch(text)
        if match is not None:
            return None if hedged(match.group(2)) else match.group(1)
    return None if match is None else match.group(1) or match.group(2)


def _number(text: str) -> tuple[bool, str, str] | None:
    """Sign, whole part and decimals without idle zeros; None if the text is no plain number."""
    text = text.replace("{,}", ",")
    if _NUMBER.fullmatch(text) is None:
        return None
    whole, _, decimals = text.lstrip("+-").replace(",", "").partition(".")
    whole, decimals = whole.lstrip("0"), decimals.rstrip("0")
    return (text.startswith("-") and bool(whole or decimals), whole, decimals)

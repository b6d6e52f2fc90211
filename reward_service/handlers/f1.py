"""Short answers with partial credit: token F1, as SQuAD and DROP score it. For any source named `f1__…`.

What is decided here: the words are those of the strict normal form (`_qa`), so "C" shares nothing with "C++"
and 35 nothing with 3.5. Several accepted answers: the best F1 counts (SQuAD). Spans that are all wanted
(`{"spans": [...]}`, DROP): spans of answer and ground truth are paired one to one, the best pair first, and
what has no partner counts 0. As in DROP, an answer that has none of the ground truth's numbers earns nothing,
whatever words it shares. The score is the F1; `correct` only when it is 1. Sources: Rajpurkar et al. 2016,
Dua et al. 2019 (their definitions; own code).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._qa import (
    ARTICLES,
    MAX_ANSWER,
    Found,
    GoldError,
    alternatives,
    find_answer,
    same_text,
    words,
)
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject, scored

MAX_SPANS = 32
"""Spans of one ground truth or answer: every pair of them is compared."""

_SEPARATORS = (re.compile(r"[\n;|]"), re.compile(r",(?: and )?| and "))


@handler(
    "f1",
    version="2",
    domain=Domain.SCIENCE,
    sources=[
        Source(
            "f1__*",
            'accepted answers: a string, a list, `{"text": [...]}`; all of several spans: `{"spans": [...]}`',
            Example("<answer>in the Black Sea</answer>", ["in the Black Sea", "Black Sea"]),
            ("f1", "token_f1"),
        )
    ],
)
@one_answer
def plan(item: Item) -> Outcome:
    """The last answer earns its token F1 against the best of the accepted answers."""
    try:
        spans, golds = _golds(item.ground_truth)
    except GoldError as error:
        return malformed(f"the ground truth is not a text or a list of texts: {error}")
    if len(golds) > MAX_SPANS and spans:
        return malformed(f"more than {MAX_SPANS} spans")
    found = find_answer(item.response, lines=True)
    if found is None:
        return reject(Reason.NO_ANSWER)
    if len(found.text) > 2 * MAX_ANSWER:
        return reject(Reason.MALFORMED_ANSWER, flags=(*found.flags, "oversized_answer"))
    answers = found.readings()
    if not answers:
        return reject(Reason.NO_ANSWER, flags=found.flags)
    if spans:
        score = _spans_f1(found, golds)
    else:
        score = max(_f1(answer, gold) for answer in answers for gold in golds)
    trace = {"gold": golds[:20], "comparator": "token F1"} if item.explain else {}
    narrate.compared("token F1", score == 1.0, "the best of all accepted answers")
    if score == 1.0:
        return accept(answers[0], flags=found.flags, trace=trace)
    if score > 0:
        return scored(score, Reason.PARTIALLY_EQUAL, answers[0], flags=found.flags, trace=trace)
    return reject(Reason.NOT_EQUAL, answers[0], flags=found.flags, trace=trace)


def _golds(value: Any) -> tuple[bool, list[str]]:
    """Are all of the texts wanted, and the texts. DROP's `{"number": "5"}` is one text."""
    if isinstance(value, dict):
        spans = value.get("spans")
        if isinstance(spans, list) and spans:
            return len(spans) > 1, alternatives(spans, parse=False)
        number = value.get("number")
        if isinstance(number, str | int | float) and str(number).strip():
            return False, [str(number)]
    return False, alternatives(value, parse=False)


def _f1(answer: str, gold: str) -> float:
    if same_text(answer, gold):
        return 1.0
    left, right = (Counter(word for word in words(text) if word not in ARTICLES) for text in (answer, gold))
    numbers = {word for word in right if word[-1].isdigit()}
    if numbers and not numbers & left.keys():
        return 0.0
    common = sum((left & right).values())
    return 2 * common / (left.total() + right.total()) if common else 0.0


def _spans_f1(found: Found, golds: Sequence[str]) -> float:
    """The best mean F1 of paired spans over every reading of the answer as a list."""
    best = 0.0
    for reading in found.readings():
        for separator in _SEPARATORS:
            spans = [span.strip() for span in separator.split(reading) if span.strip()]
            if spans and len(spans) <= MAX_SPANS:
                best = max(best, _paired(spans, golds))
    return best


def _paired(spans: Sequence[str], golds: Sequence[str]) -> float:
    """Sum of F1 over one-to-one pairs, the best pair first, divided by the greater number of spans."""
    pairs = sorted(
        (
            (_f1(span, gold), -row, -column)
            for row, span in enumerate(spans)
            for column, gold in enumerate(golds)
        ),
        reverse=True,
    )
    rows: set[int] = set()
    columns: set[int] = set()
    total = 0.0
    for value, row, column in pairs:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            total += value
    return total / max(len(spans), len(golds))

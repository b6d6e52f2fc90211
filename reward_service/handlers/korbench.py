r"""KOR-Bench: answers in double square brackets, `[[24]]`, of five categories.

What is decided here: which brackets hold the answer, and which comparison a category asks for (`_korbench`).
- Where: the last `[[…]]` or box after the thinking. Brackets are matched, and a `\[` that opens display math is none of
  them: the official pattern runs from the first `[[` to the next `]]`, takes an earlier example for the answer, and
  spans from `\[[` over pages (domains.md §1.2).
- Category: `extra_info.category` (a cipher's own "Encryption"/"Decryption" too) or its like, else the name of the data
  source (`korbench__logic`); without either the ground truth's shape decides among the comparisons that need none.
  `rule_id` says which puzzle it is: without it, alternatives (rules 2 and 4) and unordered words (rule 3) can't be told
  from a list.
- The intent of the official rules, without `eval` and without a parser that evaluates: calculations are computed in
  fractions by a grammar of their own, formulas compared at fixed points (`_formula`).

There is no published Reasoning360 scorer: both profiles judge alike.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from reward_service.handlers._korbench import CATEGORIES, equal
from reward_service.handlers._logic import hedged
from reward_service.handlers._qa import collapsed
from reward_service.handlers._text import boxes, final_part
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Reason, accept, malformed, reject

MAX_CHARS = 8_000
"""Characters of an answer; the longest puzzle answers (word searches, 10 x 10 grids) have fewer than 1,000."""

CATEGORY_FIELDS = ("category", "question_type", "split", "task")
"""Where a row may say its category; the first that names one counts."""

GOLD = "the answer in double square brackets, as the data set has it: `[[24]]`, `[[A];[C]]`, `[[1 2,2 1]]`"


@handler(
    "korbench",
    version="1",
    domain=Domain.LOGIC,
    reads=(*CATEGORY_FIELDS, "rule_id"),
    sources=[
        Source(
            "korbench*",
            GOLD,
            Example("Both make 12, so the answer is [[5or-3]].", "[[-3or5]]", {"category": "operation"}),
        ),
        Source(
            "kor_bench*",
            GOLD,
            Example("[[(8-2)×(3+1)]]", "[[(3+1)*(8-2)]]", {"category": "puzzle", "rule_id": "10"}),
        ),
        Source("kor-bench*", GOLD, Example("So [[p1&p2];[~p3]]", "[[p1&p2];[~p3]]", {"category": "logic"})),
    ],
)
def plan(item: Item) -> Outcome:
    """The last [[…]] holds the ground truth, by the rule of its category."""
    gold = _gold(item.ground_truth)
    if gold is None:
        return malformed("the ground truth is a non-empty string, in double square brackets or bare")
    category = _category(item)
    rule = str(item.extra_info.get("rule_id") or "").strip()
    found = candidates(final_part(item.response))
    trace = {"gold": gold, "category": category or "unknown", "rule": rule} if item.explain else {}
    if not found:
        return reject(Reason.NO_ANSWER, trace=trace, message="no closed [[…]]")
    answer = found[-1]
    flags = ("multiple_answers",) if any(collapsed(one) != collapsed(answer) for one in found[:-1]) else ()
    if len(answer) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=(*flags, "oversized_answer"), trace=trace)
    if not answer.strip():
        return reject(Reason.NO_ANSWER, flags=flags, trace=trace)
    if equal(gold, answer, category, rule):
        return accept(answer, flags=flags, trace=trace)
    turned = category in ("counterfactual", "puzzle") and hedged(answer) and not hedged(gold)
    return reject(Reason.AMBIGUOUS_ANSWER if turned else Reason.NOT_EQUAL, answer, flags=flags, trace=trace)


def _gold(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or len(value) > MAX_CHARS:
        return None
    text = value.strip()
    found = candidates(text) if text.startswith("[[") else []
    # A cipher text may hold brackets of its own; then all between the outer ones is the answer.
    inner = (
        found[0] if len(found) == 1 else text[2:-2] if text.startswith("[[") and text.endswith("]]") else text
    )
    return inner.strip() or None


def _category(item: Item) -> str:
    for field in CATEGORY_FIELDS:
        said = str(item.extra_info.get(field) or "").strip().lower()
        if said in ("encryption", "decryption"):
            return "cipher"
        if said in CATEGORIES:
            return said
    return next((category for category in CATEGORIES if category in item.data_source), "")


_BRACKET = re.compile(r"[\[\]]")
_LEFT = re.compile(r"\\left\s?\[\s?\\left\s?\[")
_RIGHT = re.compile(r"\\right\s?\]\s?\\right\s?\]")


def candidates(text: str) -> list[str]:
    """The contents of every `[[…]]` in order, brackets inside matched; a box outside of them is one as well."""
    text = _RIGHT.sub("]]", _LEFT.sub("[[", text)) if "\\left" in text else text
    found: list[tuple[int, int, str]] = []
    pairs, ends = _pairs(text), _ends(text)
    at = text.find("[[")
    while at >= 0:
        if at and text[at - 1] == "\\":  # opens display math; in \[[[24]]\] the answer opens behind it
            if text[at + 2 : at + 3] != "[":
                at = text.find("[[", at + 1)
                continue
            at += 1
        close = _close(text, at, pairs, ends)
        if close is not None:
            found.append((at, close, text[at + 2 : close - 1]))
        at = text.find("[[", at + 1 if close is None else close)
    if "box" in text:
        found += [
            (box.start, box.end, box.content)
            for box in boxes(text)
            if "[[" not in box.content and not any(start < box.start < end for start, end, _ in found)
        ]
    return [content for _, _, content in sorted(found)]


def _close(text: str, at: int, pairs: Mapping[int, int], ends: Sequence[int]) -> int | None:
    """Index of the last bracket of the `[[` at `at`: its matching pair, else the next `]]` if nothing opens before it."""
    close = pairs.get(at)
    if close is not None and text[close - 1] == "]" and pairs.get(at + 1, close) < close:
        return close
    later = bisect_left(ends, at + 2)
    following = text.find("[[", at + 2)
    if later == len(ends) or 0 <= following < ends[later]:
        return None
    return ends[later] + 1


def _pairs(text: str) -> dict[int, int]:
    """Index of the closing bracket for every opening one that has one."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for bracket in _BRACKET.finditer(text):
        if bracket.group() == "[":
            opened.append(bracket.start())
        elif opened:
            pairs[opened.pop()] = bracket.start()
    return pairs


def _ends(text: str) -> list[int]:
    ends, at = [], text.find("]]")
    while at >= 0:
        ends.append(at)
        at = text.find("]]", at + 1)
    return ends

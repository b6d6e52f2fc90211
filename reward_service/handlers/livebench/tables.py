"""LiveBench's data-analysis tasks: cta, tablejoin, tablereformat.

What is decided here:
- cta (column type annotation): the name of one class, letter case, spaces and underscores aside. The prompt
  asks for nothing but the name, so an answer without any mark is the last line that says something; prose is
  no class.
- tablejoin: a mapping of column names. F1 over pairs: a pair that the ground truth hasn't, or with another
  partner, is a false positive, a column without its right partner a false negative (the official counts). A
  key given twice makes the answer unreadable; names are compared as written, because they were to be copied.
  The score is not rounded: the official two places turn 0.996 into full marks.
- tablereformat: a whole table, compared by `table_structure` in the format that the question names as its
  target, else in that of the ground truth.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from reward_service.handlers import table_structure
from reward_service.handlers._literal import LiteralError, last_json, parse_literal
from reward_service.handlers._logic import undress
from reward_service.handlers._qa import marked_line, readings
from reward_service.handlers._text import boxes, collapse, fences, final_part, plain_characters, tags
from reward_service.handlers.livebench.extract import (
    MAX_CHARS,
    NO_GOLD,
    Found,
    bold,
    gold_text,
    missing,
    verdict,
)
from reward_service.types import Item, Outcome, Reason, malformed

MAX_PAIRS = 2_000

# ---------------------------------------------------------------- cta


def cta(item: Item) -> Outcome:
    """The name of the class."""
    gold = gold_text(item)
    if gold is None or not _class_name(gold):
        return NO_GOLD
    found = _class_found(final_part(item.response))
    if (outcome := missing(found)) is not None or found is None:
        return outcome or NO_GOLD
    equal = any(_class_name(text) == _class_name(gold) for text in readings(found.content))
    return verdict(float(equal), found.shown, item, found.flags)


def _class_found(text: str) -> Found | None:
    marked = sorted(tags(text, "solution") + tags(text, "answer") + (boxes(text) if "box" in text else []))
    if marked:
        return Found(marked[-1].content, (), len({span.content.strip() for span in marked}) > 1)
    if (line := marked_line(text)) is not None:
        return Found(line[1], (), False)
    lines = [line.strip() for line in text.splitlines() if line.strip().strip("`*")]
    if not lines:
        return None
    passages = bold(lines[-1])
    return Found(passages[-1] if passages else lines[-1], (), False)


def _class_name(text: str) -> str:
    return re.sub(r"[\s_-]+", "", plain_characters(undress(text))).casefold()


# ---------------------------------------------------------------- tablejoin


def tablejoin(item: Item) -> Outcome:
    """F1 over the pairs of joined columns."""
    gold = _mapping(item.ground_truth)
    if not gold:
        return malformed("the ground truth is an object: names of columns, and the columns they join")
    text = final_part(item.response)
    if not text.strip():
        return verdict(0.0, "", item, wrong=Reason.NO_ANSWER)
    try:
        answer = _mapping(_joined(text))
    except LiteralError:
        answer = None
    if answer is None:
        return verdict(0.0, text[-200:], item, wrong=Reason.MALFORMED_ANSWER)
    right = sum(gold.get(name) == partner for name, partner in answer.items())
    score = 2 * right / (len(gold) + len(answer)) if answer else 0.0
    return verdict(score, str(answer), item)


def _joined(text: str) -> Any:
    """The mapping in the last solution, box or code fence, else the last object in the text."""
    for content in (
        *(span.content for span in sorted(tags(text, "solution") + boxes(text), reverse=True)),
        *(fence.body for fence in reversed(fences(text))),
    ):
        try:
            return parse_literal(undress(content).replace("\\{", "{").replace("\\}", "}").replace("\\_", "_"))
        except LiteralError:
            if "{" in content:
                return last_json(content[-MAX_CHARS:])
    return last_json(text[-MAX_CHARS:])


def _mapping(value: Any) -> dict[str, str] | None:
    """Names and partners as texts; a partner that is nothing is none. None if the value is no such mapping."""
    if isinstance(value, str):
        try:
            value = parse_literal(value)
        except LiteralError:
            return None
    if not isinstance(value, dict) or len(value) > MAX_PAIRS:
        return None
    if not all(isinstance(one, str | int | float | None) for pair in value.items() for one in pair):
        return None
    pairs = [
        (collapse(str(name)), collapse(str(partner)))
        for name, partner in value.items()
        if partner is not None
    ]
    return dict(pairs) if len(dict(pairs)) == len(pairs) else None


# ---------------------------------------------------------------- tablereformat


_TARGET = re.compile(
    r"(?:Target Format:|\bformat to)\s*(json(?:l| lines)?|csv|tsv|html|markdown)\b", re.IGNORECASE
)


def tablereformat(item: Item) -> Outcome:
    """A whole table in the format that was asked for, equal to the ground truth."""
    question = item.extra_info.get("question")
    named = _TARGET.findall(question) if isinstance(question, str) else []
    form = named[-1].lower().replace("json lines", "jsonl") if named else ""
    outcome = table_structure.plan(replace(item, extra_info={"format": form} if form else {}))
    if not isinstance(outcome, Outcome):
        raise TypeError("whole tables are judged without a sandbox")
    return outcome

r"""Checks of a response's form, as parts of a composite reward: its layout, and its length.

What is decided here: a layout is all or nothing, and each of its marks stands exactly once, in order and closed; a mark
inside another doesn't count. The length is DAPO's soft overlong punishment on [0, 1]. Lengths in tokens come from the
trainer, because only it has the tokenizer; characters and words (runs of non-space) are counted here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

from reward_service.handlers._text import boxes, final_part
from reward_service.types import Outcome, Reason, reject, scored

MAX_LENGTH = 10_000_000


class FormError(ValueError):
    """The check's own fields are not what they must be."""


def _once(text: str, *marks: str) -> bool:
    """Does every mark stand in the text exactly once, in this order, with something other than space between?"""
    at = 0
    for mark in marks:
        found = text.find(mark, at)
        if found < 0 or text.count(mark) != 1:
            return False
        if mark.startswith("</") and not text[at:found].strip():
            return False
        at = found + len(mark)
    return True


def _think_answer(text: str) -> bool:
    bare = text.strip()
    whole = bare.startswith("<think>") and bare.endswith("</answer>")
    marks = ("<think>", "</think>", "<answer>", "</answer>")
    return (
        whole and _once(bare, *marks) and not bare.partition("</think>")[2].partition("<answer>")[0].strip()
    )


def _think_boxed(text: str) -> bool:
    bare = text.strip()
    return bare.startswith("<think>") and _once(bare, "<think>", "</think>") and _boxed(bare)


def _boxed(text: str) -> bool:
    found = boxes(final_part(text))
    return len(found) == 1 and bool(found[0].content.strip())


def _answer_tag(text: str) -> bool:
    return _once(final_part(text), "<answer>", "</answer>")


FORMATS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "think_answer": _think_answer,
        "think_boxed": _think_boxed,
        "boxed": _boxed,
        "answer_tag": _answer_tag,
    }
)
"""think_answer: `<think>…</think> <answer>…</answer>` and nothing around it; think_boxed: a thinking part first and one
box after it; boxed: one non-empty box in the final part; answer_tag: one non-empty `<answer>` there."""


def layout(response: str, extra: Mapping[str, Any]) -> Outcome:
    """1 if the response has the layout `extra["format"]` (default `think_answer`), else 0. FormError for an unknown one."""
    name = extra.get("format", "think_answer")
    check = FORMATS.get(name) if isinstance(name, str) else None
    if check is None:
        raise FormError(f"format: `format` is one of {', '.join(FORMATS)}")
    return scored(1.0, Reason.EQUAL) if check(response) else reject(Reason.CONSTRAINT_VIOLATED)


_WORD = re.compile(r"\S+")


def length(response: str, extra: Mapping[str, Any]) -> Outcome:
    """DAPO's R_length + 1: 1 up to `max_length - buffer`, 0 from `max_length` on, a line between. FormError for bad fields."""
    limit, buffer, unit = extra.get("max_length"), extra.get("buffer", 0), extra.get("unit", "tokens")
    if not (_whole(limit) and _whole(buffer) and 1 <= limit >= buffer):
        raise FormError("length: `max_length` is a whole number above 0, `buffer` one from 0 to `max_length`")
    if unit == "tokens":
        size = extra.get("response_length")
        if not _whole(size):
            raise FormError(
                "length: tokens are counted by the trainer; send `response_length`, or say `unit`: characters or words"
            )
    elif unit == "characters":
        size = len(response)
    elif unit == "words":
        size = sum(1 for _ in _WORD.finditer(response))
    else:
        raise FormError("length: `unit` is tokens, characters or words")
    free = limit - buffer
    score = 1.0 if size <= free else 0.0 if size >= limit else (limit - size) / buffer
    if score == 1.0:
        return scored(1.0, Reason.EQUAL)
    return scored(score, Reason.PARTIALLY_EQUAL if score else Reason.CONSTRAINT_VIOLATED)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LENGTH


CHECKS: Mapping[str, Callable[[str, Mapping[str, Any]], Outcome]] = MappingProxyType(
    {"format": layout, "length": length}
)
"""Name of a component -> its check."""

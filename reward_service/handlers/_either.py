r"""Two answers with "or" between them are none: `\boxed{12} or \boxed{13}` names two values and leaves the choice to us.

What is decided here: the last answer counts, and words of its own before it make it a correction ("no, it is …"); a bare "or" doesn't.
Both may be right by rule (`0.5` or `50 %`), and then nothing is hedged. The published scorers don't look, so the guru
profile doesn't either.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import wraps
from typing import TypeVar, cast

from reward_service import narrate
from reward_service.handlers._text import Span, boxes, final_part, tags
from reward_service.registry import Decision, Plan
from reward_service.types import Item, Outcome, Profile, Reason, reject

_OR = re.compile(
    r"[\s$.,;*)\]]*(?:and\s?/\s?)?\bor\b(?:\s+(?:else|maybe|perhaps|possibly))?[\s$*(\[:]*", re.IGNORECASE
)
_GAP = 40
"""Characters between two answers that stand side by side."""


def before_or(response: str) -> str | None:
    """The response up to the answer before the last one, if nothing but "or" stands between the two."""
    if response.count("boxed") < 2 and response.count("/") < 2:
        return None
    text = final_part(response)
    spans = sorted((*tags(text, "answer"), *(boxes(text) if "box" in text else ())))
    outer: list[Span] = []
    for span in spans:
        if not outer or span.start >= outer[-1].end:
            outer.append(span)
    if len(outer) < 2:
        return None
    first, last = outer[-2:]
    gap = text[first.end : last.start]
    return text[: first.end] if len(gap) <= _GAP and _OR.fullmatch(gap) else None


_Plan = TypeVar("_Plan", bound=Plan)


def one_answer(plan: _Plan) -> _Plan:
    """For a handler's `plan`: what it pays is paid only if an alternative beside it would be paid as much."""

    @wraps(plan)
    def checked(item: Item) -> Decision:
        decision = plan(item)
        paid = decision.score if isinstance(decision, Outcome) else 1.0  # perhaps, when a judge was asked
        if not paid or item.profile is not Profile.STRICT:
            return decision
        earlier = before_or(item.response)
        if earlier is None:
            return decision
        with narrate.about('the answer before the "or"'):
            other = plan(replace(item, response=earlier))
        decided = isinstance(decision, Outcome) and isinstance(other, Outcome)
        if decided and isinstance(other, Outcome) and (other.score or 0.0) >= paid:
            return decision
        narrate.missing('one answer: another one stands beside the last, with nothing but "or" between them')
        told = decision if isinstance(decision, Outcome) else reject()
        return reject(
            Reason.AMBIGUOUS_ANSWER,
            told.extracted,
            flags=tuple(dict.fromkeys((*told.flags, "multiple_answers"))),
            trace=told.trace,
        )

    return cast("_Plan", checked)

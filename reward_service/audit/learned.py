"""Handlers that we know nothing about: plug-ins. What is right is learnt from their examples, and from what they offer.

What is decided here: an example that holds its own ground truth as text is a template. Where that text stood, other rows'
ground truths are put, and altered ones for the near misses. An example whose ground truth isn't the answer (clues,
tests, constraints) teaches no template; then its own response is all that is known to be right, unless the handler
offers `dress` and `near_misses` of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from reward_service.audit.kit import Answers, Form, Kit, distinct
from reward_service.audit.model import Demand, Subject, Transformation, Variants
from reward_service.audit.numbers import number, other_numbers
from reward_service.types import Example

SLOT = "\0"
MAX_LEARNT = 2_000
"""Characters of a ground truth that is put into a template."""


def as_texts(gold: Any) -> Iterator[str]:
    """The ways in which a ground truth may stand in a response."""
    if isinstance(gold, str):
        yield gold
    elif gold is not None:
        yield json.dumps(gold)
        yield json.dumps(gold, separators=(",", ":"))
        yield repr(gold)


def template(example: Example) -> str | None:
    """The example's response with a slot for the ground truth, or None if it doesn't hold it exactly once, at its end."""
    if example.score != 1.0:
        return None
    for text in as_texts(example.ground_truth):
        start, found, end = example.response.rpartition(text)
        if text.strip() and found and len(end) < 40 and SLOT not in example.response:
            return f"{start.replace(text, '…')}{SLOT}{end}"
    return None


def altered(text: str) -> Iterator[tuple[str, str]]:
    """Texts that say something else."""
    value = number(text)
    if value is not None:
        yield from other_numbers(value)
        return
    words = [place for place in range(1, len(text) - 1) if text[place - 1 : place + 2].isalpha()]
    if words:
        place = words[len(words) // 2]
        yield "letter_dropped", text[:place] + text[place + 1 :]
    yield "something_else", "zzqq"
    yield "more", f"{text} zzqq"


def answers(subject: Subject) -> Answers | None:
    """By the template of the subject's data source."""
    if subject.template is None:
        return None
    text = next(as_texts(subject.ground_truth), "")
    if not text.strip() or len(text) > MAX_LEARNT:
        return None
    known = subject.template
    form = Form("example", lambda answer: known.replace(SLOT, answer))
    return Answers(
        [form], [("plain", text)], distinct(altered(text), [text]), hedges=number(text) is not None
    )


def kit(handlers: frozenset[str]) -> Kit:
    """The kit of handlers that have none of ours."""
    return Kit(handlers, answers)


def hooked() -> Iterator[Transformation]:
    """What handlers offer of their own."""

    def right(subject: Subject) -> Variants:
        if subject.hooks is not None and subject.hooks.dress is not None:
            for place, response in enumerate(subject.hooks.dress(subject.ground_truth, subject.extra_info)):
                yield f"dress_{place + 1}", response

    def wrong(subject: Subject) -> Variants:
        if subject.hooks is not None and subject.hooks.near_misses is not None:
            for place, response in enumerate(
                subject.hooks.near_misses(subject.ground_truth, subject.extra_info)
            ):
                yield f"miss_{place + 1}", response

    yield Transformation("own", Demand.ACCEPT, right)
    yield Transformation("own", Demand.REJECT, wrong)

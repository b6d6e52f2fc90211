"""Where a LiveBench answer stands: `<solution>`, a box, bold, or "the answer is".

What is decided here: newer prompts ask for `<solution>…</solution>`, older ones for **bold** (or ***bold***).
The last solution or box after the thinking is the answer. Bold counts only where there is neither, and then
the last passage does: the official rules look at the last three, or take the best of all, which is several
guesses. Without any mark the line after a last "the answer is" is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from reward_service.handlers._logic import undress
from reward_service.handlers._qa import collapsed, marked_line, readings
from reward_service.handlers._text import boxes, final_part, tags
from reward_service.types import NOTHING, Item, Outcome, Reason, accept, malformed, reject, scored

MAX_CHARS = 40_000
"""Characters of an answer; the longest ones (corrected texts, plots) have fewer than 10,000."""


class Found(NamedTuple):
    """The answer as written; all bold passages, if it is the last of them; whether other answers came before it."""

    content: str
    passages: tuple[str, ...]
    several: bool

    @property
    def flags(self) -> tuple[str, ...]:
        """What to report about answers before the last one."""
        return ("multiple_answers",) if self.several else ()

    @property
    def shown(self) -> str:
        """The answer without dress and lead-in."""
        return (readings(self.content) or [""])[0]


_LABEL = re.compile(r"(?:the )?(?:final |correct )?(?:answer|solution)s?", re.IGNORECASE)
_STARS = re.compile(r"\*{2,3}")


def bold(text: str) -> list[str]:
    """The passages between `**` and `**` (or three stars) in order; `2**3` opens none."""
    found: list[str] = []
    start: int | None = None
    for stars in _STARS.finditer(text):
        before, after = text[stars.start() - 1 : stars.start()], text[stars.end() : stars.end() + 1]
        if start is not None and before.strip():
            found.append(text[start : stars.start()])
            start = None
        elif after.strip() and not before.isalnum():
            start = stars.end()
    return found


def find(response: str) -> Found | None:
    """The last solution or box, else the last bold passage, else the marked line; None if there is none of them."""
    text = final_part(response)
    spans = tags(text, "solution") + (boxes(text) if "box" in text else [])
    marked = [span.content for span in sorted(spans)]
    if marked:
        last = collapsed(marked[-1])
        several = any((one := collapsed(content)) not in last and last not in one for content in marked[:-1])
        return Found(marked[-1], (), several)
    passages = bold(text)
    line = marked_line(text)
    label = bool(passages) and _is_label(passages[-1])  # **Answer:** yes, no, yes
    if passages and not (label and line is not None):
        passages = [one for one in passages if not _is_label(one)]
    elif line is not None:
        return Found(line[1], (), False)
    return Found(passages[-1], tuple(passages), False) if passages else None


def _is_label(passage: str) -> bool:
    return passage.rstrip().endswith(":") or _LABEL.fullmatch(passage.strip()) is not None


def missing(found: Found | None) -> Outcome | None:
    """The outcome if there is no answer, or one that is too long to be one."""
    if found is None:
        return reject(Reason.NO_ANSWER, message="no <solution>, no box and nothing in bold")
    if len(found.content) > MAX_CHARS:
        return reject(Reason.MALFORMED_ANSWER, flags=(*found.flags, "oversized_answer"))
    return None if undress(found.content) else reject(Reason.NO_ANSWER, flags=found.flags)


def gold_text(item: Item) -> str | None:
    """The ground truth as a non-empty text of bounded length; None otherwise."""
    value = item.ground_truth
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CHARS:
        return None
    return value.strip()


NO_GOLD = malformed("the ground truth is a non-empty text")


def verdict(
    score: float, shown: str, item: Item, flags: tuple[str, ...] = (), wrong: Reason = Reason.NOT_EQUAL
) -> Outcome:
    """Full marks, a share of them, or none with the reason `wrong`."""
    trace: Mapping[str, Any] = {"gold": item.ground_truth} if item.explain else NOTHING
    if score >= 1.0:
        return accept(shown, flags=flags, trace=trace)
    if score > 0.0:
        return scored(score, Reason.PARTIALLY_EQUAL, shown, flags=flags, trace=trace)
    return reject(wrong, shown, flags=flags, trace=trace)

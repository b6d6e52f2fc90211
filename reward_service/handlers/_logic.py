"""Where the answer of a logic puzzle stands in a response, in both profiles.

What is decided here: the logic data sets all ask for one `<answer>…</answer>`. The last one counts, over
several lines and in any letter case, and a `\\boxed{…}` does as well, because models write it out of habit;
what comes later is the answer (`right, then wrong` is wrong). The published scorer (guru.md §2a) took the
last `<answer>` that closes on its own line, letter case and all: that is `published_answer`.
Prose beside an answer is ignored only when it can't turn the answer round: `hedged` is the test for that.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reward_service import narrate
from reward_service.handlers._text import (
    boxes,
    final_part,
    peel,
    plain_characters,
    tags,
    unwrap_macros,
)

_HEDGES = (
    "not no never nor or either neither maybe perhaps possibly probably might may could would cannot without unless "
    "except excluding but if else wrong incorrect false untrue opposite reverse reversed instead alternatively "
    "otherwise impossible unlikely unsure uncertain doubt versus vs nobody suppose assume deny denies contrary"
)
HEDGES = frozenset(_HEDGES.split())
"""Words that make an answer beside them conditional, negated or one of several."""

_WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?")


class Answer(NamedTuple):
    """The last answer of a response: its text, whether its tag or box closes, and whether others differ."""

    content: str
    closed: bool
    several: bool

    @property
    def flags(self) -> tuple[str, ...]:
        """What to report: several different answers were given."""
        return ("multiple_answers",) if self.several else ()


def hedged(text: str) -> bool:
    """Does this prose hold a word that negates, conditions or offers an alternative?"""
    words = _WORDS.findall(text.lower().replace("’", "'"))
    return any(word in HEDGES or word.endswith("n't") for word in words)


def last_answer(response: str) -> Answer | None:
    """The last `<answer>` or box after the thinking. None if there is neither. An open tag runs to the end."""
    text = final_part(response)
    spans = tags(text, "answer")
    end = spans[-1].end if spans else 0
    opening = max(text.rfind(form) for form in ("<answer>", "<Answer>", "<ANSWER>"))
    if opening >= end:
        content = text[opening + len("<answer>") :]
        narrate.found("the last <answer>, which is never closed", text, opening, len(text))
        return Answer(content, False, bool(spans))
    boxed = boxes(text[end:]) if "box" in text else []
    contents = [span.content.strip() for span in (*spans, *boxed)]
    if not contents:
        narrate.missing("no closed <answer>…</answer> and no box in the part that counts")
        return None
    if boxed:
        narrate.found("the last closed box", text, end + boxed[-1].start, end + boxed[-1].end)
    else:
        narrate.found("the last closed <answer>", text, spans[-1].start, end)
    return Answer(contents[-1], True, any(content != contents[-1] for content in contents))


def published_answer(response: str, *, over_lines: bool = False) -> str | None:
    """The published scorer's extraction: the last `<answer>…</answer>`, on one line unless `over_lines`."""
    last = None
    for line in (response,) if over_lines else response.split("\n"):
        at = 0
        while (start := line.find("<answer>", at)) >= 0:
            end = line.find("</answer>", start)
            if end < 0:
                break
            last = line[start + len("<answer>") : end]
            at = end
    if last is not None:
        narrate.found_text("the last <answer> that closes on its line (the published rule)", last.strip())
    return last.strip() if last is not None else None


def undress(content: str) -> str:
    """An answer without code fence, box, LaTeX text macros, markdown, quotes and look-alike characters."""
    text = plain_characters(content).strip()
    for _ in range(4):
        before = text
        text = peel(unwrap_macros(_unbox(_unfence(text))))
        if text == before:
            break
    return text


def plain(text: str) -> str:
    """The form in which names are compared: no case, and `time-travel`, `time_travel`, `time travel` are one."""
    if text.isalnum():
        return text.casefold()
    return " ".join(text.replace("-", " ").replace("_", " ").split()).casefold()


_LANGUAGE = re.compile(r"[\w+#.-]*\s*")


def _unfence(text: str) -> str:
    if not (text.startswith("```") and text.endswith("```") and text.count("```") == 2):
        return text
    inner = text[3:-3]
    first, newline, rest = inner.partition("\n")
    if newline and _LANGUAGE.fullmatch(first):
        return rest.strip()
    word, _, rest = inner.partition(" ")
    return rest.strip() if word.isalnum() and rest.lstrip()[:1] in ("[", "{", "(") else inner.strip()


def _unbox(text: str) -> str:
    found = boxes(text) if "box" in text else []
    if len(found) == 1 and not hedged(text[: found[0].start] + " " + text[found[0].end :]):
        return found[0].content.strip()
    return text

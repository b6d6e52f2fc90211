r"""Where the answer to a table question is in a response, and what it says without its dress.

What is decided here: the answer is the last closed box after `</think>`, or a run of boxes with nothing but commas
between them (`\boxed{93.7}, \boxed{86.9}`). A box that never closes is no answer, and neither is an empty one. Only a
response without any box may give its answer in its last line, after "the answer is" or "Final answer:"; the rest of
the text is never searched. And how a list may be written: `|`, JSON, bullets, `;`, commas, "and"
(`reference/domains.md` §2).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from reward_service import narrate
from reward_service.handlers._literal import LiteralError, parse_literal
from reward_service.handlers._text import (
    Span,
    answer_lines,
    boxes,
    collapse,
    final_part,
    peel,
    plain_characters,
    unwrap_macros,
)
from reward_service.types import Reason

MAX_ITEMS = 256


class Found(NamedTuple):
    """The answer: the contents of the last box, or of a run of boxes that only commas part; and the text after."""

    contents: tuple[str, ...]
    after: str

    @property
    def shown(self) -> str:
        return " | ".join(self.contents).strip()


_BETWEEN = re.compile(r"[\s,;&$|]*(?:and[\s$]*)?")


def find_answer(response: str) -> Found | Reason:
    """The response's answer, or why it has none."""
    text = final_part(response)
    spans = boxes(text)
    opened = text.rfind("\\boxed{", spans[-1].end if spans else 0)
    if opened >= 0:
        narrate.missing("the last \\boxed{ never closes: the response was cut off in its answer")
        return Reason.MALFORMED_ANSWER  # a box that never closes: the response was cut off in its answer
    if not spans:
        line = _last_line(text)
        if line:
            narrate.found_text('what the last line says behind "the answer is"', line)
        else:
            narrate.missing('no closed \\boxed{…}, and the last line does not say "the answer is …"')
        return Found((line,), "") if line else Reason.NO_ANSWER
    run = _run(text, spans)
    rule = "the last closed box" if len(run) == 1 else "the last run of boxes"
    narrate.found(rule, text, run[0].start, run[-1].end)
    if not run[-1].content.strip():
        return Reason.NO_ANSWER
    return Found(tuple(span.content for span in run), text[run[-1].end :][:2_000])


def _run(text: str, spans: Sequence[Span]) -> list[Span]:
    run = [spans[-1]]
    for span in reversed(spans[:-1]):
        gap = text[span.end : run[0].start]
        if len(gap) > 16 or _BETWEEN.fullmatch(gap) is None or len(run) >= MAX_ITEMS:
            break
        run.insert(0, span)
    return run


def _last_line(text: str) -> str:
    """What the last line says after "the answer is" (or the line below a heading "Final answer:"), else ""."""
    lines = text[-2_000:].rsplit("\n", 4)
    lines = [line for line in lines if line.strip()]
    if not lines:
        return ""
    *_, said = ("", *answer_lines(lines[-1]))
    if not said and len(lines) > 1 and lines[-2].strip(" #*_:").lower() in _HEADINGS:
        said = lines[-1]
    return said.strip().strip("*_").strip()


_HEADINGS = frozenset(
    f"{the}{final}answer{verb}" for the in ("", "the ") for final in ("", "final ") for verb in ("", " is")
)


def readings(found: Found, golds: Sequence[str]) -> Iterator[list[str]]:
    """Every way to read the answer as so many items as there are golds (in normal text), surest first."""
    count = len(golds)
    contents = found.contents
    if len(contents) > 1:
        items = [undress(content) for content in contents]
        if count > 1 and len(items) == count:
            yield items
        elif count == 1 and len(set(items)) == 1:
            yield items[:1]
        return
    whole = undress(contents[0])
    if whole.startswith("[") and whole.endswith("]"):
        try:
            values = parse_literal(whole)
        except LiteralError:
            values = None
        if isinstance(values, list) and all(isinstance(one, str | int | float) for one in values):
            if len(values) == count:
                yield [undress(str(one)) for one in values]
            return
    if count == 1:
        yield [whole]
        return
    for items in _splits(whole):
        items = [undress(_BULLET.sub("", item)) for item in items if item.strip()]
        if len(items) == count:
            yield items
    if any(_COMMA_AND.search(gold) for gold in golds):
        yield from _around(golds, whole)


def _around(golds: Sequence[str], text: str) -> Iterator[list[str]]:
    """Items that hold commas themselves ("Oslo, Norway, Rome"): they are set aside before the rest is split."""
    text = normal_text(text)
    if "\0" in text:
        return
    aside = sorted((gold for gold in golds if _COMMA_AND.search(gold)), key=len, reverse=True)
    for number, gold in enumerate(aside):
        text = text.replace(gold, f"\0{number}\0", 1)
    for separator in (_COMMA_SPACE, _COMMA_AND):
        items = [item for item in separator.split(text) if item]
        if len(items) == len(golds):
            yield [aside[int(item[1:-1])] if item[0] == item[-1] == "\0" else item for item in items]


_BULLET = re.compile(r"^\s*(?:[-*•]|[0-9]{1,3}[.)])\s+")
_COMMA_SPACE = re.compile(r",\s+")
_COMMA_AND = re.compile(r",\s+(?:(?:and|&)\s+)?|\s+(?:and|&)\s+")


def _splits(text: str) -> Iterator[list[str]]:
    if "|" in text:
        yield text.split("|")
        return
    if "\n" in text:
        yield [line.strip().rstrip(",;") for line in text.splitlines()]
    if text[:1] + text[-1:] in ("[]", "{}", "()"):
        text = text[1:-1]
    if ";" in text:
        yield text.split(";")
    yield _COMMA_SPACE.split(text)
    yield _COMMA_AND.split(text)
    yield text.split(",")


_TEX = re.compile(
    r"\{,\}|,\\!|\\\\(?=\s|$)|\\[,;:! ]|\\([%$&_#])|\\(approx|simeq|sim|mid|vert|lvert|rvert|times|cdot|quad|qquad|"
    r"left|right|pounds|euro|textasciitilde|newline|allowbreak)(?![a-zA-Z])|~"
)
_TEX_NAMES = {
    **dict.fromkeys(("approx", "simeq", "sim"), "≈"),
    **dict.fromkeys(("mid", "vert", "lvert", "rvert"), "|"),
    **dict.fromkeys(("times", "cdot"), "×"),
    **dict.fromkeys(("quad", "qquad"), " "),
    "pounds": "£",
    "euro": "€",
    "newline": "\n",
}
_TEX_SIGNS = {"{,}": ",", ",\\!": ",", "\\!": "", "~": " "}
_SAID = re.compile(r"(?:the )?(?:final )?answer(?: is|:)\s*", re.IGNORECASE)
_RAISED = str.maketrans({character: f"^{character}" for character in "⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉½⅓¼¾"})


def _plain_tex(match: re.Match[str]) -> str:
    if match.group(1):
        return match.group(1)
    if match.group(2):
        return _TEX_NAMES.get(match.group(2), "")
    sign = match.group()
    return _TEX_SIGNS.get(sign, "\n" if sign == "\\\\" else " ")


def undress(text: str) -> str:
    r"""The answer without the dress of LaTeX, markdown and typography: `\text{**1{,}234**}.` is `1,234`."""
    if not text.isascii():
        text = plain_characters(text.translate(_RAISED))
    text = text.strip()
    if "\\" in text or "{" in text or "~" in text:
        for _ in range(3):
            inner = boxes(text)
            if not inner or inner[0].start != 0 or inner[0].end != len(text):
                break
            text = inner[0].content.strip()
        if text.startswith("~"):
            text = "≈" + text[1:]
        text = _TEX.sub(_plain_tex, unwrap_macros(text))
    text = peel(text)
    if (said := _SAID.match(text)) is not None:
        text = peel(text[said.end() :])
    return text


_OUTER = "\"'`.,;:"
_AROUND_DASH = re.compile(r" ?- ?")
_RANGE = re.compile(r"(?<=[0-9]) to (?=[0-9])")
_ARTICLES = re.compile(r"\bthe\b|^(?:an?)\b(?= )")


def normal_text(text: str, articles: bool = False) -> str:
    """Casefolded, without diacritics, outer quotes and punctuation, and double spaces; `articles`: without "the"
    and a leading "a" or "an" (not the A of "Class A")."""
    folded = text.casefold()
    if not folded.isascii():
        folded = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    normal = collapse(folded.strip(_OUTER + " \n\t"))
    if articles:
        normal = collapse(_ARTICLES.sub(" ", normal)) or normal
    if "-" in normal or " to " in normal:
        normal = _AROUND_DASH.sub("-", _RANGE.sub("-", normal))
    return normal or collapse(folded)

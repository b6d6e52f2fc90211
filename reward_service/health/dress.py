r"""Was a right answer refused? Evidence without labels: a refused answer that is the ground truth but for its dress.

What is decided here: what counts as dress: markup around an answer (`$…$`, `\boxed{}`, `\text{}`, `<answer>`, bold, quotes),
spaces, letter case, thousands separators, the form of a fraction or decimal (`\frac{1}{2}`, `1/2`, `0.5`), a full stop.
Nothing else: units, percent signs, rounding and synonyms are a verifier's business, and may be refused for good reason. So
one piece of evidence may be a rule of the data source; a tenth of what is refused is a verifier that can't read. Where the
verifier found no answer at all, the last boxed or `<answer>`-marked text near the end of the response is taken for it.

Responses are hostile: texts are cut before they are looked at, and every pattern takes linear time.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Any

LONGEST = 200
TAIL = 600
_WRAPPERS = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|mathrm|mathbf|mathit|mbox|displaystyle|left|right|dfrac|tfrac|[,;:! ()\[\]])"
    r"|<[/]?(?:answer|b|i|strong|em)>|\{,\}|[\s$`'\"*_]"
)
_FRACTION = re.compile(r"\\frac\{?(-?\d{1,15})\}?\{?(\d{1,15})\}?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{0,15})?(?:/\d{1,15})?")
_MARKED = re.compile(r"\\boxed\s{0,4}\{|<answer>", re.IGNORECASE)


def same_but_for_dress(answer: str, gold: Any) -> bool:
    """Is the answer the ground truth in other clothes? Only for ground truths that are short."""
    if isinstance(gold, bool) or not isinstance(gold, str | int | float | list | tuple):
        return False
    try:
        text = gold if isinstance(gold, str) else str(gold)
    except ValueError:  # an integer too long to write
        return False
    if len(text) > LONGEST or len(answer) > LONGEST:
        return False
    mine, wanted = undressed(answer), undressed(text)
    if not mine or not wanted:
        return False
    return mine == wanted or ((number := _number(mine)) is not None and number == _number(wanted))


def undressed(text: str) -> str:
    """The text without what carries no meaning."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = text.replace("\u2212", "-").replace("\\%", "%")
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = _WRAPPERS.sub("", text)
    text = _FRACTION.sub(r"\1/\2", text)
    text = text.replace("{", "").replace("}", "")
    return _THOUSANDS.sub("", text).rstrip(".")


def _number(text: str) -> Fraction | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):  # "1.5/2", "1/0"
        return None


def marked_answer(response: str) -> str | None:
    """The last boxed or `<answer>`-marked text near the end of a response; None if there is none."""
    tail = response[-TAIL:]
    at = -1
    for match in _MARKED.finditer(tail):
        at = match.end()
    if at < 0:
        return None
    if tail[at - 1] == ">":
        return tail[at:].partition("</")[0][:LONGEST]
    depth = 1
    for place in range(at, min(len(tail), at + LONGEST)):
        depth += (tail[place] == "{") - (tail[place] == "}")
        if not depth:
            return tail[at:place]
    return None

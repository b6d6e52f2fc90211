"""Where prose states the answer of a multiple-choice question.

What is decided here: what counts as such a statement. "The answer is", "Answer:", "the correct option is" and a heading
"Final answer" are, each read up to the end of its line; "another possible answer is" and "if the answer were" are not.
Only a response that states nothing anywhere is looked at for a last line that is an option (and not the last of
a list of them), or for "option C is correct" and "I choose C" near its end. Letters elsewhere are never searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from reward_service.handlers._choice import LETTERS, Kind, Options, Reading, read, undress
from reward_service.handlers._text import collapse

MAX_LINE = 1_000
MAX_STATEMENTS = 256
"""Places at the end of the text that are read as "the answer is …"."""
END = 600
"""Characters at the end where "option C is correct" is taken for the answer."""


class Said(NamedTuple):
    """A statement in prose: it begins at `start`; what it says begins at `said`."""

    start: int
    said: int
    reading: Reading
    shown: str


_NOUNS = ("nswer", "NSWER", "ption", "hoice", "PTION", "HOICE", "tatement")
_NOUN = re.compile(r"(?:a?nswer|o?ption|c?hoice|s?tatement)(?:\s+(?:choice|option|letter))?", re.IGNORECASE)
_IS = re.compile(
    r"(?:\s+(?:to|for|of|here|among|from|in|given|that|which|therefore|then|must|should|would|has|ought)\b[^.:\n]{0,120}?)?"
    r"[\s*_`]*(?:\b(?:is|was|be|are)\b[\s*_`]*[:：]?|[:：=→⇒]|->|-(?=\s))",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    r"\b(?:correct|right|best|final|appropriate|accurate|suitable|chosen|likely|closest|nearest)(?:\s+answer)?\s*+$",
    re.IGNORECASE,
)
_NOT_MINE = re.compile(
    r"\b(?:wrong|incorrect|other|another|alternative|possible|previous|initial|first|tentative|preliminary|common|"
    r"tempting|any|each|every|no|not\s+the|n['’]t\s+the|if\s+the|whether\s+the|were|your|given)"
    r"(?:\s+(?:correct|right|best|final))?\s*+$",
    re.IGNORECASE,
)
_BLANK = re.compile(r"[ \t*_#]*+(?:\n|$)")
_HEADING = re.compile(r"[\s*_#:]*+(?:the\s+|my\s+)?(?:final\s+|correct\s+)?$", re.IGNORECASE)


def statements(text: str, start: int, options: Options) -> Iterator[Said]:
    """Every "the answer is …", "Answer: …", "the correct option is …" from `start` on, the last one first."""
    line_start = text.rfind("\n", 0, len(text.rstrip())) + 1
    line = text[line_start:].strip(" \t\n*_#>$`.()")
    if line_start >= start and len(line) == 1 and line in LETTERS:
        yield Said(line_start, len(text), Reading(Kind.ONE, line), line)
    places: list[int] = []
    for noun in _NOUNS:
        at = text.find(noun, start)
        while at >= 0:
            places.append(at)
            at = text.find(noun, at + 5)
    places.sort(reverse=True)
    for place in places[:MAX_STATEMENTS]:
        said = _statement(text, place, options)
        if said is not None:
            yield said


def _statement(text: str, place: int, options: Options) -> Said | None:
    noun = _NOUN.match(text, place - 1 if text[place - 1 : place].isalpha() else place)
    if noun is None:
        return None
    end = noun.end()
    copula = _IS.match(text, end)
    blank = _BLANK.match(text, end) if copula is None else None
    if copula is None and blank is None:
        return None
    before = text[max(0, noun.start() - 40) : noun.start()]
    if (noun.group()[:1] not in "aA" and _RIGHT.search(before) is None) or _NOT_MINE.search(
        before
    ) is not None:
        return None
    line_end = text.find("\n", end, end + MAX_LINE)
    line_end = min(len(text), end + MAX_LINE) if line_end < 0 else line_end
    if copula is not None:
        begin = copula.end()
    elif _HEADING.fullmatch(text[max(0, noun.start() - 60) : noun.start()].rpartition("\n")[2]):
        begin = line_end
    else:
        return None
    said = text[begin : max(line_end, begin)]
    if not said.strip(" *_:$"):
        begin = max(line_end, begin)
        said = text[begin : begin + MAX_LINE].lstrip().partition("\n")[0]
    if "\\boxed" in said or "\\fbox" in said:
        return None  # the box itself is the statement
    reading = read(said.strip(), options, prose=True)
    if reading.kind in (Kind.OTHER, Kind.EMPTY):
        return None
    return Said(noun.start(), begin, reading, collapse(said))


# ---------------------------------------------------------------- the end of a response that names no answer

_LABELLED = re.compile(r"\(?([A-Z])[).:]\s")
_CORRECT = re.compile(
    r"(?:(?:\boption|\bchoice|\banswer|\bstatement)\s++\(?([A-Z])\)?(?![\w'])|\(([A-Z])\)|(?<![\w'])([A-Z])(?=\s+is\b))"
    r"(?:(?!option|choice|\bis\b|\bnot\b|n't|\([A-Z]\))[^.\n]){0,160}?\s"
    r"(?:is|as)\s++(?:therefore\s++|thus\s++|indeed\s++|clearly\s++)?(?:the\s++)?(?:most\s++)?"
    r"(?:only\s++)?(?:correct|right|best|answer)\b",
    re.IGNORECASE,
)
_CHOOSE = re.compile(
    r"(?<!not )(?<!n't )(?<!never )\b(?:(?:choose|select|pick|go\s+with|going\s+with)\s++(?:(?:option|choice|answer|letter)\s++)?|"
    r"(?:match|matches|corresponds?\s+to|corresponding\s+to)\s++(?:the\s++)?(?:option|choice|answer)\s++)"
    r"\(?([A-Z])\)?(?![\w'])"
)
_HENCE = re.compile(
    r"(?:^|[.!]\s+)(?:(?:so|thus|hence|therefore|consequently)\b[\s,:]*+(?:option\s++|choice\s++)?|(?:option|choice)\s++)\(?([A-Z])\)?$",
    re.IGNORECASE,
)


def last_line(text: str, options: Options) -> Said | None:
    """A last line that is an option and not the end of a list of them, or "option C is correct" near the end."""
    lines = text[-4 * MAX_LINE :].rstrip().splitlines()
    if not lines:
        return None
    line = undress(lines[-1].strip(_BULLETS)[-MAX_LINE:])
    whole = options.find(line)
    if len(whole) == 1:
        return _said(text, Reading(Kind.ONE, whole), line)
    if _LABELLED.match(line + " "):
        before = next((one for one in reversed(lines[:-1]) if one.strip()), "")
        reading = read(line, options)
        listed = _LABELLED.match(undress(before.strip(_BULLETS)[:MAX_LINE]) + " ") is not None
        return _said(text, reading, line) if reading.kind is Kind.ONE and not listed else None
    end = undress(text[-END:])
    letters = {match.group(1) or match.group(2) or match.group(3) for match in _CORRECT.finditer(end)}
    letters |= {match.group(1) for match in _CHOOSE.finditer(end)}
    hence = _HENCE.search(line)
    letters |= {hence.group(1)} if hence is not None else set()
    letters = {letter for letter in letters if letter.isupper()}
    if not letters:
        return None
    kind = Kind.ONE if len(letters) == 1 else Kind.SEVERAL
    return _said(text, Reading(kind, "".join(sorted(letters))), line)


_BULLETS = " \t#>-*_"


def _said(text: str, reading: Reading, line: str) -> Said:
    return Said(len(text), len(text), reading, line)

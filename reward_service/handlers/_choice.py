r"""What one statement of a multiple-choice answer says: one letter, several, a denied one, or none.

What is decided here: the grammar (`reference/domains.md` §1.4). A statement is `(E)`, `E.`, `option E`, `E: its text`
and their like, or the text of exactly one option. Nothing is searched inside it: `BAD` is no A and `not E` is no E. A
second letter, a question mark or a denial makes it ambiguous. Text behind the letter must not be another option's text;
where it is neither the option's own nor another's (rounded, shortened, or the options aren't in the row), the letter
counts, because the statement still commits to one option.
Every pattern is anchored and possessive: reading is linear in the length of the statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from reward_service.handlers._text import peel, plain_characters, unwrap_macros

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_OPTION = 8_000


class Kind(Enum):
    """What a statement amounts to."""

    ONE = "one"
    SEVERAL = "several"
    HEDGED = "hedged"
    DENIED = "denied"
    EMPTY = "empty"
    OTHER = "other"


class Reading(NamedTuple):
    """A statement, read: for `ONE` and `DENIED` the letter; for `SEVERAL` those that were recognised."""

    kind: Kind
    letters: str = ""


EMPTY = Reading(Kind.EMPTY)
OTHER = Reading(Kind.OTHER)

# ---------------------------------------------------------------- undressing

_SPACE = re.compile(
    r"\\(?:[,;:!> ]|q?quad(?![a-zA-Z])|(?:bf|rm|it|tt|sf|left|right|displaystyle|large|Large|LARGE|huge|Huge)(?![a-zA-Z])|"
    r"(?:text)?color\s?\{[^{}]{0,30}\})|~"
)
_MARK = re.compile(r"\*\*|__|`|\\?\$|\\(?=[%&#{}_])")
_DRESSED = frozenset("\\*_`$~")


def undress(text: str) -> str:
    r"""A statement without macros, markdown, math delimiters and look-alike characters, on one line."""
    if not text.isascii():
        text = plain_characters(text)
    if not _DRESSED.isdisjoint(text):
        text = _MARK.sub("", _SPACE.sub(" ", unwrap_macros(text)))
    return peel(" ".join(text.split()))


_SLIM = re.compile(r"\s+|\\(?:left|right|mathrm|text|,|!|;|:)|[{}]")


def _normal(text: str) -> str:
    """The form in which option texts are compared: undressed, and neither spaces nor braces count."""
    return _SLIM.sub("", undress(text)).rstrip(".")


# ---------------------------------------------------------------- options


class Options:
    """The option texts of a row, by letter; what is expensive is made when it is first needed."""

    __slots__ = ("_normals", "_question", "_texts", "in_row")

    def __init__(self, extra: Mapping[str, Any]) -> None:
        self._texts = _from_row(extra.get("options"))
        if self._texts is None:
            self._texts = _from_row(extra.get("choices"))
        self.in_row = self._texts is not None
        self._question = extra.get("question")
        self._normals: dict[str, str] | None = None

    @property
    def texts(self) -> Mapping[str, str]:
        """Letter -> text: from the row, or else the last list `A) … B) …` in the question. May be empty."""
        if self._texts is None:
            self._texts = _from_question(self._question) if isinstance(self._question, str) else {}
        return self._texts

    def has(self, letter: str) -> bool:
        """Is this the letter of an option? Yes where the options aren't known."""
        return not self.texts or letter in self.texts

    def says(self, letter: str, text: str) -> bool:
        """Is this the text of the option?"""
        own = self.texts.get(letter)
        return own is not None and _normal(own).casefold() == _normal(text).casefold()

    def find(self, text: str) -> str:
        """The letters of the options with this text: letter case counts where it makes the difference."""
        if not self.texts:
            return ""
        if self._normals is None:
            self._normals = {letter: _normal(option) for letter, option in self.texts.items()}
        wanted = _normal(text)
        exact = "".join(letter for letter, normal in self._normals.items() if normal == wanted)
        if len(exact) == 1 or not wanted:
            return exact
        wanted = wanted.casefold()
        return "".join(letter for letter, normal in self._normals.items() if normal.casefold() == wanted)


def _from_row(value: Any) -> dict[str, str] | None:
    """A list in the order of the letters, `{letter: text}`, or `{"label": [...], "text": [...]}`; JSON of these."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value[:1] in ("[", "{") and len(value) < MAX_OPTION * 8 else None
        except (ValueError, RecursionError):
            return None
    if (
        isinstance(value, Mapping)
        and isinstance(value.get("text"), list)
        and isinstance(value.get("label"), list)
    ):
        value = dict(zip(map(str, value["label"]), value["text"], strict=False))
    if isinstance(value, list):
        value = dict(zip(LETTERS, value, strict=False)) if len(value) <= len(LETTERS) else None
    if not isinstance(value, Mapping) or not value:
        return None
    texts: dict[str, str] = {}
    for key, text in value.items():
        letter = str(key).strip().strip("().").upper()
        if len(letter) != 1 or letter not in LETTERS or not isinstance(text, str | int | float):
            return None
        option = str(text)[:MAX_OPTION]
        label = _OWN_LABEL.match(option)
        texts[letter] = option[label.end() :] if label is not None and label.group(1) == letter else option
    return texts


_OWN_LABEL = re.compile(r"\s*+\(?([A-Z])[).:]\s++")
_OPTION_LINE = re.compile(r"^[ \t*]*+[(\[]?([A-Z])[).:\]][ \t*]++(\S[^\n]*+)$", re.MULTILINE)


def _from_question(question: str) -> dict[str, str]:
    runs: list[dict[str, str]] = [{}]
    for match in _OPTION_LINE.finditer(question[-(1 << 16) :]):
        letter = match.group(1)
        if letter == "A":
            runs.append({})
        if len(runs[-1]) < len(LETTERS) and letter == LETTERS[len(runs[-1])]:
            runs[-1][letter] = match.group(2)
    return runs[-1] if len(runs[-1]) > 1 else {}


# ---------------------------------------------------------------- the grammar

_PLAIN = re.compile(r"\(?([A-Z])\)?\.?")
_LEAD = re.compile(
    r"(?:(?:the|my|our|final|correct|right|best|most\s+likely|most\s+appropriate|appropriate|accurate|answer|option|"
    r"choice|letter|therefore|thus|hence|so|clearly|indeed|simply|then|is|be|would|should|must|definitely)\b"
    r"[\s:=,]*+)*+",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[(\[{<]?\s*+([A-Za-z])(?![\w'])(?:\s?([)\]}>]))?")
_ANOTHER = re.compile(
    r"[\s.,;:)(\]]*+((?:(?:(?:and|or|nor|also|maybe|perhaps|possibly|either|even|but|not|rather\s+than)\b|[/|&+])[\s,(]*+)*+)"
    r"(?:(?:option|choice|answer)\s++)?\(?([A-Z])(?![\w'])(\s*+(?:$|[,;/|&).:?\]}]))?"
)
_VERB = re.compile(
    r"[\s,)]*+(?:is|are|was|can|could|cannot|would|should|must|may|might|seems|looks|does|has|have|isn't|wasn't|can't|"
    r"couldn't|doesn't)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|cannot|never|wrong|incorrect|false|impossible|excluded|eliminated|ruled|implausible)\b|n't\b",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"[\s,;-]*+(?:\?|\(?(?:maybe|perhaps|possibly|unsure|uncertain|not\s+sure|not\s+certain)\b)",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"(?:(?:not|never|neither|nor|isn't|cannot|can't|except|unlike|anything\s+but|everything\s+but|other\s+than|"
    r"(maybe|perhaps|possibly|probably|likely|either|both|might|may|could))\b[\s:]*+"
    r"(?:be\b\s*+)?(?:(?:the|answer|option|choice)\b\s*+)*+)++\(?([A-Z])(?![\w'])",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"(?:(?<=\s)|(?<=^))\(?([A-Z])[).:]\s")
_COMMENT_WORDS = "because since as for which with due based given according and or is was - -> ("
_COMMENT = frozenset(_COMMENT_WORDS.split())


def read(text: str, options: Options, *, prose: bool = False) -> Reading:
    """Read one statement: the content of a box, or (prose) what follows "the answer is" on its line."""
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        return Reading(Kind.ONE, plain.group(1))
    text = undress(text)
    lead = _LEAD.match(text)
    body = text[lead.end() :] if lead is not None else text
    if not body:
        return options_reading(options.find(text)) if text else EMPTY
    label = _LABEL.match(body)
    if label is None:
        return _read_content(text, body, options)
    letter, closed = label.groups("")
    rest = body[label.end() :]
    behind = rest.strip(" .:),;")
    if letter.islower():
        return _read_content(text, body, options) if behind else _read_lower(text, letter, options)
    if not behind:
        return Reading(Kind.ONE, letter)
    if (not closed and rest[0] not in " .:,;)?/|&-") or _operator(rest):
        return _read_content(text, body, options)
    whole = options.find(text) if options.texts else ""
    if len(whole) == 1:
        return Reading(Kind.ONE, whole)
    if options.says(letter, behind) or (behind[0] == "(" and options.says(letter, behind.strip("() "))):
        return Reading(Kind.ONE, letter)
    unmarked = not closed and rest[0] == " " and behind[0] != "(" and behind.partition(" ")[0] not in _COMMENT
    if unmarked and (letter in "AI" or (options.texts and not prose and _ANOTHER.match(rest) is None)):
        # An article, a pronoun, or the first word of a text that is no option's.
        return _read_content(text, body, options)
    return _read_behind(letter, rest, behind, options, prose)


def _read_behind(letter: str, rest: str, behind: str, options: Options, prose: bool) -> Reading:
    """A letter with text behind it: does the text leave the letter standing?"""
    another = _ANOTHER.match(rest)
    if another is not None and another.group(2) != letter:
        joint, other, ends = another.groups()
        negated = prose and ("not" in joint or "than" in joint)
        if not negated and (joint or ends is not None):
            return Reading(Kind.SEVERAL, letter + other)
    if _DOUBT.match(rest):
        return Reading(Kind.HEDGED, letter)
    if _VERB.match(rest) and _DENIAL.search(" ".join(rest[:80].split()[:5])):
        return Reading(Kind.DENIED, letter)
    others = options.find(behind)
    if others and letter not in others:
        return Reading(Kind.SEVERAL, letter + others)
    if not prose:
        for match in _LABELLED.finditer(rest):
            if match.group(1) != letter:
                return Reading(Kind.SEVERAL, letter + match.group(1))
    return Reading(Kind.ONE, letter)


def _operator(rest: str) -> bool:
    """Is the letter part of a formula or of a compound (`F = ma`, `C-H`)?"""
    tail = rest.lstrip()
    return tail[:1] in "=<>^*≈" or (rest[0] == "-" and not rest[1:2].isspace())


def _read_lower(text: str, letter: str, options: Options) -> Reading:
    """A lone small letter is an option's text where there is one like it (`e`), and the letter otherwise."""
    found = options.find(text)
    return options_reading(found) if found else Reading(Kind.ONE, letter.upper())


def _read_content(text: str, body: str, options: Options) -> Reading:
    """No letter stands in front: the text of exactly one option, or nothing that counts."""
    found = options.find(text) or options.find(body)
    if found:
        return options_reading(found)
    negated = _NEGATED.match(body)
    if negated is not None:
        kind = Kind.HEDGED if negated.group(1) else Kind.DENIED
        return Reading(kind, negated.group(2).upper())
    if 1 < len(body) <= len(LETTERS) and body.isalpha() and body.isupper() and len(set(body)) == len(body):
        return Reading(Kind.SEVERAL, body)
    return OTHER


def options_reading(found: str) -> Reading:
    """One option with that text is the answer; two with the same text are none."""
    if not found:
        return OTHER
    return Reading(Kind.ONE if len(found) == 1 else Kind.SEVERAL, found)

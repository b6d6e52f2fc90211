r"""Short textual answers: where they stand, what they are checked against, and when two of them are the same text.

What is decided here: SQuAD's normal form (lower case, no articles, no punctuation; Rajpurkar et al. 2016, as
in verl's Search-R1 scorer) decides whether two answers are the same text, but for what it destroys:
- punctuation that carries the meaning stays: the point, minus, slash or colon of a number (3.5 is not 35),
  `C++` and `C#` (not C), a sign after one or two letters (`A-`, `O+`, `Na+`);
- an article is dropped only before another word: "Vitamin A" is not "vitamin", and "The The" is not "a an
  the";
- text of which nothing is left is no answer: two empty normal forms are never equal.
It is more lenient in three ways that a reader would not even notice: diacritics, `well-known` / `well known`,
and an article behind a comma ("Beatles, The"). The published form is kept beside it (`published_form`).
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers._literal import LiteralError, parse_json
from reward_service.handlers._logic import hedged, undress
from reward_service.handlers._text import boxes, final_part, plain_characters, tags

MAX_ANSWER = 4_000
"""Characters of a short answer; a longer one is no short answer."""


class Found(NamedTuple):
    """The last answer of a response as it was written; whether others came before it; whether it is a line of prose."""

    text: str
    several: bool
    line: bool

    @property
    def flags(self) -> tuple[str, ...]:
        """What to report about the answers before the last one."""
        return ("multiple_answers",) if self.several else ()

    def readings(self) -> list[str]:
        """What the answer may be read as, best first: without its dress, without an explanation behind it, as written."""
        texts = clauses(self.text) if self.line else [self.text]
        return list(dict.fromkeys(reading for text in texts for reading in readings(text)))


_MARK = re.compile(
    r"\b(?:the|my|our)[ \t]+(?:(?:final|correct|right|best)[ \t]+)?answer[ \t]+is\b"
    r"|^[ \t>#*_-]*(?:the[ \t]+)?(?:(?:final|correct)[ \t]+)?answer[ \t]*(?:\*\*|__)?[ \t]*(?::|=|\bis\b|$)",
    re.IGNORECASE | re.MULTILINE,
)
_AFTER_MARK = re.compile(r"[ \t]*(?:\*\*|__)?[ \t]*[:=]?[ \t]*(?:\*\*(?=\s)|__(?=\s))?")


def find_answer(response: str, *, lines: bool) -> Found | None:
    """The last closed `<answer>` or box after the thinking; with `lines`, also the line after a last "the answer is".

    What comes later is the answer. Text that a search tool returned (`<information>`) is not the policy's own.
    """
    text = final_part(response)
    if "<information>" in text:
        text = _without(text, "information")
    spans = tags(text, "answer") + (boxes(text) if "box" in text else [])
    found = [(span.start, span.content) for span in sorted(spans)]
    end = max((span.end for span in spans), default=0)
    marked = marked_line(text, end) if lines else None
    if marked is not None:
        found.append(marked)
    if not found:
        narrate.missing(
            "no closed <answer>…</answer>, no box" + (' and no line "The answer is …"' if lines else "")
        )
        return None
    start, last = found[-1]
    if marked is None:
        narrate.found("the last closed <answer> or box", text, start, end)
    else:
        narrate.found_text('the last line behind "the answer is"', last)
    shape = collapsed(last)
    # A box inside an <answer> is the same answer, not a second one.
    several = any((other := collapsed(text)) not in shape and shape not in other for _, text in found[:-1])
    return Found(last, several, marked is not None)


def marked_line(text: str, start: int = 0) -> tuple[int, str] | None:
    """Where the last "the answer is" or "Answer:" stands, and the line after it (the next one, if it ends there)."""
    mark = _last_mark(text, start)
    if mark is None:
        return None
    line = _behind(text, mark).partition("\n")[0].strip()
    for emphasis in ("**", "*", "__"):  # around the whole sentence
        if line.endswith(emphasis) and line.count(emphasis) % 2:
            line = line.removesuffix(emphasis).rstrip()
    return mark.start(), line


_WORD = re.compile(r"[aA](?:nswer|NSWER)")
_REACH = 60
"""Characters before the word "answer" that belong to its mark, and behind it."""


def _last_mark(text: str, start: int) -> re.Match[str] | None:
    """The last mark from `start` on. Only where the word stands is the pattern tried: most text has it nowhere."""
    for word in reversed([found.start() for found in _WORD.finditer(text, start)]):
        around = _MARK.finditer(text, max(start, word - _REACH), word + _REACH)
        mark = next((mark for mark in around if mark.end() > word), None)
        if mark is not None and mark.start() <= word:
            return mark
    return None


def _behind(text: str, mark: re.Match[str]) -> str:
    skipped = _AFTER_MARK.match(text, mark.end())
    return text[skipped.end() if skipped is not None else mark.end() :].lstrip()


_CAUSE = re.compile(r",? (?:because|since)\b", re.IGNORECASE)
_SENTENCE = re.compile(
    r"\. +(?:this|that|these|it|because|since|as|therefore|thus|hence|so|hope|i|we|which|here|there)\b",
    re.IGNORECASE,
)
_TURNS = re.compile(
    r"\b(?:actually|wait|sorry|correction|rather|instead|or|alternatively|scratch|maybe|perhaps|hmm|answer)\b",
    re.IGNORECASE,
)


def clauses(line: str) -> list[str]:
    """A line that holds an answer, whole and without the explanation behind it, if that can't turn the answer round."""
    found = [line]
    for pattern in (_CAUSE, _SENTENCE):
        cut = pattern.search(line)
        if cut is None or _TURNS.search(line, cut.start()):
            continue
        if pattern is _CAUSE or not hedged(line[cut.start() :]):
            found.append(line[: cut.start()])
    return found


def _without(text: str, name: str) -> str:
    pieces, at = [], 0
    for span in tags(text, name):
        pieces.append(text[at : span.start])
        at = span.end
    return "\n".join((*pieces, text[at:]))


def collapsed(text: str) -> str:
    """The text without white space at all, in lower case: good enough to see whether two answers are alike."""
    return "".join(text.split()).lower()


# ---------------------------------------------------------------- ground truths


class GoldError(ValueError):
    """The ground truth is not a text or a list of alternative texts."""


def alternatives(value: Any, *, parse: bool) -> list[str]:
    """The accepted answers: a string, a number, a list of these, or an object with them in `target`, `text` or `answer`.

    parse: a string that is JSON of one of these shapes is read as such. GoldError for anything else, or an empty one.
    """
    if parse and isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = parse_json(value)
        except LiteralError:
            pass
    if isinstance(value, dict):
        for key in ("target", "text", "answer", "answers"):
            if key in value:
                value = value[key]
                break
        else:
            raise GoldError("an object needs the accepted answers in `target`")
    texts = value if isinstance(value, list | tuple) else [value]
    if not texts or len(texts) > 10_000:
        raise GoldError("no accepted answer, or too many")
    if not all(isinstance(text, str | int | float) for text in texts):
        raise GoldError("an accepted answer is a string or a number")
    found = [str(text) for text in texts if str(text).strip()]
    if not found or any(len(text) > MAX_ANSWER for text in found):
        raise GoldError("an accepted answer is empty, or too long")
    return found


# ---------------------------------------------------------------- normal forms


ARTICLES = frozenset({"a", "an", "the"})
"""Words that carry nothing unless they are all that there is."""

_INVERTED = re.compile(r"(.*\S),\s*(?:a|an|the)", re.DOTALL)
_TOKENS = re.compile(
    r"(?<![\w.)])-?(?:(?:\d{1,3}(?:,\d{3})+(?![,\d])|\d+)(?:[.:/-]\d+)*|\.\d+)"  # -1,234.5  12:30  1/2  1990-91
    r"|[^\W_]+(?:\+{1,2}|#)(?![^\W_])"  # C++, F#, Na+
    r"|(?<![^\W_])[^\W\d_]{1,2}[*-](?![\w*-])"  # A-, O-, A*
    r"|[^\W_]+"
)
_INNER = re.compile(r"(?<=[^\W_])['.](?=[^\W_])(?<!\d.)")
_RANGE = re.compile(r"(?<=\d) ?- (?=\d)")
_ACCENT = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")


@lru_cache(maxsize=512)
def words(text: str) -> tuple[str, ...]:
    """The words of an answer in strict normal form; () if it says nothing."""
    text = plain_characters(text).casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFKD", text)))
    if (inverted := _INVERTED.fullmatch(text.strip())) is not None:
        text = inverted.group(1)
    found = [_word(token) for token in _TOKENS.findall(_RANGE.sub("-", _INNER.sub("", text)))]
    last = len(found) - 1
    kept = [word for at, word in enumerate(found) if at == last or word not in ARTICLES]
    return tuple(found if all(word in ARTICLES for word in found) else kept)


def _word(token: str) -> str:
    if not token[-1].isdigit():
        return token
    token = token.replace(",", "")
    return token.replace(".", "0.", 1) if token.lstrip("-").startswith(".") else token


def same_text(answer: str, gold: str) -> bool:
    """Are these the same text in strict normal form? Spaces and hyphens within words don't count."""
    left, right = words(answer), words(gold)
    if not left or not right:
        return bool(answer.strip()) and collapsed(answer) == collapsed(gold)
    if left == right:
        return True
    # `co-op`, `coop` and `co op`; numbers keep their borders, or 1 11 would be 11 1.
    digits = any(word[-1].isdigit() for word in (*left, *right))
    return not digits and ("-" in answer or "-" in gold) and "".join(left) == "".join(right)


_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def published_form(text: str) -> str:
    """SQuAD's normal form, to the letter: lower case, no ASCII punctuation, no articles, single spaces."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def readings(text: str) -> list[str]:
    """The answer without the dress around it and without "the answer is" before it, and as it was written."""
    bare = undress(text)
    found = [bare]
    if (mark := _MARK.match(bare)) is not None:
        found.append(undress(_behind(bare, mark)))
    if text.strip() != bare:
        found.append(text.strip())
    return [one for one in found if one]

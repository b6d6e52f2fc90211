"""Words as answers.

What is decided here: the same words in the same order are the same answer, articles, case and punctuation
aside. Other words may still mean the same, and nobody here can say: two different texts are "can't say",
which isn't paid.
"""

from __future__ import annotations

import re

from reward_service.handlers._text import unwrap_macros
from reward_service.handlers.math.form import written_number
from reward_service.handlers.math.nodes import Node
from reward_service.handlers.math.regions import Interval, is_infinite, region
from reward_service.handlers.math.scalars import spelled

_PLAIN = re.compile(r"[A-Za-z0-9\s.,;:'\"()%-]+")
_LETTER = re.compile(r"[A-Za-z]")
_OPTION = re.compile(r"(?:option|choice|answer|case)\s+\(?([a-j])\)?")
_REALS = frozenset(
    ("all real numbers", "all reals", "real numbers", "set of all real numbers", "set of real numbers")
)
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_COUNTS = {
    **{word: value for value, word in enumerate(_ONES.split())},
    **{word: 10 * (value + 2) for value, word in enumerate(_TENS.split())},
    "hundred": 100,
}
_EMPTY = frozenset(("empty set", "no solution", "no solutions", "no real solutions", "none"))
_ARTICLES = frozenset(("a", "an", "the", "is", "are", "it"))


def plain_words(text: str) -> str:
    """Words in lower case without articles and punctuation."""
    words = [word.strip(".,;:!?()\"'") for word in text.lower().split()]
    return " ".join(word for word in words if word and word not in _ARTICLES)


def _truth(text: str) -> bool | None:
    return {"yes": True, "true": True, "no": False, "false": False}.get(plain_words(text))


def match_texts(gold: Node, answer: Node) -> bool | None:
    """A word against a word, or against letters, an infinity or an empty set. Two different words: can't say."""
    if gold.op == answer.op == "text":
        if _truth(gold.data) is not None and _truth(answer.data) is not None:
            return _truth(gold.data) == _truth(answer.data)
        return True if plain_words(gold.data) == plain_words(answer.data) else None
    text, other = (gold, answer) if gold.op == "text" else (answer, gold)
    letters = spelled(other)
    if letters is not None and letters.isupper():
        option = _OPTION.fullmatch(plain_words(text.data))
        return bool(letters == text.data) or (option is not None and option.group(1).upper() == letters)
    written = written_number(other)
    if written is not None and plain_words(text.data) in _COUNTS:
        return written.value == _COUNTS[plain_words(text.data)]
    if plain_words(text.data) in _REALS and (found := region(other)) is not None:
        return found.parts == (Interval(None, None),)
    if is_infinite(other) > 0 and plain_words(text.data) in ("infinity", "infinite", "infinitely many"):
        return True
    if other.op == "seq" and not other.args and plain_words(text.data) in _EMPTY:
        return True
    return None if gold.op == "text" else False


def plain_text(text: str) -> str:
    """The words and numbers of a text that is made of nothing else, normalised; "" for any other text."""
    text = undressed_words(text)
    if _PLAIN.fullmatch(text) is None or _LETTER.search(text) is None:
        return ""
    return plain_words(text)


def undressed_words(text: str) -> str:
    """The text without text macros and dollars; other macros stay."""
    return unwrap_macros(text).replace("$", " ").replace("\\ ", " ").replace("~", " ")

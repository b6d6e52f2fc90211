"""Words as answers.

What is decided here: the same words in the same order are the same answer, articles, case and punctuation aside. Other words may
still mean the same, and nobody here can say: two different texts are "can't say", which isn't paid.
"""

from __future__ import annotations

import re

from reward_service.handlers.math.nodes import Node
from reward_service.handlers.math.regions import is_infinite
from reward_service.handlers.math.scalars import spelled

_PROSE = re.compile(r"[A-Za-z\s.,;:'\"()-]+")
_LONG_WORD = re.compile(r"[A-Za-z]{3}")
_MACROS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|textit|operatorname)\s*|[{}$\\]")
_EMPTY = frozenset(("empty set", "no solution", "no solutions", "no real solutions", "none"))
_ARTICLES = frozenset(("a", "an", "the", "is", "are", "it"))


def plain_words(text: str) -> str:
    """Words in lower case without articles and punctuation."""
    words = [word.strip(".,;:!?()\"'") for word in text.lower().split()]
    return " ".join(word for word in words if word and word not in _ARTICLES)


def match_texts(gold: Node, answer: Node) -> bool | None:
    """A word against a word, or against letters, an infinity or an empty set. Two different words: can't say."""
    if gold.op == answer.op == "text":
        return True if plain_words(gold.data) == plain_words(answer.data) else None
    text, other = (gold, answer) if gold.op == "text" else (answer, gold)
    letters = spelled(other)
    if letters is not None and letters.isupper():
        return bool(letters == text.data)
    if is_infinite(other) > 0 and plain_words(text.data) in ("infinity", "infinite", "infinitely many"):
        return True
    if other.op == "seq" and not other.args and plain_words(text.data) in _EMPTY:
        return True
    return None if gold.op == "text" else False


def is_prose(text: str) -> bool:
    """Words and punctuation, nothing else; at least one word of three letters."""
    bare_text = _MACROS.sub(" ", text)
    return _PROSE.fullmatch(bare_text) is not None and _LONG_WORD.search(bare_text) is not None


def words(text: str) -> str:
    """The words of a text, macros aside."""
    return plain_words(_MACROS.sub(" ", text))

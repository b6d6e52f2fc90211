"""What a table question expects: the gold's values with their types, and what the question says about units.

What is decided here: a gold is yes/no, a number, a date or a text, in this order of trying; a list comes as a list, as
JSON in a string, or joined with `|` (TableBench: with `, `). And the question is read for three things only: whether
a percentage is asked for, which scale it names ("in millions"), and which words may stand after a number as its unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reward_service.handlers._literal import LiteralError, parse_literal
from reward_service.handlers._quantity import Date, Quantity, parse_date, parse_quantity
from reward_service.handlers._table_answer import MAX_ITEMS, normal_text, undress
from reward_service.handlers._text import collapse, plain_characters

MAX_GOLD = 20_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What one data set means by its golds.

    percent: a number without a sign is in `points`, a `ratio`, or `either` (a quotient is a ratio). gold_digits: the
    significant digits from which a gold stands for everything that rounds to it. gold_exponent: the place it is
    rounded to. commas: one string holds a list, joined by ", ". articles: they don't count. truth: the label is 0 or 1.
    """

    percent: str = "points"
    gold_digits: int = 3
    gold_exponent: int | None = None
    commas: bool = False
    articles: bool = False
    truth: bool = False


@dataclass(frozen=True, slots=True)
class Gold:
    """One expected value: its normal text, and what else it is."""

    text: str
    truth: bool | None
    quantity: Quantity | None
    date: Date | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known about the question: is a percentage asked for (None: unknown), the scale of the table and the
    scale that the question names (powers of ten), and the words that may follow a number as its unit."""

    percent: bool | None
    table_scale: int = 0
    named_scale: int = 0
    words: frozenset[str] = frozenset()


def gold_texts(value: Any) -> tuple[str, ...] | None:
    """The gold's values as strings, or None if there are none. Lists may come as JSON in a string."""
    if isinstance(value, str):
        return _split_gold(value)
    values = value if isinstance(value, list) else [value]
    texts: list[str] = []
    for one in values:
        if isinstance(one, bool):
            texts.append("yes" if one else "no")
        elif isinstance(one, int | float) and one == one and abs(one) < 1e300:
            texts.append(repr(one))
        elif isinstance(one, str) and one.strip():
            texts.append(one)
        else:
            return None
    if len(texts) == 1 and isinstance(values[0], str):
        return _split_gold(texts[0])
    return tuple(texts) if 0 < len(texts) <= MAX_ITEMS else None


def _split_gold(text: str) -> tuple[str, ...] | None:
    return _split(text) if len(text) <= MAX_GOLD else None


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str, ...] | None:
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            values = parse_literal(text)
        except LiteralError:
            values = None
        if isinstance(values, list) and values and not any(isinstance(one, list | dict) for one in values):
            return gold_texts([one if not isinstance(one, str) else one.replace("|", "∣") for one in values])
    parts = tuple(part.strip() for part in text.split("|"))
    return parts if all(parts) and len(parts) <= MAX_ITEMS else None


@lru_cache(maxsize=4096)
def parsed_golds(texts: tuple[str, ...], rules: Rules) -> tuple[Gold, ...]:
    """The expected values, typed; cached, because a row is judged with many responses."""
    return tuple(_gold(text, rules) for text in (comma_list(texts) if rules.commas else texts))


def comma_list(texts: tuple[str, ...]) -> tuple[str, ...]:
    """TableBench's `spain, france` as two values; `June 28, 1998` stays one."""
    if len(texts) > 1 or parse_date(collapse(texts[0].lower())) is not None:
        return texts
    return tuple(part for part in texts[0].split(", ") if part.strip()) or texts


def _gold(text: str, rules: Rules) -> Gold:
    undressed = undress(text)
    normal = normal_text(undressed, rules.articles)
    lower = undressed.lower()
    truth = truth_of(normal, rules)
    if truth is not None:
        return Gold(normal, truth, None, None)
    quantity = parse_quantity(lower) if lower not in _NUMBER_WORDS_AS_TEXT else None
    return Gold(normal, None, quantity, None if quantity else parse_date(lower))


_NUMBER_WORDS_AS_TEXT = frozenset({"one", "two", "ten"})
"""As golds these are more often a title or a name; an answer that writes them is still read as a number."""

_TRUE = frozenset({"yes", "true"})
_FALSE = frozenset({"no", "false"})
_ENTAILED = _TRUE | {"entailed", "entails", "supported", "supports", "1", "1.0"}
_REFUTED = _FALSE | {"refuted", "refutes", "0", "0.0"}


def truth_of(text: str, rules: Rules) -> bool | None:
    """Yes or no, if the normal text is a word for either and nothing else."""
    if text in (_ENTAILED if rules.truth else _TRUE):
        return True
    return False if text in (_REFUTED if rules.truth else _FALSE) else None


_PERCENT_ASKED = re.compile(r"percent|per cent|%")
_SHARE_ASKED = re.compile(r"percent|per cent|%|proportion|share|rate\b|rates\b|portion|fraction|growth|likel")
_SCALE_NAMED = re.compile(
    r"(?:\bin|\bhow many|\()\s*(?:\w+\s+of\s+)?(thousand|million|billion)s?\b(?! (?:and|or) )"
)
_WORD = re.compile(r"[a-z]{2,}")
_POWERS = {"thousand": 3, "million": 6, "billion": 9}


def what_is_asked(extra: Mapping[str, Any], rules: Rules) -> Asked:
    """What the row's `question`, `scale` and `percent_question` say; values of another type are ignored."""
    question, scale, percent = extra.get("question"), extra.get("scale"), extra.get("percent_question")
    return _asked(
        _question_itself(question) if isinstance(question, str) else None,
        scale.strip().lower() if isinstance(scale, str) else None,
        percent if isinstance(percent, bool) else None,
        rules.percent == "ratio",
    )


@lru_cache(maxsize=4096)
def _asked(question: str | None, scale: str | None, percent: bool | None, only_percent: bool) -> Asked:
    named, words = 0, frozenset[str]()
    if question is not None:
        sentence = plain_characters(question).lower()
        pattern = _PERCENT_ASKED if only_percent else _SHARE_ASKED
        percent = percent if percent is not None else pattern.search(sentence) is not None
        match = _SCALE_NAMED.search(sentence)
        named = _POWERS[match.group(1)] if match is not None else 0
        found = _WORD.findall(sentence)
        words = frozenset([*found, *(word + "s" for word in found), *(word.rstrip("s") for word in found)])
    if scale == "percent":
        percent = True
    elif scale in _POWERS:
        percent = False
    return Asked(percent, _POWERS.get(scale or "", 0), named, words)


def _question_itself(question: str) -> str:
    """The sentence with the last question mark, if a whole prompt (with the table in it) came as the question."""
    if len(question) > 1_000:
        end = question.rfind("?")
        end = end + 1 if end >= 0 else len(question)
        start = max(question.rfind("\n", 0, end - 1), question.rfind(". ", 0, end - 1), end - 500, 0)
        question = question[start:end]
    return question

"""The ground truth, prepared once.

What is decided here: what of a ground truth is read when. Its text and number are made at once, its tree when
the first answer needs one; both are kept for the last few thousand ground truths (a prompt's 16 rollouts
share one). A ground truth is trusted: its number may have any words behind it, a list of circled digits is a
list, and backslashes that JSON ate are put back. A ground truth that holds boxes is what stands in the last
of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from reward_service.handlers.math import exact
from reward_service.handlers.math.answer import find
from reward_service.handlers.math.expression import parse
from reward_service.handlers.math.form import bare
from reward_service.handlers.math.nodes import MAX_CHARS, BudgetError, Node, ParseError
from reward_service.handlers.math.normal import key, repaired, undress
from reward_service.handlers.math.texts import plain_text, undressed_words

GOLD_CHARS = 2 * MAX_CHARS
KEPT = 8_192
"""Ground truths that are kept prepared in a process."""

_BOX = frozenset(("box",))
_CHOICE = re.compile(r"(?:\(([A-J])\)|([A-J])[.):](?= )|([A-J])(?= [A-Z])) ?\S.*", re.DOTALL)
_CIRCLED = {chr(0x2460 + i): str(i + 1) for i in range(20)}
_COMMA_DIGITS = re.compile(r"\d,\d")


class Trees(NamedTuple):
    """The tree (None: not in the grammar), and the one where commas between digits separate items, if it differs."""

    node: Node | None
    listed: Node | None


@dataclass(frozen=True, slots=True)
class Gold:
    """A prepared ground truth.

    source: as it came; raw: repaired, boxes opened; text: undressed; key: without spaces; written: its number, if it
    is one.
    """

    source: str
    raw: str
    text: str
    key: str
    written: exact.Written | None

    @property
    def node(self) -> Node | None:
        """Its tree, or None where it isn't in the grammar (a sentence, say)."""
        return trees(self.text).node

    @property
    def listed(self) -> Node | None:
        """Its tree as a list, where `1,234` may be two items."""
        return trees(self.text).listed

    @property
    def words(self) -> str:
        """Its words and numbers in lower case, if it is made of nothing else; "" otherwise."""
        return plain_text(self.raw)

    @property
    def choice(self) -> str:
        """The letter of a written-out choice: `(D) Alina`, `D. Alina` and `D Alina` are D."""
        return written_choice(self.text)

    @property
    def several(self) -> bool:
        """Does it have parts that may stand in boxes of their own?"""
        node = self.node
        return (
            node is not None and bare(node).op in ("list", "seq", "rel", "cup")
        ) or self.listed is not None


@lru_cache(maxsize=KEPT)
def prepare(text: str) -> Gold:
    """A ground truth, undressed."""
    if text.isdigit() and text.isascii() and len(text) < 40:
        return Gold(text, text, text, text, exact.Written(int(text), 0, False, False))
    source = text
    text = repaired(text)
    if "box" in text:
        parts = find(text, _BOX).parts
        if parts:
            text = ", ".join(parts)
        elif "\\boxed{" in text:  # cut off
            text = text.rpartition("\\boxed{")[2]
    if text and all(character in _CIRCLED or character in " ,、" for character in text):
        text = ", ".join(_CIRCLED[character] for character in text if character in _CIRCLED)
    plain = undress(text)
    return Gold(source, text, plain, key(plain), exact.written(plain))


@lru_cache(maxsize=KEPT)
def trees(plain: str) -> Trees:
    """The trees of an undressed ground truth."""
    try:
        node = parse(plain, limit=GOLD_CHARS, trusted=True)
        listed = None
        if _COMMA_DIGITS.search(plain):
            listed = parse(plain, limit=GOLD_CHARS, thousands=False, trusted=True)
            if listed == node or bare(listed).op != "list":
                listed = None
        return Trees(node, listed)
    except (ParseError, BudgetError, RecursionError):
        return Trees(None, None)


_ANOTHER = re.compile(r"\b(?:or|and|not|either)\b|\([A-J]\)|\b[B-J][.):]", re.IGNORECASE)


def written_choice(text: str) -> str:
    """The letter of a choice that is written out, with no other one behind it; "" if it is none."""
    text = undressed_words(text).strip()
    match = _CHOICE.fullmatch(text)
    if match is None:
        return ""
    letter = next(filter(None, match.groups()))
    return "" if _ANOTHER.search(text[match.end(match.lastindex or 0) + 1 :]) else letter

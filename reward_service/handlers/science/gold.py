r"""What kind of thing a ground truth is, which decides what its answers are compared as.

What is decided here: the kinds and the order in which they are tried: yes or no, an option's letter, a quantity, electron
shells, a nuclide, a reaction, a formula, a list, an expression, text. The data set's own word for it (`answer_type`) is a
hint where the text alone could be two things. A formula is elements with counts or charges, or two of them (`NaCl`, `CO`);
a lone `F` may be anything. A list is separated at the top level of brackets.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from reward_service.handlers import math
from reward_service.handlers._text import boxes
from reward_service.handlers.math import Verdict
from reward_service.handlers.science import chemistry
from reward_service.handlers.science.quantity import Quantity, read_quantity
from reward_service.handlers.science.reading import Answer, answer_of
from reward_service.handlers.science.units import readings
from reward_service.handlers.science.words import option_letter, truth

MAX_ITEMS = 24


class Decision(NamedTuple):
    """The verdict, the rule that gave it, and why it is undecided. hedged: several or conditional answers in one."""

    verdict: Verdict
    comparator: str
    why: str = ""
    hedged: bool = False


class Gold(NamedTuple):
    """A ground truth and what it is: exactly one of the fields after `kind` matters."""

    source: str
    answer: Answer
    kind: str
    truth: bool | None = None
    letter: str = ""
    quantity: Quantity | None = None
    items: tuple[str, ...] = ()


_CHOICE_TYPES = ("multiple choice", "multiple-choice", "option", "mcq", "choice")
_BOOLEAN_TYPES = ("boolean", "bool", "yes/no", "true/false")


_OPENS = re.compile(r"(?:yes|no|true|false)\b[,.;:]", re.IGNORECASE)


@lru_cache(maxsize=4_096)
def prepare(source: str, answer_type: str = "") -> Gold:
    """What kind of thing the ground truth is. answer_type: the data set's word for it, a hint."""
    boxed = boxes(source) if "box" in source else []
    text = boxed[-1].content if boxed else source
    answer = answer_of(text)
    kind_hint = answer_type.strip().lower()
    said = truth(answer.text)
    opens = _OPENS.match(answer.text) is not None
    if said is not None and (kind_hint in _BOOLEAN_TYPES or answer.text.isalpha() or opens):
        return Gold(text, answer, "truth", truth=said)
    letter = option_letter(answer.text, marked=kind_hint not in _CHOICE_TYPES)
    if letter:
        return Gold(text, answer, "option", letter=letter)
    quantity = read_quantity(answer.text)
    if quantity is not None and quantity.bare and "percent" in kind_hint:
        quantity = quantity._replace(units=readings("%"), suffix="%")
    if quantity is not None:
        return Gold(text, answer, "quantity", quantity=quantity)
    if chemistry.configuration(text) is not None:
        return Gold(text, answer, "configuration")
    nuclide = chemistry.nuclide(text)
    if nuclide is not None and nuclide[0]:
        return Gold(text, answer, "nuclide")
    if chemistry.equation(text) is not None:
        return Gold(text, answer, "reaction")
    if _is_formula(text, kind_hint):
        return Gold(text, answer, "formula")
    items = items_of(text)
    if len(items) > 1:
        return Gold(text, answer, "list", items=items)
    prose = is_prose(answer.text) and not answer.name
    return Gold(text, answer, "text" if prose else "expression")


_CHEMICAL = re.compile(r"[\d+\-\[(·^]")


def _is_formula(text: str, hint: str) -> bool:
    """Elements with counts, charges or at least two of them: `NaCl`, `H2O`, `CO`; a lone `F` may be anything."""
    found = chemistry.species(text)
    if not found:
        return False
    if "chem" in hint or "formula" in hint:
        return True
    lower = any(character.islower() for character in text.replace("\\", " ").split("(")[0])
    counted = any(count > 1 for _, count in found[0].atoms) or found[0].charge != 0 or bool(found[0].state)
    return bool(_CHEMICAL.search(text) and counted) or (len(found[0].atoms) > 1 and (lower or len(text) == 2))


_PROSE = re.compile(r"[^\\^_=<>{}|√π∞∫Σ]*")
_LONG_WORD = re.compile(r"[A-Za-z]{3}")


def is_prose(text: str) -> bool:
    """Words, and nothing of mathematics."""
    return _PROSE.fullmatch(text) is not None and _LONG_WORD.search(text) is not None


_LONE_BRACES = re.compile(r"\{(.)\}")
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")


def tight(text: str) -> str:
    """Without spaces that separate nothing (`2 5` is not 25) and braces around one character; letter case is kept."""
    return _LONE_BRACES.sub(r"\1", _LOOSE_SPACE.sub("", text))


def same_math(gold: str, answer: str) -> Verdict:
    """What the math package says; UNKNOWN for what is too long to be an answer."""
    if len(gold) > 1_000 or len(answer) > 1_000:
        return Verdict.UNKNOWN
    return math.equal(gold, answer)


_SEPARATOR = re.compile(
    r"\s*(?:;|,(?!\d{3}(?!\d))(?=\s)|,(?=\s*[^\d\s])|\n|(?:,\s*)?(?<=\s)(?:and|&)(?=\s)|\\\\|\\quad|\\text\s*\{\s*(?:,\s*)?and\s*\})\s*"
)
_OPENING, _CLOSING = "([{", ")]}"


def items_of(text: str) -> tuple[str, ...]:
    """The items of a list at the top level of brackets; brackets around all of them are taken off. One item: no list."""
    text = text.strip().strip("$").strip()
    if "\\begin" in text:
        return (text,)
    for opening, closing in ((r"\{", r"\}"), ("(", ")"), ("[", "]"), ("{", "}"), (r"\left(", r"\right)")):
        if text.startswith(opening) and text.endswith(closing) and _spans(text[len(opening) : -len(closing)]):
            text = text[len(opening) : -len(closing)].strip()
            break
    depth = 0
    depths = []
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        depths.append(depth)
    items: list[str] = []
    start = 0
    for match in _SEPARATOR.finditer(text):
        if match.end() > match.start() and depths[match.start()] == 0:
            items.append(text[start : match.start()].strip())
            start = match.end()
    items.append(text[start:].strip())
    found = tuple(item for item in items if item)
    if len(found) > MAX_ITEMS or any(len(item.split()) > 8 for item in found):
        return (text,)
    return found


def _spans(inner: str) -> bool:
    depth = 0
    for character in inner:
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth < 0:
            return False
    return depth == 0

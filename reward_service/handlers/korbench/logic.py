r"""KOR-Bench's logic answers: parts in brackets, `[[p1&p2];[~p3]]`.

What is decided here: the parts in their order, without spaces and full stops (as officially); look-alike
operators are one operator, and parentheses around all of a part don't count. Rows of a circuit's table, the
values behind `T:` and `F:`, and the members of a set come in any order. Letter case counts only where the
gold uses both cases of a symbol. Equivalent formulas in another form are wrong, as officially: the questions
ask for a form.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

from reward_service.handlers._logic import undress
from reward_service.handlers._text import plain_characters, unwrap_macros

_SPACES = re.compile(r"\s+")
_PARTS = re.compile(r"[\[\]]*;[\[\]]*|\]\s*,?\s*\[|\n")
_OPERATORS: Mapping[str, str] = {
    "\\land": "∧", "\\wedge": "∧", "\\lor": "∨", "\\vee": "∨", "\\lnot": "¬", "\\neg": "¬", "\\Rightarrow": "⇒",
    "\\implies": "⇒", "\\rightarrow": "→", "\\to": "→", "\\Leftrightarrow": "⇔", "\\iff": "⇔",
    "\\leftrightarrow": "↔", "\\forall": "∀", "\\exists": "∃", "\\emptyset": "∅", "\\varnothing": "∅",
    "\\sim": "~", "∼": "~", "\\mid": "|", "\\checkmark": "✓", "✔": "✓", "\\times": "x", "×": "x", "✗": "x", "✘": "x",
    "\\cup": "∪", "\\cap": "∩", "\\in": "∈", "=>": "⇒", "\\&": "&", "\\": "",
}  # fmt: skip
_NAMES = tuple(sorted(_OPERATORS, key=len, reverse=True))
_ROW = re.compile(r"[+-](?:,[+-])*")


def logic(gold: str, answer: str) -> bool:
    """The same parts."""
    # `$` is an operator of some puzzles ("possibly"); in the others it is LaTeX, as stars are markdown.
    dress = "".join(mark for mark in "`$*" if mark not in gold)
    wanted, given = _parts(gold, dress), _parts(answer, dress)
    if not given or len(wanted) != len(given):
        return False
    if not _mixed_case(gold):
        wanted, given = [part.casefold() for part in wanted], [part.casefold() for part in given]
    if wanted == given:
        return True
    rows = [at for at, part in enumerate(wanted) if _ROW.fullmatch(part)]
    if len(rows) > 1 and len(rows) >= len(wanted) - 1:  # a circuit's table: a header, and rows in any order
        head = len(wanted) - len(rows)
        return wanted[:head] == given[:head] and Counter(wanted[head:]) == Counter(given[head:])
    return all(
        left == right or _unordered(left) == _unordered(right) is not None
        for left, right in zip(wanted, given, strict=True)
    )


def _parts(text: str, dress: str) -> list[str]:
    """The parts in normal form; `dress`: characters that don't count."""
    text = undress(text) if "box" in text else text
    text = plain_characters(text).translate({ord(mark): None for mark in dress})
    if "\\" in text:
        text = unwrap_macros(text.replace("\\{", "{").replace("\\}", "}"))
    for name in _NAMES:
        if name in text:
            text = text.replace(name, _OPERATORS[name])
    pieces = [
        _SPACES.sub("", piece).strip("[]").replace('"', "").replace(".", "") for piece in _PARTS.split(text)
    ]
    return [_without_outer(piece) for piece in pieces if piece]


def _without_outer(part: str) -> str:
    """A formula without parentheses around all of it."""
    for _ in range(3):
        if part[:1] != "(" or part[-1:] != ")":
            break
        depths = list(accumulate((c == "(") - (c == ")") for c in part))
        if 0 in depths[:-1] or depths[-1]:
            break
        part = part[1:-1]
    return part


def _unordered(part: str) -> Counter[str] | None:
    """The values behind `T:` or `F:`, or the members of a flat set; None for any other part."""
    if part[:2].upper() in ("T:", "F:"):
        return Counter([part[:2], *part[2:].split(",")])
    if part.startswith("{") and part.endswith("}") and not any(mark in part[1:-1] for mark in "{}("):
        return Counter(["{}", *part[1:-1].split(",")])
    return None


def _mixed_case(text: str) -> bool:
    """Does a word, or a letter of a short symbol, stand there in both letter cases, so that case means something?"""
    words = set(re.findall(r"[A-Za-z]+", text))
    letters = {letter for word in words if len(word) < 3 for letter in word}
    return len({word.casefold() for word in words}) < len(words) or any(
        c.swapcase() in letters for c in letters
    )

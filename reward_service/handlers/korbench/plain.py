"""KOR-Bench's cipher and counterfactual answers: a text, a letter.

What is decided here: a cipher text is the same characters, letter case aside; spaces only separate. Dress is
taken off only where the gold has letters and digits only, because a symbol may be part of a cipher text; but
for code marks. A counterfactual answer is one letter, alone or before its text.
"""

from __future__ import annotations

import re

from reward_service.handlers._logic import hedged, undress
from reward_service.handlers._text import plain_characters


def cipher(gold: str, answer: str) -> bool:
    """The same text."""
    answer = answer.strip()
    readings = [answer] if "`" in gold else [answer, answer.strip("`")]
    if gold.replace(" ", "").isalnum():
        readings.append(undress(answer))
    return any(_same_code(gold, reading) for reading in readings)


def _same_code(gold: str, answer: str) -> bool:
    gold, answer = plain_characters(gold).replace('"', ""), plain_characters(answer).replace('"', "")
    left, right = gold.casefold().split(), answer.casefold().split()
    if left == right:
        return bool(left)
    # Where both are in pieces, the pieces count: 1 11 is not 11 1.
    return (len(left) == 1 or len(right) == 1 or "," in gold) and "".join(left) == "".join(right)


_OPTION = re.compile(r"\(?([A-Z])\)?(?:[.:)]?|[.:)]\s*\S.*|\s+[-–]\s+\S.*)", re.IGNORECASE | re.DOTALL)


def letter(gold: str, answer: str) -> bool:
    """The same option."""
    match = _OPTION.fullmatch(undress(answer))
    wanted = gold.strip().upper()
    return match is not None and len(wanted) == 1 and match.group(1).upper() == wanted and not hedged(answer)

r"""Closed vocabularies: yes and no, an option's letter, and pairs of opposites.

What is decided here: what a sentence of yes or no may hold beside its one word. `not false` is true and `untrue` is
false, but `unknown` says nothing, and `true or false` says both. A word that opens a sentence (`No, because …`) counts if
nothing after it turns it round.
"""

from __future__ import annotations

import re

from reward_service.handlers.science.reading import turned

_TRUE = frozenset(["true", "yes", "correct", "right", "holds", "valid", "yeah", "affirmative"])
_FALSE = frozenset(["false", "no", "incorrect", "wrong", "untrue", "invalid"])
_NOT = frozenset(("not", "isn't", "doesn't", "never", "aren't"))
_LEAD_WORDS = """
that the this it statement claim assertion proposition answer is are a an does hold be so therefore thus
hence conclude we final to question
"""
_LEAD = frozenset(_LEAD_WORDS.split())
_WORD = re.compile(r"[a-z]+(?:'t)?")


def truth(text: str) -> bool | None:
    """True, False, or None for what is neither."""
    if len(text) > 400:
        return None
    lower = text.lower().replace("’", "'")
    words = _WORD.findall(lower)
    if not words:
        return {"1": True, "0": False}.get(lower.strip()) if lower.strip() in ("0", "1") else None
    said: bool | None = None
    negated = False
    for at, word in enumerate(words):
        if word in _NOT:
            if said is not None:
                opening = _OPENS.match(lower)
                return said if opening is not None and not negated and _bears_out(words[1:], said) else None
            if negated:
                return None
            negated = True
        elif word in _TRUE or word in _FALSE:
            if said is not None:
                return said if at == 1 and (word in _TRUE) is said else None  # "Yes, true"
            said = (word in _TRUE) is not negated
        elif word not in _LEAD:
            # A reason behind the word, set off from it: "No, the sum diverges".
            opening = _OPENS.match(lower)
            if opening is None or opening.group(1) != words[0]:
                return None
            return said if said is not None and _bears_out(words[1:], said) else None
    return said


_OPENS = re.compile(r"\W*(yes|no|true|false)\b\s*(?:[,.;:(—-]|\bbecause\b|\bsince\b)")
_TURN_WORDS = """
or either but however actually wait maybe perhaps unless if except sorry although though instead
"""
_TURNS = frozenset(_TURN_WORDS.split())


def _bears_out(words: list[str], said: bool) -> bool:
    """Is there no turn in the reason, and no word for the other verdict? `No, there is no such number` has none."""
    other = _FALSE if said else _TRUE
    return not any(word in _TURNS or word in other for word in words)


_MARKED = re.compile(r"\(([A-Za-z])\)\.?|(?:option|choice|answer)\s*:?\s*\(?([A-Za-z])\)?\.?", re.IGNORECASE)
_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:)]?")
_WITH_TEXT = re.compile(r"\(?([A-Za-z])\)[.:]?\s+(?=\S)|([A-J])[.:]\s+(?=\S)|\(([A-Za-z])\)(?=\S)")


def option_letter(text: str, *, marked: bool) -> str:
    """The letter of the one option that the text names, in upper case, or "". marked: only with its brackets or the word."""
    text = text.strip()
    match = _MARKED.fullmatch(text) or (None if marked else _LETTER.fullmatch(text))
    if match is not None:
        return next(group for group in match.groups() if group).upper()
    if marked or len(text) > 300:
        return ""
    match = _WITH_TEXT.match(text)
    if match is None or _WITH_TEXT.search(text, match.end()) or turned(text):
        return ""
    return next(group for group in match.groups() if group).upper()


_PAIRS = """
increase increases increased increasing/decrease decreases decreased decreasing; higher/lower; greater more larger/less smaller fewer;
positive/negative; endothermic/exothermic; attractive/repulsive; left/right; up upward upwards above/down downward downwards below;
clockwise/counterclockwise anticlockwise; north/south; east/west; acidic/basic alkaline; converging/diverging; convergent/divergent;
converges/diverges; stable/unstable; real/imaginary virtual; inelastic/elastic; oxidation/reduction; oxidized/reduced; anode/cathode;
heads/tails; maximum/minimum; concave/convex; parallel/perpendicular series; spontaneous/nonspontaneous; paramagnetic/diamagnetic;
polar/nonpolar; even/odd; absorbed/released emitted; acute/obtuse; faster/slower; warmer/cooler
"""
_SIDES = {
    word: (at, side)
    for at, pair in enumerate(_PAIRS.split(";"))
    for side, words in enumerate(pair.split("/"))
    for word in words.split()
}


def opposite(gold: str, answer: str) -> bool:
    """Is the answer the one word that is the opposite of the ground truth's one word (`it` and articles aside)?"""
    left, right = (_lone(text) for text in (gold, answer))
    one, other = _SIDES.get(left), _SIDES.get(right)
    return one is not None and other is not None and one[0] == other[0] and one[1] != other[1]


def same_word(gold: str, answer: str) -> bool:
    """Do both say one and the same word (`it increases`, `increases`)?"""
    word = _lone(gold)
    return (
        bool(word) and word == _lone(answer) and not any(character.isdigit() for character in gold + answer)
    )


_PLAIN = re.compile("[a-z]+")
_AROUND = frozenset(("it", "the", "a", "an", "is", "will", "would", "be"))


def _lone(text: str) -> str:
    words = [word for word in _PLAIN.findall(text.lower()) if word not in _AROUND]
    return words[0] if len(words) == 1 else ""

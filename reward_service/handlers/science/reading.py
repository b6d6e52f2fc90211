r"""A scientific answer in plain notation: LaTeX and unicode written out, the name in front split off.

What is decided here: what counts as dress. Text macros, spacing, degree signs, `\mu`, `\Omega`, `\cdot` and `\times`
become the characters that they stand for; a macro ends a word (`\mathrm{kJ}\mathrm{mol}` is `kJ mol`), and `\mu` and a
separate `k` before an ohm join the unit that they belong to. A name in front (`v_2 =`, `\Delta H \approx`) is split
off, and only a name: what stands left of a `=` and holds a number of its own (`41 = 42`) makes the answer unreadable.
Everything is linear in the text, which is at most MAX_CHARS long.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reward_service.handlers._logic import HEDGES
from reward_service.handlers._text import collapse, peel, plain_characters, unwrap_macros

MAX_CHARS = 2_000
"""Characters of an answer that is read; a longer one is no short answer."""

_MACRO = re.compile(
    r"\\(?:text|textbf|textit|textrm|texttt|mathrm|mathbf|mathit|mathsf|mathtt|mbox|operatorname|ce|rm|unit|si)(?![a-zA-Z])"
)
_CE = re.compile(r"\\(?:ce|unit|si|rm)\s*(?=\{)")
_CIRC = re.compile(r"\^?\s*\{?\s*\\circ\s*\}?|\\degree(?:s)?(?![a-zA-Z])|º|˚|\^\s*\{?\s*°\s*\}?")
_DEGREE_OF = re.compile(r"°\s*(?=[CFKR]\b)")
_SPACING = re.compile(r"\\[,;:! ]|\\(?:quad|qquad|thinspace|left|right|displaystyle|bf)(?![a-zA-Z])|~")
_NAMED = {
    r"\times": "×", r"\cdot": "·", r"\ast": "*", r"\bullet": "·", r"\div": "÷", r"\mu": "μ", r"\Omega": "Ω", r"\AA": "Å",
    r"\approx": "≈", r"\simeq": "≈", r"\sim": "≈", r"\cong": "≈", r"\rightarrow": "→", r"\longrightarrow": "→", r"\to": "→",
    r"\rightleftharpoons": "→", r"\leftrightarrow": "→", r"\leftrightharpoons": "→", r"\xrightarrow": "→", r"\dfrac": r"\frac",
    r"\tfrac": r"\frac", r"\ell": "ℓ", r"\angstrom": "Å", r"\ohm": "Ω", r"\pm": "±", r"\infty": "∞",
}  # fmt: skip
_NAME = re.compile(r"\\[A-Za-z]+")
_MICRO = re.compile(r"μ\s+(?=[A-Za-zΩ])")
_OHM = re.compile(r"\b([kMGmμ])\s+(?=Ω)")
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_RAISED = re.compile(r"(?<=[A-Za-z)\]}])[⁰¹²³⁴-⁹⁺⁻]+")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_DOLLAR_SIGN = re.compile(r"\\\$|\$(?=\s*\d)")


class Answer(NamedTuple):
    """An answer: the name in front of it ("" mostly), and the rest in plain notation."""

    name: str
    text: str


def notation(text: str) -> str:
    """The text in plain notation, still with its name in front."""
    text = _MACRO.sub(r" \g<0>", text) if "\\" in text else text
    if not text.isascii():
        text = _DIRECTIONS.sub("", text).replace("½", " 1/2").replace("⁄", "/")
        text = _RAISED.sub(lambda match: f"^{{{match.group().translate(_DIGITS)}}}", text)
    text = unwrap_macros(plain_characters(_CE.sub(r"\\text", text)))
    text = _dollars(text.replace("{,}", ",").replace(",\\!", ",").replace("\\%", "%"))
    text = _DEGREE_OF.sub("°", _CIRC.sub("°", text))
    text = _NAME.sub(lambda match: _NAMED.get(match.group(), match.group()), _SPACING.sub(" ", text))
    return collapse(
        _OHM.sub(r"\1", _MICRO.sub("μ", text)).replace("^{}", "").replace("_{}", "").replace("{}", "")
    )


def _dollars(text: str) -> str:
    """Math delimiters away, a currency sign kept: `\\$5`, and a lone `$` before a digit."""
    if "$" not in text:
        return text
    if text.count("$") - text.count("\\$") == 1 or "\\$" in text:
        text = _DOLLAR_SIGN.sub("\0", text)
    return text.replace("$", " ").replace("\0", "$")


_LEAD = re.compile(
    r"(?:\b(?:the|an|its|final|correct|answer|value|result|approximately|approx\.?|about|around|roughly|nearly|is|are|be|equals?|equal to|"
    r"would be|will be|of|total|required|resulting|so|thus|therefore|hence)\b[\s:,]*|[≈:=][\s:,]*)+",
    re.IGNORECASE,
)
_EQUALS = re.compile(r"(?<![<>!=≤≥])[=≈](?!=)")
_NUMBER_ALONE = re.compile(r"[-+]?[\d.,\s]+(?:[eE][-+]?\d+)?\s*(?:×.*)?")
_SYMBOL = r"(?:\\?[A-Za-zα-ωΑ-Ω][\w\\{}'’(), °Δα-ω]{0,60}?(?:\^\{?[0*'′°]\}?)?[\w{}()°]{0,20}?|\[[^\[\]=]{1,30}\](?:_\{?\w{1,10}\}?)?)"
_NAME_ALONE = re.compile(rf"{_SYMBOL}(?:\s?/\s?{_SYMBOL})?")
"""A name, or a ratio of two: `v_2`, `f(x)`, `P/P_0`; not `x/2` or `2x`, whose value is not the name's."""
_HAS_SYMBOL = re.compile(r"[A-Za-zα-ωΑ-Ω]")


def answer_of(text: str) -> Answer:
    """The answer without its dress; a name in front is split off where it is nothing but a name."""
    plain = collapse(peel(notation(peel(text))))
    lead = _LEAD.match(plain)
    if lead is not None and lead.end() < len(plain):
        plain = plain[lead.end() :].strip()
    parts = [part.strip() for part in _EQUALS.split(plain)]
    if (
        1 < len(parts) <= 4
        and parts[-1]
        and _NAME_ALONE.fullmatch(parts[0])
        and all(map(_is_symbolic, parts[:-1]))
    ):
        return Answer(parts[0], peel(parts[-1]))
    return Answer("", plain)


def _is_symbolic(text: str) -> bool:
    """A name or a formula on the way to the value: no number of its own, and nothing that turns the statement round."""
    if _NUMBER_ALONE.fullmatch(text) or text[:1].isdigit() or "," in text or ";" in text:
        return False
    return bool(_HAS_SYMBOL.search(text)) and not turned(text)


_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_ALTERNATIVES = frozenset(("or", "either", "vs", "versus", "between"))
_REFUSED_WORDS = """
and to than then plus minus times over under more less fewer least most half quarter twice double squared
increase decrease increased decreased almost from through up down another other wait actually some any
"""
_REFUSED = HEDGES | frozenset(_REFUSED_WORDS.split())


def turned(text: str) -> bool:
    """Do words stand in it that negate, condition or offer an alternative?"""
    words = [word.lower() for word in _WORD.findall(text)]
    return any(word in HEDGES or word in _ALTERNATIVES or word.endswith("n't") for word in words)


def neutral(text: str) -> bool:
    """Only words, and none that could change what the number before them says. Up to eight of them."""
    words = [word.lower() for word in _WORD.findall(text)]
    return len(words) <= 8 and not any(word in _REFUSED or word.endswith("n't") for word in words)

r"""Chemical formulas, ions, nuclides and equations: read by a grammar, compared by what they are made of.

What is decided here
- A species is its atoms (a Hill count through brackets, hydrates and coefficients), its charge, and a state if one is
  written. `Ca2+` and `SO42-` in plain text have two readings (charge or count); a charge behind `^` has one.
- Two formulas with the same atoms may be isomers: they are the same if one of them names each element once (then it
  says no more than the count) and so does the other, or if both are written alike; otherwise undecided.
- Equations are equal if both sides hold the same species in the same proportions: halves and multiples describe the
  same reaction, unless the question asks for the smallest whole numbers. Other proportions are not balanced alike.
- A state must agree where both sides write one; an answer may leave states out unless the question asks for them.
- Letter case is meaning: `CO` is not `Co`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from reward_service.handlers._text import plain_characters
from reward_service.handlers.math import Verdict

MAX_CHARS = 400
MAX_COUNT = 10_000
MAX_SPECIES = 24
MAX_READINGS = 64

_NAMES = """
H hydrogen He helium Li lithium Be beryllium B boron C carbon N nitrogen O oxygen F fluorine Ne neon Na sodium Mg magnesium
Al aluminium Si silicon P phosphorus S sulfur Cl chlorine Ar argon K potassium Ca calcium Sc scandium Ti titanium V vanadium
Cr chromium Mn manganese Fe iron Co cobalt Ni nickel Cu copper Zn zinc Ga gallium Ge germanium As arsenic Se selenium Br bromine
Kr krypton Rb rubidium Sr strontium Y yttrium Zr zirconium Nb niobium Mo molybdenum Tc technetium Ru ruthenium Rh rhodium
Pd palladium Ag silver Cd cadmium In indium Sn tin Sb antimony Te tellurium I iodine Xe xenon Cs caesium Ba barium La lanthanum
Ce cerium Pr praseodymium Nd neodymium Pm promethium Sm samarium Eu europium Gd gadolinium Tb terbium Dy dysprosium Ho holmium
Er erbium Tm thulium Yb ytterbium Lu lutetium Hf hafnium Ta tantalum W tungsten Re rhenium Os osmium Ir iridium Pt platinum Au gold
Hg mercury Tl thallium Pb lead Bi bismuth Po polonium At astatine Rn radon Fr francium Ra radium Ac actinium Th thorium
Pa protactinium U uranium Np neptunium Pu plutonium Am americium Cm curium Bk berkelium Cf californium Es einsteinium Fm fermium
Md mendelevium No nobelium Lr lawrencium Rf rutherfordium Db dubnium Sg seaborgium Bh bohrium Hs hassium Mt meitnerium
Ds darmstadtium Rg roentgenium Cn copernicium Nh nihonium Fl flerovium Mc moscovium Lv livermorium Ts tennessine Og oganesson
"""
_PAIRS = _NAMES.split()
ELEMENTS: Mapping[str, str] = dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True))
_BY_NAME = {name: symbol for symbol, name in ELEMENTS.items()} | {
    "aluminum": "Al",
    "sulphur": "S",
    "cesium": "Cs",
}


class Species(NamedTuple):
    """atoms: element -> count, sorted (`e` is the electron). charge: in elementary charges. state: s, l, g, aq or "".

    written: without brackets that say nothing; repeated: an element occurs in more than one place.
    """

    atoms: tuple[tuple[str, int], ...]
    charge: int
    state: str
    written: str
    repeated: bool


_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_LOWERED = re.compile("[₀-₉₊₋]+")
_SCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-0123456789+-")
_MACRO = re.compile(
    r"\\(?:mathrm|text|ce|rm|mathbf|textbf|mathit|mbox|operatorname|left|right|displaystyle)(?![a-zA-Z])"
)
_ARROW = re.compile(
    r"\\(?:long)?(?:right|leftright)arrow|\\x(?:right|leftright)arrow(?:\s*\[[^\]]{0,40}\])?(?:\s*\{[^{}]{0,40}\})?"
    r"|\\rightleftharpoons|\\leftrightharpoons|\\to(?![a-z])|<?=+>|<?-+>|[→⟶⇌⇄↔⟷⇒]|(?<![<>])="
)
_SPACE = re.compile(r"\\[,;:! ]|\\quad|[~$]|\{\}")
_DOT = re.compile(r"\\cdot|\\bullet|[•⋅∙*]")


def _plain(text: str) -> str:
    text = _RAISED.sub(lambda match: f"^{{{match.group().translate(_SCRIPTS)}}}", text)
    text = _LOWERED.sub(lambda match: match.group().translate(_SCRIPTS), text)
    text = _DOT.sub("·", _SPACE.sub(" ", _MACRO.sub("", plain_characters(text))))
    return (
        text.replace("\\uparrow", "(g)")
        .replace("\\downarrow", "(s)")
        .replace("↑", "(g)")
        .replace("↓", "(s)")
        .strip()
    )


_STATE = re.compile(r"\s*[_]?\{?\(\s*(aq|s|l|g)\s*\)\}?$")
_CHARGE = re.compile(r"\^\s*(?:\{\s*([^{}]{1,5})\s*\}|(\d?[+-]|[+-]\d?))$")
_SIGNED = re.compile(r"(\d*)([+-]+)(\d*)")
_PLAIN_CHARGE = re.compile(r"(?P<body>.*?[A-Za-z0-9)\]])(?P<sign>\+{1,3}|-{1,3})", re.DOTALL)
_ATOM = re.compile(r"([A-Z][a-z]?)|([(\[{])|([)\]}])|_?(\d{1,5})|_?\{(\d{1,5})\}")
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_ELECTRON = re.compile(r"e(?:\^?\{?-\}?)?")


@lru_cache(maxsize=4_096)
def species(text: str) -> tuple[Species, ...]:
    """Every reading of one formula; () if it is none."""
    if not text or len(text) > MAX_CHARS:
        return ()
    plain = _plain(text)
    state = ""
    if (written := _STATE.search(plain)) is not None:
        state, plain = written.group(1), plain[: written.start()].strip()
    if _ELECTRON.fullmatch(plain.strip("{}")):
        return (Species((("e", 1),), -1, "", "e", False),)
    found = []
    for body, charge in _charges(plain):
        atoms = _atoms(body.replace(" ", ""))
        if atoms is not None:
            counts, repeated = atoms
            shape = body.replace("{", "").replace("}", "").replace("_", "").replace(" ", "")
            composition = tuple(sorted(counts.items()))
            found.append(Species(composition, charge, state, shape, repeated))
    return tuple(dict.fromkeys(found))


def _charges(text: str) -> list[tuple[str, int]]:
    """What the text may be without its charge, and that charge."""
    raised = _CHARGE.search(text)
    if raised is not None:
        signed = _SIGNED.fullmatch((raised.group(1) or raised.group(2)).replace(" ", ""))
        if signed is None:
            return []
        before, signs, after = signed.groups()
        if (before and after) or len(set(signs)) > 1 or (len(signs) > 1 and (before or after)):
            return []
        size = int(before or after or len(signs))
        return [(text[: raised.start()], size if signs[0] == "+" else -size)]
    if "^" in text:
        return []
    signed_text = _PLAIN_CHARGE.fullmatch(text)
    if signed_text is None:
        return [(text, 0)]
    body, signs = signed_text.group("body"), signed_text.group("sign")
    sign = 1 if signs[0] == "+" else -1
    found = [(body, sign * len(signs))]
    if len(signs) == 1 and body[-1].isdigit() and len(body) > 1 and body[-1] in "1234567":
        other = (body[:-1], sign * int(body[-1]))
        # Ca2+ is an ion of one atom, NH4+ has four hydrogens, SO42- both: two digits are a count and a charge.
        lone = body[:-1] in ELEMENTS
        found = [other] if lone and sign > 0 else [other] if body[-2].isdigit() else [*found, other]
    return found


def _atoms(text: str) -> tuple[Counter[str], bool] | None:
    """The atoms, through brackets and hydrates; and whether an element stands in more than one place."""
    total: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for at, part in enumerate(text.split("·")):
        coefficient = 1
        if at and (digits := re.match(r"\d{1,3}", part)) is not None:
            coefficient, part = int(digits.group()), part[digits.end() :]
        counts = _group(part, places)
        if counts is None:
            return None
        for element, count in counts.items():
            total[element] += count * coefficient
    return (total, max(places.values()) > 1) if total else None


def _group(text: str, places: Counter[str]) -> Counter[str] | None:
    stack: list[tuple[str, Counter[str]]] = [("", Counter())]
    last: Counter[str] | None = None
    at = 0
    while at < len(text):
        match = _ATOM.match(text, at)
        if match is None:
            return None
        element, opening, closing, digits, braced = match.groups()
        end = match.end()
        if element is not None:
            if element not in ELEMENTS:
                element = element[0]
                if element not in ELEMENTS:
                    return None
                end = at + 1
            last = Counter({element: 1})
            places[element] += 1
            stack[-1][1].update(last)
        elif opening is not None:
            if len(stack) > 8:
                return None
            stack.append((opening, Counter()))
            last = None
        elif closing is not None:
            if len(stack) == 1 or _CLOSES[stack[-1][0]] != closing or not stack[-1][1]:
                return None
            last = stack.pop()[1]
            stack[-1][1].update(last)
        else:
            count = int(digits or braced)
            if last is None or not 0 < count <= MAX_COUNT:
                return None
            for element, number in last.items():
                stack[-1][1][element] += number * (count - 1)
            last = None
        at = end
    return stack[0][1] if len(stack) == 1 and stack[0][1] else None


# ---------------------------------------------------------------- nuclides

_NUCLIDE = re.compile(
    r"(?:\^\s*\{?\s*(?P<a1>\d{1,3})\s*\}?\s*(?:_\s*\{?\s*(?P<z1>\d{1,3})\s*\}?)?|_\s*\{?\s*(?P<z2>\d{1,3})\s*\}?\s*\^\s*\{?\s*(?P<a2>\d{1,3})\s*\}?)"
    r"\s*\{?(?P<e1>[A-Z][a-z]?)\}?|(?P<e2>[A-Za-z]{1,13})\s?-\s?(?P<a3>\d{1,3})"
)


@lru_cache(maxsize=1_024)
def nuclide(text: str) -> tuple[str, int] | None:
    """Element ("" where it has another Z than written) and mass number of `^{14}_{6}C`, `C-14`, `carbon-14`; else None."""
    match = _NUCLIDE.fullmatch(_plain(text)) if len(text) <= 60 else None
    if match is None:
        return None
    symbol = match.group("e1") or match.group("e2")
    symbol = symbol if symbol in ELEMENTS else _BY_NAME.get(symbol.lower(), "")
    number = match.group("z1") or match.group("z2")
    if not symbol:
        return None
    if number is not None and int(number) != list(ELEMENTS).index(symbol) + 1:
        symbol = ""
    return symbol, int(match.group("a1") or match.group("a2") or match.group("a3"))


_SHELLS = re.compile(
    r"\s*(?:(\[[A-Z][a-z]?\])|([1-7])\s?([spdf])\s?(?:\^\s?)?(?:\{\s?(\d{1,2})\s?\}|(\d)(?![spdf])))"
)


@lru_cache(maxsize=1_024)
def configuration(text: str) -> frozenset[tuple[str, str]] | None:
    """Shells and their electrons of `1s^2 2s^2 2p^6` or `[Ne] 3s²`, in any order; None for anything else."""
    plain = _plain(text)
    if len(plain) > 200 or len(plain) < 3:
        return None
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(plain):
        match = _SHELLS.match(plain, at)
        if match is None:
            return None
        core, shell, letter, braced, plain_count = match.groups()
        found.append((core, "") if core else (shell + letter, braced or plain_count))
        at = match.end()
    shells = [name for name, _ in found]
    return frozenset(found) if any(count for _, count in found) and len(set(shells)) == len(shells) else None


def element(text: str) -> str | None:
    """The symbol of an element named or written alone (`He`, `helium`)."""
    text = text.strip()
    return text if text in ELEMENTS else _BY_NAME.get(text.lower())


# ---------------------------------------------------------------- equations


class Side(NamedTuple):
    """Species readings with their coefficients."""

    terms: tuple[tuple[Fraction, tuple[Species, ...]], ...]


_SPACED_PLUS = re.compile(r"(?<=\s)\+(?=\s)|(?<=[})])\s*\+(?=\s*[\dA-Z(\[\\])")
_TIGHT_PLUS = re.compile(r"\+(?=\s*\d*\s*[A-Z(\[])")
_COEFFICIENT = re.compile(
    r"\s*(?:\\?frac\s*\{(\d{1,4})\}\s*\{(\d{1,4})\}|(\d{1,4})\s?/\s?(\d{1,4})|(\d{1,4}(?:\.\d{1,3})?))?\s*"
)


@lru_cache(maxsize=2_048)
def equation(text: str) -> tuple[Side, Side] | None:
    """Both sides of a reaction, or None."""
    if len(text) > MAX_CHARS:
        return None
    sides = _ARROW.split(_RAISED.sub(lambda match: f"^{{{match.group().translate(_SCRIPTS)}}}", text))
    if len(sides) != 2:
        return None
    left, right = _side(sides[0]), _side(sides[1])
    return None if left is None or right is None else (left, right)


def _side(text: str) -> Side | None:
    text = _SPACE.sub(" ", _MACRO.sub("", text)).strip()
    spaced = _SPACED_PLUS.split(f" {text} ")
    pieces = spaced if len(spaced) > 1 else _TIGHT_PLUS.split(text)
    if len(pieces) > MAX_SPECIES:
        return None
    terms = []
    for piece in pieces:
        match = _COEFFICIENT.match(piece)
        if match is None:
            return None
        n, d, n2, d2, plain = match.groups()
        below = int(d or d2 or 1)
        amount = Fraction(plain) if plain else Fraction(int(n or n2 or 1), below) if below else Fraction(0)
        found = species(piece[match.end() :].strip())
        if not found:
            return None
        terms.append((amount, found))
    return Side(tuple(terms))


# ---------------------------------------------------------------- comparison


def same_species(gold: tuple[Species, ...], answer: tuple[Species, ...], *, states: bool = False) -> Verdict:
    """Is one reading of the answer a reading of the gold? UNKNOWN for what may be isomers."""
    best = Verdict.NOT_EQUAL
    for one in gold:
        for other in answer:
            if one.atoms != other.atoms or one.charge != other.charge:
                continue
            if one.state != other.state and ((one.state and other.state) or (states and one.state)):
                continue
            if one.written == other.written or not (one.repeated or other.repeated):
                return Verdict.EQUAL
            best = Verdict.UNKNOWN
    return best


_WHOLE = re.compile(r"\b(?:smallest|lowest|simplest|least|whole[- ]number|integer)\b", re.IGNORECASE)
_STATES = re.compile(r"\b(?:states?|phases?)\b", re.IGNORECASE)


def asks_for_states(question: str) -> bool:
    """Does the question want states written?"""
    return bool(_STATES.search(question))


def same_equation(gold: tuple[Side, Side], answer: tuple[Side, Side], question: str = "") -> Verdict:
    """The same reaction in the same proportions."""
    states = asks_for_states(question)
    ratios: set[Fraction] = set()
    verdict = Verdict.EQUAL
    for one, other in zip(gold, answer, strict=True):
        if len(one.terms) != len(other.terms):
            return Verdict.NOT_EQUAL
        rest = list(other.terms)
        for amount, wanted in one.terms:
            for at, (given, found) in enumerate(rest):
                same = same_species(wanted, found, states=states)
                if same is not Verdict.NOT_EQUAL:
                    if not amount or not given:
                        return Verdict.NOT_EQUAL
                    ratios.add(given / amount)
                    verdict = verdict if same is Verdict.EQUAL else Verdict.UNKNOWN
                    del rest[at]
                    break
            else:
                return Verdict.NOT_EQUAL
    if len(ratios) != 1 or (_WHOLE.search(question) and ratios != {Fraction(1)}):
        return Verdict.NOT_EQUAL
    return verdict
